/* The world of a simulated replica (replica_simulation.py): its clock, its sockets and its host are the test's. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "replica/internal.h"
#include "sis.h"

struct cluster cluster;
const struct protocol *protocol = &PROTOCOL;
static uint64_t now, timers[TIMERS];
static const uint8_t *incoming;
static size_t incoming_size;
static void (*on_send)(unsigned to, const uint8_t *data, size_t size);
static void (*on_tell)(const char *event, const char *text);

uint64_t now_ns(void)
{
    return now;
}

uint64_t clock_ns(void)
{
    return now;
}

void timer_set(unsigned timer, uint64_t at_ns)
{
    timers[timer] = at_ns;
}

void replica_give_up(const char *problem)
{
    fputs(problem, stderr);
    abort();
}

void channel_samples(const char *metric, const int64_t *samples, uint32_t count)
{
    (void)metric, (void)samples, (void)count;
}

void channel_bytes(enum frame_type type, const void *data, size_t size)
{
    (void)type, (void)data, (void)size;
}

void channel_text(enum frame_type type, const char *format, ...)
{
    (void)type, (void)format;
}

void tell(const char *event, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    on_tell(event, text);
}

static void send_one(const struct sockaddr *to, const uint8_t *data, size_t size)
{
    uint32_t address = ntohl(((const struct sockaddr_in *)to)->sin_addr.s_addr);
    for (unsigned node = 1; node <= cluster.count; node++) {
        if ((address & 0xffff) == node || ((address & 0xffff) == 0xffff && node != cluster.self)) {
            on_send(node, data, size);
        }
    }
}

ssize_t sim_sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length)
{
    (void)fd, (void)flags, (void)length;
    send_one(to, data, size);
    return (ssize_t)size;
}

int sim_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    (void)fd, (void)flags;
    for (unsigned i = 0; i < count; i++) {
        const struct msghdr *one = &messages[i].msg_hdr;
        send_one(one->msg_name, one->msg_iov->iov_base, one->msg_iov->iov_len);
    }
    return (int)count;
}

int sim_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)
{
    (void)fd, (void)flags, (void)timeout, (void)count;
    if (incoming_size == 0) {
        return 0;
    }
    size_t room = messages[0].msg_hdr.msg_iov->iov_len;
    messages[0].msg_len = (unsigned)(incoming_size < room ? incoming_size : room);
    memcpy(messages[0].msg_hdr.msg_iov->iov_base, incoming, messages[0].msg_len);
    incoming_size = 0;
    return 1;
}

static void settle(void)
{
    while (wire_receive(64)) {
    }
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

uint64_t sim_tick(uint64_t at)
{
    now = at;
    for (unsigned i = 0; i < TIMERS; i++) {
        if (timers[i] != 0 && timers[i] <= now) {
            timers[i] = 0;
            protocol->timer(i);
        }
    }
    uint64_t next = earliest(catchup_tick(now), traitor_tick(now));
    settle();
    for (unsigned i = 0; i < TIMERS; i++) {
        next = earliest(next, timers[i]);
    }
    return next;
}

uint64_t sim_deliver(uint64_t at, const uint8_t *data, size_t size)
{
    now = at;
    incoming = data;
    incoming_size = size;
    settle();
    return sim_tick(at);
}

uint64_t sim_begin(uint64_t at, const uint64_t *words, void *send, void *say)
{
    memset(timers, 0, sizeof timers);
    memset(&cluster, 0, sizeof cluster);
    on_send = (void (*)(unsigned, const uint8_t *, size_t))send;
    on_tell = (void (*)(const char *, const char *))say;
    cluster.self = (unsigned)words[0];
    cluster.count = (unsigned)words[1];
    cluster.faulty = (cluster.count - 1) / 3;
    cluster.quorum = words[2] != 0 ? (unsigned)words[2] : cluster.count - cluster.faulty;
    cluster.seed = words[3];
    cluster.timeout_ns = words[4];
    cluster.decisions = (uint32_t)words[5];
    cluster.authenticate = words[6] != 0;
    cluster.treason = (enum treason)words[7];
    cluster.pipeline = (unsigned)words[8];
    for (uint32_t node = 1; node <= cluster.count; node++) {
        uint32_t pair[2] = {node < cluster.self ? node : cluster.self, node < cluster.self ? cluster.self : node};
        hmac_prepare(&cluster.keys[node], pair, sizeof pair);
    }
    now = at;
    wire_open(0x0a000000);
    wire_close();
    wire_begin();
    ledger_begin();
    catchup_begin();
    traitor_begin();
    protocol->start();
    return sim_tick(at);
}

uint32_t sim_height(void)
{
    return ledger_height();
}

uint32_t sim_round(void)
{
    return protocol->round();
}

void sim_command(uint32_t index, void *out)
{
    memcpy(out, ledger_at(index), sizeof(struct command));
}

uint64_t sim_counter(unsigned which)
{
    const uint64_t all[] = {wire_counters.sent, wire_counters.received, wire_counters.malformed, wire_counters.forged,
                            wire_counters.unsendable};
    return all[which];
}
