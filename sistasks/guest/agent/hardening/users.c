/* Calls that an ordinary user should not be let through: each is tried as one. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hardening.h"

#define LOG_READ_ALL 3
#define ADDRESSES_LOOKED_AT 2000

/* from linux/bpf.h and linux/perf_event.h, which a compiler's C library need not bring */
#define PROG_LOAD 5
#define SOCKET_FILTER 1
#define TYPE_SOFTWARE 1
#define COUNT_TASK_CLOCK 1
#define ATTRIBUTES_SIZE 64 /* PERF_ATTR_SIZE_VER0 */

static int call(long result)
{
    return result < 0 ? errno : 0;
}

static int kernel_log(struct attempt *attempt)
{
    static char text[4096];
    (void)attempt;
    return call(klogctl(LOG_READ_ALL, text, sizeof text));
}

/* values[0]: how many lines have an address that is not 0 */
static int symbols(struct attempt *attempt)
{
    char line[512];
    FILE *file = fopen("/proc/kallsyms", "re");
    if (file == NULL) {
        return errno;
    }
    unsigned read = 0;
    while (read < ADDRESSES_LOOKED_AT && fgets(line, sizeof line, file) != NULL) {
        read++;
        attempt->values[0] += strspn(line, "0") < strcspn(line, " ");
    }
    fclose(file);
    snprintf(attempt->detail, sizeof attempt->detail, "%u of the first %u symbols have addresses",
             (unsigned)attempt->values[0], read);
    return attempt->values[0] > 0 ? 0 : EACCES;
}

static int bpf(struct attempt *attempt)
{
#ifdef SYS_bpf
    /* `r0 = 0; exit` as a socket filter (include/uapi/linux/bpf.h) */
    static const struct {
        uint8_t code, registers;
        int16_t offset;
        int32_t value;
    } program[] = {{0xb7, 0, 0, 0}, {0x95, 0, 0, 0}};
    static const char license[] = "GPL";
    struct {
        uint32_t type, count;
        uint64_t instructions, license;
        uint8_t rest[96];
    } what = {
        .type = SOCKET_FILTER,
        .count = sizeof program / sizeof *program,
        .instructions = (uintptr_t)program,
        .license = (uintptr_t)license,
    };
    (void)attempt;
    return call(syscall(SYS_bpf, PROG_LOAD, &what, sizeof what));
#else
    snprintf(attempt->detail, sizeof attempt->detail, "the agent does not know the number of bpf(2)");
    return NOT_TRIED;
#endif
}

static int page_faults(struct attempt *attempt)
{
#ifdef SYS_userfaultfd
    (void)attempt;
    return call(syscall(SYS_userfaultfd, O_CLOEXEC));
#else
    snprintf(attempt->detail, sizeof attempt->detail, "the agent does not know the number of userfaultfd(2)");
    return NOT_TRIED;
#endif
}

static int kernel_events(struct attempt *attempt)
{
    struct {
        uint32_t type, size;
        uint64_t config, rest[6];
    } what = {.type = TYPE_SOFTWARE, .size = ATTRIBUTES_SIZE, .config = COUNT_TASK_CLOCK};
    (void)attempt;
    /* of itself, and what the kernel does for it, too: exclude_kernel is not set */
    return call(syscall(SYS_perf_event_open, &what, 0, -1, -1, 0ul));
}

static int load_module(struct attempt *attempt)
{
    static const char nothing[64];
    (void)attempt;
    int error = call(syscall(SYS_init_module, nothing, sizeof nothing, ""));
    return error == ENOEXEC || error == EFAULT || error == EINVAL ? 0 : error; /* it was let so far as to look at it */
}

static int load_kernel(struct attempt *attempt)
{
#ifdef SYS_kexec_load
    (void)attempt;
    return call(syscall(SYS_kexec_load, 0ul, 0ul, NULL, 0ul));
#else
    snprintf(attempt->detail, sizeof attempt->detail, "the agent does not know the number of kexec_load(2)");
    return NOT_TRIED;
#endif
}

static int user_namespace(struct attempt *attempt)
{
    (void)attempt;
    return call(syscall(SYS_unshare, 0x10000000)); /* CLONE_NEWUSER */
}

static int ring(struct attempt *attempt)
{
#ifdef SYS_io_uring_setup
    static uint32_t parameters[64];
    (void)attempt;
    return call(syscall(SYS_io_uring_setup, 1u, parameters));
#else
    snprintf(attempt->detail, sizeof attempt->detail, "the agent does not know the number of io_uring_setup(2)");
    return NOT_TRIED;
#endif
}

static int segments(struct attempt *attempt)
{
#if defined(SYS_modify_ldt)
    uint32_t entry[4] = {0, 0, 0, 0x38}; /* an empty one (asm/ldt.h: read_exec_only, seg_not_present) */
    (void)attempt;
    return call(syscall(SYS_modify_ldt, 0x11, entry, sizeof entry));
#else
    snprintf(attempt->detail, sizeof attempt->detail, "only x86 has such tables");
    return NOT_TRIED;
#endif
}

static int old_calls(struct attempt *attempt)
{
#if defined(__x86_64__)
    long result;
    (void)attempt;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20l) : "memory", "r8", "r9", "r10", "r11"); /* getpid of i386 */
    return result == getpid() ? 0 : ENOSYS;
#else
    snprintf(attempt->detail, sizeof attempt->detail, "only x86_64 has them beside its own");
    return NOT_TRIED;
#endif
}

/* Another program of the same user, and no child of who asks. */
static int other_program(struct attempt *attempt)
{
    pid_t asker = -1, other = fork();
    if (other == 0) {
        for (;;) {
            pause();
        }
    }
    if (other < 0 || (asker = fork()) < 0) {
        snprintf(attempt->detail, sizeof attempt->detail, "no two programs could be started: %s", strerror(errno));
        if (other > 0) {
            kill(other, SIGKILL);
        }
        return NOT_TRIED;
    }
    if (asker == 0) {
        int error = call(ptrace(PTRACE_ATTACH, other, NULL, NULL));
        if (error == 0) {
            waitpid(other, NULL, 0);
        }
        _exit(error);
    }
    int status = 0;
    waitpid(asker, &status, 0);
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    return WEXITSTATUS(status);
}

void check_users(void)
{
    static const struct {
        const char *rule, *words;
        attempted *what;
    } calls[] = {
        {"runtime.kernel_log", "reading the kernel's log as a user", kernel_log},
        {"runtime.kernel_symbols", "reading the kernel's addresses as a user", symbols},
        {"runtime.unprivileged_bpf", "loading a BPF program as a user", bpf},
        {"runtime.unprivileged_userfaultfd", "handling the kernel's page faults as a user", page_faults},
        {"runtime.unprivileged_perf", "counting the kernel's events as a user", kernel_events},
        {"runtime.unprivileged_modules", "loading a module as a user", load_module},
        {"runtime.unprivileged_kexec", "loading another kernel as a user", load_kernel},
        {"runtime.unprivileged_namespaces", "making a user namespace as a user", user_namespace},
        {"runtime.unprivileged_io_uring", "making an io_uring as a user", ring},
        {"runtime.modify_ldt", "changing a table of segments as a user", segments},
        {"runtime.ia32", "calling the kernel as a 32-bit program", old_calls},
        {"runtime.ptrace", "taking over another program of the same user", other_program},
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        attempt_must_fail(calls[i].rule, calls[i].what, AS_NOBODY, calls[i].words);
    }
}
