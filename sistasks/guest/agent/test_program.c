/* A program of the user's, run as a test: its METRIC lines go to the host as it wrote them, which reads them there.
 *
 * Nothing is sent while it runs: what it measures is not to be moved by the agent's work beyond reading its pipes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sis.h"

#ifndef PROGRAMS
#define PROGRAMS "/programs"
#endif
#define NAME_ROOM 64
#define ARGUMENTS_MAX 64
#define LINE_MAX_BYTES 1024
#define LINES_ROOM (4u << 20) /* METRIC lines of one program: more than the host takes samples */
#define OTHER_ROOM 16384      /* what else it says is for the console's log */
#define FRAME_ROOM 32000
#define DRAIN_MAX (1u << 20)

struct text {
    char *data;
    size_t size, room;
    bool full;
};

struct stream {
    int fd;
    char line[LINE_MAX_BYTES];
    size_t length;
    bool cut;
};

struct output {
    struct stream streams[2];
    struct text metrics, other;
    char last[160];
};

uint64_t program_limit_ms(const char *name)
{
    char key[NAME_ROOM + 32];
    snprintf(key, sizeof key, "program_%.*s_limit_ms", NAME_ROOM, name);
    return plan_number(key);
}

bool program_known(const char *name)
{
    return program_limit_ms(name) != 0;
}

static void append(struct text *text, const char *line, size_t length)
{
    if (text->full || text->size + length + 1 > text->room) {
        text->full = true;
        return;
    }
    memcpy(text->data + text->size, line, length);
    text->data[text->size + length] = '\n';
    text->size += length + 1;
}

static void end_line(struct output *output, struct stream *stream)
{
    static const char mark[] = " [cut]"; /* a number whose end is missing must not be taken for one */
    size_t length = stream->length;
    while (length > 0 && (stream->line[length - 1] == '\r' || stream->line[length - 1] == ' ')) {
        length--;
    }
    if (stream->cut) {
        length = sizeof stream->line - (sizeof mark - 1);
        memcpy(stream->line + length, mark, sizeof mark - 1);
        length += sizeof mark - 1;
    }
    stream->length = 0;
    stream->cut = false;
    if (length == 0) {
        return;
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)stream->line[i];
        stream->line[i] = c == '\t' ? ' ' : c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    bool metric = length >= 6 && memcmp(stream->line, "METRIC", 6) == 0 && (length == 6 || stream->line[6] == ' ');
    append(metric ? &output->metrics : &output->other, stream->line, length);
    if (!metric) {
        snprintf(output->last, sizeof output->last, "%.*s", (int)length, stream->line);
    }
}

/* what is there; false at the end */
static bool take(struct output *output, struct stream *stream)
{
    char bytes[4096];
    ssize_t count = read(stream->fd, bytes, sizeof bytes);
    for (ssize_t i = 0; i < count; i++) {
        if (bytes[i] == '\n') {
            end_line(output, stream);
        } else if (stream->length < sizeof stream->line) {
            stream->line[stream->length++] = bytes[i];
        } else {
            stream->cut = true;
        }
    }
    return count > 0 || (count < 0 && (errno == EINTR || errno == EAGAIN));
}

static void on_child(int number)
{
    (void)number; /* its coming ends ppoll */
}

static void start(const struct plan *plan, const char *name, const int *ends, const sigset_t *mask)
{
    static char values[PLAN_PAGE];
    char key[NAME_ROOM + 40], path[sizeof PROGRAMS + NAME_ROOM + 2], node[32], seed[40], iterations[40];
    char *arguments[ARGUMENTS_MAX + 2] = {path};
    char *environment[] = {node, seed, iterations, "PATH=" PROGRAMS, "HOME=/tmp", NULL};
    char *at = values;
    snprintf(path, sizeof path, PROGRAMS "/%.*s", NAME_ROOM, name);
    for (int i = 0; i < ARGUMENTS_MAX; i++) {
        snprintf(key, sizeof key, "program_%.*s_argument_%d", NAME_ROOM, name, i);
        if (!plan_value(key, at, sizeof values - (size_t)(at - values))) {
            break;
        }
        arguments[i + 1] = at;
        at += strlen(at) + 1;
    }
    snprintf(node, sizeof node, "SIS_NODE=%u", plan->node);
    snprintf(seed, sizeof seed, "SIS_SEED=%" PRIu64, plan->seed);
    snprintf(iterations, sizeof iterations, "SIS_ITERATIONS=%" PRIu32, plan->iterations);
    setsid();
    int nothing = open("/dev/null", O_RDONLY);
    if (nothing > 0) {
        dup2(nothing, 0);
        close(nothing);
    }
    dup2(ends[0], 1);
    dup2(ends[1], 2);
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_SETMASK, mask, NULL);
    if (chdir("/tmp") == 0) {
        execve(path, arguments, environment);
    }
    dprintf(2, "it cannot be started: %s\n", strerror(errno));
    _exit(127);
}

/* Whatever it has left behind would go on beside the next test. */
static void sweep(pid_t program)
{
    kill(-program, SIGKILL);
    if (getpid() == 1) {
        kill(-1, SIGKILL);
        while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {
        }
    }
}

/* Wait for its end and read what it says; false: it was killed at its limit. */
static bool follow(pid_t program, uint64_t limit_ns, struct output *output, int *status)
{
    sigset_t none;
    sigemptyset(&none);
    uint64_t begin = now_ns();
    bool in_time = true;
    for (bool ended = false; !ended;) {
        struct pollfd waiting[2];
        nfds_t count = 0;
        struct stream *who[2];
        for (int i = 0; i < 2; i++) {
            if (output->streams[i].fd >= 0) {
                who[count] = &output->streams[i];
                waiting[count++] = (struct pollfd){.fd = output->streams[i].fd, .events = POLLIN};
            }
        }
        uint64_t gone = now_ns() - begin;
        if (in_time && gone >= limit_ns) {
            in_time = false;
            kill(-program, SIGKILL);
            kill(program, SIGKILL);
        }
        uint64_t left = in_time ? limit_ns - gone : 0;
        struct timespec rest = {.tv_sec = (time_t)(left / 1000000000u), .tv_nsec = (long)(left % 1000000000u)};
        if (ppoll(waiting, count, in_time ? &rest : NULL, &none) > 0) {
            for (nfds_t i = 0; i < count; i++) {
                if (waiting[i].revents != 0 && !take(output, who[i])) {
                    close(who[i]->fd);
                    who[i]->fd = -1;
                }
            }
        }
        for (pid_t one; (one = waitpid(-1, status, WNOHANG)) > 0;) {
            if (one == program) {
                ended = true;
                break;
            }
        }
    }
    sweep(program);
    for (int i = 0; i < 2; i++) {
        struct stream *stream = &output->streams[i];
        struct pollfd rest = {.fd = stream->fd, .events = POLLIN};
        for (size_t n = 0; stream->fd >= 0 && n < DRAIN_MAX / 4096 && poll(&rest, 1, 0) > 0 && take(output, stream);) {
            n++;
        }
        end_line(output, stream);
    }
    return in_time;
}

static void send_lines(const struct text *text)
{
    for (size_t begin = 0; begin < text->size;) {
        size_t end = text->size;
        if (end - begin > FRAME_ROOM) {
            for (end = begin + FRAME_ROOM; text->data[end - 1] != '\n'; end--) {
            }
        }
        channel_bytes(FRAME_LINES, text->data + begin, end - begin);
        begin = end;
    }
}

static void tell_console(const char *name, const struct text *text)
{
    for (char *line = text->data, *end; line < text->data + text->size; line = end + 1) {
        end = memchr(line, '\n', (size_t)(text->data + text->size - line));
        fprintf(stderr, "%s: %.*s\n", name, (int)(end - line), line);
    }
    if (text->full) {
        fprintf(stderr, "%s: said more, which is left out\n", name);
    }
}

static const char *judge(struct output *output, int status, bool in_time, uint64_t limit_ms, char *problem, size_t size)
{
    if (!in_time) {
        snprintf(problem, size, "it was still running after %g s and was killed", (double)limit_ms / 1e3);
    } else if (WIFSIGNALED(status)) {
        snprintf(problem, size, "it was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else if (WEXITSTATUS(status) != 0) {
        snprintf(problem, size, "exit code %d%s%s", WEXITSTATUS(status), output->last[0] ? ": " : "", output->last);
    } else if (output->metrics.full) {
        snprintf(problem, size, "it wrote more than %u MiB of METRIC lines", LINES_ROOM >> 20);
    } else {
        return STATUS_PASS;
    }
    return STATUS_FAIL;
}

const char *test_program(const struct plan *plan, const char *name, char *problem, size_t size)
{
    static struct output output;
    static char other[OTHER_ROOM];
    int out[2], err[2], status = 0;
    sigset_t child, before;
    struct sigaction action = {.sa_handler = on_child};
    uint64_t limit_ms = program_limit_ms(name);
    memset(&output, 0, sizeof output);
    output.other = (struct text){.data = other, .room = sizeof other};
    output.metrics.room = LINES_ROOM;
    output.metrics.data =
        mmap(NULL, LINES_ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (output.metrics.data == MAP_FAILED || pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) {
        snprintf(problem, size, "too little memory, or no pipes: %s", strerror(errno));
        return STATUS_ERROR;
    }
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, &before);
    sigaction(SIGCHLD, &action, NULL);
    fflush(NULL);
    pid_t program = fork();
    if (program == 0) {
        start(plan, name, (int[]){out[1], err[1]}, &before);
    }
    close(out[1]);
    close(err[1]);
    output.streams[0].fd = out[0];
    output.streams[1].fd = err[0];
    const char *verdict = STATUS_ERROR;
    if (program < 0) {
        snprintf(problem, size, "it cannot be started: %s", strerror(errno));
    } else {
        bool in_time = follow(program, limit_ms * 1000000u, &output, &status);
        verdict = judge(&output, status, in_time, limit_ms, problem, size);
        send_lines(&output.metrics);
        tell_console(name, &output.other);
    }
    for (int i = 0; i < 2; i++) {
        if (output.streams[i].fd >= 0) {
            close(output.streams[i].fd);
        }
    }
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    munmap(output.metrics.data, LINES_ROOM);
    return verdict;
}
