/* What a program may do with addresses that are not its own, and with data that is no code. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hardening.h"

#define MIN_ADDRESS "/proc/sys/vm/mmap_min_addr"
/* vm.rst: the value that the kernel's documentation recommends, and what arm can have at most */
#if defined(__arm__) || defined(__aarch64__)
#define MIN_ADDRESS_LEAST 32768
#else
#define MIN_ADDRESS_LEAST 65536
#endif

/* one instruction: return */
#if defined(__x86_64__) || defined(__i386__)
static const unsigned char code[] = {0xc3};
#elif defined(__aarch64__)
static const uint32_t code[] = {0xd65f03c0};
#elif defined(__arm__)
static const uint32_t code[] = {0xe12fff1e};
#elif defined(__riscv)
static const uint32_t code[] = {0x00008067};
#else
static const unsigned char code[] = {0};
#define NO_CODE
#endif

static uint64_t kernel_address;
static unsigned char kernel_byte;
static uint64_t data_area[512] __attribute__((aligned(4096)));

static void run(void *place)
{
    void (*function)(void);
    memcpy(&function, &place, sizeof function);
    __builtin___clear_cache((char *)place, (char *)place + sizeof code);
    function();
}

static int put_and_run(void *place)
{
    memcpy(place, code, sizeof code);
    run(place);
    return 0;
}

static int kernel_read(struct attempt *attempt)
{
    attempt->values[0] = *(volatile unsigned char *)(uintptr_t)kernel_address;
    return 0;
}

/* What was there, where that could be read: a kernel that lets itself be written shall live to tell it. */
static int kernel_write(struct attempt *attempt)
{
    (void)attempt;
    *(volatile unsigned char *)(uintptr_t)kernel_address = kernel_byte;
    return 0;
}

static int kernel_jump(struct attempt *attempt)
{
    (void)attempt;
    void (*function)(void);
    uintptr_t address = (uintptr_t)kernel_address;
    memcpy(&function, &address, sizeof function);
    function();
    return 0;
}

static int run_stack(struct attempt *attempt)
{
    (void)attempt;
    uint64_t place[8];
    return put_and_run(place);
}

static int run_heap(struct attempt *attempt)
{
    (void)attempt;
    void *place = sbrk(4096); /* what malloc gives may lie elsewhere */
    return place == (void *)-1 ? errno : put_and_run(place);
}

static int run_data(struct attempt *attempt)
{
    (void)attempt;
    return put_and_run(data_area);
}

static int run_mapped(struct attempt *attempt)
{
    (void)attempt;
    void *place = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return place == MAP_FAILED ? errno : put_and_run(place);
}

/* the control of all these: where code may be, the instruction runs */
static int run_code(struct attempt *attempt)
{
    (void)attempt;
    void *place = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) {
        return errno;
    }
    memcpy(place, code, sizeof code);
    if (mprotect(place, 4096, PROT_READ | PROT_EXEC) != 0) {
        return errno;
    }
    run(place);
    return 0;
}

static int map_both(struct attempt *attempt)
{
    (void)attempt;
    void *place = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return place == MAP_FAILED || mprotect(place, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) != 0 ? errno : 0;
}

static int map_null(struct attempt *attempt)
{
    (void)attempt;
    void *place = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    return place == MAP_FAILED ? errno : 0;
}

static int legacy_page(struct attempt *attempt)
{
#if defined(__x86_64__)
    /* time(2) in the page that is at this address for every program (Linux, arch/x86/include/uapi/asm/vsyscall.h) */
    uintptr_t address = 0xffffffffff600400u;
    (void)attempt;
    long (*function)(long *);
    memcpy(&function, &address, sizeof function);
    function(NULL);
    return 0;
#else
    snprintf(attempt->detail, sizeof attempt->detail, "only x86_64 has had such a page");
    return NOT_TRIED;
#endif
}

static void check_kernel(void)
{
    static const struct {
        const char *rule, *words;
        attempted *what;
    } ways[] = {
        {"runtime.kernel_read", "reading the kernel's memory", kernel_read},
        {"runtime.kernel_write", "writing the kernel's memory", kernel_write},
        {"runtime.kernel_jump", "jumping into the kernel", kernel_jump},
    };
    const char *why = "the kernel does not tell root where it is (/proc/kallsyms)";
    if ((kernel_address = symbol_address("_stext")) == 0) {
        kernel_address = symbol_address("_text");
    }
    bool known = kernel_address != 0 && kernel_address <= UINTPTR_MAX;
    const struct attempt *read = known ? attempt_run(kernel_read, AS_NOBODY, &why) : NULL;
    kernel_byte = read == NULL ? 0 : (unsigned char)read->values[0];
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (!known) {
            finding(ways[i].rule, STATUS_SKIP, "%s", why);
        } else {
            attempt_must_fail(ways[i].rule, ways[i].what, AS_NOBODY, ways[i].words);
        }
    }
}

static void check_data(void)
{
    static const struct {
        const char *rule, *words;
        attempted *what;
    } places[] = {
        {"runtime.execute_stack", "running code on the stack", run_stack},
        {"runtime.execute_heap", "running code on the heap", run_heap},
        {"runtime.execute_data", "running code in static data", run_data},
        {"runtime.execute_mapping", "running code in a mapping without PROT_EXEC", run_mapped},
    };
    const char *why = "how a subroutine returns on this processor is not known here";
    const struct attempt *control = NULL;
#ifndef NO_CODE
    control = attempt_run(run_code, AS_NOBODY, &why);
    if (control != NULL && (control->signal != 0 || control->refused != 0)) {
        why = attempt_words(control);
        control = NULL;
    }
#else
    (void)run_code;
#endif
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (control == NULL) {
            finding(places[i].rule, STATUS_SKIP, "code that may run does not, so that nothing can be told: %s", why);
        } else {
            attempt_must_fail(places[i].rule, places[i].what, AS_NOBODY, places[i].words);
        }
    }
}

static void check_min_address(void)
{
    long long least;
    if (!file_number(MIN_ADDRESS, &least)) {
        finding("runtime.mmap_min_addr", STATUS_SKIP, "no " MIN_ADDRESS);
        return;
    }
    finding("runtime.mmap_min_addr", least >= MIN_ADDRESS_LEAST ? STATUS_PASS : STATUS_FAIL,
            "vm.mmap_min_addr is %lld, at least %d is asked for", least, MIN_ADDRESS_LEAST);
}

void check_memory(void)
{
    check_kernel();
    check_data();
    attempt_must_fail("runtime.writable_code", map_both, AS_NOBODY, "making memory both writable and executable");
    attempt_must_fail("runtime.map_null", map_null, AS_NOBODY, "mapping page 0");
    check_min_address();
    attempt_must_fail("runtime.vsyscall", legacy_page, AS_NOBODY,
                      "calling the code at a fixed address of every program");
}
