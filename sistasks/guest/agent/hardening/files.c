/* Files by which a user gets rights that are not his own. */
#define _GNU_SOURCE
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "hardening.h"

#define OPEN_FILES 16
#define TOLD 8 /* of many names the first */

static struct list {
    unsigned count;
    char names[600];
} found;

/* devices that are for everybody: they give nothing but bytes, or a terminal that is the user's own */
static const char *const harmless[] = {
    "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/kmsg",
};

/* their modes say less than they do: they ask who writes (Linux, kernel/pid_namespace.c) */
static const char *const guarded[] = {"/proc/sys/kernel/ns_last_pid"};

static bool among(const char *path, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(path, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void add(const char *path)
{
    size_t used = strlen(found.names);
    if (found.count++ < TOLD) {
        snprintf(found.names + used, sizeof found.names - used, "%s%.70s", used > 0 ? ", " : "", path);
    }
}

static int look_setuid(const char *path, const struct stat *state, int kind, struct FTW *place)
{
    (void)kind;
    (void)place;
    if (!S_ISREG(state->st_mode)) {
        return 0;
    }
    bool runs = (state->st_mode & S_ISUID) != 0 || ((state->st_mode & S_ISGID) != 0 && (state->st_mode & S_IXGRP) != 0);
    if (runs || lgetxattr(path, "security.capability", NULL, 0) > 0) {
        add(path);
    }
    return 0;
}

static int look_writable(const char *path, const struct stat *state, int kind, struct FTW *place)
{
    (void)kind;
    (void)place;
    if (S_ISREG(state->st_mode) && (state->st_mode & S_IWOTH) != 0 &&
        !among(path, guarded, sizeof guarded / sizeof *guarded)) {
        add(path);
    }
    return 0;
}

static int look_devices(const char *path, const struct stat *state, int kind, struct FTW *place)
{
    (void)kind;
    (void)place;
    if ((S_ISCHR(state->st_mode) || S_ISBLK(state->st_mode)) && (state->st_mode & (S_IROTH | S_IWOTH)) != 0 &&
        !among(path, harmless, sizeof harmless / sizeof *harmless)) {
        add(path);
    }
    return 0;
}

static void check(const char *rule, const char *words, const char *const *roots,
                  int (*look)(const char *, const struct stat *, int, struct FTW *))
{
    memset(&found, 0, sizeof found);
    for (; *roots != NULL; roots++) {
        if (nftw(*roots, look, OPEN_FILES, FTW_PHYS | FTW_MOUNT) != 0) {
            finding(rule, STATUS_SKIP, "%s cannot be walked through", *roots);
            return;
        }
    }
    finding(rule, found.count == 0 ? STATUS_PASS : STATUS_FAIL, "%u %s%s%s%s", found.count, words,
            found.count > 0 ? ": " : "", found.names, found.count > TOLD ? ", …" : "");
}

void check_files(void)
{
    check("runtime.setuid_files", "files that run with the rights of another",
          (const char *const[]){"/", NULL}, look_setuid);
    check("runtime.writable_settings", "files of /proc/sys and /sys that everybody may write",
          (const char *const[]){"/proc/sys", "/sys", NULL}, look_writable);
    check("runtime.open_devices", "devices that everybody may open, beside those that give nothing away",
          (const char *const[]){"/dev", NULL}, look_devices);
}
