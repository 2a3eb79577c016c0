/* The attacker's hand: frames as they are built, through a packet socket into the node's own network card. A kernel without
 * such sockets has UDP: the frames then go to the host in datagrams, which puts them on the switch as they are. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "penetration.h"

/* frames in one turn of the loop, between two looks at all else */
#define A_TURN 16u

#define HOST_NODE 0xfefeu
#define RELAY_PORT 7703
#define RELAYED_MAX 1472u /* what one datagram holds */

static int raw = -1;
static bool relayed;
static const struct attack *attack;
static struct strike strike;
static struct frame frame;
static uint32_t frames, sent, refused;
static uint64_t begun, until;

uint32_t below(struct strike *one, uint32_t limit)
{
    return limit == 0 ? 0 : (uint32_t)((random_next(&one->random) >> 32) * limit >> 32);
}

static const struct attack *find(const char *name)
{
    static const struct attack *const lists[] = {attacks_link,      attacks_ipv4, attacks_fragments,
                                                 attacks_transport, attacks_ipv6, attacks_mutated};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        for (const struct attack *one = lists[i]; one->name != NULL; one++) {
            if (strcmp(one->name, name) == 0) {
                return one;
            }
        }
    }
    return NULL;
}

/* a card that takes frames of another size only while it is down, or never, is left as it is */
static void allow_large_frames(int fd)
{
    struct ifreq request = {.ifr_mtu = (int)FRAME_MTU};
    strcpy(request.ifr_name, place.interface);
    if (ioctl(fd, SIOCSIFMTU, &request) != 0) {
        channel_text(FRAME_NOTE, "text=%s takes no frames of %u bytes\n", place.interface, FRAME_MTU);
    }
}

static bool open_packets(void)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(place.interface)};
    raw = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (raw < 0 || bind(raw, (struct sockaddr *)&address, sizeof address) != 0) {
        strike_close();
        return false;
    }
    allow_large_frames(raw);
    return true;
}

static bool open_relay(void)
{
    struct sockaddr_in host = {.sin_family = AF_INET, .sin_port = htons(RELAY_PORT),
                               .sin_addr.s_addr = htonl(node_address(HOST_NODE))};
    raw = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return raw >= 0 && connect(raw, (struct sockaddr *)&host, sizeof host) == 0;
}

bool strike_open(char *problem, size_t size)
{
    relayed = plan_number("penetration_relay") != 0 || !open_packets();
    if (relayed && !open_relay()) {
        snprintf(problem, size, "neither packet sockets nor UDP: %m");
        strike_close();
        return false;
    }
    return true;
}

bool strike_relayed(void)
{
    return relayed;
}

void strike_close(void)
{
    if (raw >= 0) {
        close(raw);
    }
    raw = -1;
}

static void tell_end(void)
{
    channel_text(FRAME_EVENT,
                 "event=struck\nat_ns=%" PRIu64 "\nsent=%" PRIu32 "\nrefused=%" PRIu32 "\ntook_ns=%" PRIu64 "\nknown=%d\n",
                 now_ns(), sent, refused, now_ns() - begun, attack != NULL);
    attack = NULL;
}

void strike_begin(const char *name, unsigned victim, uint32_t limit, uint64_t ns)
{
    attack = find(name);
    strike = (struct strike){.victim = victim};
    /* the same strike of the same node is the same frames, whatever came before it */
    uint64_t seed = plan_number("seed");
    for (const char *letter = name; *letter != '\0'; letter++) {
        seed = seed * 31 + (uint8_t)*letter;
    }
    random_seed(&strike.random, seed);
    frames = limit;
    sent = refused = 0;
    begun = now_ns();
    until = begun + ns;
    if (attack == NULL || raw < 0) {
        attack = NULL;
        tell_end();
    }
}

bool strike_on(void)
{
    return attack != NULL;
}

void strike_turn(void)
{
    for (unsigned i = 0; attack != NULL && i < A_TURN; i++) {
        if (strike.number == frames || now_ns() >= until) {
            tell_end();
            return;
        }
        attack->build(&frame, &strike);
        if (relayed && frame.size > RELAYED_MAX) {
            refused++;
        } else if (send(raw, frame.bytes, frame.size, MSG_DONTWAIT) >= 0) {
            sent++;
        } else if (errno == EAGAIN || errno == ENOBUFS) {
            return; /* its card does not keep up: the same frame again, or another of that kind */
        } else {
            refused++;
        }
        strike.number++;
    }
}
