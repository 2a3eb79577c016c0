/* Kernel modules that the host packed into the guest, in the order of /modules/list. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <errno.h>
#include <unistd.h>

#include "sis.h"

void modules_load(void)
{
    char line[128];
    FILE *list = fopen("/modules/list", "re");
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
