/* The load is stress-ng's: which of its stressors, and how, the plan says in `stress_<class>_<number>=NAME ARGUMENTS`.
 *
 * What it found wrong it says in lines (`stress-ng: fail:  [pid] NAME: ...`), and how much it did in a file of its own
 * (--yaml): both as its sources of 0.13 to 0.18 write them (core-log.c, stress-ng.c).
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stress.h"

#define TOOL "/stress/stress-ng"
#define STRESSORS 16
#define ARGUMENTS 128
#define LINE 400
#define SECOND_NS 1000000000u
#define RATE_MOST 1e15 /* no kernel does more, and infinity is no number */
/* its exit codes, from stress-ng.h and stress-ng(1) */
#define EXIT_USAGE 1
#define EXIT_STRESSOR_FAILED 2

struct stressor {
    char name[STRESS_NAME];
    char line[LINE]; /* the words of the plan, cut into arguments */
    char why[160];   /* the last that it said of not being able to */
    bool known, found;
    double rate;
};

struct tool {
    struct stress *stress;
    struct stressor stressors[STRESSORS];
    unsigned count, rooms; /* how often one of them failed for want of room */
    char last[160];
};

bool tool_there(void)
{
    return access(TOOL, X_OK) == 0;
}

static struct stressor *find(struct tool *tool, const char *name, size_t length)
{
    static const char prefix[] = "stress-ng-";
    if (strncmp(name, prefix, sizeof prefix - 1) == 0 && length > sizeof prefix - 1) {
        name += sizeof prefix - 1;
        length -= sizeof prefix - 1;
    }
    for (unsigned i = 0; i < tool->count; i++) {
        if (strlen(tool->stressors[i].name) == length && strncmp(tool->stressors[i].name, name, length) == 0) {
            return &tool->stressors[i];
        }
    }
    return NULL;
}

static void read_plan(struct tool *tool)
{
    for (unsigned i = 0; i < STRESSORS; i++) {
        struct stressor *one = &tool->stressors[tool->count];
        char key[64];
        snprintf(key, sizeof key, "stress_%s_%u", tool->stress->class, i);
        if (!plan_value(key, one->line, sizeof one->line)) {
            break;
        }
        size_t length = strcspn(one->line, " ");
        memcpy(one->name, one->line, length < sizeof one->name ? length : sizeof one->name - 1);
        tool->count++;
    }
}

/* `stress-ng --stressors` writes the names of all that it was built with, on one line */
static char names[sizeof ((struct job *)NULL)->rest];

static void keep_names(void *context, const char *text)
{
    (void)context;
    size_t length = strlen(names);
    snprintf(names + length, sizeof names - length, "%s ", text);
}

static void find_known(struct tool *tool)
{
    const char *text = names;
    while (*text != '\0') {
        size_t length = strcspn(text, " ");
        struct stressor *one = length > 0 ? find(tool, text, length) : NULL;
        if (one != NULL) {
            one->known = true;
        }
        text += length + (text[length] != '\0');
    }
}

static void become(char *const *arguments)
{
    char *environment[] = {"PATH=/stress", "HOME=/tmp", "LD_LIBRARY_PATH=/stress", NULL};
    signal(SIGCHLD, SIG_DFL);
    if (chdir("/tmp") == 0) {
        execve(TOOL, arguments, environment);
    }
    dprintf(1, "it cannot be started: %m\n");
    _exit(127);
}

/* what it wants of memory is said in hundredths of what is available now */
static char *argument_of(char *word, uint64_t available)
{
    static char sizes[STRESSORS][24];
    static unsigned next;
    size_t length = strlen(word);
    if (length < 2 || word[length - 1] != '%') {
        return word;
    }
    char *text = sizes[next++ % STRESSORS];
    uint64_t bytes = available / 100 * strtoul(word, NULL, 10);
    snprintf(text, sizeof sizes[0], "%" PRIu64, bytes / 65536 * 65536);
    return text;
}

static void start(struct tool *tool, const char *report)
{
    static char seconds[24];
    char *arguments[ARGUMENTS] = {TOOL,          "--verify", "--metrics",    "--timeout",         seconds,
                                  "--temp-path", NULL,       "--no-rand-seed", "--oomable", "--yaml", NULL};
    unsigned count = 11;
    struct memory memory = {0};
    memory_read(&memory);
    uint64_t whole = tool->stress->load_ns / SECOND_NS;
    snprintf(seconds, sizeof seconds, "%" PRIu64, whole > 0 ? whole : 1);
    arguments[6] = tool->stress->folder;
    arguments[10] = (char *)report;
    for (unsigned i = 0; i < tool->count; i++) {
        char *rest = tool->stressors[i].line;
        strsep(&rest, " "); /* its name */
        for (char *word; tool->stressors[i].known && (word = strsep(&rest, " ")) != NULL && count + 1 < ARGUMENTS;) {
            if (word[0] != '\0') {
                arguments[count++] = argument_of(word, memory.available);
            }
        }
    }
    arguments[count] = NULL;
    become(arguments);
}

static bool about_room(const char *text)
{
    return strstr(text, "errno=12 ") != NULL || strstr(text, "errno=28 ") != NULL ||
           strcasestr(text, "out of memory") != NULL || strcasestr(text, "OOM killer") != NULL;
}

/* `process 12 (stress-ng-NAME) ...` and `NAME: ...` */
static struct stressor *speaker(struct tool *tool, const char *text)
{
    const char *open = strchr(text, '(');
    if (strncmp(text, "process ", 8) == 0 && open != NULL) {
        return find(tool, open + 1, strcspn(open + 1, ")"));
    }
    return find(tool, text, strcspn(text, ": "));
}

static void said(void *context, const char *line)
{
    struct tool *tool = context;
    const char *text = strstr(line, "] ");
    const char *kind = strncmp(line, "stress-ng: ", 11) == 0 ? line + 11 : "";
    text = text != NULL && kind[0] != '\0' ? text + 2 : line;
    if (strncmp(kind, "metrc", 5) == 0) {
        return;
    }
    fprintf(stderr, "%s: %s\n", tool->stress->test, line);
    struct stressor *who = speaker(tool, text);
    bool failed = strncmp(kind, "fail", 4) == 0;
    tool->rooms += failed && about_room(text);
    if (failed && !about_room(text)) {
        stress_fail(tool->stress, "stress-ng: %.200s", text);
    } else if (strstr(text, "terminated on signal: ") != NULL && strstr(text, "signal: 9") == NULL &&
               strstr(text, "signal: 14") == NULL) {
        stress_fail(tool->stress, "stress-ng: %.200s", text);
    } else if (who != NULL && (who->why[0] == '\0' || strncmp(text, "process ", 8) != 0)) {
        const char *words = strncmp(text, "process ", 8) == 0 ? strchr(text, ')') : strchr(text, ' ');
        words = words != NULL ? words + 1 + strspn(words + 1, " ") : text;
        if (strncmp(words, "using ", 6) != 0) { /* how much memory it takes is no reason not to run */
            snprintf(who->why, sizeof who->why, "%.150s", words);
        }
    }
    if (line[0] != '\0') {
        snprintf(tool->last, sizeof tool->last, "%.150s", text);
    }
}

/* `    - stressor: NAME`, then `      bogo-ops-per-second-real-time: RATE` */
static void read_report(struct tool *tool, const char *path)
{
    char line[200], name[STRESS_NAME];
    struct stressor *one = NULL;
    double rate;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, " - stressor: %31s", name) == 1) {
            one = find(tool, name, strlen(name));
        } else if (one != NULL && sscanf(line, " bogo-ops-per-second-real-time: %lf", &rate) == 1 && rate < RATE_MOST) {
            one->found = true;
            one->rate = rate;
        }
    }
    fclose(file);
}

static void tell(struct tool *tool)
{
    bool killed = vmstat("oom_kill") > tool->stress->killed;
    for (unsigned i = 0; i < tool->count; i++) {
        struct stressor *one = &tool->stressors[i];
        if (!one->known) {
            stress_skip(tool->stress, one->name, "this stress-ng does not have it");
        } else if (one->rate > 0) {
            stress_rate(tool->stress, one->name, one->rate);
        } else if (killed || about_room(one->why)) {
            stress_remark(tool->stress, "%s had too little memory", one->name);
            tool->stress->ran++;
        } else if (one->why[0] != '\0') {
            stress_skip(tool->stress, one->name, one->why);
        } else {
            stress_idle(tool->stress, one->name);
        }
    }
}

static bool judge(struct tool *tool, const struct job *job, char *problem, size_t size)
{
    struct stress *stress = tool->stress;
    int code = WIFEXITED(job->status) ? WEXITSTATUS(job->status) : -1;
    if (stress->hung) {
        return true;
    }
    if (!job->in_time) {
        stress_fail(stress, "no progress: stress-ng was still running %" PRIu64 " s after its time",
                    stress->patience_ns / SECOND_NS);
    } else if (code < 0 && vmstat("oom_kill") == stress->killed) {
        stress_fail(stress, "stress-ng died of signal %d (%s)", WTERMSIG(job->status), strsignal(WTERMSIG(job->status)));
    } else if (code == 127 || code == EXIT_USAGE) {
        snprintf(problem, size, "stress-ng cannot do what was asked: %s", tool->last);
        return false;
    } else if (code == EXIT_STRESSOR_FAILED && tool->rooms == 0 && vmstat("oom_kill") == stress->killed) {
        stress_fail(stress, "stress-ng says that a stressor failed: %s", tool->last);
    }
    return true;
}

/* Asked once: it is the same for all classes. False: it does not tell, and nothing is known of what it has. */
static bool ask_names(struct stress *stress, char *problem, size_t size)
{
    struct job job = {.line = keep_names, .limit_ns = stress->patience_ns};
    if (names[0] != '\0') {
        return true;
    }
    if (job_start(&job, true) == 0) {
        become((char *[]){TOOL, "--stressors", NULL});
    }
    job_follow(stress, &job);
    stress->loaded_count = 0; /* that was not yet the load */
    if (!stress->hung && job.status == 0 && names[0] != '\0') {
        return true;
    }
    snprintf(problem, size, "stress-ng does not tell which stressors it has: %.200s", names[0] ? names : "not a word");
    names[0] = '\0';
    return stress->hung;
}

bool tool_load(struct stress *stress, char *problem, size_t size)
{
    static struct tool tool;
    char report[64];
    struct job job = {.line = said, .context = &tool, .limit_ns = stress->load_ns + stress->patience_ns, .in_time = true};
    bool any = false;
    memset(&tool, 0, sizeof tool);
    tool.stress = stress;
    snprintf(report, sizeof report, "/tmp/%s.yaml", stress->test);
    read_plan(&tool);
    if (!ask_names(stress, problem, size)) {
        return false;
    }
    find_known(&tool);
    for (unsigned i = 0; i < tool.count; i++) {
        any = any || tool.stressors[i].known;
    }
    if (any) {
        if (job_start(&job, true) == 0) {
            start(&tool, report);
        }
        job_follow(stress, &job);
        read_report(&tool, report);
        unlink(report);
    }
    if (!judge(&tool, &job, problem, size)) {
        return false;
    }
    tell(&tool);
    return true;
}
