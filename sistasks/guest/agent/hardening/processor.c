/* Protections that are the processor's, and whether the kernel has turned them on.
 *
 * Control registers cannot be read by a program. What can be known: what the processor has (CPUID), what the kernel
 * keeps of it (/proc/cpuinfo leaves out what it has turned off), what it said while it booted, and what instructions do.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "hardening.h"

#define VULNERABILITIES "/sys/devices/system/cpu/vulnerabilities"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

/* Intel SDM 2A, CPUID: leaf 7 EBX and ECX, leaf 0x80000001 EDX */
#define HAS_SMEP (1u << 7)
#define HAS_SMAP (1u << 20)
#define HAS_UMIP (1u << 2)
#define HAS_NX (1u << 20)

struct features {
    bool smep, smap, umip, nx;
};

static struct features features(void)
{
    unsigned a, b = 0, c = 0, d = 0;
    struct features found = {0};
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        found = (struct features){.smep = b & HAS_SMEP, .smap = b & HAS_SMAP, .umip = c & HAS_UMIP};
    }
    if (__get_cpuid(0x80000001, &a, &b, &c, &d)) {
        found.nx = d & HAS_NX;
    }
    return found;
}

static void told(const char *rule, const char *flag, bool has)
{
    if (!has) {
        finding(rule, STATUS_SKIP, "this processor has no %s", flag);
    } else if (cpu_flag(flag)) {
        finding(rule, STATUS_PASS, "the processor has %s, and the kernel uses it (/proc/cpuinfo)", flag);
    } else {
        finding(rule, STATUS_FAIL, "the processor has %s, and the kernel does not use it (/proc/cpuinfo)", flag);
    }
}

struct table {
    uint16_t limit;
    unsigned long base;
} __attribute__((packed));

/* Where the kernel's tables are: values[0] the base of the IDT, [1] that of the GDT. */
static int store_tables(struct attempt *attempt)
{
    struct table idt = {0}, gdt = {0};
    __asm__ volatile("sidt %0" : "=m"(idt));
    __asm__ volatile("sgdt %0" : "=m"(gdt));
    attempt->values[0] = idt.base;
    attempt->values[1] = gdt.base;
    return 0;
}

/* With UMIP they fault, and Linux gives programs the same made-up values on every machine (arch/x86/kernel/umip.c). */
#define DUMMY_GDT (unsigned long)0xfffffffffffe0000ull
#define DUMMY_IDT (unsigned long)0xffffffffffff0000ull

static void check_umip(bool has)
{
    const char *why;
    const struct attempt *attempt = attempt_run(store_tables, AS_NOBODY, &why);
    if (attempt == NULL) {
        finding("runtime.umip", STATUS_SKIP, "%s", why);
        return;
    }
    bool true_values = attempt->signal == 0 &&
                       (attempt->values[0] != (uint64_t)DUMMY_IDT || attempt->values[1] != (uint64_t)DUMMY_GDT);
    if (!true_values) {
        finding("runtime.umip", STATUS_PASS, "sidt and sgdt as a user: %s",
                attempt->signal != 0 ? attempt_words(attempt) : "values that the kernel makes up");
    } else if (!has) {
        finding("runtime.umip", STATUS_SKIP, "this processor has no umip: sidt and sgdt tell a user where tables are");
    } else {
        finding("runtime.umip", STATUS_FAIL, "sidt and sgdt tell a user where the kernel's tables are");
    }
}

static void check_isolation(void)
{
    char text[256];
    if (cpu_flag("pti")) {
        finding("runtime.page_table_isolation", STATUS_PASS,
                "the kernel has page tables of its own (pti in /proc/cpuinfo)");
    } else if (!file_text(VULNERABILITIES "/meltdown", text, sizeof text)) {
        finding("runtime.page_table_isolation", STATUS_SKIP, "the kernel does not say whether this processor needs it");
    } else if (strncmp(text, "Not affected", 12) == 0) {
        finding("runtime.page_table_isolation", STATUS_SKIP, "this processor does not need it (meltdown: %s)", text);
    } else {
        finding("runtime.page_table_isolation", STATUS_FAIL,
                "the kernel's pages are in the tables of programs (meltdown: %s)",
                text);
    }
}

static void check_architecture(void)
{
    struct features has = features();
    told("runtime.nx", "nx", has.nx);
    told("runtime.smep", "smep", has.smep);
    told("runtime.smap", "smap", has.smap);
    check_umip(has.umip);
    check_isolation();
}
#elif defined(__aarch64__)
/* Linux, arch/arm64/kernel/cpufeature.c: what it found or made, once, in its boot log */
static void check_architecture(void)
{
    static const struct {
        const char *rule, *words;
    } features[] = {
        {"runtime.pan", "Privileged Access Never"},
        {"runtime.page_table_isolation", "Kernel page table isolation (KPTI)"},
    };
    char line[256];
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        if (boot_log_line(features[i].words, line, sizeof line)) {
            bool off = strstr(line, "disabled") != NULL || strstr(line, "forced OFF") != NULL;
            finding(features[i].rule, off ? STATUS_FAIL : STATUS_PASS, "%s", line);
        } else {
            finding(features[i].rule, STATUS_SKIP,
                    "the boot log has no line on %s: the processor does not have or need it, or the kernel does not use it",
                    features[i].words);
        }
    }
}
#else
static void check_architecture(void)
{
}
#endif

static void check_boot_log(void)
{
    char line[256];
    if (boot_log_line("Kernel memory protection disabled", line, sizeof line) ||
        boot_log_line("Kernel memory protection not selected", line, sizeof line)) {
        finding("runtime.read_only_kernel", STATUS_FAIL, "%s", line);
    } else if (boot_log_line("Write protecting the kernel", line, sizeof line) ||
               boot_log_line("Freeing unused kernel", line, sizeof line)) {
        /* mark_readonly comes right behind, and says so only where it does not do it (Linux, init/main.c) */
        finding("runtime.read_only_kernel", STATUS_PASS, "%s, and no word that memory protection is off", line);
    } else {
        finding("runtime.read_only_kernel", STATUS_SKIP, "the boot log does not tell");
    }
    if (boot_log_line("Checked W+X mappings", line, sizeof line)) {
        finding("runtime.no_writable_code", strstr(line, "passed") != NULL ? STATUS_PASS : STATUS_FAIL, "%s", line);
    } else {
        finding("runtime.no_writable_code", STATUS_SKIP,
                "the kernel does not look for such pages when it boots (DEBUG_WX)");
    }
    if (!boot_log_line("mem auto-init:", line, sizeof line)) {
        static const char *const rules[] = {"runtime.init_stack", "runtime.init_on_alloc", "runtime.init_on_free"};
        for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
            finding(rules[i], STATUS_SKIP, "the boot log has no line on mem auto-init");
        }
        return;
    }
    finding("runtime.init_stack", strstr(line, "stack:off") == NULL ? STATUS_PASS : STATUS_FAIL, "%s", line);
    finding("runtime.init_on_alloc", strstr(line, "heap alloc:on") != NULL ? STATUS_PASS : STATUS_FAIL, "%s", line);
    finding("runtime.init_on_free", strstr(line, "heap free:on") != NULL ? STATUS_PASS : STATUS_FAIL, "%s", line);
}

static bool says(const char *text, const char *word)
{
    size_t length = strlen(word);
    for (; *text != '\0'; text++) {
        if (strncasecmp(text, word, length) == 0) {
            return true;
        }
    }
    return false;
}

/* Linux, Documentation/ABI/testing/sysfs-devices-system-cpu: "Not affected", "Vulnerable…", "Mitigation: …", "Unknown…" */
static void check_vulnerabilities(void)
{
    DIR *files = opendir(VULNERABILITIES);
    if (files == NULL) {
        finding("runtime.vulnerabilities", STATUS_SKIP, "no " VULNERABILITIES);
        return;
    }
    unsigned count = 0;
    for (struct dirent *file; (file = readdir(files)) != NULL;) {
        char path[320], rule[80], text[512];
        snprintf(path, sizeof path, VULNERABILITIES "/%s", file->d_name);
        if (file->d_name[0] == '.' || !file_text(path, text, sizeof text)) {
            continue;
        }
        snprintf(rule, sizeof rule, "vulnerability.%.60s", file->d_name);
        count++;
        /* a mitigation with a hole says so behind it: "Mitigation: …; BHI: Vulnerable" */
        const char *outcome = says(text, "vulnerable")                                ? STATUS_FAIL
                              : says(text, "Mitigation") || says(text, "Not affected") ? STATUS_PASS
                                                                                       : STATUS_SKIP;
        finding(rule, outcome, "%s", text);
    }
    closedir(files);
    finding("runtime.vulnerabilities", STATUS_PASS, "the kernel tells of %u vulnerabilities of processors", count);
}

/* what is no matter of this architecture: told, so that nobody takes it for forgotten */
static void check_others(void)
{
#if !defined(__x86_64__) && !defined(__i386__)
    static const char *const of_x86[] = {"runtime.nx", "runtime.smep", "runtime.smap", "runtime.umip"};
    for (size_t i = 0; i < sizeof of_x86 / sizeof *of_x86; i++) {
        finding(of_x86[i], STATUS_SKIP, "only x86 has it");
    }
#endif
#if !defined(__aarch64__)
    finding("runtime.pan", STATUS_SKIP, "only arm64 tells of it");
#endif
#if !defined(__x86_64__) && !defined(__i386__) && !defined(__aarch64__)
    finding("runtime.page_table_isolation", STATUS_SKIP, "kernels of this architecture do not tell of it");
#endif
}

void check_processor(void)
{
    check_architecture();
    check_others();
    check_boot_log();
    check_vulnerabilities();
}
