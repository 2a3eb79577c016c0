/* Whether another node lives: echoes by UDP, ICMP and TCP, sent at a steady pace whatever becomes of those before, so that
 * what is measured is what a client would see. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/icmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "penetration.h"

#define PATIENCE_NS 2000000000u
#define TCP_PATIENCE_NS 3000000000u /* what is lost on the way is sent again after 1 s (RFC 6298) */
#define TELL_NS 50000000u
#define TOLD_MAX 4096u
#define UNDER_WAY 1024u
#define ANSWERS_PER_TURN 64u
#define IDENTIFIER 0x5153u
#define SOL_OF_RAW 255 /* SOL_RAW: Linux, include/linux/socket.h */

enum kind { UDP, PING };
struct request {
    uint64_t sent_at; /* 0: answered, or none */
    enum kind kind;
};

static int udp = -1, icmp = -1, tcp = -1;
static struct request requests[UNDER_WAY];
static uint32_t number, oldest; /* of the next request, of the first that may still be answered */
static struct sockaddr_in target;
static uint64_t gap, due, tcp_since, tell_at;
static bool connected;
static char told[TOLD_MAX];
static size_t told_size;

bool probe_open(void)
{
    struct icmp_filter only_answers = {.data = ~(1u << ICMP_ECHOREPLY)};
    udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    icmp = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMP);
    if (icmp >= 0) {
        (void)setsockopt(icmp, SOL_OF_RAW, ICMP_FILTER, &only_answers, sizeof only_answers);
    }
    return udp >= 0 && icmp >= 0;
}

static void flush(void)
{
    if (told_size > 0) {
        channel_text(FRAME_EVENT, "event=probed\nat_ns=%" PRIu64 "\nprobes=%s\n", now_ns(), told);
    }
    told_size = 0;
    tell_at = 0;
}

/* `<kind><when it was sent>:<until it was answered>`, in ns; 0: it was not */
static void say(char kind, uint64_t sent_at, uint64_t took)
{
    if (told_size + 64 > sizeof told) {
        flush();
    }
    if (told_size == 0) {
        tell_at = now_ns() + TELL_NS;
    }
    told_size += (size_t)snprintf(told + told_size, sizeof told - told_size, "%c%" PRIu64 ":%" PRIu64 " ", kind, sent_at,
                                  took);
}

static void tcp_end(bool answered)
{
    /* no time to wait for late packets of it: it is reset */
    (void)setsockopt(tcp, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
    close(tcp);
    tcp = -1;
    say('t', tcp_since, answered ? now_ns() - tcp_since : 0);
}

static void tcp_begin(uint64_t now)
{
    tcp_since = now;
    connected = false;
    tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (tcp >= 0 && connect(tcp, (struct sockaddr *)&target, sizeof target) != 0 && errno != EINPROGRESS) {
        tcp_end(false);
    }
}

static void tcp_turn(short events)
{
    char text[16];
    int problem = 0;
    socklen_t length = sizeof problem;
    if (getsockopt(tcp, SOL_SOCKET, SO_ERROR, &problem, &length) != 0 || problem != 0) {
        tcp_end(false);
    } else if (!connected && events & POLLOUT) {
        connected = send(tcp, ASKING, 6, MSG_NOSIGNAL) == 6;
        if (!connected) {
            tcp_end(false);
        }
    } else if (connected && events & (POLLIN | POLLHUP)) {
        tcp_end(recv(tcp, text, sizeof text, 0) > 0);
    }
}

static void ask(uint64_t now)
{
    static struct frame frame;
    enum kind kind = number % 2 == 0 ? UDP : PING;
    if (number - oldest == UNDER_WAY) {
        return; /* so many are under way that none has been answered for long */
    }
    frame.size = 0;
    ssize_t done;
    if (kind == UDP) {
        struct sockaddr_in to = target;
        add(&frame, ASKING, 6);
        add_u32(&frame, number);
        done = sendto(udp, frame.bytes, frame.size, 0, (struct sockaddr *)&to, sizeof to);
    } else {
        size_t at = 0;
        add_echo(&frame, IDENTIFIER, 0, 0);
        add_u32(&frame, number);
        set_u16(&frame, at + 2, 0);
        set_u16(&frame, at + 2, checksum(frame.bytes, frame.size, 0));
        done = sendto(icmp, frame.bytes, frame.size, 0, (struct sockaddr *)&target, sizeof target);
    }
    requests[number % UNDER_WAY] = (struct request){.sent_at = now, .kind = kind};
    number++;
    if (done < 0 && errno != EAGAIN && errno != ENOBUFS && errno != ECONNREFUSED) {
        channel_text(FRAME_NOTE, "text=a probe cannot be sent: %s\n", strerror(errno));
        gap = 0;
    }
}

static void answered(const uint8_t *at, enum kind kind)
{
    uint32_t which = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    struct request *request = &requests[which % UNDER_WAY];
    if (which - oldest < number - oldest && request->sent_at != 0 && request->kind == kind) {
        say(kind == UDP ? 'u' : 'p', request->sent_at, now_ns() - request->sent_at);
        request->sent_at = 0;
    }
}

static void hear(int fd, enum kind kind)
{
    uint8_t text[256];
    for (unsigned i = 0; i < ANSWERS_PER_TURN; i++) {
        struct sockaddr_in from;
        socklen_t length = sizeof from;
        ssize_t size = recvfrom(fd, text, sizeof text, 0, (struct sockaddr *)&from, &length);
        if (size < 0) {
            return;
        }
        const uint8_t *at = text;
        if (kind == PING) {
            size_t header = (size_t)(text[0] & 0xf) * 4;
            if ((size_t)size < header + 12 || text[header + 4] != IDENTIFIER >> 8 ||
                text[header + 5] != (IDENTIFIER & 0xff)) {
                continue;
            }
            at = text + header + 8;
        } else if (size < 10 || memcmp(text, ANSWERING, 6) != 0) {
            continue;
        } else {
            at = text + 6;
        }
        if (from.sin_addr.s_addr == target.sin_addr.s_addr) {
            answered(at, kind);
        }
    }
}

static void forget_late(uint64_t now)
{
    for (; oldest != number; oldest++) {
        struct request *request = &requests[oldest % UNDER_WAY];
        if (request->sent_at != 0 && now - request->sent_at < PATIENCE_NS) {
            return;
        }
        if (request->sent_at != 0) {
            say(request->kind == UDP ? 'u' : 'p', request->sent_at, 0);
            request->sent_at = 0;
        }
    }
}

void probe_begin(unsigned node, uint64_t gap_ns)
{
    probe_end();
    target = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(ECHO_PORT),
                                  .sin_addr.s_addr = htonl(node_address(node))};
    gap = gap_ns;
    due = now_ns();
}

/* what is under way is told as not answered: the host knows which of it could have been */
void probe_end(void)
{
    gap = 0;
    forget_late(UINT64_MAX);
    if (tcp >= 0) {
        tcp_end(false);
    }
    flush();
}

void probe_close(void)
{
    probe_end();
    close(udp);
    close(icmp);
}

unsigned probe_sockets(struct pollfd *sockets)
{
    sockets[0] = (struct pollfd){.fd = udp, .events = POLLIN};
    sockets[1] = (struct pollfd){.fd = icmp, .events = POLLIN};
    sockets[2] = (struct pollfd){.fd = tcp, .events = connected ? POLLIN : POLLOUT};
    return PROBE_SOCKETS;
}

uint64_t probe_turn(const struct pollfd *sockets)
{
    if (sockets[0].revents != 0) {
        hear(udp, UDP);
    }
    if (sockets[1].revents != 0) {
        hear(icmp, PING);
    }
    if (tcp >= 0 && sockets[2].fd == tcp && sockets[2].revents != 0) {
        tcp_turn(sockets[2].revents);
    }
    uint64_t now = now_ns();
    if (gap != 0 && now >= due) {
        due = now + gap;
        ask(now);
        if (tcp < 0) {
            tcp_begin(now);
        }
    }
    if (tcp >= 0 && now > tcp_since + TCP_PATIENCE_NS) {
        tcp_end(false);
    }
    forget_late(now);
    if (tell_at != 0 && now >= tell_at) {
        flush();
    }
    return gap != 0 ? due : tell_at;
}
