/* The plan: one page that the host writes and the guest maps (ivshmem), so that nothing of it comes as input.
 *
 * `SISPLAN1 <length> <FNV-1a 64 of the rest>\n`, then `key=value` lines.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sis.h"

#define IVSHMEM_VENDOR 0x1af4
#define IVSHMEM_DEVICE 0x1110

static volatile char *page;

bool plan_open(void)
{
    struct pci_device device;
    if (page == NULL && pci_find(&device, IVSHMEM_VENDOR, IVSHMEM_DEVICE)) {
        page = pci_map(&device, 2, PLAN_PAGE);
    }
    return page != NULL;
}

static char values[PLAN_PAGE + 1]; /* of the plan that was read last */

bool plan_value(const char *key, char *value, size_t size)
{
    size_t length = strlen(key);
    for (const char *line = values; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
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

uint64_t plan_number(const char *key)
{
    char value[32];
    return plan_value(key, value, sizeof value) ? strtoull(value, NULL, 10) : 0;
}

void plan_mark(uint32_t test)
{
    *(volatile uint32_t *)(page + PLAN_PAGE - sizeof test) = test;
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

bool plan_parse(char *text, struct plan *plan, char *problem, size_t size)
{
    unsigned length;
    uint64_t hash;
    int head;
    text[PLAN_PAGE] = '\0';
    if (sscanf(text, "SISPLAN1 %u %" SCNx64 "%n", &length, &hash, &head) != 2 || text[head] != '\n' ||
        length > PLAN_PAGE - (unsigned)head - 1) {
        snprintf(problem, size, "the plan has no mark");
        return false;
    }
    char *body = text + head + 1;
    if (fnv1a(body, length) != hash) {
        snprintf(problem, size, "the plan is torn");
        return false;
    }
    memcpy(values, body, length);
    values[length] = '\0';
    memset(plan, 0, sizeof *plan);
    plan->node = (unsigned)plan_number("node");
    plan->seed = plan_number("seed");
    plan->freeze = plan_number("freeze") != 0;
    plan->aligned = plan_number("aligned") != 0;
    plan->hold = plan_number("hold") != 0;
    plan->iterations = (uint32_t)plan_number("iterations");
    if (!plan_value("tests", plan->tests, sizeof plan->tests)) {
        snprintf(problem, size, "the plan names no tests");
        return false;
    }
    return true;
}

bool plan_read(struct plan *plan, char *problem, size_t size)
{
    static char text[PLAN_PAGE + 1];
    for (size_t i = 0; i < PLAN_PAGE; i++) {
        text[i] = page[i];
    }
    return plan_parse(text, plan, problem, size);
}
