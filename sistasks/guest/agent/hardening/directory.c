/* What a user may prepare for others in a directory that everybody may write, as /tmp is. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hardening.h"

#define DIRECTORY "/tmp/everybody"
#define SECRET DIRECTORY "/secret"
#define LINK DIRECTORY "/link"
#define NAME DIRECTORY "/name"
#define PLANTED DIRECTORY "/planted"

static int done(int result)
{
    if (result < 0) {
        return errno;
    }
    close(result);
    return 0;
}

static int second_name(struct attempt *attempt)
{
    (void)attempt;
    return link(SECRET, NAME) == 0 ? 0 : errno;
}

static int plant_link(struct attempt *attempt)
{
    (void)attempt;
    return symlink(SECRET, LINK) == 0 ? 0 : errno;
}

static int follow_link(struct attempt *attempt)
{
    (void)attempt;
    return done(open(LINK, O_RDONLY | O_CLOEXEC));
}

static int plant_file(struct attempt *attempt)
{
    (void)attempt;
    return done(open(PLANTED, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
}

static int write_planted(struct attempt *attempt)
{
    (void)attempt;
    return done(open(PLANTED, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

/* a user prepares, and root walks into it */
static void check_trap(const char *rule, attempted *plant, attempted *walk, const char *words)
{
    const char *why;
    const struct attempt *planted = attempt_run(plant, AS_NOBODY, &why);
    if (planted != NULL && planted->refused == 0 && planted->signal == 0) {
        attempt_must_fail(rule, walk, AS_ROOT, words);
    } else {
        finding(rule, STATUS_SKIP, "a user cannot prepare it: %s", planted == NULL ? why : attempt_words(planted));
    }
}

void check_directory(void)
{
    static const char *const files[] = {LINK, NAME, PLANTED, SECRET};
    int secret = -1;
    if (mkdir(DIRECTORY, 0700) == 0 && chmod(DIRECTORY, 01777) == 0) {
        secret = open(SECRET, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    }
    if (secret < 0) {
        static const char *const rules[] = {"runtime.hard_link", "runtime.planted_link", "runtime.planted_file"};
        for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
            finding(rules[i], STATUS_SKIP, "no directory for everybody could be made: the guest has no room in /tmp");
        }
    } else {
        close(secret);
        attempt_must_fail("runtime.hard_link", second_name, AS_NOBODY, "giving root's file another name as a user");
        check_trap("runtime.planted_link", plant_link, follow_link,
                   "root following a user's link in a directory for all");
        check_trap("runtime.planted_file", plant_file, write_planted,
                   "root opening a user's file for its own in a directory for all");
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        unlink(files[i]);
    }
    rmdir(DIRECTORY);
}
