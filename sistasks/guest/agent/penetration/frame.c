/* Frames: Ethernet, IPv4 (RFC 791), ICMP (RFC 792), UDP (RFC 768), TCP (RFC 9293), IPv6 (RFC 8200), whole until an attack
 * breaks them. */
#include <string.h>

#include "penetration.h"

#define HOPS 64u
#define UDP_HEADER 8u
#define TCP_HEADER 20u
#define IPV4_HEADER 20u
#define IPV6_HEADER 40u
#define ICMPV6 58u

void add(struct frame *frame, const void *data, size_t size)
{
    if (size > 0 && frame->size + size <= FRAME_ROOM) {
        memcpy(frame->bytes + frame->size, data, size);
        frame->size += size;
    }
}

void add_u8(struct frame *frame, unsigned value)
{
    add(frame, &(uint8_t){(uint8_t)value}, 1);
}

void add_u16(struct frame *frame, unsigned value)
{
    add(frame, (uint8_t[]){(uint8_t)(value >> 8), (uint8_t)value}, 2);
}

void add_u32(struct frame *frame, uint32_t value)
{
    add_u16(frame, value >> 16);
    add_u16(frame, value & 0xffff);
}

void add_zeros(struct frame *frame, size_t size)
{
    if (frame->size + size <= FRAME_ROOM) {
        memset(frame->bytes + frame->size, 0, size);
        frame->size += size;
    }
}

void set_u16(struct frame *frame, size_t at, unsigned value)
{
    frame->bytes[at] = (uint8_t)(value >> 8);
    frame->bytes[at + 1] = (uint8_t)value;
}

uint32_t node_address(unsigned node)
{
    return place.network + node;
}

/* RFC 1071 */
uint16_t checksum(const uint8_t *data, size_t size, uint32_t begin)
{
    uint64_t sum = begin;
    for (size_t i = 0; i + 1 < size; i += 2) {
        sum += (uint64_t)data[i] << 8 | data[i + 1];
    }
    if (size % 2 != 0) {
        sum += (uint64_t)data[size - 1] << 8;
    }
    while (sum >> 16 != 0) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)~sum;
}

static void add_address(struct frame *frame, unsigned node)
{
    add(frame, (uint8_t[]){0x52, 0x54, 0x77, 0, (uint8_t)(node >> 8), (uint8_t)node}, 6);
}

void begin_frame(struct frame *frame, unsigned node, unsigned type)
{
    frame->size = 0;
    if (node == 0) {
        add(frame, "\xff\xff\xff\xff\xff\xff", 6);
    } else {
        add_address(frame, node);
    }
    /* always its own: a switch that is made to believe another would cut the victim off, whatever its kernel does */
    add_address(frame, place.self);
    add_u16(frame, type);
}

size_t begin_ipv4_options(struct frame *frame, unsigned protocol, uint32_t from, uint32_t to, const uint8_t *options,
                          size_t size)
{
    size_t at = frame->size;
    add_u8(frame, 0x40 | (unsigned)(IPV4_HEADER + size) / 4);
    add_u8(frame, 0);
    add_u16(frame, 0); /* total length */
    add_u32(frame, 0); /* identification, flags, offset */
    add_u8(frame, HOPS);
    add_u8(frame, protocol);
    add_u16(frame, 0); /* checksum */
    add_u32(frame, from);
    add_u32(frame, to);
    add(frame, options, size);
    return at;
}

size_t begin_ipv4(struct frame *frame, unsigned protocol, uint32_t from, uint32_t to)
{
    return begin_ipv4_options(frame, protocol, from, to, NULL, 0);
}

static size_t header_of(const struct frame *frame, size_t ip_at)
{
    return (size_t)(frame->bytes[ip_at] & 0xf) * 4;
}

void seal_ipv4(struct frame *frame, size_t ip_at)
{
    set_u16(frame, ip_at + 2, (unsigned)(frame->size - ip_at));
    set_u16(frame, ip_at + 10, 0);
    set_u16(frame, ip_at + 10, checksum(frame->bytes + ip_at, header_of(frame, ip_at), 0));
}

/* with the pseudo header (RFC 9293, section 3.1) */
void seal_transport(struct frame *frame, size_t ip_at, size_t at, size_t checksum_at)
{
    const uint8_t *ip = frame->bytes + ip_at;
    size_t size = frame->size - at;
    uint32_t begin = ip[9] + (uint32_t)size;
    for (unsigned i = 12; i < 20; i += 2) {
        begin += (uint32_t)ip[i] << 8 | ip[i + 1];
    }
    set_u16(frame, checksum_at, 0);
    unsigned sum = checksum(frame->bytes + at, size, begin);
    /* of UDP, 0 is no checksum */
    set_u16(frame, checksum_at, sum == 0 ? 0xffff : sum);
}

size_t add_udp(struct frame *frame, size_t ip_at, unsigned port, const void *data, size_t size)
{
    size_t at = frame->size;
    add_u16(frame, ECHO_PORT + 1);
    add_u16(frame, port);
    add_u16(frame, (unsigned)(UDP_HEADER + size));
    add_u16(frame, 0);
    add(frame, data, size);
    seal_transport(frame, ip_at, at, at + 6);
    return at;
}

size_t add_evil(struct frame *frame, size_t ip_at)
{
    return add_udp(frame, ip_at, ECHO_PORT, EVIL "012345678901234567890123456789", 36);
}

size_t add_tcp(struct frame *frame, size_t ip_at, unsigned port, uint32_t number, unsigned flags, const uint8_t *options,
               size_t size)
{
    size_t at = frame->size;
    add_u16(frame, 1024 + (number & 0x7fff));
    add_u16(frame, port);
    add_u32(frame, number * 2654435761u);
    add_u32(frame, 0);
    add_u8(frame, (unsigned)(TCP_HEADER + size) / 4 << 4);
    add_u8(frame, flags);
    add_u16(frame, 8192);
    add_u32(frame, 0); /* checksum, urgent pointer */
    add(frame, options, size);
    seal_transport(frame, ip_at, at, at + 16);
    return at;
}

size_t add_echo(struct frame *frame, unsigned identifier, unsigned number, size_t size)
{
    size_t at = frame->size;
    add_u16(frame, 8 << 8);
    add_u16(frame, 0);
    add_u16(frame, identifier);
    add_u16(frame, number);
    add_zeros(frame, size);
    set_u16(frame, at + 2, checksum(frame->bytes + at, frame->size - at, 0));
    return at;
}

/* RFC 4291, section 2.5.6 and appendix A: of the node's Ethernet address */
void link_local(uint8_t address[16], unsigned node)
{
    const uint8_t bytes[16] = {0xfe, 0x80, 0,    0,    0,    0,    0, 0,
                               0x50, 0x54, 0x77, 0xff, 0xfe, 0x00, (uint8_t)(node >> 8), (uint8_t)node};
    memcpy(address, bytes, sizeof bytes);
}

size_t begin_ipv6(struct frame *frame, unsigned node, unsigned next, unsigned hops)
{
    uint8_t address[16];
    size_t at = frame->size;
    add_u32(frame, 0x60000000);
    add_u16(frame, 0);
    add_u8(frame, next);
    add_u8(frame, hops);
    link_local(address, place.self);
    add(frame, address, sizeof address);
    link_local(address, node);
    if (node == 0) {
        memcpy(address, (uint8_t[16]){0xff, 2, [15] = 1}, sizeof address); /* all nodes */
    }
    add(frame, address, sizeof address);
    return at;
}

void seal_ipv6(struct frame *frame, size_t ip_at)
{
    set_u16(frame, ip_at + 4, (unsigned)(frame->size - ip_at - IPV6_HEADER));
}

/* RFC 4443, section 2.3 */
void seal_icmpv6(struct frame *frame, size_t ip_at, size_t at)
{
    uint32_t begin = ICMPV6 + (uint32_t)(frame->size - at);
    for (size_t i = ip_at + 8; i < ip_at + IPV6_HEADER; i += 2) {
        begin += (uint32_t)frame->bytes[i] << 8 | frame->bytes[i + 1];
    }
    set_u16(frame, at + 2, 0);
    set_u16(frame, at + 2, checksum(frame->bytes + at, frame->size - at, begin));
}
