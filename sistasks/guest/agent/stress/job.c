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

#define SECOND_NS 1000000000u

pid_t job_start(struct job *job, bool with_output)
{
    int ends[2] = {-1, -1};
    job->output = -1;
    job->length = 0;
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
    bool ended = false;
    job->in_time = true;
    while (!ended) {
        if (!stress_tick(stress)) {
            break;
        }
        drain(job);
        for (pid_t one; (one = waitpid(-1, &job->status, WNOHANG)) > 0;) {
            if (one == job->pid) {
                ended = true;
                break;
            }
        }
        if (!ended && now_ns() - begin > job->limit_ns) {
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
    if (!ended) {
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
