/* Frames that are none, ARP (RFC 826), VLAN tags (IEEE 802.1Q, 802.1ad), too large and too many. */
#include <string.h>

#include "penetration.h"

#define NOBODY 0xfec8u /* 10.77.254.200, which no node has */
#define GATEWAY 0xfefdu /* 10.77.254.253: echo.c makes the victim believe that it knows this one */
#define ARP_SIZE 28u

static void short_frame(struct frame *frame, struct strike *strike)
{
    static const unsigned types[] = {TYPE_IPV4, TYPE_ARP, TYPE_IPV6, TYPE_VLAN, TYPE_SERVICE_VLAN};
    begin_frame(frame, strike->victim, types[strike->number % 5]);
    size_t at = begin_ipv4(frame, IPPROTO_UDP, node_address(place.self), node_address(strike->victim));
    add_evil(frame, at);
    seal_ipv4(frame, at);
    /* nothing after Ethernet's header, and a byte more each time */
    frame->size = 14 + strike->number / 5 % 20;
}

/* IEEE 802.3: what would be the type is a length, and what follows LLC and SNAP, which end too early */
static void length_field(struct frame *frame, struct strike *strike)
{
    begin_frame(frame, strike->victim, below(strike, 0x600));
    add(frame, strike->number % 2 ? "\xaa\xaa\x03\0\0\0\x08\0" : "\xff\xff\x03\0\0\0\0\0", below(strike, 9));
    add_zeros(frame, below(strike, 50));
}

static void add_arp(struct frame *frame, unsigned operation, uint32_t from, uint32_t to)
{
    add_u16(frame, 1);
    add_u16(frame, TYPE_IPV4);
    add_u16(frame, 0x0604);
    add_u16(frame, operation);
    add(frame, frame->bytes + 6, 6);
    add_u32(frame, from);
    add_zeros(frame, 6);
    add_u32(frame, to);
}

static void bad_arp(struct frame *frame, struct strike *strike)
{
    begin_frame(frame, strike->number % 2 ? strike->victim : 0, TYPE_ARP);
    size_t at = frame->size;
    add_arp(frame, 1 + strike->number % 2, node_address(NOBODY), node_address(strike->victim));
    switch (strike->number % 6) {
    case 0:
        frame->size = at + below(strike, ARP_SIZE);
        break;
    case 1:
        frame->bytes[at + 4] = (uint8_t)below(strike, 256); /* lengths of addresses */
        frame->bytes[at + 5] = (uint8_t)below(strike, 256);
        break;
    case 2:
        set_u16(frame, at, below(strike, 0x10000)); /* hardware */
        break;
    case 3:
        set_u16(frame, at + 2, below(strike, 0x10000)); /* protocol */
        break;
    case 4:
        set_u16(frame, at + 6, below(strike, 0x10000)); /* operation */
        break;
    default:
        memset(frame->bytes + at + 8, 0xff, 10); /* from everybody, at 255.255.255.255 */
    }
}

static void arp_unasked(struct frame *frame, struct strike *strike)
{
    begin_frame(frame, strike->number % 2 ? strike->victim : 0, TYPE_ARP);
    add_arp(frame, 2, node_address(NOBODY), node_address(strike->number % 3 ? NOBODY : strike->victim));
}

static void arp_poison(struct frame *frame, struct strike *strike)
{
    begin_frame(frame, strike->number % 2 ? strike->victim : 0, TYPE_ARP);
    add_arp(frame, 1 + strike->number % 2, node_address(GATEWAY),
            node_address(strike->number % 3 ? GATEWAY : strike->victim));
}

static void vlan_tags(struct frame *frame, struct strike *strike)
{
    unsigned tags = 1 + strike->number % 12;
    begin_frame(frame, strike->victim, strike->number % 2 ? TYPE_VLAN : TYPE_SERVICE_VLAN);
    for (unsigned tag = 1; tag <= tags; tag++) {
        add_u16(frame, below(strike, 0x10000) | 1); /* never VLAN 0, which is none */
        if (strike->number % 5 == 4 && tag == tags) {
            return; /* and nothing behind */
        }
        add_u16(frame, tag < tags ? TYPE_VLAN : TYPE_IPV4);
    }
    size_t at = begin_ipv4(frame, IPPROTO_UDP, node_address(place.self), node_address(strike->victim));
    add_evil(frame, at);
    seal_ipv4(frame, at);
}

static void over_mtu(struct frame *frame, struct strike *strike)
{
    static uint8_t zeros[FRAME_MTU];
    begin_frame(frame, strike->victim, TYPE_IPV4);
    size_t at = begin_ipv4(frame, IPPROTO_UDP, node_address(place.self), node_address(strike->victim));
    add_udp(frame, at, CLOSED_PORT, zeros, 1473 + below(strike, FRAME_MTU - 1473 - 28));
    seal_ipv4(frame, at);
}

static void broadcast_storm(struct frame *frame, struct strike *strike)
{
    if (strike->number % 2) {
        begin_frame(frame, 0, TYPE_ARP);
        add_arp(frame, 1, node_address(place.self), node_address(NOBODY - below(strike, 100)));
        add_zeros(frame, 18);
    } else {
        begin_frame(frame, 0, TYPE_IPV4);
        size_t at = begin_ipv4(frame, IPPROTO_UDP, node_address(place.self), place.network | 0xffff);
        add_udp(frame, at, CLOSED_PORT, EVIL, 7);
        seal_ipv4(frame, at);
    }
}

static void small_frames(struct frame *frame, struct strike *strike)
{
    begin_frame(frame, strike->victim, TYPE_IPV4);
    size_t at = begin_ipv4(frame, IPPROTO_UDP, node_address(place.self), node_address(strike->victim));
    add_udp(frame, at, CLOSED_PORT, EVIL "01234567890", 18); /* 60 bytes in all */
    seal_ipv4(frame, at);
}

/* only where the plan says so, with echo.c: what a broken kernel would do at the sight of a packet */
static void hurting(struct frame *frame, struct strike *strike)
{
    begin_frame(frame, strike->victim, TYPE_IPV4);
    size_t at = begin_ipv4(frame, IPPROTO_UDP, node_address(place.self), node_address(strike->victim));
    add_udp(frame, at, ECHO_PORT, HURT, 7);
    seal_ipv4(frame, at);
}

const struct attack attacks_link[] = {
    {"short_frame", short_frame},
    {"length_field", length_field},
    {"bad_arp", bad_arp},
    {"arp_unasked", arp_unasked},
    {"arp_poison", arp_poison},
    {"vlan_tags", vlan_tags},
    {"over_mtu", over_mtu},
    {"broadcast_storm", broadcast_storm},
    {"small_frames", small_frames},
    {"hurting", hurting},
    {NULL, NULL},
};
