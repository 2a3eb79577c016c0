/* Files in which a kernel speaks of itself. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <unistd.h>

#include "hardening.h"

#define LOG_READ_ALL 3
#define LOG_ROOM (1 << 20)
#define KPTR_RESTRICT "/proc/sys/kernel/kptr_restrict"

bool file_text(const char *path, char *text, size_t size)
{
    ssize_t length = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        length = read(fd, text, size - 1);
        close(fd);
    }
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == ' ')) {
        length--;
    }
    text[length > 0 ? length : 0] = '\0';
    return length > 0;
}

bool file_number(const char *path, long long *number)
{
    char text[64], *end;
    if (!file_text(path, text, sizeof text)) {
        return false;
    }
    *number = strtoll(text, &end, 10);
    return end != text;
}

static const char *boot_log(void)
{
    static char *text;
    if (text == NULL && (text = malloc(LOG_ROOM)) != NULL) {
        int length = klogctl(LOG_READ_ALL, text, LOG_ROOM - 1);
        text[length > 0 ? length : 0] = '\0';
    }
    return text == NULL ? "" : text;
}

bool boot_log_line(const char *words, char *line, size_t size)
{
    const char *log = boot_log(), *found = strstr(log, words);
    if (found == NULL) {
        return false;
    }
    while (found > log && found[-1] != '\n') {
        found--;
    }
    size_t length = strcspn(found, "\n");
    const char *time = memchr(found, ']', length); /* `<6>[    0.000000] ` */
    if (time != NULL && time < strstr(found, words)) {
        length -= (size_t)(time + 2 - found);
        found = time + 2;
    }
    snprintf(line, size, "%.*s", (int)length, found);
    return true;
}

bool cpu_flag(const char *name)
{
    char line[8192];
    bool found = false;
    size_t length = strlen(name);
    FILE *file = fopen("/proc/cpuinfo", "re");
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "flags", 5) != 0) {
            continue;
        }
        for (char *at = line; !found && (at = strstr(at, name)) != NULL; at += length) {
            found = at[-1] == ' ' && (at[length] == ' ' || at[length] == '\n');
        }
        break;
    }
    if (file != NULL) {
        fclose(file);
    }
    return found;
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (write(fd, text, strlen(text)) < 0) {
            /* then root sees no addresses, and that is what is told */
        }
        close(fd);
    }
}

/* A file with addresses, as root may see them: with another setting they are zeros or hashes, for root, too. */
static FILE *addresses_open(const char *path, char *before, size_t size)
{
    if (file_text(KPTR_RESTRICT, before, size) && strcmp(before, "1") != 0) {
        put(KPTR_RESTRICT, "1");
    }
    return fopen(path, "re");
}

static void addresses_close(FILE *file, const char *before)
{
    if (file != NULL) {
        fclose(file);
    }
    if (before[0] != '\0' && strcmp(before, "1") != 0) {
        put(KPTR_RESTRICT, before);
    }
}

uint64_t symbol_address(const char *name)
{
    char line[512], before[32], want[80];
    uint64_t address = 0;
    size_t length = (size_t)snprintf(want, sizeof want, " %s\n", name);
    FILE *file = addresses_open("/proc/kallsyms", before, sizeof before);
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        size_t size = strlen(line);
        if (size > length && strcmp(line + size - length, want) == 0) {
            address = strtoull(line, NULL, 16);
            break;
        }
    }
    addresses_close(file, before);
    return address;
}

uint64_t lowest_area(void)
{
    char line[512], before[32];
    uint64_t lowest = 0;
    FILE *file = addresses_open("/proc/vmallocinfo", before, sizeof before);
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        uint64_t address = strtoull(line, NULL, 16);
        if (address != 0 && (lowest == 0 || address < lowest)) {
            lowest = address;
        }
    }
    addresses_close(file, before);
    return lowest;
}

bool physical_range(const char *name, uint64_t *first, uint64_t *last)
{
    char line[256];
    bool found = false;
    FILE *file = fopen("/proc/iomem", "re");
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        char *words = strstr(line, " : ");
        if (words == NULL) {
            continue;
        }
        words[3 + strcspn(words + 3, "\n")] = '\0';
        found = strcmp(words + 3, name) == 0 && sscanf(line, "%" SCNx64 "-%" SCNx64, first, last) == 2 && *last > 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    return found;
}
