/* One thing tried in a process of its own, as an ordinary user or as root, with the signals it may earn caught. */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hardening.h"

/* a host that is busy with others makes a guest on the wall clock ten times as slow */
#define PATIENCE_S 60
#define EXIT_DONE 0
#define EXIT_NOT_TRIED 3
#define EXIT_NO_USERS 4

static struct attempt *shared;

static void on_signal(int number)
{
    shared->signal = number;
    _exit(EXIT_DONE);
}

/* Caught, the signal is no business of the kernel's log, and its handler needs a stack that is whole. */
static void catch_signals(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS};
    static unsigned char room[65536];
    stack_t stack = {.ss_sp = room, .ss_size = sizeof room};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    struct rlimit none = {0, 0};
    sigaltstack(&stack, NULL);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        sigaction(numbers[i], &action, NULL);
    }
    setrlimit(RLIMIT_CORE, &none);
    alarm(PATIENCE_S);
}

static bool become_nobody(void)
{
    if (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0) {
        return false;
    }
    /* as a program of that user's would be, which it has started itself */
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    return true;
}

static void child(attempted *what, enum who who)
{
    catch_signals();
    if (who == AS_NOBODY && !become_nobody()) {
        _exit(EXIT_NO_USERS);
    }
    int refused = what(shared);
    shared->refused = refused == NOT_TRIED ? 0 : refused;
    _exit(refused == NOT_TRIED ? EXIT_NOT_TRIED : EXIT_DONE);
}

const struct attempt *attempt_run(attempted *what, enum who who, const char **why)
{
    static char reason[DETAIL_SIZE + 64];
    int status = 0;
    *why = reason;
    if (shared == NULL) {
        void *page = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED) {
            *why = "no memory to share with a child";
            return NULL;
        }
        shared = page;
    }
    memset(shared, 0, sizeof *shared);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        child(what, who);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        snprintf(reason, sizeof reason, "no child could be started: %s", strerror(errno));
        return NULL;
    }
    if (WIFSIGNALED(status)) {
        if (WTERMSIG(status) == SIGALRM) {
            snprintf(reason, sizeof reason, "it did not come to an end within %d s", PATIENCE_S);
            return NULL;
        }
        shared->signal = WTERMSIG(status);
    } else if (WEXITSTATUS(status) == EXIT_NO_USERS) {
        *why = "the kernel has no other users than root";
        return NULL;
    } else if (WEXITSTATUS(status) == EXIT_NOT_TRIED) {
        shared->detail[DETAIL_SIZE - 1] = '\0';
        snprintf(reason, sizeof reason, "%s", shared->detail);
        return NULL;
    }
    return shared;
}

const char *attempt_words(const struct attempt *attempt)
{
    static char words[DETAIL_SIZE + 80];
    if (attempt->signal != 0) {
        snprintf(words, sizeof words, "signal %d (%s)", attempt->signal, strsignal(attempt->signal));
    } else if (attempt->refused != 0) {
        snprintf(words, sizeof words, "refused: %s", strerror(attempt->refused));
    } else {
        snprintf(words, sizeof words, "done");
    }
    if (attempt->detail[0] != '\0') {
        size_t used = strlen(words);
        snprintf(words + used, sizeof words - used, ", %.*s", DETAIL_SIZE - 1, attempt->detail);
    }
    return words;
}

void attempt_must_fail(const char *rule, attempted *what, enum who who, const char *words)
{
    const char *why;
    const struct attempt *attempt = attempt_run(what, who, &why);
    if (attempt == NULL) {
        finding(rule, STATUS_SKIP, "%s: %s", words, why);
        return;
    }
    bool stopped = attempt->signal != 0 || attempt->refused != 0;
    finding(rule, stopped ? STATUS_PASS : STATUS_FAIL, "%s: %s", words, attempt_words(attempt));
}
