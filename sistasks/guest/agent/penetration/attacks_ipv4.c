/* IPv4 headers (RFC 791) that say what is not so, and ICMP (RFC 792) that nobody needs. */
#include <string.h>

#include "penetration.h"

#define NOBODY 0x0909u /* 10.77.9.9, which no node has */

/* a whole packet with EVIL for a program of the victim's; what is changed in it must keep it from there */
static size_t evil(struct frame *frame, const struct strike *strike, uint32_t from)
{
    begin_frame(frame, strike->victim, TYPE_IPV4);
    size_t at = begin_ipv4(frame, IPPROTO_UDP, from, node_address(strike->victim));
    add_evil(frame, at);
    seal_ipv4(frame, at);
    return at;
}

static void sum_again(struct frame *frame, size_t at)
{
    set_u16(frame, at + 10, 0);
    set_u16(frame, at + 10, checksum(frame->bytes + at, 20, 0));
}

static void ip_version(struct frame *frame, struct strike *strike)
{
    size_t at = evil(frame, strike, node_address(place.self));
    unsigned version = strike->number % 15;
    frame->bytes[at] = (uint8_t)((version < 4 ? version : version + 1) << 4 | 5);
    sum_again(frame, at);
}

static void ip_header_length(struct frame *frame, struct strike *strike)
{
    size_t at = evil(frame, strike, node_address(place.self));
    if (strike->number % 2) {
        frame->bytes[at] = (uint8_t)(0x40 | strike->number / 2 % 5); /* less than a header */
        sum_again(frame, at);
    } else {
        frame->bytes[at] = 0x4f; /* more than there is */
        frame->size = at + 20 + below(strike, 40);
        set_u16(frame, at + 2, (unsigned)(frame->size - at));
        sum_again(frame, at);
    }
}

static void ip_total_length(struct frame *frame, struct strike *strike)
{
    size_t at = evil(frame, strike, node_address(place.self));
    unsigned whole = (unsigned)(frame->size - at);
    set_u16(frame, at + 2, strike->number % 2 ? below(strike, 28) : whole + 1 + below(strike, 0xffff - whole));
    sum_again(frame, at);
}

static void ip_checksum(struct frame *frame, struct strike *strike)
{
    size_t at = evil(frame, strike, node_address(place.self));
    unsigned right = (unsigned)frame->bytes[at + 10] << 8 | frame->bytes[at + 11];
    unsigned wrong = strike->number % 3 == 0 ? 0 : below(strike, 0x10000);
    /* 0 and ffff are the same sum */
    set_u16(frame, at + 10, wrong % 0xffff == right % 0xffff ? right ^ 1 : wrong);
}

static void with_options(struct frame *frame, const struct strike *strike, const uint8_t *options, size_t size)
{
    begin_frame(frame, strike->victim, TYPE_IPV4);
    size_t at = begin_ipv4_options(frame, IPPROTO_UDP, node_address(place.self), node_address(strike->victim), options,
                                   size);
    add_evil(frame, at);
    seal_ipv4(frame, at);
}

static void ip_options(struct frame *frame, struct strike *strike)
{
    /* each breaks what RFC 791, section 3.1, says of its length or its pointer */
    static const uint8_t options[][8] = {
        {7, 0, 4, 0},             /* record route of no length */
        {7, 1, 4, 0},             /* shorter than itself */
        {7, 2, 4, 0},             /* without a pointer */
        {7, 200, 4, 0},           /* beyond the header */
        {7, 7, 3, 0},             /* points before its first address */
        {68, 3, 5, 0},            /* time stamp without flags */
        {68, 8, 4, 0},            /* points before its first stamp */
        {131, 2, 4, 0},           /* source route without a pointer */
        {131, 7, 1, 1, 1, 1, 1},  /* points at itself */
        {1, 1, 1, 1, 1, 1, 1, 7}, /* begins with the header's last byte */
    };
    with_options(frame, strike, options[strike->number % 10], 8);
}

/* loose and strict source routes by way of the attacker */
static void source_route(struct frame *frame, struct strike *strike)
{
    uint32_t by = node_address(place.self);
    const uint8_t options[8] = {strike->number % 2 ? 131 : 137, 7, strike->number % 3 ? 8 : 4,
                                (uint8_t)(by >> 24), (uint8_t)(by >> 16), (uint8_t)(by >> 8), (uint8_t)by, 0};
    with_options(frame, strike, options, sizeof options);
}

/* RFC 1122, section 3.2.1.3: addresses that no packet may come from */
static void ip_addresses(struct frame *frame, struct strike *strike)
{
    const uint32_t from[] = {0, 0xffffffff, 0x7f000001, 0xe0000001, place.network | 0xffff};
    evil(frame, strike, from[strike->number % 5]);
}

static void land(struct frame *frame, struct strike *strike)
{
    uint32_t victim = node_address(strike->victim);
    if (strike->number % 2) {
        size_t at = evil(frame, strike, victim);
        set_u16(frame, at + 20, ECHO_PORT);
        seal_transport(frame, at, at + 20, at + 26);
        return;
    }
    begin_frame(frame, strike->victim, TYPE_IPV4);
    size_t at = begin_ipv4(frame, IPPROTO_TCP, victim, victim);
    size_t tcp = add_tcp(frame, at, ECHO_PORT, strike->number, 2, NULL, 0);
    set_u16(frame, tcp, ECHO_PORT);
    seal_transport(frame, at, tcp, tcp + 16);
    seal_ipv4(frame, at);
}

static void seal_icmp(struct frame *frame, size_t ip_at, size_t at)
{
    set_u16(frame, at + 2, 0);
    set_u16(frame, at + 2, checksum(frame->bytes + at, frame->size - at, 0));
    seal_ipv4(frame, ip_at);
}

static void icmp_malformed(struct frame *frame, struct strike *strike)
{
    begin_frame(frame, strike->victim, TYPE_IPV4);
    size_t at = begin_ipv4(frame, IPPROTO_ICMP, node_address(place.self), node_address(strike->victim));
    size_t icmp = add_echo(frame, 7, strike->number, 40);
    switch (strike->number % 3) {
    case 0:
        frame->size = icmp + below(strike, 8);
        break;
    case 1:
        set_u16(frame, icmp + 2, 1 + below(strike, 0xf7fe)); /* of type 8 and zeros another checksum */
        break;
    default:
        frame->bytes[icmp] = (uint8_t)(20 + below(strike, 200)); /* types that nobody has */
        frame->bytes[icmp + 1] = (uint8_t)below(strike, 256);
        seal_icmp(frame, at, icmp);
    }
    seal_ipv4(frame, at);
}

/* what an error of ICMP says of a packet that the victim is to have sent */
static void add_quote(struct frame *frame, struct strike *strike)
{
    size_t at = begin_ipv4(frame, strike->number % 2 ? IPPROTO_TCP : IPPROTO_UDP, node_address(strike->victim),
                           node_address(1 + below(strike, place.count)));
    add_u16(frame, ECHO_PORT);
    add_u16(frame, ECHO_PORT + 1);
    add_u32(frame, below(strike, 0xffffffff));
    seal_ipv4(frame, at);
    if (strike->number % 4 == 3) {
        frame->size = at + below(strike, 28);
    }
}

static void icmp_redirect(struct frame *frame, struct strike *strike)
{
    begin_frame(frame, strike->victim, TYPE_IPV4);
    size_t at = begin_ipv4(frame, IPPROTO_ICMP, node_address(strike->number % 3 ? NOBODY : place.self),
                           node_address(strike->victim));
    size_t icmp = frame->size;
    add_u16(frame, 5 << 8 | strike->number % 6);
    add_u16(frame, 0);
    add_u32(frame, node_address(place.self)); /* by way of the attacker */
    add_quote(frame, strike);
    seal_icmp(frame, at, icmp);
}

static void icmp_unreachable(struct frame *frame, struct strike *strike)
{
    begin_frame(frame, strike->victim, TYPE_IPV4);
    size_t at = begin_ipv4(frame, IPPROTO_ICMP, node_address(place.self), node_address(strike->victim));
    size_t icmp = frame->size;
    add_u16(frame, 3 << 8 | strike->number % 18);
    add_u16(frame, 0);
    add_u32(frame, below(strike, 2) ? below(strike, 100) : 0); /* an MTU that no network has (RFC 1191) */
    add_quote(frame, strike);
    seal_icmp(frame, at, icmp);
}

static void smurf(struct frame *frame, struct strike *strike)
{
    begin_frame(frame, 0, TYPE_IPV4);
    size_t at = begin_ipv4(frame, IPPROTO_ICMP, node_address(NOBODY), place.network | 0xffff);
    add_echo(frame, 7, strike->number, 64);
    seal_ipv4(frame, at);
}

const struct attack attacks_ipv4[] = {
    {"ip_version", ip_version},
    {"ip_header_length", ip_header_length},
    {"ip_total_length", ip_total_length},
    {"ip_checksum", ip_checksum},
    {"ip_options", ip_options},
    {"source_route", source_route},
    {"ip_addresses", ip_addresses},
    {"land", land},
    {"icmp_malformed", icmp_malformed},
    {"icmp_redirect", icmp_redirect},
    {"icmp_unreachable", icmp_unreachable},
    {"smurf", smurf},
    {NULL, NULL},
};
