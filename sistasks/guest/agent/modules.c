/* Kernel modules that the host packed into the guest, in the order of /modules/list; those of /modules/network only
 * where there is a network, and of other lists when a test needs them: what a kernel has loaded changes what is measured
 * on it. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <errno.h>
#include <unistd.h>

#include "sis.h"

void modules_load_list(const char *list_path)
{
    char line[128];
    FILE *list = fopen(list_path, "re");
    if (list == NULL) {
        return;
    }
    while (fgets(line, sizeof line, list) != NULL) {
        char path[160];
        line[strcspn(line, "\n")] = '\0';
        snprintf(path, sizeof path, "/modules/%s", line);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)) {
            fprintf(stderr, "sistasks: module %s: %s\n", line, strerror(errno));
        }
        if (fd >= 0) {
            close(fd);
        }
    }
    fclose(list);
}

void modules_load(void)
{
    struct pci_device device;
    modules_load_list("/modules/list");
    if (pci_present(&device, 0x1af4, 0x1000) || pci_present(&device, 0x1af4, 0x1041)) {
        modules_load_list("/modules/network");
    }
}
