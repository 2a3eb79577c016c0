/* What the kernel says of itself before, under and after a load: memory, processes, what it killed. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stress.h"

#define KTHREADD 2
/* of the free memory, for the files of a load */
#define FOLDER_SHARE 3

static uint64_t kilobytes(const char *line, const char *key)
{
    size_t length = strlen(key);
    return strncmp(line, key, length) == 0 && line[length] == ':' ? strtoull(line + length + 1, NULL, 10) * 1024 : 0;
}

bool memory_read(struct memory *memory)
{
    char line[128];
    uint64_t free_bytes = 0, cached = 0, slab = 0;
    FILE *file = fopen("/proc/meminfo", "re");
    *memory = (struct memory){0};
    if (file == NULL) {
        return false;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        memory->total += kilobytes(line, "MemTotal");
        memory->available += kilobytes(line, "MemAvailable");
        free_bytes += kilobytes(line, "MemFree");
        cached += kilobytes(line, "Cached");
        slab += kilobytes(line, "SReclaimable");
    }
    fclose(file);
    if (memory->available == 0) { /* before Linux 3.14 */
        memory->available = free_bytes + cached + slab;
    }
    return memory->total != 0;
}

/* `pid (name) state ppid ...`, the name with whatever it has in it (proc(5)) */
static bool read_process(const char *pid, char *name, size_t size, char *state, int *parent)
{
    char path[300], text[512];
    snprintf(path, sizeof path, "/proc/%.255s/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false; /* it has gone meanwhile */
    }
    ssize_t count = read(fd, text, sizeof text - 1);
    close(fd);
    if (count <= 0) {
        return false;
    }
    text[count] = '\0';
    char *begin = strchr(text, '('), *end = strrchr(text, ')');
    if (begin == NULL || end == NULL || end < begin || sscanf(end + 1, " %c %d", state, parent) != 2) {
        return false;
    }
    snprintf(name, size, "%.*s", (int)(end - begin - 1), begin + 1);
    return true;
}

static unsigned each_process(pid_t spared, char *name, size_t size, bool end_them)
{
    unsigned count = 0;
    DIR *all = opendir("/proc");
    if (all == NULL) {
        return 0;
    }
    for (struct dirent *entry; (entry = readdir(all)) != NULL;) {
        char own[64], state;
        int parent, pid = atoi(entry->d_name);
        if (pid <= KTHREADD || pid == spared || !read_process(entry->d_name, own, sizeof own, &state, &parent) ||
            parent == KTHREADD) {
            continue;
        }
        if (end_them) {
            kill(pid, SIGKILL);
        }
        if (count++ == 0 && name != NULL) {
            snprintf(name, size, "%.40s, process %d in state %c", own, pid, state);
        }
    }
    closedir(all);
    return count;
}

unsigned processes_left(pid_t spared, char *name, size_t size)
{
    return each_process(spared, name, size, false);
}

void processes_kill(pid_t spared)
{
    each_process(spared, NULL, 0, true);
}

uint64_t vmstat(const char *key)
{
    char line[128];
    uint64_t value = 0;
    size_t length = strlen(key);
    FILE *file = fopen("/proc/vmstat", "re");
    if (file == NULL) {
        return 0;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, key, length) == 0 && line[length] == ' ') {
            value = strtoull(line + length, NULL, 10);
            break;
        }
    }
    fclose(file);
    return value;
}

void spare_from_killing(pid_t process)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)process);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (write(fd, "-1000", 5) < 0) {
            channel_text(FRAME_NOTE, "text=the probe may be killed for want of memory\n");
        }
        close(fd);
    }
}

bool folder_open(struct stress *stress)
{
    char options[64];
    struct memory memory = {0};
    memory_read(&memory);
    strcpy(stress->folder, "/tmp/stress");
    mkdir(stress->folder, 0700);
    snprintf(options, sizeof options, "size=%" PRIu64 "k,mode=0700", memory.available / FOLDER_SHARE / 1024);
    return mount("stress", stress->folder, "tmpfs", MS_NOSUID | MS_NODEV, options) == 0;
}

void folder_close(struct stress *stress)
{
    if (umount2(stress->folder, 0) == 0) {
        rmdir(stress->folder);
    } else {
        umount2(stress->folder, MNT_DETACH); /* whoever still has a file there is told of as a process left */
    }
}
