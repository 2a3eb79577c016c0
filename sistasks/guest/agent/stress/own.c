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

#define WORKERS 4
#define SECOND_NS 1000000000u

static const struct own all[] = {
    {"cpu", "arithmetic", own_arithmetic},  {"scheduler", "ring", own_ring},
    {"memory", "patterns", own_patterns},   {"memory", "blocks", own_blocks},
    {"vm", "pages", own_pages},             {"vm", "fork", own_fork},
    {"vm", "cache", own_cache},             {"filesystem", "files", own_files},
    {"timers", "sleeps", own_sleeps},       {"signals", "queue", own_queue},
};

static void work(const struct own *own, struct worker *worker, struct stress *stress)
{
    struct bench bench = {.stress = stress, .worker = worker, .flip = stress->flip};
    random_seed(&bench.random, stress->seed);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
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
    } else if (worker->signal != 0 && !killed) {
        stress_fail(stress, "%s died of signal %d (%s)", own->name, worker->signal, strsignal(worker->signal));
    } else if (worker->outcome == OWN_NO_ROOM || worker->signal != 0) {
        stress_remark(stress, "%s had too little memory", own->name);
        stress->ran++;
        return;
    }
    if (worker->rounds > 0 && worker->end > worker->begin) {
        stress_rate(stress, own->name, (double)worker->rounds * SECOND_NS / (double)took);
    } else if (worker->outcome == OWN_GOOD) {
        stress_remark(stress, "%s came to no whole round", own->name);
    }
}

void own_load(struct stress *stress)
{
    const struct own *chosen[WORKERS];
    unsigned count = 0;
    struct worker *workers =
        mmap(NULL, sizeof *workers * WORKERS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    struct job job = {.limit_ns = stress->load_ns + stress->patience_ns};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (strcmp(all[i].class, stress->class) == 0 && count < WORKERS) {
            chosen[count++] = &all[i];
        }
    }
    if (workers == MAP_FAILED) {
        stress_remark(stress, "too little memory for any stressor");
        stress->ran++;
        return;
    }
    if (job_start(&job, false) == 0) {
        lead(chosen, count, workers, stress);
    }
    job_follow(stress, &job);
    if (!job.in_time) {
        stress_fail(stress, "no progress: the load was still running %" PRIu64 " s after its time",
                    stress->patience_ns / SECOND_NS);
    }
    for (unsigned i = 0; i < count && !stress->hung; i++) {
        tell(stress, chosen[i], &workers[i]);
    }
    munmap(workers, sizeof *workers * WORKERS);
}
