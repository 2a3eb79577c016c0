/* Files behind which the kernel's memory lies: who gets in. */
#define _FILE_OFFSET_BITS 64
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hardening.h"

#define SECURITYFS "/sys/kernel/security"
/* where the kernel is entered (AMD64 APM 2, LSTAR): a register whose own value is written back to it */
#define ENTRY_REGISTER 0xc0000082u

static const char *door;
static uint64_t place; /* of the kernel's code in physical memory */

static int open_door(struct attempt *attempt)
{
    char bytes[64];
    int fd = open(door, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    /* reading a port could make a device do something: that it opens is enough */
    if (strcmp(door, "/dev/port") != 0 && read(fd, bytes, sizeof bytes) < 0 && (errno == EPERM || errno == EACCES)) {
        return errno;
    }
    snprintf(attempt->detail, sizeof attempt->detail, "%s is open", door);
    return 0;
}

static int write_memory(struct attempt *attempt)
{
    char byte;
    (void)attempt;
    int fd = open("/dev/mem", O_RDWR | O_CLOEXEC);
    if (fd < 0 || pread(fd, &byte, 1, (off_t)place) != 1 || pwrite(fd, &byte, 1, (off_t)place) != 1) {
        return errno != 0 ? errno : EIO;
    }
    return 0;
}

static int write_core(struct attempt *attempt)
{
    char byte;
    (void)attempt;
    int fd = open("/proc/kcore", O_RDWR | O_CLOEXEC);
    if (fd < 0 || pread(fd, &byte, 1, 0) != 1 || pwrite(fd, &byte, 1, 0) != 1) {
        return errno != 0 ? errno : EIO;
    }
    return 0;
}

static int write_register(struct attempt *attempt)
{
    uint64_t value;
    int fd = open("/dev/cpu/0/msr", O_RDWR | O_CLOEXEC);
    if (fd < 0 || pread(fd, &value, sizeof value, ENTRY_REGISTER) != sizeof value) {
        return errno != 0 ? errno : EIO;
    }
    if (pwrite(fd, &value, sizeof value, ENTRY_REGISTER) != sizeof value) {
        return errno != 0 ? errno : EIO;
    }
    snprintf(attempt->detail, sizeof attempt->detail, "its entry point was written");
    return 0;
}

/* What is no module: a kernel that wants signatures says that first (Linux, kernel/module/signing.c). */
static int unsigned_module(struct attempt *attempt)
{
    static const char nothing[64];
    int error = syscall(SYS_init_module, nothing, sizeof nothing, "") < 0 ? errno : 0;
    if (error != ENOEXEC && error != EINVAL) {
        return error;
    }
    snprintf(attempt->detail, sizeof attempt->detail, "the kernel looked into it without asking for one");
    return 0;
}

static void check_lockdown(void)
{
    char text[128];
    bool mounted = mount("securityfs", SECURITYFS, "securityfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0;
    if (!file_text(SECURITYFS "/lockdown", text, sizeof text)) {
        finding("runtime.lockdown", STATUS_SKIP, "the kernel has no lockdown");
    } else {
        finding("runtime.lockdown", strstr(text, "[none]") != NULL ? STATUS_FAIL : STATUS_PASS, "lockdown is %s", text);
    }
    if (mounted) {
        umount(SECURITYFS);
    }
}

static void check_users_doors(void)
{
    static const struct {
        const char *rule, *path;
    } doors[] = {
        {"runtime.door_mem", "/dev/mem"},      {"runtime.door_kmem", "/dev/kmem"},      {"runtime.door_port", "/dev/port"},
        {"runtime.door_kcore", "/proc/kcore"}, {"runtime.door_msr", "/dev/cpu/0/msr"},  {"runtime.door_kmsg", "/dev/kmsg"},
        {"runtime.door_vmcore", "/proc/vmcore"}, {"runtime.door_pagemap", "/proc/kpageflags"},
    };
    for (size_t i = 0; i < sizeof doors / sizeof *doors; i++) {
        char words[64];
        door = doors[i].path;
        snprintf(words, sizeof words, "opening %s as a user", door);
        attempt_must_fail(doors[i].rule, open_door, AS_NOBODY, words);
    }
}

void check_doors(void)
{
    uint64_t last;
    check_users_doors();
    if (physical_range("Kernel code", &place, &last) || physical_range("Kernel rodata", &place, &last)) {
        attempt_must_fail("runtime.root_writes_mem", write_memory, AS_ROOT,
                          "writing the kernel's code through /dev/mem as root");
    } else {
        finding("runtime.root_writes_mem", STATUS_SKIP, "/proc/iomem does not tell where the kernel's code is");
    }
    attempt_must_fail("runtime.root_writes_kcore", write_core, AS_ROOT, "writing through /proc/kcore as root");
    door = "/dev/kmem";
    attempt_must_fail("runtime.root_reads_kmem", open_door, AS_ROOT, "opening /dev/kmem as root");
    door = "/proc/kcore";
    attempt_must_fail("runtime.root_reads_kcore", open_door, AS_ROOT, "reading /proc/kcore as root");
    door = "/dev/port";
    attempt_must_fail("runtime.root_opens_port", open_door, AS_ROOT, "opening /dev/port as root");
#if defined(__x86_64__) || defined(__i386__)
    attempt_must_fail("runtime.root_writes_msr", write_register, AS_ROOT,
                      "writing a register through /dev/cpu/0/msr as root");
#else
    (void)write_register;
    finding("runtime.root_writes_msr", STATUS_SKIP, "only x86 has such registers");
#endif
    attempt_must_fail("runtime.unsigned_modules", unsigned_module, AS_ROOT,
                      "loading a module without a signature as root");
    check_lockdown();
}
