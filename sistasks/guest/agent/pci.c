/* PCI devices through sysfs. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sis.h"

#define ROOT "/sys/bus/pci/devices"

static unsigned long read_hex(const char *directory, const char *name)
{
    char path[320], text[32] = "";
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    return length > 0 ? strtoul(text, NULL, 16) : 0;
}

bool pci_present(struct pci_device *device, unsigned vendor, unsigned id)
{
    DIR *root = opendir(ROOT);
    if (root == NULL) {
        return false;
    }
    bool found = false;
    for (struct dirent *entry; !found && (entry = readdir(root)) != NULL;) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        snprintf(device->path, sizeof device->path, ROOT "/%.64s", entry->d_name);
        found = read_hex(device->path, "vendor") == vendor && read_hex(device->path, "device") == id;
    }
    closedir(root);
    return found;
}

bool pci_find(struct pci_device *device, unsigned vendor, unsigned id)
{
    bool found = pci_present(device, vendor, id);
    if (found) {
        char path[160];
        snprintf(path, sizeof path, "%s/enable", device->path);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd >= 0) {
            found = write(fd, "1", 1) == 1;
            close(fd);
        }
    }
    return found;
}

/* where a resource begins within its page: small ones need not be aligned to pages */
static size_t offset_in_page(const struct pci_device *device, int resource)
{
    char path[160], line[96];
    unsigned long long start = 0;
    snprintf(path, sizeof path, "%s/resource", device->path);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    for (int i = 0; i <= resource && fgets(line, sizeof line, file) != NULL; i++) {
        start = strtoull(line, NULL, 16);
    }
    fclose(file);
    return (size_t)(start % (unsigned long long)sysconf(_SC_PAGESIZE));
}

volatile void *pci_map(const struct pci_device *device, int resource, size_t size)
{
    char path[160];
    size_t offset = offset_in_page(device, resource);
    snprintf(path, sizeof path, "%s/resource%d", device->path, resource);
    int fd = open(path, O_RDWR | O_SYNC | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    char *map = mmap(NULL, offset + size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return map == MAP_FAILED ? NULL : map + offset;
}
