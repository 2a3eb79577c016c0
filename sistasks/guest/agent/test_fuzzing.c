/* Episodes of system calls by nobody: what the kernel must survive. Which calls they are follows from the seed and the
 * episode's number alone; the console tells which episode is under way, for a kernel that dies says nothing more.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <net/if.h>

#include "fuzz/fuzz.h"
#include "sis.h"

#define EPISODES 20u
#define EPISODES_MAX 100000u
#define CALLS 1000u
#define CALLS_MAX 10000000u
#ifndef FOLDER
#define FOLDER "/tmp/fuzzing"
#define CANARY "/tmp/root-only"
#endif
#define CANARY_WORDS "nobody can have written this\n"
/* Of a call that no alarm wakes: after that long without another one its process is ended, which may take that long. On
 * the wall clock a busy host takes time of all that.
 */
#define STALL_NS 100000000u
#define END_NS 5000000000u
#define BUSY_HOST 20u
#define BOUNDARY_NS 100000000u
/* processes of an episode: a call ends one now and then */
#define LIVES 200u

/* to the console at once, in one piece with what the kernel says itself */
static void tell(const char *words)
{
    int log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC); /* anew each time: it limits what one descriptor may say */
    if (log < 0 || write(log, words, strlen(words)) < 0) {
        fprintf(stderr, "%s\n", words + 3);
    }
    if (log >= 0) {
        close(log);
    }
}

/* What the tests before this one found is not to be lost with a kernel that falls. How long the host takes to read it
 * ends with the boundary that is waited for.
 */
static void send_what_is_held(const struct plan *plan)
{
    if (plan->aligned) {
        channel_release();
        channel_drain();
        channel_hold();
        sleep_to_boundary(BOUNDARY_NS);
    }
}

/* For tests of sistasks alone: with this argument, and only with it, the kernel has a hole that anybody can find. */
static void plant_fault(void)
{
    char words[4096] = " ";
    int file = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t size = file < 0 ? -1 : read(file, words + 1, sizeof words - 3);
    if (file >= 0) {
        close(file);
    }
    if (size <= 0) {
        return;
    }
    for (ssize_t i = 1; i <= size; i++) {
        words[i] = words[i] == '\n' || words[i] == '\0' ? ' ' : words[i];
    }
    words[size + 1] = '\0';
    if (strstr(words, " sistasks.fault=sysrq ") != NULL && chmod("/proc/sysrq-trigger", 0666) == 0) {
        tell("<1>sistasks: a fault is planted: anybody may write to /proc/sysrq-trigger\n");
    }
}

/* what is sent to this machine itself arrives */
static void loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    if (ioctl(fd, SIOCGIFFLAGS, &request) == 0) {
        request.ifr_flags |= IFF_UP;
        ioctl(fd, SIOCSIFFLAGS, &request);
    }
    close(fd);
}

static bool make_canary(void)
{
    unlink(CANARY);
    int fd = open(CANARY, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool made = fd >= 0 && write(fd, CANARY_WORDS, sizeof CANARY_WORDS - 1) == sizeof CANARY_WORDS - 1;
    if (fd >= 0) {
        close(fd);
    }
    return made;
}

static bool canary_is_whole(void)
{
    char words[sizeof CANARY_WORDS + 1];
    int fd = open(CANARY, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, words, sizeof words);
    if (fd >= 0) {
        close(fd);
    }
    return size == sizeof CANARY_WORDS - 1 && memcmp(words, CANARY_WORDS, (size_t)size) == 0;
}

static bool enter_folder(void)
{
    mkdir(FOLDER, 0700);
    /* a file system of its own is empty again as soon as it is let go */
    bool mounted = mount("fuzzing", FOLDER, "tmpfs", MS_NOSUID | MS_NODEV, "size=4m,nr_inodes=2000,mode=0777") == 0 ||
                   mount("fuzzing", FOLDER, "ramfs", MS_NOSUID | MS_NODEV, NULL) == 0;
    return mounted && chmod(FOLDER, 0777) == 0 && chdir(FOLDER) == 0;
}

static void leave_folder(void)
{
    if (chdir("/") == 0) {
        umount2(FOLDER, MNT_DETACH);
        rmdir(FOLDER);
    }
}

enum ending { ENDED, STUCK };

static uint64_t patience = 1; /* how many times as long */

/* Wait for the end of a process; end it where it does not go on. */
static enum ending follow(pid_t process, const struct fuzz_progress *progress)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    uint32_t seen = progress->next;
    uint64_t told_to_end = 0;
    for (;;) {
        int status;
        pid_t one = waitpid(-1, &status, WNOHANG);
        if (one == process && !WIFSTOPPED(status)) {
            return ENDED;
        }
        bool stopped = one == process; /* it has made us its tracer */
        if (one > 0 && !stopped) {
            continue; /* others that it has left to us */
        }
        uint64_t stall_ns = STALL_NS * patience;
        struct timespec rest = {(time_t)(stall_ns / 1000000000u), (long)(stall_ns % 1000000000u)};
        bool woken = !stopped && sigtimedwait(&child, NULL, &rest) > 0;
        if (woken) {
            continue;
        }
        if (told_to_end != 0 && now_ns() - told_to_end > END_NS * patience) {
            return STUCK;
        }
        if (stopped || progress->next == seen) {
            told_to_end = told_to_end != 0 ? told_to_end : now_ns();
            kill(process, SIGKILL);
        }
        seen = progress->next;
    }
}

/* all that is left of an episode */
static void sweep(void)
{
    if (getpid() == 1) {
        kill(-1, SIGKILL);
    }
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    leave_folder();
}

static enum ending play(const struct fuzz_episode *episode, struct fuzz_progress *progress)
{
    enum ending how = ENDED;
    uint64_t digest = progress->digest;
    memset((void *)progress, 0, sizeof *progress);
    progress->digest = digest;
    for (uint32_t life = 0; life < LIVES && !progress->finished && how == ENDED; life++) {
        progress->lives = life;
        pid_t process = fork();
        if (process == 0) {
            fuzz_live(episode, progress);
        }
        how = process < 0 ? ENDED : follow(process, progress);
    }
    return how;
}

static uint32_t asked(const char *key, uint32_t usual, uint32_t most)
{
    uint64_t number = plan_number(key);
    return number == 0 ? usual : number < most ? (uint32_t)number : most;
}

static int by_size(const void *one, const void *other)
{
    int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
    return (a > b) - (a < b);
}

const char *test_fuzzing(const struct plan *plan, char *problem, size_t size)
{
    uint32_t first = asked("fuzz_first", 1, UINT32_MAX), count = asked("fuzz_episodes", EPISODES, EPISODES_MAX);
    uint32_t calls = asked("fuzz_calls", CALLS, CALLS_MAX), done = 0, early = 0;
    uint64_t accepted = 0, made = 0;
    const char *status = STATUS_PASS;
    bool kept_out = true;
    struct fuzz_progress *progress =
        mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int64_t *rates = samples_allocate(count);
    sigset_t child, before;
    if (progress == MAP_FAILED || rates == NULL || !make_canary()) {
        snprintf(problem, size, "too little memory: %s", strerror(errno));
        return STATUS_ERROR;
    }
    patience = plan->aligned ? 1 : BUSY_HOST;
    send_what_is_held(plan);
    plant_fault();
    loopback_up();
    fuzz_find_doors();
    unsigned known = fuzz_know_calls();
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, &before);
    fflush(NULL);
    progress->digest = 0xcbf29ce484222325u;
    while (done < count && strcmp(status, STATUS_PASS) == 0) {
        struct fuzz_episode episode = {plan->seed, first + done, calls, CANARY};
        char words[160];
        snprintf(words, sizeof words, "<1>sistasks: fuzzing: seed=%" PRIu64 " first=%" PRIu32 " episode=%" PRIu32 " calls=%" PRIu32 "\n",
                 plan->seed, first, episode.number, calls);
        if (!enter_folder()) {
            snprintf(problem, size, "no folder for an episode: %s", strerror(errno));
            status = STATUS_ERROR;
            break;
        }
        tell(words);
        uint64_t begin = now_ns();
        enum ending how = play(&episode, progress);
        uint64_t took = now_ns() - begin;
        sweep();
        rates[done++] = (int64_t)((uint64_t)progress->next * 1000000000u / (took + 1));
        made += progress->next;
        accepted += progress->accepted;
        early += !progress->finished;
        if (how == STUCK) {
            snprintf(problem, size, "episode %" PRIu32 ": call %" PRIu32 " cannot be ended", episode.number, progress->next - 1);
            status = STATUS_FAIL;
        } else if (progress->escaped || !canary_is_whole()) {
            snprintf(problem, size, "episode %" PRIu32 ": an ordinary user could open a file of root's", episode.number);
            status = STATUS_FAIL;
            kept_out = false;
        }
    }
    tell("<1>sistasks: fuzzing: done\n");
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (strcmp(status, STATUS_PASS) == 0 && made == 0) {
        snprintf(problem, size, "no process made a call: this kernel lets none become an ordinary user");
        status = STATUS_SKIP;
    }
    if (strcmp(status, STATUS_PASS) == 0) {
        snprintf(problem, size, "%" PRIu32 " episodes, %" PRIu32 " cut short; of %" PRIu64 " calls, of %u kinds, %" PRIu64
                 " were accepted; %u files that anybody may write to; digest %016" PRIx64,
                 done, early, made, known, accepted, fuzz_doors(), progress->digest);
    }
    if (made > 0) {
        finding("fuzz.privilege", kept_out ? STATUS_PASS : STATUS_FAIL, "%s",
                kept_out ? "no call gave an ordinary user a file of root's" : problem);
    }
    if (made > 0) {
        /* the median: how long others wait follows from what the kernel answers, and not from how fast it is */
        qsort(rates, done, sizeof *rates, by_size);
        channel_samples("fuzzing.rate", &rates[done / 2], 1);
    }
    samples_free(rates, count);
    munmap(progress, sizeof *progress);
    unlink(CANARY);
    return status;
}
