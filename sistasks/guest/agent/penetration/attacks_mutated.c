/* Frames of all other attacks and whole ones, changed in places that the seed has drawn. */
#include <string.h>

#include "penetration.h"

/* addresses stay: the switch would carry the rest elsewhere, or take the attacker for another */
#define UNTOUCHED 12u

static const struct attack *const lists[] = {attacks_link, attacks_ipv4, attacks_fragments, attacks_transport,
                                             attacks_ipv6};
#define LISTS (sizeof lists / sizeof lists[0])

static void whole(struct frame *frame, struct strike *strike)
{
    begin_frame(frame, strike->victim, TYPE_IPV4);
    unsigned kind = below(strike, 3);
    size_t at = begin_ipv4(frame, (const unsigned[]){IPPROTO_UDP, IPPROTO_TCP, IPPROTO_ICMP}[kind],
                           node_address(place.self), node_address(strike->victim));
    if (kind == 0) {
        add_evil(frame, at);
    } else if (kind == 1) {
        add_tcp(frame, at, ECHO_PORT, strike->number, 2, (const uint8_t[]){2, 4, 5, 180}, 4);
    } else {
        add_echo(frame, 7, strike->number, 56);
    }
    seal_ipv4(frame, at);
}

static void build_one(struct frame *frame, struct strike *strike)
{
    unsigned which = below(strike, LISTS + 2), count = 0;
    if (which >= LISTS) {
        whole(frame, strike);
        return;
    }
    while (lists[which][count].name != NULL) {
        count++;
    }
    const struct attack *one = &lists[which][below(strike, count)];
    if (strcmp(one->name, "hurting") == 0) {
        whole(frame, strike);
    } else {
        one->build(frame, strike);
    }
}

static void change(struct frame *frame, struct strike *strike)
{
    static const uint8_t edges[] = {0, 1, 0x7f, 0x80, 0xfe, 0xff};
    /* most in the headers, where it counts */
    size_t room = frame->size - UNTOUCHED;
    size_t at = UNTOUCHED + below(strike, (uint32_t)(room > 60 && below(strike, 4) ? 60 : room));
    switch (below(strike, 6)) {
    case 0:
        frame->bytes[at] ^= (uint8_t)(1u << below(strike, 8));
        break;
    case 1:
        frame->bytes[at] = edges[below(strike, 6)];
        break;
    case 2:
        frame->bytes[at] = (uint8_t)below(strike, 256);
        break;
    case 3: /* cut off */
        frame->size = at < 14 ? 14 : at;
        break;
    case 4: /* longer */
        add_zeros(frame, below(strike, 200));
        break;
    default: /* what follows is what was before */
        if (frame->size + 8 <= FRAME_ROOM) {
            memmove(frame->bytes + at + 8, frame->bytes + at, frame->size - at);
            frame->size += 8;
        }
    }
}

/* the sums over IPv4 made right again, or most changes would be seen no further than there */
static void mend(struct frame *frame)
{
    size_t header = (size_t)(frame->bytes[14] & 0xf) * 4;
    if (frame->bytes[12] == TYPE_IPV4 >> 8 && frame->bytes[13] == 0 && header >= 20 && frame->size >= 14 + header + 8) {
        set_u16(frame, 24, 0);
        set_u16(frame, 24, checksum(frame->bytes + 14, header, 0));
        if (frame->bytes[23] == IPPROTO_TCP && frame->size >= 14 + header + 20) {
            seal_transport(frame, 14, 14 + header, 14 + header + 16);
        } else if (frame->bytes[23] == IPPROTO_UDP) {
            seal_transport(frame, 14, 14 + header, 14 + header + 6);
        }
    }
}

static void mutated(struct frame *frame, struct strike *strike)
{
    build_one(frame, strike);
    for (unsigned changes = 1 + below(strike, 4); changes > 0; changes--) {
        change(frame, strike);
    }
    if (below(strike, 3) != 0) {
        mend(frame);
    }
}

const struct attack attacks_mutated[] = {
    {"mutated", mutated},
    {NULL, NULL},
};
