/* throughput: a seeded mix of cheap system calls; operations per second in short batches (their best is the peak)
 * and over each tenth of the test without a pause (sustained).
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "profile.h"
#include "sis.h"

#define BATCH 32
#define SUSTAINED 10
#define BYTES 64

struct files {
    int zero, null, pipe_in, pipe_out;
};

static bool operation(const struct files *files, unsigned which)
{
    static char buffer[BYTES];
    struct stat status;
    switch (which) {
    case 0:
        return syscall(SYS_getppid) == 0;
    case 1:
        return read(files->zero, buffer, BYTES) == BYTES;
    case 2:
        return write(files->null, buffer, BYTES) == BYTES;
    case 3:
        return fstat(files->null, &status) == 0;
    case 4:
        return lseek(files->zero, 0, SEEK_SET) == 0;
    case 5:
        return write(files->pipe_in, buffer, BYTES) == BYTES && read(files->pipe_out, buffer, BYTES) == BYTES;
    case 6:
        return access("/", R_OK) == 0;
    default:
        return syscall(SYS_sched_yield) == 0;
    }
}

static int64_t per_second(uint64_t operations, uint64_t ns)
{
    return (int64_t)(operations * 1000000000u / (ns > 0 ? ns : 1));
}

const char *test_throughput(const struct plan *plan, char *problem, size_t size)
{
    struct random_state random;
    int64_t sustained[SUSTAINED];
    int ends[2];
    int64_t *rates = samples_allocate(plan->iterations);
    struct files files = {.zero = open("/dev/zero", O_RDONLY | O_CLOEXEC), .null = open("/dev/null", O_WRONLY | O_CLOEXEC)};
    if (rates == NULL || files.zero < 0 || files.null < 0 || pipe(ends) != 0) {
        snprintf(problem, size, "too little memory, or no /dev/zero, /dev/null or pipes");
        return STATUS_ERROR;
    }
    files.pipe_out = ends[0];
    files.pipe_in = ends[1];
    random_seed(&random, plan->seed);
    for (unsigned which = 0; which < 8; which++) {
        if (!operation(&files, which)) {
            snprintf(problem, size, "system call %u of the mix does not work", which);
            return STATUS_FAIL;
        }
    }
    uint32_t done = 0;
    bool whole = true;
    PROFILE_MARK(PROFILE_BEGIN, PROFILE_THROUGHPUT);
    for (int part = 0; part < SUSTAINED; part++) {
        uint32_t first = done;
        uint32_t until = (uint32_t)((uint64_t)plan->iterations * (unsigned)(part + 1) / SUSTAINED);
        uint64_t start = now_ns();
        for (; done < until; done++) {
            uint64_t mix = random_next(&random);
            uint64_t batch = now_ns();
            for (int i = 0; i < BATCH; i++) {
                whole = operation(&files, (unsigned)(mix >> (i % 61)) & 7) && whole;
            }
            rates[done] = per_second(BATCH, now_ns() - batch);
        }
        sustained[part] = per_second((uint64_t)(until - first) * BATCH, now_ns() - start);
    }
    PROFILE_MARK(PROFILE_END, PROFILE_THROUGHPUT);
    close(files.zero);
    close(files.null);
    close(files.pipe_in);
    close(files.pipe_out);
    if (whole) {
        channel_samples("throughput.rate", rates, plan->iterations);
        channel_samples("throughput.sustained", sustained, SUSTAINED);
    } else {
        snprintf(problem, size, "a system call of the mix failed");
    }
    samples_free(rates, plan->iterations);
    return whole ? STATUS_PASS : STATUS_FAIL;
}
