/* stress_cpu, stress_scheduler, ...: a class of load each, told by the plan; at rest, under load, and back. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sis.h"
#include "stress/stress.h"

static bool load(struct stress *stress, char *problem, size_t size)
{
    static struct own_run own;
    if (strcmp(stress->class, "network") == 0) {
        return exchange_load(stress, problem, size);
    }
    bool tool = plan_number("stress_own") == 0 && tool_there(), whole = true;
    bool beside = own_begin(stress, &own, tool);
    if (tool) {
        whole = tool_load(stress, problem, size);
    }
    if (beside) {
        own_end(stress, &own);
    }
    return whole;
}

/* A process that nobody ends, which a test of ours plants to see that it is found. */
static void plant_a_leak(void)
{
    if (fork() == 0) {
        for (;;) {
            pause();
        }
    }
}

static const char *judge(struct stress *stress, char *problem, size_t size)
{
    const char *status = STATUS_PASS, *first = "";
    if (stress->failure[0] != '\0') {
        status = STATUS_FAIL;
        first = stress->failure;
    } else if (stress->ran == 0) { /* nothing to run, or too little time for what there is */
        bool nothing = stress->lacking > 0 && stress->idle == 0;
        status = nothing ? STATUS_SKIP : STATUS_ERROR;
        first = nothing ? "" : "no stressor came to an end of its first round: raise duration=";
    }
    snprintf(problem, size, "%s%s%s%s%s%s", first, first[0] && stress->remarks[0] ? "; " : "", stress->remarks,
             (first[0] || stress->remarks[0]) && stress->skipped[0] ? "; " : "", stress->skipped[0] ? "skipped: " : "",
             stress->skipped);
    return status;
}

static const char *run(const struct plan *plan, const char *test, char *problem, size_t size)
{
    static struct stress stress; /* one test at a time */
    static bool noted;
    char key[64];
    const char *status = STATUS_ERROR;
    memset(&stress, 0, sizeof stress);
    stress.test = test;
    stress.class = test + strlen("stress_");
    snprintf(key, sizeof key, "stress_%s_skip", stress.class);
    if (plan_value(key, problem, size)) {
        return STATUS_SKIP;
    }
    if (!noted && !tool_there()) {
        noted = true;
        channel_text(FRAME_NOTE, "text=the guest has no stress-ng: the load is the agent's own\n");
    }
    if (stress_prepare(&stress, plan, problem, size)) {
        if (!folder_open(&stress)) {
            stress_remark(&stress, "no tmpfs: files lie in the initramfs");
        }
        stress_rest(&stress);
        bool loaded = stress.hung || load(&stress, problem, size);
        folder_close(&stress);
        swap_close();
        if (stress.leak) {
            plant_a_leak();
        }
        if (loaded) {
            stress_recover(&stress);
            stress_send(&stress);
            status = judge(&stress, problem, size);
        }
    }
    stress_close(&stress);
    return status;
}

#define CLASS(name)                                                                      \
    const char *test_stress_##name(const struct plan *plan, char *problem, size_t size) \
    {                                                                                    \
        return run(plan, "stress_" #name, problem, size);                               \
    }

CLASS(cpu)
CLASS(scheduler)
CLASS(memory)
CLASS(vm)
CLASS(filesystem)
CLASS(network)
CLASS(timers)
CLASS(signals)
