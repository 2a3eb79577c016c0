/* What the running kernel's functions are called and where they are, for the host to read addresses by. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sis.h"

#define SYMBOLS "kallsyms"
#define PART 30000

void symbols_send(void)
{
    static char part[PART];
    size_t used = 0;
    uint32_t offset = 0;
    char line[512];
    FILE *symbols = fopen("/proc/kallsyms", "re");
    while (symbols != NULL && fgets(line, sizeof line, symbols) != NULL) {
        char *type = strchr(line, ' ');
        size_t length = strlen(line);
        if (type == NULL || strchr("tTwW", type[1]) == NULL) {
            continue;
        }
        if (used + length > sizeof part) {
            channel_part(SYMBOLS, offset, part, used);
            offset += (uint32_t)used;
            used = 0;
        }
        memcpy(part + used, line, length);
        used += length;
    }
    if (used > 0) {
        channel_part(SYMBOLS, offset, part, used);
    }
    if (symbols == NULL) {
        channel_text(FRAME_NOTE, "text=the kernel does not tell its symbols\n");
    } else {
        fclose(symbols);
    }
    channel_file("vmcoreinfo", "/sys/kernel/vmcoreinfo", PART);
}
