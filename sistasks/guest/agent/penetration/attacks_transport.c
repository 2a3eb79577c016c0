/* UDP (RFC 768) and TCP (RFC 9293) that are broken, and requests for connections that nobody wants. */
#include "penetration.h"

#define FIN 1u
#define SYN 2u
#define RST 4u
#define PSH 8u
#define ACK 16u
#define URG 32u
/* 10.77.160.0 to 10.77.191.255: addresses of nobody, where answers do not come to anybody who could refuse them */
#define NOBODIES 0xa000u
#define HOW_MANY 0x2000u

static size_t begin(struct frame *frame, const struct strike *strike, unsigned protocol, uint32_t from)
{
    begin_frame(frame, strike->victim, TYPE_IPV4);
    return begin_ipv4(frame, protocol, from, node_address(strike->victim));
}

static void udp_length(struct frame *frame, struct strike *strike)
{
    size_t at = begin(frame, strike, IPPROTO_UDP, node_address(place.self));
    size_t udp = add_evil(frame, at);
    unsigned whole = (unsigned)(frame->size - udp);
    set_u16(frame, udp + 4, strike->number % 2 ? below(strike, 8) : whole + 1 + below(strike, 0xffff - whole));
    if (strike->number % 3 == 0) {
        frame->size = udp + below(strike, 8); /* not even a header */
    } else if (strike->number % 3 == 1) {
        set_u16(frame, udp + 6, 0); /* no checksum: the length alone must do */
    }
    seal_ipv4(frame, at);
}

static void udp_checksum(struct frame *frame, struct strike *strike)
{
    size_t at = begin(frame, strike, IPPROTO_UDP, node_address(place.self));
    size_t udp = add_evil(frame, at);
    seal_ipv4(frame, at);
    frame->bytes[udp + 6] ^= (uint8_t)(1u << strike->number % 7);
    frame->bytes[udp + 7] |= 1; /* 0 would be none */
    frame->bytes[udp + 8 + 10] ^= 0x80;
}

static void tcp_checksum(struct frame *frame, struct strike *strike)
{
    size_t at = begin(frame, strike, IPPROTO_TCP, node_address(place.self));
    size_t tcp = add_tcp(frame, at, ECHO_PORT, strike->number, SYN, NULL, 0);
    seal_ipv4(frame, at);
    frame->bytes[tcp + 16] ^= (uint8_t)(1 + below(strike, 254));
}

/* none, all, and those that contradict each other; to a port that is open and one that is not */
static void tcp_flags(struct frame *frame, struct strike *strike)
{
    static const unsigned flags[] = {0,         0xff,      FIN | PSH | URG, SYN | FIN, SYN | RST, SYN | FIN | RST | PSH,
                                     FIN | RST, SYN | URG, 0xc0,            FIN,       URG,       PSH};
    size_t at = begin(frame, strike, IPPROTO_TCP, node_address(place.self));
    add_tcp(frame, at, strike->number % 2 ? ECHO_PORT : CLOSED_PORT, strike->number, flags[strike->number / 2 % 12], NULL,
            0);
    seal_ipv4(frame, at);
}

static void tcp_options(struct frame *frame, struct strike *strike)
{
    static const uint8_t options[][12] = {
        {2, 0, 5, 180},                         /* MSS of no length: who goes on by it goes on for ever */
        {2, 1, 5, 180},                         /* shorter than itself */
        {2, 200, 5, 180},                       /* beyond the header */
        {2, 4, 0, 0},                           /* segments of nothing */
        {3, 3, 255, 1},                         /* a window scaled by 255 */
        {8, 10, 0, 0, 0, 1},                    /* time stamps, cut off */
        {5, 10, 255, 255, 0, 0, 0, 0, 255, 255}, /* SACK in the first segment, backwards */
        {5, 3, 1, 1, 5, 2, 5, 2},
        {34, 2, 34, 18, 1, 2, 3},               /* fast open: asked for, and a cookie that is cut off */
        {253, 4, 0xf9, 0x89, 254, 2, 253, 0},   /* experiments */
        {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 8},   /* begins with the last byte */
        {19, 18, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0}, /* a signature, cut off */
    };
    size_t at = begin(frame, strike, IPPROTO_TCP, node_address(NOBODIES + below(strike, HOW_MANY)));
    add_tcp(frame, at, ECHO_PORT, strike->number, strike->number % 3 ? SYN : ACK, options[strike->number % 12], 12);
    seal_ipv4(frame, at);
}

static void tcp_offset(struct frame *frame, struct strike *strike)
{
    size_t at = begin(frame, strike, IPPROTO_TCP, node_address(place.self));
    size_t tcp = add_tcp(frame, at, ECHO_PORT, strike->number, SYN, NULL, 0);
    frame->bytes[tcp + 12] = (uint8_t)((strike->number % 2 ? strike->number / 2 % 5 : 6 + strike->number / 2 % 10) << 4);
    seal_transport(frame, at, tcp, tcp + 16);
    if (strike->number % 5 == 4) {
        frame->size = tcp + below(strike, 20); /* not even a header */
    }
    seal_ipv4(frame, at);
}

/* in the middle of connections that there are not, or in the names of those that there may be */
static void tcp_stray(struct frame *frame, struct strike *strike)
{
    static const unsigned flags[] = {ACK, ACK | PSH, RST, RST | ACK, FIN | ACK, SYN | ACK, ACK | URG};
    size_t at = begin(frame, strike, IPPROTO_TCP, node_address(1 + below(strike, place.count)));
    size_t tcp = add_tcp(frame, at, ECHO_PORT, below(strike, 0xffffffff), flags[strike->number % 7], NULL, 0);
    add_zeros(frame, below(strike, 200));
    set_u16(frame, tcp, 32768 + below(strike, 28232)); /* where clients have their ports */
    seal_transport(frame, at, tcp, tcp + 16);
    seal_ipv4(frame, at);
}

static void syn_to(struct frame *frame, struct strike *strike, unsigned port)
{
    size_t at = begin(frame, strike, IPPROTO_TCP, node_address(NOBODIES + below(strike, HOW_MANY)));
    add_tcp(frame, at, port, below(strike, 0xffffffff), SYN, (const uint8_t[]){2, 4, 5, 180}, 4);
    seal_ipv4(frame, at);
}

static void syn_flood(struct frame *frame, struct strike *strike)
{
    syn_to(frame, strike, ECHO_PORT);
}

static void syn_flood_closed(struct frame *frame, struct strike *strike)
{
    syn_to(frame, strike, CLOSED_PORT);
}

const struct attack attacks_transport[] = {
    {"udp_length", udp_length},
    {"udp_checksum", udp_checksum},
    {"tcp_checksum", tcp_checksum},
    {"tcp_flags", tcp_flags},
    {"tcp_options", tcp_options},
    {"tcp_offset", tcp_offset},
    {"tcp_stray", tcp_stray},
    {"syn_flood", syn_flood},
    {"syn_flood_closed", syn_flood_closed},
    {NULL, NULL},
};
