/* network: each node sends its neighbour patterns over UDP and TCP, which come back with every bit turned.
 *
 * Both sides know what must come: a datagram says its seed and number, and a stream's seed is its first word. The ring is
 * closed: node n asks node n + 1, the last asks the first, and each has one process that asks and one that answers.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../replica/network.h"
#include "stress.h"

#define PORT 7711
#define MAGIC UINT64_C(0x5349535354524553)
#define PAYLOAD 1376
#define BURST 8
#define BLOCK 16384
#define HELLO_EVERY_MS 100
#define ECHO_LIMIT_MS 1000
#define MILLISECOND_NS UINT64_C(1000000)
#define SECOND_NS UINT64_C(1000000000)

struct datagram {
    uint64_t magic, seed, number;
    uint64_t payload[PAYLOAD / 8];
};

struct side {
    uint64_t datagrams, blocks, lost, begin, end;
    bool wrong, silent, no_tcp;
    int signal;
    char why[120];
};

struct exchange {
    struct stress *stress;
    uint32_t neighbour;
    unsigned asked;
    bool flip;
    struct side asking, answering;
};

static void turn(uint64_t *words, size_t bytes)
{
    for (size_t i = 0; i < bytes / sizeof *words; i++) {
        words[i] = ~words[i];
    }
}

static void give_up(struct side *side, bool *what, const char *words)
{
    *what = true;
    snprintf(side->why, sizeof side->why, "%s", words);
    _exit(0);
}

static bool ready(int fd, short events, uint64_t limit_ns)
{
    struct pollfd one = {.fd = fd, .events = events};
    int count;
    while ((count = poll(&one, 1, (int)(limit_ns / MILLISECOND_NS))) < 0 && errno == EINTR) {
    }
    return count > 0;
}

/* all bytes or nothing more, and no longer than patience */
static bool whole(int fd, void *bytes, size_t size, bool out, uint64_t patience_ns)
{
    for (char *at = bytes; size > 0;) {
        if (!ready(fd, out ? POLLOUT : POLLIN, patience_ns)) {
            return false;
        }
        ssize_t count = out ? send(fd, at, size, MSG_NOSIGNAL) : recv(fd, at, size, 0);
        if (count <= 0) {
            return false;
        }
        at += count;
        size -= (size_t)count;
    }
    return true;
}

static int open_socket(int type, uint32_t address, bool bound)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(address)};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), yes = 1;
    if (fd >= 0 && bound) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        if (bind(fd, (struct sockaddr *)&in, sizeof in) == 0 && (type != SOCK_STREAM || listen(fd, 4) == 0)) {
            return fd;
        }
    } else if (fd >= 0 && connect(fd, (struct sockaddr *)&in, sizeof in) == 0) {
        return fd;
    }
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

static void answer_datagram(struct side *side, int fd)
{
    static struct datagram one;
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    size_t where;
    ssize_t size = recvfrom(fd, &one, sizeof one, 0, (struct sockaddr *)&from, &length);
    if (size != sizeof one || one.magic != MAGIC) {
        return; /* not ours */
    }
    if (!pattern_holds(one.payload, PAYLOAD, one.seed + one.number, &where)) {
        give_up(side, &side->wrong, "a datagram came changed");
    }
    side->datagrams++;
    turn(one.payload, PAYLOAD);
    sendto(fd, &one, sizeof one, 0, (struct sockaddr *)&from, length);
}

/* false: the other side has ended the stream */
static bool answer_block(struct side *side, int fd, uint64_t *seed, uint64_t patience_ns)
{
    static uint64_t block[BLOCK / 8];
    size_t where;
    char probe;
    if (recv(fd, &probe, 1, MSG_PEEK) == 0) {
        return false;
    }
    if (*seed == 0 && !whole(fd, seed, sizeof *seed, false, patience_ns)) {
        give_up(side, &side->silent, "a stream broke off at its beginning");
    }
    if (!whole(fd, block, sizeof block, false, patience_ns)) {
        give_up(side, &side->silent, "a stream broke off within a block");
    }
    if (!pattern_holds(block, sizeof block, *seed + side->blocks, &where)) {
        give_up(side, &side->wrong, "a block of a stream came changed");
    }
    side->blocks++;
    turn(block, sizeof block);
    if (!whole(fd, block, sizeof block, true, patience_ns)) {
        give_up(side, &side->silent, "a stream took no answer");
    }
    return true;
}

static void answer(struct exchange *exchange)
{
    struct side *side = &exchange->answering;
    uint64_t seed = 0, patience_ns = exchange->stress->patience_ns;
    int listening = open_socket(SOCK_STREAM, INADDR_ANY, true), stream = -1;
    int datagrams = open_socket(SOCK_DGRAM, INADDR_ANY, true);
    if (datagrams < 0) {
        give_up(side, &side->silent, "no UDP");
    }
    for (;;) {
        struct pollfd all[3] = {{.fd = datagrams, .events = POLLIN},
                                {.fd = listening, .events = POLLIN},
                                {.fd = stream, .events = POLLIN}};
        int count = poll(all, 3, (int)(patience_ns / MILLISECOND_NS));
        if (count == 0) {
            give_up(side, &side->silent, "nobody asked");
        }
        if (all[0].revents != 0) {
            answer_datagram(side, datagrams);
        }
        if (all[1].revents != 0) {
            stream = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
            close(listening);
            listening = -1;
        }
        if (stream >= 0 && all[2].revents != 0 && !answer_block(side, stream, &seed, patience_ns)) {
            _exit(0);
        }
    }
}

static void ask_datagrams(struct exchange *exchange, int fd, uint64_t number)
{
    static struct datagram one;
    struct side *side = &exchange->asking;
    size_t where;
    unsigned waiting = 0;
    for (unsigned i = 0; i < BURST; i++) {
        one = (struct datagram){.magic = MAGIC, .seed = exchange->stress->seed, .number = number + i};
        pattern_fill(one.payload, PAYLOAD, one.seed + one.number);
        waiting += send(fd, &one, sizeof one, MSG_NOSIGNAL) == sizeof one;
    }
    while (waiting > 0 && ready(fd, POLLIN, ECHO_LIMIT_MS * MILLISECOND_NS)) {
        if (recv(fd, &one, sizeof one, 0) != sizeof one || one.magic != MAGIC || one.number < number) {
            continue; /* an answer that comes late has been given up */
        }
        turn(one.payload, PAYLOAD);
        if (exchange->flip) {
            exchange->flip = false;
            one.payload[0] ^= 1;
        }
        if (!pattern_holds(one.payload, PAYLOAD, one.seed + one.number, &where)) {
            give_up(side, &side->wrong, "the answer to a datagram came changed");
        }
        side->datagrams++;
        waiting--;
    }
    side->lost += waiting;
}

static void ask_block(struct exchange *exchange, int fd)
{
    static uint64_t block[BLOCK / 8];
    struct side *side = &exchange->asking;
    uint64_t patience_ns = exchange->stress->patience_ns, seed = exchange->stress->seed;
    size_t where;
    /* with the first block, for whoever reads it waits for that */
    bool sent = side->blocks > 0 || whole(fd, &seed, sizeof seed, true, patience_ns);
    seed += side->blocks;
    pattern_fill(block, sizeof block, seed);
    if (!sent || !whole(fd, block, sizeof block, true, patience_ns) ||
        !whole(fd, block, sizeof block, false, patience_ns)) {
        give_up(side, &side->silent, "a stream broke off");
    }
    turn(block, sizeof block);
    if (!pattern_holds(block, sizeof block, seed, &where)) {
        give_up(side, &side->wrong, "the answer on a stream came changed");
    }
    side->blocks++;
}

/* its neighbour may not be there yet */
static void find_neighbour(struct exchange *exchange, int fd)
{
    struct side *side = &exchange->asking;
    struct datagram one = {.magic = MAGIC, .seed = exchange->stress->seed};
    uint64_t begin = now_ns();
    pattern_fill(one.payload, PAYLOAD, one.seed);
    do {
        if (now_ns() - begin > exchange->stress->patience_ns) {
            give_up(side, &side->silent, "it does not answer");
        }
        send(fd, &one, sizeof one, MSG_NOSIGNAL);
    } while (!ready(fd, POLLIN, HELLO_EVERY_MS * MILLISECOND_NS) || recv(fd, &one, sizeof one, 0) < 0);
}

static void ask(struct exchange *exchange)
{
    struct side *side = &exchange->asking;
    struct stress *stress = exchange->stress;
    int datagrams = open_socket(SOCK_DGRAM, exchange->neighbour, false);
    if (datagrams < 0) {
        give_up(side, &side->silent, "no UDP");
    }
    find_neighbour(exchange, datagrams);
    int stream = open_socket(SOCK_STREAM, exchange->neighbour, false);
    if (stream < 0 && (errno == EPROTONOSUPPORT || errno == EAFNOSUPPORT)) {
        side->no_tcp = true;
    } else if (stream < 0) {
        give_up(side, &side->silent, "it takes no stream");
    }
    side->begin = now_ns();
    for (uint64_t number = 1; now_ns() - side->begin < stress->load_ns; number += BURST) {
        ask_datagrams(exchange, datagrams, number);
        if (stream >= 0) {
            ask_block(exchange, stream);
        }
    }
    side->end = now_ns();
    _exit(0); /* which ends the stream, and by that the other side */
}

static void lead(struct exchange *exchange)
{
    int status;
    struct side *sides[2] = {&exchange->answering, &exchange->asking};
    void (*const work[2])(struct exchange *) = {answer, ask};
    pid_t each[2];
    for (int i = 0; i < 2; i++) {
        each[i] = fork();
        if (each[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            work[i](exchange);
        }
    }
    for (pid_t one; (one = waitpid(-1, &status, 0)) > 0;) {
        for (int i = 0; i < 2; i++) {
            if (one == each[i] && WIFSIGNALED(status)) {
                sides[i]->signal = WTERMSIG(status);
            }
        }
    }
    _exit(0);
}

static void judge(struct stress *stress, const struct side *side, unsigned other)
{
    if (side->wrong) {
        stress_fail(stress, "corrupted: node %u: %s", other, side->why);
    } else if (side->silent) {
        stress_fail(stress, "no progress: node %u: %s", other, side->why);
    } else if (side->signal == SIGKILL && vmstat("oom_kill") > stress->killed) {
        stress_remark(stress, "too little memory to talk to node %u", other);
        stress->ran++;
    } else if (side->signal != 0) {
        stress_fail(stress, "what talks to node %u died of signal %d", other, side->signal);
    }
}

static void tell(struct exchange *exchange)
{
    struct stress *stress = exchange->stress;
    const struct side *asking = &exchange->asking;
    unsigned count = (unsigned)plan_number("stress_count");
    judge(stress, asking, exchange->asked);
    judge(stress, &exchange->answering, stress->node == 1 ? count : stress->node - 1);
    double seconds = (double)(asking->end - asking->begin) / (double)SECOND_NS;
    if (asking->end > asking->begin && asking->datagrams > 0) {
        stress_rate(stress, "udp", (double)asking->datagrams / seconds);
    }
    if (asking->no_tcp) {
        stress_skip(stress, "tcp", "this kernel has none");
    } else if (asking->end > asking->begin && asking->blocks > 0) {
        stress_rate(stress, "tcp", (double)asking->blocks / seconds);
    }
    if (asking->lost > 0) {
        stress_remark(stress, "%" PRIu64 " of %" PRIu64 " datagrams came to nothing", asking->lost,
                      asking->lost + asking->datagrams);
    }
}

bool exchange_load(struct stress *stress, char *problem, size_t size)
{
    unsigned count = (unsigned)plan_number("stress_count");
    uint32_t network = (uint32_t)plan_number("stress_network");
    struct job job = {.limit_ns = stress->load_ns + 3 * stress->patience_ns};
    struct exchange *exchange =
        mmap(NULL, sizeof *exchange, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (exchange == MAP_FAILED || count < 2) {
        snprintf(problem, size, "too little memory, or no neighbour in the plan");
        return false;
    }
    if (!network_up(network, stress->node, count, problem, size)) {
        return false;
    }
    *exchange = (struct exchange){.stress = stress, .flip = stress->flip};
    exchange->asked = stress->node % count + 1;
    exchange->neighbour = network + exchange->asked;
    if (job_start(&job, false) == 0) {
        lead(exchange);
    }
    job_follow(stress, &job);
    if (!job.in_time) {
        stress_fail(stress, "no progress: the exchange was still under way %" PRIu64 " s after its time",
                    3 * stress->patience_ns / SECOND_NS);
    }
    if (!stress->hung) {
        tell(exchange);
    }
    munmap(exchange, sizeof *exchange);
    return true;
}
