/* Messages as UDP datagrams, authenticated between their sender and each receiver.
 *
 * Layout: magic u16, version u8, type u8, from u16, to u16, size u16, 0 u16, payload, and a MAC: the first 16 bytes of
 * HMAC-SHA256 over all before it, with the secret of the two. Node n has the address network + n.
 *
 * What goes to everybody is one datagram to the network's broadcast address, which the switch copies: its `to` is
 * EVERYBODY, and there are as many MACs of SHARE bytes as nodes, that for node i at i - 1 (Castro and Liskov, Practical
 * Byzantine Fault Tolerance, OSDI 1999, section 5, calls this an authenticator). On the loopback interface, which copies
 * nothing, it goes to each by itself; so does what has no room for so many MACs.
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
#define EVERYBODY 0xffffu
#define BROADCAST 0xffffu /* the last address of the network */
#define PORT 7700
#define BUFFER (4 << 20)
#define BATCH 32u
#define OWN 64u /* messages to this node itself that may wait */

struct wire_counters wire_counters;
static int wire = -1;
static bool copied; /* the network copies what is sent to its broadcast address */
static struct sockaddr_in everybody;
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

static struct sockaddr_in at_address(uint32_t address)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(address)};
}

bool wire_open(uint32_t network)
{
    for (unsigned node = 0; node <= NODES_MAX; node++) {
        addresses[node] = at_address(network + node);
    }
    everybody = at_address(network + BROADCAST);
    copied = network >> 24 != IN_LOOPBACKNET;
    wire = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (wire < 0) {
        return false;
    }
    set_buffer(SO_RCVBUF, SO_RCVBUFFORCE);
    set_buffer(SO_SNDBUF, SO_SNDBUFFORCE);
    if (!copied) {
        return bind(wire, (struct sockaddr *)&addresses[cluster.self], sizeof addresses[0]) == 0;
    }
    /* a socket with the node's own address would not be given what goes to all */
    struct sockaddr_in any = at_address(INADDR_ANY);
    const int yes = 1;
    return setsockopt(wire, SOL_SOCKET, SO_BROADCAST, &yes, sizeof yes) == 0 &&
           bind(wire, (struct sockaddr *)&any, sizeof any) == 0;
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

static void put_header(uint8_t *message, unsigned from, unsigned to, uint8_t type, const uint8_t *data, size_t size)
{
    put_u16(message, MAGIC);
    message[2] = VERSION;
    message[3] = type;
    put_u16(message + 4, (uint16_t)from);
    put_u16(message + 6, (uint16_t)to);
    put_u16(message + 8, (uint16_t)size);
    put_u16(message + 10, 0);
    memcpy(message + HEADER, data, size);
}

/* `room` bytes at `at`: the MAC of the message's first `size` bytes for this node */
static void put_mac(uint8_t *at, size_t room, unsigned node, const uint8_t *message, size_t size)
{
    uint8_t mac[DIGEST] = {0};
    if (cluster.authenticate) {
        hmac(&cluster.keys[node], message, size, mac);
    }
    memcpy(at, mac, room);
}

static size_t seal(uint8_t *message, unsigned from, unsigned to, uint8_t type, const uint8_t *data, size_t size)
{
    put_header(message, from, to, type, data, size);
    put_mac(message + HEADER + size, MAC, to, message, HEADER + size);
    return HEADER + size + MAC;
}

static size_t seal_for_all(uint8_t *message, uint8_t type, const uint8_t *data, size_t size)
{
    put_header(message, cluster.self, EVERYBODY, type, data, size);
    for (unsigned node = 1; node <= cluster.count; node++) {
        if (node == cluster.self) {
            memset(message + HEADER + size + (node - 1) * SHARE, 0, SHARE);
            continue;
        }
        put_mac(message + HEADER + size + (node - 1) * SHARE, SHARE, node, message, HEADER + size);
    }
    return HEADER + size + cluster.count * SHARE;
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

static struct mmsghdr datagram(struct iovec *part, unsigned to)
{
    return (struct mmsghdr){.msg_hdr = {.msg_name = &addresses[to], .msg_namelen = sizeof addresses[to],
                                        .msg_iov = part, .msg_iovlen = 1}};
}

static void broadcast(uint8_t type, const void *data, size_t size)
{
    size_t whole = seal_for_all(outgoing[0], type, data, size);
    if (sendto(wire, outgoing[0], whole, 0, (struct sockaddr *)&everybody, sizeof everybody) < 0) {
        wire_counters.unsendable += cluster.count - 1;
    } else {
        wire_counters.sent += cluster.count - 1;
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
    bool vector = HEADER + size + cluster.count * SHARE <= MESSAGE && cluster.treason == LOYAL;
    if (vector && copied) {
        broadcast(type, data, size);
        return;
    }
    size_t whole = vector ? seal_for_all(outgoing[0], type, data, size) : 0;
    for (unsigned to = 1; to <= cluster.count; to++) {
        if (to == cluster.self) {
            continue;
        }
        if (cluster.treason != LOYAL) {
            send_as_traitor(to, type, data, size);
            continue;
        }
        parts[count] = vector ? (struct iovec){outgoing[0], whole}
                              : (struct iovec){outgoing[to], seal(outgoing[to], cluster.self, to, type, data, size)};
        messages[count] = datagram(&parts[count], to);
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

static bool authentic(unsigned from, const uint8_t *message, size_t size, const uint8_t *mac, size_t length)
{
    uint8_t right[DIGEST];
    if (!cluster.authenticate) {
        return true;
    }
    hmac(&cluster.keys[from], message, size, right);
    return memcmp(right, mac, length) == 0;
}

static void take(const uint8_t *message, size_t whole)
{
    if (whole < HEADER || get_u16(message) != MAGIC || message[2] != VERSION) {
        wire_counters.malformed++;
        return;
    }
    unsigned from = get_u16(message + 4), to = get_u16(message + 6);
    size_t size = get_u16(message + 8), all = HEADER + size;
    bool vector = to == EVERYBODY;
    if (size > PAYLOAD_MAX || whole != all + (vector ? cluster.count * SHARE : MAC) || get_u16(message + 10) != 0 ||
        from == 0 || from > cluster.count || from == cluster.self || (to != cluster.self && !vector)) {
        wire_counters.malformed++;
        return;
    }
    const uint8_t *mac = message + all + (vector ? (cluster.self - 1) * SHARE : 0);
    if (!authentic(from, message, all, mac, vector ? SHARE : MAC)) {
        wire_counters.forged++;
        return;
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

bool wire_receive(unsigned limit)
{
    static uint8_t incoming[BATCH][MESSAGE + 1];
    static struct mmsghdr messages[BATCH];
    static struct iovec parts[BATCH];
    int some = BATCH;
    take_own();
    for (unsigned done = 0; some == (int)BATCH && done < limit; done += BATCH) {
        for (unsigned i = 0; i < BATCH; i++) {
            parts[i] = (struct iovec){incoming[i], sizeof incoming[i]};
            messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1}};
        }
        some = recvmmsg(wire, messages, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < some; i++) {
            take(incoming[i], messages[i].msg_len);
        }
    }
    return own_count > 0;
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
