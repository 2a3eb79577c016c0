/* Messages as UDP datagrams, each authenticated between its two nodes.
 *
 * Layout: magic u16, version u8, type u8, from u16, to u16, size u16, 0 u16, payload, MAC (the first 16 bytes of
 * HMAC-SHA256 over all before it, with the secret of the two). Node n has the address network + n.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../sis.h"
#include "internal.h"
#include "replica.h"

#define MAGIC 0x5253
#define VERSION 1
#define HEADER 12u
#define MAC 16u
#define MESSAGE (HEADER + PAYLOAD_MAX + MAC)
#define PORT 7700
#define BUFFER (4 << 20)
#define BATCH 32u
#define OWN 64u /* messages to this node itself that may wait */

struct wire_counters wire_counters;
static int wire = -1;
static struct sockaddr_in addresses[NODES_MAX + 1];
static uint8_t outgoing[NODES_MAX + 1][MESSAGE];
static struct own {
    uint8_t type;
    uint16_t size;
    uint8_t data[PAYLOAD_MAX];
} own[OWN];
static unsigned own_first, own_count;

static void set_buffer(int option, int forced)
{
    int size = BUFFER;
    /* the forced one may pass the kernel's limit, and needs privileges */
    if (setsockopt(wire, SOL_SOCKET, forced, &size, sizeof size) != 0) {
        (void)setsockopt(wire, SOL_SOCKET, option, &size, sizeof size);
    }
}

bool wire_open(uint32_t network)
{
    for (unsigned node = 0; node <= NODES_MAX; node++) {
        addresses[node] = (struct sockaddr_in){
            .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(network + node)};
    }
    wire = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (wire < 0) {
        return false;
    }
    set_buffer(SO_RCVBUF, SO_RCVBUFFORCE);
    set_buffer(SO_SNDBUF, SO_SNDBUFFORCE);
    return bind(wire, (struct sockaddr *)&addresses[cluster.self], sizeof addresses[0]) == 0;
}

void wire_close(void)
{
    close(wire);
    wire = -1;
}

void wire_begin(void)
{
    own_first = own_count = 0;
    memset(&wire_counters, 0, sizeof wire_counters);
}

int wire_socket(void)
{
    return wire;
}

static size_t seal(uint8_t *message, unsigned from, unsigned to, uint8_t type, const uint8_t *data, size_t size)
{
    put_u16(message, MAGIC);
    message[2] = VERSION;
    message[3] = type;
    put_u16(message + 4, (uint16_t)from);
    put_u16(message + 6, (uint16_t)to);
    put_u16(message + 8, (uint16_t)size);
    put_u16(message + 10, 0);
    memcpy(message + HEADER, data, size);
    if (cluster.authenticate) {
        uint8_t mac[DIGEST];
        hmac(&cluster.keys[to], message, HEADER + size, mac);
        memcpy(message + HEADER + size, mac, MAC);
    } else {
        memset(message + HEADER + size, 0, MAC);
    }
    return HEADER + size + MAC;
}

void wire_emit(unsigned from, unsigned to, uint8_t type, const uint8_t *data, size_t size)
{
    size_t whole = seal(outgoing[0], from, to, type, data, size);
    if (sendto(wire, outgoing[0], whole, 0, (struct sockaddr *)&addresses[to], sizeof addresses[to]) < 0) {
        wire_counters.unsendable++;
    } else {
        wire_counters.sent++;
    }
}

static void send_as_traitor(unsigned to, uint8_t type, const void *data, size_t size)
{
    uint8_t copy[PAYLOAD_MAX];
    memcpy(copy, data, size);
    if (traitor_passes(to, &type, copy, &size)) {
        wire_emit(cluster.self, to, type, copy, size);
    }
}

static void send_to_self(uint8_t type, const void *data, size_t size)
{
    if (own_count == OWN) {
        wire_counters.unsendable++;
        return;
    }
    struct own *one = &own[(own_first + own_count++) % OWN];
    one->type = type;
    one->size = (uint16_t)size;
    memcpy(one->data, data, size);
}

void wire_send(unsigned to, uint8_t type, const void *data, size_t size)
{
    if (to == 0 || to > cluster.count || size > PAYLOAD_MAX) {
        wire_counters.unsendable++;
    } else if (to == cluster.self) {
        send_to_self(type, data, size);
    } else if (cluster.treason != LOYAL) {
        send_as_traitor(to, type, data, size);
    } else {
        wire_emit(cluster.self, to, type, data, size);
    }
}

/* all in one system call: under emulation each costs as much as the rest of a message */
static void send_many(unsigned count, struct mmsghdr *messages)
{
    unsigned done = 0;
    while (done < count) {
        int some = sendmmsg(wire, messages + done, count - done, 0);
        if (some > 0) {
            wire_counters.sent += (unsigned)some;
            done += (unsigned)some;
        } else if (errno != EINTR) {
            wire_counters.unsendable++;
            done++;
        }
    }
}

void wire_send_all(uint8_t type, const void *data, size_t size)
{
    static struct mmsghdr messages[NODES_MAX];
    static struct iovec parts[NODES_MAX];
    unsigned count = 0;
    if (size > PAYLOAD_MAX) {
        wire_counters.unsendable++;
        return;
    }
    for (unsigned to = 1; to <= cluster.count; to++) {
        if (to == cluster.self) {
            continue;
        }
        if (cluster.treason != LOYAL) {
            send_as_traitor(to, type, data, size);
            continue;
        }
        parts[count] = (struct iovec){outgoing[to], seal(outgoing[to], cluster.self, to, type, data, size)};
        messages[count] = (struct mmsghdr){.msg_hdr = {.msg_name = &addresses[to], .msg_namelen = sizeof addresses[to],
                                                       .msg_iov = &parts[count], .msg_iovlen = 1}};
        count++;
    }
    send_many(count, messages);
}

void wire_forge(unsigned from, unsigned to, uint8_t type, const void *data, size_t size)
{
    if (to == 0 || to > cluster.count || to == cluster.self || size > PAYLOAD_MAX) {
        wire_counters.unsendable++;
        return;
    }
    wire_emit(from, to, type, data, size);
}

static void take(const uint8_t *message, size_t whole)
{
    uint8_t mac[DIGEST];
    if (whole < HEADER + MAC || whole > MESSAGE || get_u16(message) != MAGIC || message[2] != VERSION) {
        wire_counters.malformed++;
        return;
    }
    unsigned from = get_u16(message + 4), to = get_u16(message + 6);
    size_t size = get_u16(message + 8);
    if (size != whole - HEADER - MAC || get_u16(message + 10) != 0 || from == 0 || from > cluster.count ||
        from == cluster.self || to != cluster.self) {
        wire_counters.malformed++;
        return;
    }
    if (cluster.authenticate) {
        hmac(&cluster.keys[from], message, HEADER + size, mac);
        if (memcmp(mac, message + HEADER + size, MAC) != 0) {
            wire_counters.forged++;
            return;
        }
    }
    wire_counters.received++;
    if (message[3] < TYPE_CATCHUP_ASK) {
        protocol->message(from, message[3], message + HEADER, size);
    } else {
        catchup_message(from, message[3], message + HEADER, size);
    }
}

static void take_own(void)
{
    /* what these bring about is for the next turn */
    for (unsigned left = own_count; left > 0; left--) {
        struct own *one = &own[own_first];
        protocol->message(cluster.self, one->type, one->data, one->size);
        own_first = (own_first + 1) % OWN;
        own_count--;
    }
}

unsigned wire_receive(unsigned limit)
{
    static uint8_t incoming[BATCH][MESSAGE + 1];
    static struct mmsghdr messages[BATCH];
    static struct iovec parts[BATCH];
    unsigned done = 0;
    take_own();
    while (done < limit) {
        for (unsigned i = 0; i < BATCH; i++) {
            parts[i] = (struct iovec){incoming[i], sizeof incoming[i]};
            messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1}};
        }
        int some = recvmmsg(wire, messages, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < some; i++) {
            take(incoming[i], messages[i].msg_len);
        }
        if (some > 0) {
            done += (unsigned)some;
        }
        if (some < (int)BATCH) {
            break;
        }
    }
    return done + own_count;
}

void wire_shares(const uint8_t digest[DIGEST], uint8_t out[][SHARE])
{
    uint8_t mac[DIGEST];
    for (unsigned node = 1; node <= cluster.count; node++) {
        hmac(&cluster.keys[node], digest, DIGEST, mac);
        memcpy(out[node - 1], mac, SHARE);
    }
}

bool wire_share_holds(unsigned from, const uint8_t digest[DIGEST], const uint8_t share[SHARE])
{
    uint8_t mac[DIGEST];
    if (from == 0 || from > cluster.count) {
        return false;
    }
    if (!cluster.authenticate) {
        return true;
    }
    hmac(&cluster.keys[from], digest, DIGEST, mac);
    return memcmp(mac, share, SHARE) == 0;
}
