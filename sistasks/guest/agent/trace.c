/* A trace of the kernel while a test runs (Linux, Documentation/trace/ftrace.rst), for the host to keep. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "sis.h"

#ifndef TRACING
#define TRACING "/sys/kernel/tracing"
#endif
/* bytes of text for each byte of the ring, at least */
#define TEXT_OF_RING 5
#define RING_LEAST_KB 64

static const char *const events[] = {"sched", "irq", "timer", "raw_syscalls", "signal", "workqueue", "exceptions"};

static uint64_t room; /* bytes of text of one test; 0: nothing is traced */

static bool put(const char *name, const char *value, int flags)
{
    char path[sizeof TRACING + 64];
    snprintf(path, sizeof path, TRACING "/%s", name);
    int fd = open(path, O_WRONLY | O_CLOEXEC | flags);
    if (fd < 0) {
        return false;
    }
    size_t length = strlen(value);
    bool written = length == 0 || write(fd, value, length) == (ssize_t)length;
    close(fd);
    return written;
}

static bool trace_events(void)
{
    bool any = false;
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        char name[48];
        snprintf(name, sizeof name, "events/%s/enable", events[i]);
        any |= put(name, "1", 0);
    }
    return any;
}

void trace_prepare(void)
{
    char how[16], ring[32];
    if (!plan_value("trace", how, sizeof how)) {
        return;
    }
    /* older kernels keep it in debugfs only, where we do not look; what is mounted already is as good */
    if (mount("tracefs", TRACING, "tracefs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0 && errno != EBUSY) {
        channel_text(FRAME_NOTE, "text=no trace: the kernel has no tracefs\n");
        return;
    }
    uint64_t size = plan_number("trace_room");
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t kb = size / TEXT_OF_RING / 1024 / (uint64_t)(cpus > 0 ? cpus : 1);
    snprintf(ring, sizeof ring, "%llu", (unsigned long long)(kb < RING_LEAST_KB ? RING_LEAST_KB : kb));
    put("tracing_on", "0", 0);
    bool whole = put("buffer_size_kb", ring, 0);
    bool any = false;
    if (strcmp(how, "events") != 0) {
        any = put("current_tracer", "function", 0);
        if (!any) {
            channel_text(FRAME_NOTE, "text=no function tracer in this kernel: %s\n",
                         strcmp(how, "function") == 0 ? "no trace" : "events only");
        }
    }
    if (!any && strcmp(how, "function") != 0) {
        any = trace_events();
        if (!any) {
            channel_text(FRAME_NOTE, "text=no trace: the kernel has no events to trace\n");
        }
    }
    room = any && whole ? size : 0;
}

void trace_clear(void)
{
    if (room > 0) {
        put("trace", "", O_TRUNC);
    }
}

void trace_run(bool on)
{
    if (room > 0) {
        put("tracing_on", on ? "1" : "0", 0);
    }
}

void trace_send(const char *test)
{
    if (room > 0 && !channel_file(test, TRACING "/trace", room)) {
        channel_text(FRAME_NOTE, "text=%s: its trace cannot be read: %s\n", test, strerror(errno));
    }
}
