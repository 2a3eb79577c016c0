/* penetration: this node strikes at others with frames that nobody should send, bears theirs, and asks whether they live.
 * Each node can do all of it; who does what to whom, and when, is the host's word.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "penetration/penetration.h"
#include "replica/network.h"
#include "sis.h"

#define SOCKETS (1 + ECHO_SOCKETS + PROBE_SOCKETS)
/* fragments that wait for the rest of their packet longer than this are given up: 30 s of it would be too long a test */
#define FRAGMENTS_SECONDS "1"

struct place place;

static bool write_text(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    bool done = file >= 0 && write(file, text, strlen(text)) > 0;
    if (file >= 0) {
        close(file);
    }
    return done;
}

static bool set_ipv6(const char *what, const char *value)
{
    char path[96];
    snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%.16s/%s", place.interface, what);
    return write_text(path, value);
}

static bool find_place(const struct plan *plan, char *problem, size_t size)
{
    place = (struct place){.network = (uint32_t)plan_number("network"), .self = plan->node,
                           .count = (unsigned)plan_number("count")};
    if (place.count < 2 || place.self == 0 || place.self > place.count) {
        snprintf(problem, size, "the plan makes this node %u of %u", place.self, place.count);
        return false;
    }
    if (!network_up(place.network, place.self, place.count, problem, size)) {
        return false;
    }
    snprintf(place.interface, sizeof place.interface, "%s", network_interface());
    return true;
}

/* `probe NODE GAP_US`, `hush`, `renew`, `count`, `strike ATTACK NODE FRAMES MS`, `stop`; false: it was the last word */
static bool obey(const char *words)
{
    char word[16] = "", name[48] = "";
    unsigned node = 0, frames = 0, ms = 0, gap_us = 0;
    (void)sscanf(words, "%15s", word);
    if (strcmp(word, "probe") == 0 && sscanf(words, "%*s %u %u", &node, &gap_us) == 2) {
        probe_begin(node, (uint64_t)gap_us * 1000);
    } else if (strcmp(word, "hush") == 0) {
        probe_end();
        channel_text(FRAME_EVENT, "event=hushed\nat_ns=%" PRIu64 "\n", now_ns());
    } else if (strcmp(word, "renew") == 0) {
        echo_renew();
        echo_tell();
    } else if (strcmp(word, "count") == 0) {
        echo_tell();
    } else if (strcmp(word, "strike") == 0 &&
               sscanf(words, "%*s %47s %u %u %u", name, &node, &frames, &ms) == 4) {
        strike_begin(name, node, frames, (uint64_t)ms * 1000000);
    }
    return strcmp(word, "stop") != 0;
}

static void wait_for(struct pollfd *sockets, unsigned count, uint64_t at)
{
    struct timespec limit = {0};
    uint64_t now = now_ns();
    if (!strike_on() && at > now) {
        limit = (struct timespec){.tv_sec = (time_t)((at - now) / 1000000000u), .tv_nsec = (long)((at - now) % 1000000000u)};
    }
    ppoll(sockets, count, at == 0 && !strike_on() ? NULL : &limit, NULL);
}

static void serve(void)
{
    char words[160];
    uint64_t due = 0;
    for (bool on = true; on;) {
        struct pollfd sockets[SOCKETS] = {{.fd = control_socket(), .events = POLLIN}};
        unsigned echoes = echo_sockets(sockets + 1);
        unsigned probes = probe_sockets(sockets + 1 + echoes);
        wait_for(sockets, 1 + echoes + probes, due);
        echo_turn(sockets + 1, echoes);
        if (sockets[0].revents != 0 && control_hear(words, sizeof words)) {
            on = obey(words);
        }
        strike_turn();
        due = probe_turn(sockets + 1 + echoes);
    }
}

const char *test_penetration(const struct plan *plan, char *problem, size_t size)
{
    char unarmed[128] = "";
    if (!find_place(plan, problem, size)) {
        return STATUS_ERROR;
    }
    (void)write_text("/proc/sys/net/ipv4/ipfrag_time", FRAGMENTS_SECONDS);
    (void)set_ipv6("accept_dad", "0");
    bool ipv6 = set_ipv6("disable_ipv6", "0");
    if (!control_open(place.network, place.self) || !echo_open() || !probe_open()) {
        snprintf(problem, size, "no sockets for UDP, TCP and ICMP: %m");
        return STATUS_ERROR;
    }
    bool armed = strike_open(unarmed, sizeof unarmed);
    channel_text(FRAME_EVENT, "event=placed\nat_ns=%" PRIu64 "\nipv6=%d\narmed=%d\nunarmed=%s\nrelayed=%d\n", now_ns(),
                 ipv6, armed, unarmed, strike_relayed());
    serve();
    strike_close();
    probe_close();
    echo_close();
    control_close();
    if (ipv6) {
        (void)set_ipv6("disable_ipv6", "1");
    }
    return STATUS_PASS;
}
