#include "control.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sis.h"

#define CONTROL_PORT 7701
#define WORDS_MAX 200u

static int control = -1;
static uint32_t heard;

bool control_open(uint32_t network, unsigned node)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(CONTROL_PORT),
                                  .sin_addr.s_addr = htonl(network + node)};
    control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return control >= 0 && bind(control, (struct sockaddr *)&address, sizeof address) == 0;
}

int control_socket(void)
{
    return control;
}

void control_close(void)
{
    close(control);
    control = -1;
}

bool control_hear(char *words, size_t size)
{
    char text[WORDS_MAX];
    unsigned number;
    int end = 0;
    ssize_t length = recv(control, text, sizeof text - 1, 0);
    if (length <= 0) {
        return false;
    }
    text[length] = '\0';
    if (sscanf(text, "SISCTL %u %n", &number, &end) != 1 || end == 0) {
        return false;
    }
    bool again = number <= heard;
    heard = again ? heard : number;
    channel_text(FRAME_EVENT, "event=control\nat_ns=%" PRIu64 "\nnumber=%u\n", now_ns(), number);
    snprintf(words, size, "%.*s", (int)strcspn(text + end, "\n"), text + end);
    return !again;
}
