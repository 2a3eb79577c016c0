/* PID 1: prepare, become a template or take the plan, run the tests in order, power off. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "hardening/hardening.h"
#include "profile.h"
#include "sis.h"
#include "watchdog.h"

#define BOUNDARY_NS 100000000u
/* what a program's own limit leaves the agent to tell of it */
#define PROGRAM_GRACE_MS 5000u

struct boot_stages boot_stages;

const struct test tests[] = {
    {"boot", test_boot},
    {"context_switch", test_context_switch},
    {"memory_allocation", test_memory_allocation},
    {"ai_inference", test_ai_inference},
    {"throughput", test_throughput},
    {"network", test_network},
    {"consensus", test_consensus},
    {"election", test_election},
    {"partition", test_partition},
    {"stress_cpu", test_stress_cpu},
    {"stress_scheduler", test_stress_scheduler},
    {"stress_memory", test_stress_memory},
    {"stress_vm", test_stress_vm},
    {"stress_filesystem", test_stress_filesystem},
    {"stress_network", test_stress_network},
    {"stress_timers", test_stress_timers},
    {"stress_signals", test_stress_signals},
    {"hardening", test_hardening},
    {"kaslr", test_kaslr},
    {"fuzzing", test_fuzzing},
    {"penetration", test_penetration},
    {NULL, NULL},
};

int64_t *samples_allocate(uint32_t count)
{
    void *memory = mmap(NULL, (size_t)count * sizeof(int64_t), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void samples_free(int64_t *samples, uint32_t count)
{
    munmap(samples, (size_t)count * sizeof(int64_t));
}

static void prepare(void)
{
    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    mkdir("/dev", 0755);
    mkdir("/tmp", 01777);
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755");
    /* before devtmpfs there was only the initramfs' own console */
    int console = open("/dev/console", O_RDWR);
    if (console >= 0) {
        dup2(console, 0);
        dup2(console, 1);
        dup2(console, 2);
        if (console > 2) {
            close(console);
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
}

static void read_line(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    text[0] = '\0';
    if (file != NULL) {
        if (fgets(text, (int)size, file) == NULL) {
            text[0] = '\0';
        }
        fclose(file);
    }
    text[strcspn(text, "\n")] = '\0';
}

static void say_hello(const char *channel_name)
{
    struct utsname name;
    char clocksource[64];
    uname(&name);
    read_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", clocksource, sizeof clocksource);
    channel_text(FRAME_HELLO,
                 "protocol=1\nrelease=%s\nversion=%s\nmachine=%s\ncpus=%ld\npages=%ld\npage_size=%ld\n"
                 "clocksource=%s\nchannel=%s\n",
                 name.release, name.version, name.machine, sysconf(_SC_NPROCESSORS_ONLN), sysconf(_SC_PHYS_PAGES),
                 sysconf(_SC_PAGESIZE), clocksource, channel_name);
}

/* A guest that hangs is stopped by its watchdog: by its own clock, so that it is the same hang on any host. */
static void watch(const char *name)
{
    static bool noted;
    uint64_t beat = plan_number("beat_ms"), own = program_limit_ms(name);
    if (own > 0 && own + PROGRAM_GRACE_MS > beat) {
        beat = own + PROGRAM_GRACE_MS;
    }
    if (plan_number("beat_ms") > 0 && (!watchdog_open() || !watchdog_arm_ms(beat)) && !noted) {
        noted = true;
        channel_text(FRAME_NOTE, "text=no watchdog: a test that hangs is not seen by the guest's clock\n");
    }
}

static void run_test(const struct plan *plan, const char *name, uint32_t number)
{
    char problem[256] = "";
    const char *status = STATUS_ERROR;
    const struct test *test = tests;
    while (test->name != NULL && strcmp(test->name, name) != 0) {
        test++;
    }
    channel_text(FRAME_BEGIN, "test=%s\n", name);
    PROFILE_MARK(PROFILE_TEST, 0);
    plan_mark(number);
    trace_clear();
    watch(name);
    if (plan->aligned) {
        sleep_to_boundary(BOUNDARY_NS);
    }
    trace_run(true);
    uint64_t start = now_ns();
    if (test->name == NULL && program_known(name)) {
        PROFILE_MARK(PROFILE_BEGIN, PROFILE_PROGRAM);
        status = test_program(plan, name, problem, sizeof problem);
        PROFILE_MARK(PROFILE_END, PROFILE_PROGRAM);
    } else if (test->name == NULL) {
        snprintf(problem, sizeof problem, "this agent has no test of that name");
    } else {
        status = test->run(plan, problem, sizeof problem);
    }
    uint64_t duration = now_ns() - start;
    trace_run(false);
    watchdog_kick();
    plan_mark(0);
    trace_send(name);
    channel_text(FRAME_END, "test=%s\nstatus=%s\nduration_ns=%" PRIu64 "\nmessage=%s\n", name, status, duration,
                 problem);
}

void power_off(void)
{
    channel_drain();
    sync();
    reboot(RB_POWER_OFF);
    /* a kernel that cannot power off leaves it to the host, which has seen DONE */
    for (;;) {
        pause();
    }
}

static void give_up(const char *problem)
{
    fprintf(stderr, "sistasks: %s\n", problem);
    channel_text(FRAME_DONE, "problem=%s\nsamples=0\n", problem);
    power_off();
}

int main(int count, char **arguments)
{
    if (getpid() != 1 && count > 1 && strcmp(arguments[1], HARDENING_ADDRESSES) == 0) {
        return hardening_addresses();
    }
    struct plan plan;
    char problem[256], channel_name[64];
    boot_stages.cycles_at_init = cycles();
    prepare();
    modules_load();
    if (!channel_open(channel_name, sizeof channel_name)) {
        fprintf(stderr, "sistasks: no results channel: neither virtio-serial nor a second serial line\n");
        power_off();
    }
    say_hello(channel_name);
    if (!plan_open()) {
        give_up("no plan: the ivshmem page is not there (the kernel needs PCI and sysfs)");
    }
    if (!plan_read(&plan, problem, sizeof problem)) {
        give_up(problem);
    }
    if (plan.freeze) {
        channel_drain();
        if (!freeze_machine(plan.aligned, problem, sizeof problem)) {
            give_up(problem);
        }
        /* from here on this is a clone, and the page is another one */
        if (!plan_read(&plan, problem, sizeof problem)) {
            give_up(problem);
        }
        if (plan.freeze) {
            give_up("the watchdog did not freeze the machine");
        }
    }
    random_mix_into_kernel(plan.seed);
    boot_stages.cycles_at_ready = cycles();
    channel_text(FRAME_READY, "node=%u\nseed=%" PRIu64 "\n", plan.node, plan.seed);
    if (plan.aligned) {
        channel_hold();
    } else {
        channel_drain();
    }
    if (plan_number("symbols") != 0) {
        symbols_send();
    }
    trace_prepare();
    char *rest = plan.tests;
    uint32_t number = 0;
    for (char *name; (name = strsep(&rest, ",")) != NULL;) {
        if (name[0] != '\0') {
            run_test(&plan, name, ++number);
        }
    }
    watchdog_disarm();
    PROFILE_MARK(PROFILE_DONE, 0);
    channel_text(FRAME_DONE, "problem=\nsamples=%" PRIu64 "\n", channel_sample_count());
    channel_release();
    while (plan.hold) {
        pause();
    }
    power_off();
}
