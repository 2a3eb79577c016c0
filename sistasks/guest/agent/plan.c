/* The plan: one page that the host writes and the guest maps (ivshmem), so that nothing of it comes as input.
 *
 * `SISPLAN1 <length> <FNV-1a 64 of the rest>\n`, then `key=value` lines.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sis.h"

#define PAGE 4096
#define IVSHMEM_VENDOR 0x1af4
#define IVSHMEM_DEVICE 0x1110

static volatile const char *page;

bool plan_open(void)
{
    struct pci_device device;
    if (page == NULL && pci_find(&device, IVSHMEM_VENDOR, IVSHMEM_DEVICE)) {
        page = pci_map(&device, 2, PAGE);
    }
    return page != NULL;
}

static bool value_of(const char *text, const char *key, char *value, size_t size)
{
    size_t length = strlen(key);
    for (const char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, length) == 0 && line[length] == '=') {
            size_t end = strcspn(line + length + 1, "\n");
            if (end >= size) {
                return false;
            }
            memcpy(value, line + length + 1, end);
            value[end] = '\0';
            return true;
        }
    }
    return false;
}

static uint64_t number_of(const char *text, const char *key)
{
    char value[32];
    return value_of(text, key, value, sizeof value) ? strtoull(value, NULL, 10) : 0;
}

/* FNV-1a, 64 bit (Fowler, Noll, Vo): enough to tell a torn page from a whole one */
static uint64_t fnv1a(const char *text, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ (uint8_t)text[i]) * 0x100000001b3u;
    }
    return hash;
}

bool plan_read(struct plan *plan, char *problem, size_t size)
{
    char text[PAGE + 1];
    unsigned length;
    uint64_t hash;
    int head;
    for (size_t i = 0; i < PAGE; i++) {
        text[i] = page[i];
    }
    text[PAGE] = '\0';
    if (sscanf(text, "SISPLAN1 %u %" SCNx64 "%n", &length, &hash, &head) != 2 || text[head] != '\n' ||
        length > PAGE - (unsigned)head - 1) {
        snprintf(problem, size, "the plan has no mark");
        return false;
    }
    char *body = text + head + 1;
    if (fnv1a(body, length) != hash) {
        snprintf(problem, size, "the plan is torn");
        return false;
    }
    body[length] = '\0';
    memset(plan, 0, sizeof *plan);
    plan->node = (unsigned)number_of(body, "node");
    plan->seed = number_of(body, "seed");
    plan->freeze = number_of(body, "freeze") != 0;
    plan->aligned = number_of(body, "aligned") != 0;
    plan->hold = number_of(body, "hold") != 0;
    plan->iterations = (uint32_t)number_of(body, "iterations");
    if (!value_of(body, "tests", plan->tests, sizeof plan->tests)) {
        snprintf(problem, size, "the plan names no tests");
        return false;
    }
    return true;
}
