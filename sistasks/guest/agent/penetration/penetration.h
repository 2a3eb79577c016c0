/* What the parts of the penetration test share. Every node does the same: it answers others (echo.c), asks one of them
 * whether it lives (probe.c) and strikes at it (strike.c), as the host's words say. */
#ifndef PENETRATION_H
#define PENETRATION_H

#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../sis.h"

#define ECHO_PORT 7702
#define CLOSED_PORT 7709
#define FRAME_ROOM 9200u
#define FRAME_MTU 9000u
/* what a request to the echo service begins with: it answers nothing else, or two of them could be made to answer each
 * other for ever (CERT CA-1996-01) */
#define ASKING "SISASK"
#define ANSWERING "SISANS"
/* what a packet carries that no program may ever get */
#define EVIL "SISEVIL"
/* what kills a node whose plan has penetration_hurt=1: a control of the host's eyes */
#define HURT "SISHURT"

/* who this node is among the others */
struct place {
    uint32_t network; /* IPv4 in host order: node n has network + n */
    unsigned self, count;
    char interface[16];
};
extern struct place place;

/* frame.c: frames as they are built, big endian; what does not fit is left out */
struct frame {
    size_t size;
    uint8_t bytes[FRAME_ROOM];
};
void add(struct frame *frame, const void *data, size_t size);
void add_u8(struct frame *frame, unsigned value);
void add_u16(struct frame *frame, unsigned value);
void add_u32(struct frame *frame, uint32_t value);
void add_zeros(struct frame *frame, size_t size);
void set_u16(struct frame *frame, size_t at, unsigned value);
uint32_t node_address(unsigned node);
uint16_t checksum(const uint8_t *data, size_t size, uint32_t begin);
/* Ethernet's header, from this node to `node`; 0: to all */
void begin_frame(struct frame *frame, unsigned node, unsigned type);
#define TYPE_IPV4 0x0800u
#define TYPE_ARP 0x0806u
#define TYPE_VLAN 0x8100u
#define TYPE_IPV6 0x86ddu
#define TYPE_SERVICE_VLAN 0x88a8u
/* IPv4's header, 20 bytes at `ip_at`; sealed when the frame is whole: total length and checksum */
size_t begin_ipv4(struct frame *frame, unsigned protocol, uint32_t from, uint32_t to);
void seal_ipv4(struct frame *frame, size_t ip_at);
/* the same with options, whose bytes are given: a multiple of 4 */
size_t begin_ipv4_options(struct frame *frame, unsigned protocol, uint32_t from, uint32_t to, const uint8_t *options,
                          size_t size);
/* what belongs into a whole IPv4 packet, with its checksum; returns where it begins */
size_t add_udp(struct frame *frame, size_t ip_at, unsigned port, const void *data, size_t size);
size_t add_tcp(struct frame *frame, size_t ip_at, unsigned port, uint32_t number, unsigned flags, const uint8_t *options,
               size_t size);
size_t add_echo(struct frame *frame, unsigned identifier, unsigned number, size_t size);
void seal_transport(struct frame *frame, size_t ip_at, size_t at, size_t checksum_at);
/* IPv6's header; sealed when the frame is whole: payload length */
size_t begin_ipv6(struct frame *frame, unsigned node, unsigned next, unsigned hops);
void seal_ipv6(struct frame *frame, size_t ip_at);
void seal_icmpv6(struct frame *frame, size_t ip_at, size_t at);
void link_local(uint8_t address[16], unsigned node);

/* One strike: how it is meant and how far it is. */
struct strike {
    unsigned victim;
    uint32_t number; /* of the frame, from 0 */
    struct random_state random;
};
struct attack {
    const char *name;
    void (*build)(struct frame *frame, struct strike *strike);
};
/* attacks_*.c; each list ends with a name of NULL */
extern const struct attack attacks_link[], attacks_ipv4[], attacks_fragments[], attacks_transport[], attacks_ipv6[],
    attacks_mutated[];
uint32_t below(struct strike *strike, uint32_t limit); /* a number smaller than limit */
/* the node that the frame is on its way to and a program of it that must never see it: UDP with EVIL to the echo service */
size_t add_evil(struct frame *frame, size_t ip_at);

/* strike.c */
bool strike_open(char *problem, size_t size);
bool strike_relayed(void); /* by way of the host: the kernel has no packet sockets */
void strike_close(void);
void strike_begin(const char *name, unsigned victim, uint32_t frames, uint64_t ns);
bool strike_on(void);
void strike_turn(void); /* some frames; tells the host when the strike has ended */

/* echo.c: what a victim offers, and what it tells of itself */
#define ECHO_SOCKETS 11u
bool echo_open(void);
void echo_close(void);
void echo_renew(void); /* listen anew: half-open connections are forgotten */
unsigned echo_sockets(struct pollfd *sockets);
void echo_turn(const struct pollfd *sockets, unsigned count);
void echo_tell(void);

/* probe.c */
#define PROBE_SOCKETS 3
bool probe_open(void);
void probe_close(void);
void probe_begin(unsigned node, uint64_t gap_ns);
void probe_end(void); /* tells the host what has not been told yet */
unsigned probe_sockets(struct pollfd *sockets);
/* does what is due; when it is next, 0: never */
uint64_t probe_turn(const struct pollfd *sockets);

#endif
