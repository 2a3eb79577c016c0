/* The process that makes the calls: nobody, in a folder and a session of its own, with little of everything.
 *
 * Each call draws from a seed of its own, mixed of the run's seed, the episode and the call: when a call has ended the
 * process, another one goes on behind it and draws what it would have drawn.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "fuzz.h"

#define NOBODY 65534
#define OBJECTS 24
#define CALLS_MAX 512
#define DESCRIPTORS 128
/* a call that waits is woken after that; the agent ends a process that even so does not go on */
#define ALARM_US 20000

static struct {
    const struct fuzz_call *call;
    long number;
} known[CALLS_MAX];
static unsigned known_count;

/* the sum that a number is in the headers, as in `(0 + 5)`; -1: it is a name that they do not know */
static long number_of(const char *text)
{
    long sum = 0, one = 0;
    for (; *text != '\0'; text++) {
        if (*text >= '0' && *text <= '9') {
            one = one * 10 + (*text - '0');
        } else if ((*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') || *text == '_') {
            return -1;
        } else {
            sum += one;
            one = 0;
        }
    }
    return sum + one;
}

unsigned fuzz_know_calls(void)
{
    static const struct fuzz_calls *const ALL[] = {&fuzz_files, &fuzz_network, &fuzz_memory, &fuzz_process};
    known_count = 0;
    for (unsigned which = 0; which < sizeof ALL / sizeof *ALL; which++) {
        for (size_t i = 0; i < ALL[which]->count && known_count < CALLS_MAX; i++) {
            const struct fuzz_call *call = &ALL[which]->calls[i];
            long number = call->newer != 0 ? call->newer : number_of(call->number);
            if (number >= 0) {
                known[known_count].call = call;
                known[known_count++].number = number;
            }
        }
    }
    return known_count;
}

static void limit(int resource, rlim_t most)
{
    struct rlimit both = {most, most};
    setrlimit(resource, &both);
}

static void on_alarm(int number)
{
    (void)number; /* its coming ends what waits */
}

/* Signals that end a process by themselves are ignored: they would end every other episode early. */
static void take_signals(void)
{
    static const int IGNORED[] = {SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE, SIGTERM, SIGURG, SIGXFSZ, SIGVTALRM,
                                  SIGPROF, SIGIO, SIGPWR, SIGTSTP, SIGTTIN, SIGTTOU};
    struct sigaction alarm = {.sa_handler = on_alarm};
    struct itimerval often = {{0, ALARM_US}, {0, ALARM_US}};
    sigset_t none;
    for (unsigned i = 0; i < sizeof IGNORED / sizeof *IGNORED; i++) {
        signal(IGNORED[i], SIG_IGN);
    }
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++) {
        signal(number, SIG_IGN);
    }
    sigaction(SIGALRM, &alarm, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
}

static bool become_nobody(void)
{
    int nothing = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < DESCRIPTORS; fd++) { /* the agent's own, its line to the host among them */
        if (fd <= 2 && nothing >= 0) {
            dup2(nothing, fd);
        } else {
            close(fd);
        }
    }
    int killable = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (killable >= 0 && write(killable, "1000", 4) < 0) {
        return false;
    }
    close(killable);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_CPU, 20);
    limit(RLIMIT_AS, (rlim_t)256 << 20);
    limit(RLIMIT_FSIZE, 1 << 20);
    limit(RLIMIT_MEMLOCK, 1 << 20);
    limit(RLIMIT_MSGQUEUE, 1 << 16);
    limit(RLIMIT_SIGPENDING, 64);
    limit(RLIMIT_NOFILE, DESCRIPTORS);
    limit(RLIMIT_NPROC, 1);
    limit(RLIMIT_NICE, 0);
    limit(RLIMIT_RTPRIO, 0);
    setsid();
    /* the first takes the capabilities along */
    return setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0 &&
           prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0;
}

static void seed(struct fuzz *fuzz, const struct fuzz_episode *episode, uint64_t which)
{
    struct random_state mixed;
    random_seed(&mixed, episode->seed);
    random_seed(&mixed, random_next(&mixed) ^ episode->number);
    random_seed(&fuzz->random, random_next(&mixed) ^ which);
}

static void start_anew(struct fuzz *fuzz)
{
    for (int fd = 3; fd < DESCRIPTORS; fd++) {
        close(fd);
    }
    fuzz->pooled = 0;
    fuzz_make_objects(fuzz, OBJECTS);
}

static void note(struct fuzz_progress *progress, unsigned which, long result)
{
    uint64_t digest = progress->digest;
    uint64_t told[2] = {which, (uint64_t)result};
    for (unsigned i = 0; i < sizeof told; i++) {
        digest = (digest ^ ((const uint8_t *)told)[i]) * 0x100000001b3u;
    }
    progress->digest = digest;
    progress->accepted += result >= 0;
}

void fuzz_live(const struct fuzz_episode *episode, struct fuzz_progress *progress)
{
    static struct fuzz fuzz;
    uintptr_t given[FUZZ_ARGUMENTS];
    if (!fuzz_map() || !become_nobody()) {
        _exit(2);
    }
    seed(&fuzz, episode, (uint64_t)progress->lives << 32);
    take_signals();
    start_anew(&fuzz);
    while (progress->next < episode->calls) {
        uint32_t number = progress->next++;
        seed(&fuzz, episode, number);
        fuzz.work = FUZZ_WORK;
        unsigned which = fuzz_below(&fuzz, known_count);
        const struct fuzz_call *call = known[which].call;
        for (int i = 0; i < FUZZ_ARGUMENTS; i++) {
            given[i] = fuzz_value(&fuzz, &call->arguments[i]);
        }
        long result = syscall(known[which].number, given[0], given[1], given[2], given[3], given[4], given[5]);
        if (result == -1) {
            result = -errno;
        }
        note(progress, which, result);
        if (call->gives != 0 && result > 2) {
            fuzz_pool(&fuzz, (int)result, call->gives);
        } else if (result == -EMFILE) {
            start_anew(&fuzz);
        } else if (fuzz_one_in(&fuzz, 16)) {
            fuzz_make_objects(&fuzz, 1);
        }
    }
    int canary = open(episode->canary, O_RDWR);
    if (canary >= 0) {
        progress->escaped = 1;
    }
    progress->finished = 1;
    _exit(0);
}
