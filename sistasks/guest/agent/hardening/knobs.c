/* Switches of the kernel, as it has set them itself: no init system has been there before the agent. */
#include <stdio.h>
#include <string.h>

#include "hardening.h"

#define SYSCTL "/proc/sys/"

/* values that are asked for, both ends included */
static const struct {
    const char *rule, *path;
    long long least, most;
} numbers[] = {
    {"runtime.kptr_restrict", "kernel/kptr_restrict", 1, 2},
    {"runtime.dmesg_restrict", "kernel/dmesg_restrict", 1, 1},
    {"runtime.perf_event_paranoid", "kernel/perf_event_paranoid", 2, 4},
    {"runtime.unprivileged_bpf_disabled", "kernel/unprivileged_bpf_disabled", 1, 2},
    {"runtime.bpf_jit_harden", "net/core/bpf_jit_harden", 2, 2},
    {"runtime.userfaultfd_restricted", "vm/unprivileged_userfaultfd", 0, 0},
    {"runtime.io_uring_disabled", "kernel/io_uring_disabled", 1, 2},
    {"runtime.modules_disabled", "kernel/modules_disabled", 1, 1},
    {"runtime.kexec_load_disabled", "kernel/kexec_load_disabled", 1, 1},
    {"runtime.sysrq", "kernel/sysrq", 0, 0},
    {"runtime.ptrace_scope", "kernel/yama/ptrace_scope", 1, 3},
    {"runtime.randomize_va_space", "kernel/randomize_va_space", 2, 2},
    {"runtime.protected_symlinks", "fs/protected_symlinks", 1, 1},
    {"runtime.protected_hardlinks", "fs/protected_hardlinks", 1, 1},
    {"runtime.protected_fifos", "fs/protected_fifos", 1, 2},
    {"runtime.protected_regular", "fs/protected_regular", 1, 2},
    {"runtime.suid_dumpable", "fs/suid_dumpable", 0, 0},
    {"runtime.ldisc_autoload", "dev/tty/ldisc_autoload", 0, 0},
    {"runtime.legacy_tiocsti", "dev/tty/legacy_tiocsti", 0, 0},
};

static void check_core_pattern(void)
{
    char text[256];
    if (!file_text(SYSCTL "kernel/core_pattern", text, sizeof text)) {
        finding("runtime.core_pattern", STATUS_PASS,
                "no core dumps are written: kernel.core_pattern is empty or not there");
        return;
    }
    bool chosen = text[0] == '/' || text[0] == '|';
    finding("runtime.core_pattern", chosen ? STATUS_PASS : STATUS_FAIL, "kernel.core_pattern is %s%s", text,
            chosen ? "" : ": a program's memory is left where it was running");
}

static void check_shuffle(void)
{
    char text[16];
    if (!file_text("/sys/module/page_alloc/parameters/shuffle", text, sizeof text)) {
        finding("runtime.page_shuffle", STATUS_SKIP,
                "the kernel cannot shuffle its free pages (SHUFFLE_PAGE_ALLOCATOR)");
    } else {
        finding("runtime.page_shuffle", text[0] == 'Y' ? STATUS_PASS : STATUS_FAIL, "page_alloc.shuffle is %s", text);
    }
}

void check_knobs(void)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char path[128], name[96], asked[48];
        long long value;
        snprintf(path, sizeof path, SYSCTL "%s", numbers[i].path);
        snprintf(name, sizeof name, "%s", numbers[i].path);
        for (char *at = name; (at = strchr(at, '/')) != NULL;) {
            *at = '.';
        }
        if (numbers[i].least == numbers[i].most) {
            snprintf(asked, sizeof asked, "%lld", numbers[i].least);
        } else {
            snprintf(asked, sizeof asked, "%lld or more", numbers[i].least);
        }
        if (!file_number(path, &value)) {
            finding(numbers[i].rule, STATUS_SKIP, "this kernel has no %s", name);
        } else {
            bool good = value >= numbers[i].least && value <= numbers[i].most;
            finding(numbers[i].rule, good ? STATUS_PASS : STATUS_FAIL, "%s is %lld, asked for is %s", name, value,
                    asked);
        }
    }
    check_core_pattern();
    check_shuffle();
}
