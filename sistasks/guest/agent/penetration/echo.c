/* What a victim offers, an echo over UDP and TCP; and what it tells of itself: counters of its kernel. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "penetration.h"

#define CONNECTIONS (ECHO_SOCKETS - FIRST)
#define FIRST 3u /* sockets before those of connections */
#define BACKLOG 16
#define REQUESTS_PER_TURN 32u
#define TURNS_MAX 1000u
#define TOLD_MAX 8192u
#define GATEWAY 0xfefdu

static int datagrams = -1, datagrams_ipv6 = -1, listening = -1, connections[CONNECTIONS];
static unsigned oldest;
static uint64_t taken; /* packets with EVIL that came this far */

static struct sockaddr_in own_address(void)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(ECHO_PORT),
                                .sin_addr.s_addr = htonl(node_address(place.self))};
}

static int open_one(int type)
{
    struct sockaddr_in address = own_address();
    int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    }
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* where what comes over IPv6 and should not would come out; without IPv6 there is none */
static int open_ipv6(void)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(ECHO_PORT)};
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int));
    }
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void drop(unsigned which)
{
    if (connections[which] >= 0) {
        close(connections[which]);
    }
    connections[which] = -1;
}

void echo_renew(void)
{
    if (listening >= 0) {
        close(listening);
    }
    listening = open_one(SOCK_STREAM);
    if (listening >= 0 && listen(listening, BACKLOG) != 0) {
        close(listening);
        listening = -1;
    }
}

/* a neighbour of whom it knows only what it has heard: poison that others cannot be given, for the plan has told of them */
static void know_gateway(void)
{
    struct arpreq request = {.arp_flags = ATF_COM, .arp_ha.sa_family = ARPHRD_ETHER};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(node_address(GATEWAY))};
    memcpy(&request.arp_pa, &address, sizeof address);
    memcpy(request.arp_ha.sa_data, "\x52\x54\x77\x00\xfe\xfd", 6);
    snprintf(request.arp_dev, sizeof request.arp_dev, "%s", place.interface);
    if (ioctl(datagrams, SIOCSARP, &request) != 0) {
        channel_text(FRAME_NOTE, "text=no neighbour can be made known\n");
    }
}

bool echo_open(void)
{
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        connections[i] = -1;
    }
    datagrams = open_one(SOCK_DGRAM);
    datagrams_ipv6 = open_ipv6();
    echo_renew();
    if (datagrams >= 0) {
        know_gateway();
    }
    return datagrams >= 0 && listening >= 0;
}

void echo_close(void)
{
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        drop(i);
    }
    close(datagrams);
    close(listening);
    if (datagrams_ipv6 >= 0) {
        close(datagrams_ipv6);
    }
}

unsigned echo_sockets(struct pollfd *sockets)
{
    sockets[0] = (struct pollfd){.fd = datagrams, .events = POLLIN};
    sockets[1] = (struct pollfd){.fd = listening, .events = POLLIN};
    sockets[2] = (struct pollfd){.fd = datagrams_ipv6, .events = POLLIN};
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        sockets[FIRST + i] = (struct pollfd){.fd = connections[i], .events = POLLIN};
    }
    return ECHO_SOCKETS;
}

static void die(void)
{
    int file = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);
    if (file < 0 || write(file, "c", 1) < 0) {
        channel_text(FRAME_NOTE, "text=no /proc/sysrq-trigger\n");
    }
}

/* so many at most; whether there may be more */
static bool answer_datagrams(int fd)
{
    for (unsigned i = 0; i < REQUESTS_PER_TURN; i++) {
        char text[128];
        struct sockaddr_storage from;
        socklen_t length = sizeof from;
        ssize_t size = recvfrom(fd, text, sizeof text, 0, (struct sockaddr *)&from, &length);
        if (size < 0) {
            return false;
        }
        if (size >= 6 && memcmp(text, ASKING, 6) == 0) {
            memcpy(text, ANSWERING, 6);
            (void)sendto(fd, text, (size_t)size, 0, (struct sockaddr *)&from, length);
        } else if (size >= 7 && memcmp(text, EVIL, 7) == 0) {
            taken++;
        } else if (size >= 7 && memcmp(text, HURT, 7) == 0 && plan_number("penetration_hurt") != 0) {
            die();
        }
    }
    return true;
}

static void answer_connection(unsigned which)
{
    char text[128];
    ssize_t size = recv(connections[which], text, sizeof text, 0);
    if (size <= 0 || memcmp(text, ASKING, size < 6 ? (size_t)size : 6) != 0 ||
        send(connections[which], text, (size_t)size, MSG_NOSIGNAL) != size) {
        drop(which);
    }
}

static void take_connection(void)
{
    int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        return;
    }
    drop(oldest);
    connections[oldest] = fd;
    oldest = (oldest + 1) % CONNECTIONS;
}

void echo_turn(const struct pollfd *sockets, unsigned count)
{
    if (sockets[0].revents != 0) {
        (void)answer_datagrams(datagrams);
    }
    if (sockets[2].revents != 0) {
        (void)answer_datagrams(datagrams_ipv6);
    }
    for (unsigned i = FIRST; i < count; i++) {
        if (sockets[i].revents != 0 && sockets[i].fd == connections[i - FIRST]) {
            answer_connection(i - FIRST);
        }
    }
    if (sockets[1].revents != 0) {
        take_connection();
    }
}

static size_t read_file(const char *path, char *text, size_t size)
{
    size_t length = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        for (ssize_t more; length < size - 1 && (more = read(file, text + length, size - 1 - length)) > 0;) {
            length += (size_t)more;
        }
        close(file);
    }
    text[length] = '\0';
    return length;
}

static size_t append(char *told, size_t at, const char *prefix, const char *name, const char *value)
{
    if (strcmp(value, "0") != 0 && at < TOLD_MAX) {
        int more = snprintf(told + at, TOLD_MAX - at, "%s%s:%s ", prefix, name, value);
        at += more > 0 ? (size_t)more : 0;
    }
    return at < TOLD_MAX ? at : TOLD_MAX;
}

/* for each protocol a line of names and one of numbers (Linux, Documentation/networking/snmp_counter.rst) */
static size_t counters_in_pairs(char *told, size_t at, const char *path)
{
    static char text[TOLD_MAX];
    read_file(path, text, sizeof text);
    char *rest = text, *names, *values;
    while ((names = strsep(&rest, "\n")) != NULL && (values = strsep(&rest, "\n")) != NULL) {
        char *protocol = strsep(&names, ":");
        (void)strsep(&values, ":");
        while (names != NULL && values != NULL) {
            char *name = strsep(&names, " "), *value = strsep(&values, " ");
            if (*name != '\0' && value != NULL) {
                at = append(told, at, protocol, name, value);
            }
        }
    }
    return at;
}

static size_t counters_ipv6(char *told, size_t at)
{
    static char text[TOLD_MAX];
    char name[64], value[32];
    read_file("/proc/net/snmp6", text, sizeof text);
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        if (sscanf(line, "%63s %31s", name, value) == 2) {
            at = append(told, at, "", name, value);
        }
    }
    return at;
}

static uint64_t number_after(const char *path, const char *words)
{
    static char text[TOLD_MAX];
    read_file(path, text, sizeof text);
    const char *found = strstr(text, words);
    return found == NULL ? 0 : strtoull(found + strlen(words), NULL, 10);
}

static unsigned lines_of(const char *path)
{
    static char text[TOLD_MAX];
    unsigned lines = 0;
    for (size_t i = read_file(path, text, sizeof text); i > 0; i--) {
        lines += text[i - 1] == '\n';
    }
    return lines;
}

static bool poisoned(void)
{
    static char text[TOLD_MAX];
    char address[INET_ADDRSTRLEN + 1];
    struct in_addr gateway = {.s_addr = htonl(node_address(GATEWAY))};
    inet_ntop(AF_INET, &gateway, address, INET_ADDRSTRLEN);
    strcat(address, " ");
    read_file("/proc/net/arp", text, sizeof text);
    const char *entry = strstr(text, address);
    return entry != NULL && memmem(entry, strcspn(entry, "\n"), "52:54:77:00:fe:fd", 17) == NULL;
}

void echo_tell(void)
{
    static char told[TOLD_MAX + 1];
    /* what has come before the host's word counts */
    for (unsigned turn = 0; turn < TURNS_MAX && answer_datagrams(datagrams); turn++) {
    }
    for (unsigned turn = 0; turn < TURNS_MAX && answer_datagrams(datagrams_ipv6); turn++) {
    }
    size_t at = counters_ipv6(told, counters_in_pairs(told, counters_in_pairs(told, 0, "/proc/net/snmp"), "/proc/net/netstat"));
    told[at] = '\0';
    channel_text(FRAME_EVENT,
                 "event=counted\nat_ns=%" PRIu64 "\ntaken=%" PRIu64 "\nneighbours=%u\npoisoned=%d\naddresses=%u\n"
                 "fragments=%" PRIu64 "\navailable=%" PRIu64 "\ncounters=%s\n",
                 now_ns(), taken, lines_of("/proc/net/arp"), poisoned(), lines_of("/proc/net/if_inet6"),
                 number_after("/proc/net/sockstat", " memory "), number_after("/proc/meminfo", "MemAvailable:"), told);
}
