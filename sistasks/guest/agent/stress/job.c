/* The load is a process of its own and whatever that starts; meanwhile the probe goes on, and dead children are taken. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stress.h"

#define JOBS 4

/* whose end may come while another one is followed */
static struct job *jobs[JOBS];

static void take_the_dead(void)
{
    int status;
    for (pid_t one; (one = waitpid(-1, &status, WNOHANG)) > 0;) {
        for (int i = 0; i < JOBS; i++) {
            if (jobs[i] != NULL && jobs[i]->pid == one) {
                jobs[i]->status = status;
                jobs[i]->ended = true;
                jobs[i] = NULL;
            }
        }
    }
}

static void remember(struct job *job)
{
    for (int i = 0; i < JOBS; i++) {
        if (jobs[i] == NULL || jobs[i] == job) {
            jobs[i] = job;
            break;
        }
    }
}

static void forget(const struct job *job)
{
    for (int i = 0; i < JOBS; i++) {
        if (jobs[i] == job) {
            jobs[i] = NULL;
        }
    }
}

pid_t job_start(struct job *job, bool with_output)
{
    int ends[2] = {-1, -1};
    job->output = -1;
    job->length = 0;
    job->ended = false;
    if (with_output && pipe2(ends, O_CLOEXEC) != 0) {
        return -1;
    }
    fflush(NULL);
    job->pid = fork();
    if (job->pid == 0) {
        cpu_set_t all;
        memset(&all, 0xff, sizeof all);
        sched_setaffinity(0, sizeof all, &all); /* the probe has pinned the agent */
        setsid();
        int nothing = open("/dev/null", O_RDONLY);
        if (nothing > 0) {
            dup2(nothing, 0);
            close(nothing);
        }
        if (with_output) {
            dup2(ends[1], 1);
            dup2(ends[1], 2);
        }
        return 0;
    }
    if (job->pid > 0) {
        remember(job);
    }
    if (with_output) {
        close(ends[1]);
        fcntl(ends[0], F_SETFL, O_NONBLOCK);
        job->output = ends[0];
    }
    return job->pid;
}

static void end_line(struct job *job)
{
    job->rest[job->length] = '\0';
    job->length = 0;
    job->line(job->context, job->rest);
}

static void drain(struct job *job)
{
    char bytes[4096];
    ssize_t count;
    while (job->output >= 0 && (count = read(job->output, bytes, sizeof bytes)) > 0) {
        for (ssize_t i = 0; i < count; i++) {
            if (bytes[i] == '\n') {
                end_line(job);
            } else if (job->length + 1 < sizeof job->rest) {
                unsigned char c = (unsigned char)bytes[i];
                job->rest[job->length++] = c < 0x20 || c > 0x7e ? ' ' : (char)c;
            }
        }
    }
}

void job_follow(struct stress *stress, struct job *job)
{
    uint64_t begin = now_ns();
    job->in_time = true;
    while (!job->ended && job->pid > 0) {
        if (!stress_tick(stress)) {
            break;
        }
        drain(job);
        take_the_dead();
        if (!job->ended && now_ns() - begin > job->limit_ns) {
            if (!job->in_time) {
                break; /* not even killing ends it: it is told of as a process left */
            }
            job->in_time = false;
            stress->by_force = true;
            job->limit_ns += stress->settle_ns;
            kill(-job->pid, SIGKILL);
            kill(job->pid, SIGKILL);
        }
    }
    forget(job);
    if (!job->ended && job->pid > 0) {
        job->status = SIGKILL; /* as if it had been killed */
        stress->by_force = true;
        kill(-job->pid, SIGKILL);
    }
    drain(job);
    if (job->length > 0) {
        end_line(job);
    }
    if (job->output >= 0) {
        close(job->output);
    }
}
