/* Ends a guest, or hangs it, in the way that its first argument says (README.md); run by the agent as a program, as root.
 *
 * The agent kills what runs too long and sweeps away what a program leaves behind. So a hang of the whole guest takes
 * more than a program that does not end: `busy` leaves no processor to the agent, `idle` stops the agent itself.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

static int fail(const char *what)
{
    perror(what);
    return 1;
}

static int put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) {
        return fail(path);
    }
    close(fd);
    return 0;
}

static int panic(void)
{
    return put("/proc/sys/kernel/sysrq", "1") || put("/proc/sysrq-trigger", "c");
}

/* Where the agent is about to power the machine off it has this instruction; without it PID 1 dies there, and the
 * kernel with it: after the last word of the agent.
 */
static int panic_at_the_end(void)
{
#if defined(__x86_64__)
    static const uint8_t instruction[] = {0xbf, 0xdc, 0xfe, 0x21, 0x43}; /* mov $RB_POWER_OFF, %edi */
    static const uint8_t trap[] = {0x0f, 0x0b, 0x0f, 0x0b, 0x0f};
#elif defined(__aarch64__)
    static const uint8_t instruction[] = {0x20, 0x64, 0xa8, 0x72}; /* movk w0, #0x4321, lsl #16 */
    static const uint8_t trap[] = {0, 0, 0, 0};
#else
    static const uint8_t instruction[] = {0}, trap[] = {0};
    return fputs("not known for this architecture\n", stderr) < 0 || 1;
#endif
    unsigned long begin, end;
    char line[256], rights[5];
    FILE *maps = fopen("/proc/1/maps", "re");
    int memory = open("/proc/1/mem", O_RDWR | O_CLOEXEC), found = 0;
    if (maps == NULL || memory < 0) {
        return fail("/proc/1");
    }
    while (fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%lx-%lx %4s", &begin, &end, rights) != 3 || rights[2] != 'x' || end - begin > 16u << 20) {
            continue;
        }
        uint8_t *text = malloc(end - begin);
        ssize_t size = pread(memory, text, end - begin, (off_t)begin);
        for (uint8_t *at = text; size > 0 && (at = memmem(at, (size_t)(text + size - at), instruction,
                                                         sizeof instruction)) != NULL; at++) {
            found += pwrite(memory, trap, sizeof trap, (off_t)(begin + (size_t)(at - text))) == sizeof trap;
        }
        free(text);
    }
    return found > 0 ? 0 : fail("no such instruction in the agent");
}

/* every processor runs this and nothing else */
static int hang_busy(void)
{
    const struct sched_param first = {.sched_priority = 99};
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    if (put("/proc/sys/kernel/sched_rt_runtime_us", "-1") != 0) {
        return 1;
    }
    for (long cpu = 1; cpu < count; cpu++) {
        if (fork() == 0) {
            break;
        }
    }
    if (sched_setscheduler(0, SCHED_FIFO, &first) != 0) {
        return fail("sched_setscheduler");
    }
    for (;;) {
        __asm__ volatile("" ::: "memory");
    }
}

/* the agent is stopped as by a debugger, and nothing else is there to be done */
static int hang_idle(void)
{
    if (ptrace(PTRACE_ATTACH, 1, NULL, NULL) != 0) {
        return fail("ptrace");
    }
    for (;;) {
        pause();
    }
}

/* so many MiB on the console */
static int flood(const char *size)
{
    static char block[65536];
    int console = open("/dev/console", O_WRONLY | O_CLOEXEC);
    for (size_t i = 0; i < sizeof block; i++) {
        block[i] = i % 80 == 79 ? '\n' : (char)('a' + i % 26);
    }
    for (long left = atol(size) * 16; left > 0; left--) {
        if (write(console, block, sizeof block) < 0) {
            return fail("/dev/console");
        }
    }
    return 0;
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "", *more = count > 2 ? arguments[2] : "";
    printf("METRIC reached=1\n");
    fflush(stdout);
    if (strcmp(what, "panic") == 0) {
        return panic();
    }
    if (strcmp(what, "end") == 0) {
        return panic_at_the_end();
    }
    if (strcmp(what, "busy") == 0) {
        return hang_busy();
    }
    if (strcmp(what, "idle") == 0) {
        return hang_idle();
    }
    if (strcmp(what, "reboot") == 0) {
        return reboot(RB_AUTOBOOT);
    }
    if (strcmp(what, "poweroff") == 0) {
        return reboot(RB_POWER_OFF);
    }
    if (strcmp(what, "flood") == 0) {
        return flood(more);
    }
    if (strcmp(what, "say") == 0) {
        return put("/dev/kmsg", more);
    }
    if (strcmp(what, "silent") == 0) {
        pause();
    }
    return 0;
}
