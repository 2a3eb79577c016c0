/* IPv6 (RFC 8200) with headers that do not end, fragments that overlap (RFC 5722), neighbours and routers that are none
 * (RFC 4861). */
#include <string.h>

#include "penetration.h"

#define HOP_BY_HOP 0u
#define ROUTING 43u
#define FRAGMENT 44u
#define ICMPV6 58u
#define NOTHING 59u
#define DESTINATION 60u

/* a whole UDP packet's header and EVIL behind what is there already; IPv6 has no UDP without a checksum */
static void add_evil_ipv6(struct frame *frame, size_t ip_at)
{
    size_t at = frame->size;
    add_u16(frame, ECHO_PORT + 1);
    add_u16(frame, ECHO_PORT);
    add_u16(frame, 8 + 7);
    add_u16(frame, 0);
    add(frame, EVIL, 7);
    uint32_t sum = IPPROTO_UDP + (uint32_t)(frame->size - at);
    for (size_t i = ip_at + 8; i < ip_at + 40; i += 2) {
        sum += (uint32_t)frame->bytes[i] << 8 | frame->bytes[i + 1];
    }
    set_u16(frame, at + 6, checksum(frame->bytes + at, frame->size - at, sum));
    seal_ipv6(frame, ip_at);
}

static void ipv6_header(struct frame *frame, struct strike *strike)
{
    begin_frame(frame, strike->victim, TYPE_IPV6);
    size_t at = begin_ipv6(frame, strike->victim, IPPROTO_UDP, 64);
    add_evil_ipv6(frame, at);
    unsigned size = (unsigned)(frame->size - at - 40);
    switch (strike->number % 5) {
    case 0:
        frame->bytes[at] = (uint8_t)(below(strike, 2) ? 0x40 : 0x70 + (below(strike, 9) << 4));
        break;
    case 1:
        set_u16(frame, at + 4, size + 1 + below(strike, 0xffff - size)); /* more than there is */
        break;
    case 2:
        set_u16(frame, at + 4, below(strike, size)); /* less than UDP says */
        break;
    case 3:
        frame->size = at + below(strike, 40);
        break;
    default:
        memset(frame->bytes + at + 8, 0xff, 16); /* from a group (RFC 4291, section 2.7) */
    }
}

static void add_extension(struct frame *frame, struct strike *strike, unsigned next, bool sound)
{
    add_u8(frame, next);
    add_u8(frame, sound ? 0 : below(strike, 256)); /* its length: 8 bytes, or who knows */
    if (sound) {
        add(frame, (uint8_t[]){1, 4, 0, 0, 0, 0}, 6); /* PadN */
    } else {
        add_u8(frame, below(strike, 256));
        add_u8(frame, below(strike, 256));
        add_u32(frame, below(strike, 0xffffffff));
    }
}

static void ipv6_extensions(struct frame *frame, struct strike *strike)
{
    static const unsigned kinds[] = {DESTINATION, HOP_BY_HOP, ROUTING, DESTINATION, 51, 135, 139, 140, 253};
    unsigned count = 1 + below(strike, strike->number % 4 ? 8 : 160);
    bool sound = strike->number % 4 == 0;
    begin_frame(frame, strike->victim, TYPE_IPV6);
    size_t at = begin_ipv6(frame, strike->victim, sound ? DESTINATION : kinds[below(strike, 9)], 64);
    for (unsigned i = 1; i <= count; i++) {
        add_extension(frame, strike, i == count ? NOTHING : sound ? DESTINATION : kinds[below(strike, 9)], sound);
    }
    seal_ipv6(frame, at);
}

/* RFC 5095: a route of type 0, to and fro */
static void ipv6_routing(struct frame *frame, struct strike *strike)
{
    uint8_t address[16];
    unsigned hops = 1 + below(strike, 20);
    begin_frame(frame, strike->victim, TYPE_IPV6);
    size_t at = begin_ipv6(frame, strike->victim, ROUTING, 64);
    add(frame, (uint8_t[]){IPPROTO_UDP, (uint8_t)(2 * hops), 0, (uint8_t)(strike->number % 3 ? hops : 255), 0, 0, 0, 0}, 8);
    for (unsigned i = 0; i < hops; i++) {
        link_local(address, i % 2 ? strike->victim : place.self);
        add(frame, address, sizeof address);
    }
    add_evil_ipv6(frame, at);
}

static void ipv6_fragments(struct frame *frame, struct strike *strike)
{
    /* offset in units of 8 bytes, more; each pair overlaps, and the last ends behind the largest packet */
    static const unsigned places[][2] = {{0, 1}, {1, 1}, {0, 1}, {2, 0}, {8191, 0}, {1, 0}};
    const unsigned *where = places[strike->number % 6];
    begin_frame(frame, strike->victim, TYPE_IPV6);
    size_t at = begin_ipv6(frame, strike->victim, FRAGMENT, 64);
    add_u8(frame, IPPROTO_UDP);
    add_u8(frame, 0);
    add_u16(frame, where[0] << 3 | where[1]);
    add_u32(frame, strike->number / 6);
    add_zeros(frame, where[1] ? 24 : 20 + below(strike, 8));
    seal_ipv6(frame, at);
}

static void add_prefix(struct frame *frame, struct strike *strike)
{
    add(frame, (uint8_t[]){3, 4, 64, 0xc0}, 4);
    add_u32(frame, 0xffffffff);
    add_u32(frame, 0xffffffff);
    add_u32(frame, 0);
    add_u32(frame, 0xfd000000 | below(strike, 0xffffff)); /* RFC 4193 */
    add_u32(frame, below(strike, 0xffffffff));
    add_zeros(frame, 8);
}

static void router_advertisement(struct frame *frame, struct strike *strike)
{
    begin_frame(frame, strike->victim, TYPE_IPV6);
    size_t at = begin_ipv6(frame, 0, ICMPV6, 255);
    size_t icmp = frame->size;
    add_u32(frame, 134u << 24);
    add_u32(frame, 64u << 24 | 0x0800 << 8 | 0xff); /* hops, preferred, a life of 255 s and more */
    add_zeros(frame, 8);
    for (unsigned i = 0; i < 1 + strike->number % 8; i++) {
        add_prefix(frame, strike);
    }
    seal_icmpv6(frame, icmp - 40, icmp);
    seal_ipv6(frame, at);
}

/* what RFC 4861, sections 6.1 and 7.1, tells to drop: other hops than 255, options of no length, no sum, too short */
static void neighbour_discovery(struct frame *frame, struct strike *strike)
{
    static const unsigned kinds[] = {133, 134, 135, 136, 137};
    uint8_t address[16];
    unsigned flaw = strike->number % 4;
    begin_frame(frame, strike->victim, TYPE_IPV6);
    size_t at = begin_ipv6(frame, strike->victim, ICMPV6, flaw == 0 ? below(strike, 255) : 255);
    size_t icmp = frame->size;
    add_u32(frame, kinds[strike->number / 4 % 5] << 24);
    add_u32(frame, below(strike, 0xffffffff));
    link_local(address, place.self);
    add(frame, address, sizeof address);
    add(frame, (uint8_t[]){2, flaw == 1 ? 0 : 1, 2, 0, 0, 0, 0, 1}, 8);
    if (flaw == 3) {
        frame->size = icmp + 4 + below(strike, 4);
    }
    seal_icmpv6(frame, at, icmp);
    if (flaw == 2) {
        frame->bytes[icmp + 2] ^= 0x55;
    }
    seal_ipv6(frame, at);
}

const struct attack attacks_ipv6[] = {
    {"ipv6_header", ipv6_header},
    {"ipv6_extensions", ipv6_extensions},
    {"ipv6_routing", ipv6_routing},
    {"ipv6_fragments", ipv6_fragments},
    {"router_advertisement", router_advertisement},
    {"neighbour_discovery", neighbour_discovery},
    {NULL, NULL},
};
