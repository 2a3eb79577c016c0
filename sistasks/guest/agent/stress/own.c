/* The agent's own stressors, for guests without stress-ng: each works with patterns that it checks.
 *
 * A worker is a process of its own; what it has done is in memory that it shares with the agent.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "own.h"

#define SECOND_NS 1000000000u

static const struct own all[] = {
    {"cpu", "arithmetic", own_arithmetic, false},  {"scheduler", "ring", own_ring, false},
    {"memory", "patterns", own_patterns, true},    {"memory", "blocks", own_blocks, false},
    {"memory", "swap", own_swap, true},            {"vm", "pages", own_pages, false},
    {"vm", "fork", own_fork, false},               {"vm", "cache", own_cache, false},
    {"filesystem", "files", own_files, false},     {"timers", "sleeps", own_sleeps, false},
    {"signals", "queue", own_queue, false},
};

static void work(const struct own *own, struct worker *worker, struct stress *stress)
{
    struct bench bench = {.stress = stress, .worker = worker, .flip = stress->flip};
    random_seed(&bench.random, stress->seed);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN); /* a step tells itself of a process that is gone */
    worker->begin = now_ns();
    while (worker->outcome == OWN_GOOD && now_ns() - worker->begin < stress->load_ns) {
        worker->outcome = own->step(&bench);
        worker->rounds += worker->outcome == OWN_GOOD;
    }
    worker->end = now_ns();
    _exit(0);
}

static void lead(const struct own *const *chosen, unsigned count, struct worker *workers, struct stress *stress)
{
    for (unsigned i = 0; i < count; i++) {
        workers[i].pid = fork();
        if (workers[i].pid == 0) {
            work(chosen[i], &workers[i], stress);
        }
    }
    int status;
    for (pid_t one; (one = waitpid(-1, &status, 0)) > 0;) {
        for (unsigned i = 0; i < count; i++) {
            if (workers[i].pid == one && WIFSIGNALED(status)) {
                workers[i].signal = WTERMSIG(status);
            }
        }
    }
    _exit(0);
}

static void tell(struct stress *stress, const struct own *own, const struct worker *worker)
{
    bool killed = vmstat("oom_kill") > stress->killed;
    uint64_t took = worker->end - worker->begin;
    if (worker->outcome == OWN_WRONG) {
        stress_fail(stress, "corrupted: %s: %s", own->name, worker->why);
    } else if (worker->outcome == OWN_LACKING) {
        stress_skip(stress, own->name, worker->why);
        return;
    } else if (worker->signal != 0 && !(killed && worker->signal == SIGKILL)) {
        stress_fail(stress, "%s died of signal %d (%s)", own->name, worker->signal, strsignal(worker->signal));
    } else if (worker->outcome == OWN_NO_ROOM || worker->signal != 0) {
        stress_remark(stress, "%s had too little memory", own->name);
        stress->ran++;
        return;
    }
    if (own->step == own_swap && vmstat("pswpout") == stress->swapped) {
        stress_remark(stress, "nothing was swapped");
    }
    if (worker->rounds > 0 && worker->end > worker->begin) {
        stress_rate(stress, own->name, (double)worker->rounds * SECOND_NS / (double)took);
    } else if (worker->outcome == OWN_GOOD) {
        stress_idle(stress, own->name);
    }
}

bool own_begin(struct stress *stress, struct own_run *run, bool beside)
{
    memset(run, 0, sizeof *run);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        bool wanted = strcmp(all[i].class, stress->class) == 0 && (all[i].beside || !beside);
        if (wanted && run->count < OWN_WORKERS) {
            run->chosen[run->count++] = &all[i];
        }
    }
    if (run->count == 0) {
        return false;
    }
    size_t size = sizeof *run->workers * OWN_WORKERS;
    run->workers = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (run->workers == MAP_FAILED) {
        stress_remark(stress, "too little memory for any stressor");
        stress->ran++;
        return false;
    }
    run->job.limit_ns = stress->load_ns + stress->patience_ns;
    if (job_start(&run->job, false) == 0) {
        lead(run->chosen, run->count, run->workers, stress);
    }
    return true;
}

void own_end(struct stress *stress, struct own_run *run)
{
    job_follow(stress, &run->job);
    if (!run->job.in_time) {
        stress_fail(stress, "no progress: the load was still running %" PRIu64 " s after its time",
                    stress->patience_ns / SECOND_NS);
    }
    for (unsigned i = 0; i < run->count && !stress->hung; i++) {
        tell(stress, run->chosen[i], &run->workers[i]);
    }
    munmap(run->workers, sizeof *run->workers * OWN_WORKERS);
}
