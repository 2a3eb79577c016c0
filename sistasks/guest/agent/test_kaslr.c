/* Where this boot has put the kernel. Whether that is another place each time, is seen over several boots by the host. */
#include <inttypes.h>
#include <stdio.h>

#include "hardening/hardening.h"

const char *test_kaslr(const struct plan *plan, char *problem, size_t size)
{
    uint64_t first = 0, last = 0, text = symbol_address("_stext");
    (void)plan;
    (void)problem;
    (void)size;
    if (text == 0) {
        text = symbol_address("_text");
    }
    physical_range("Kernel code", &first, &last);
    /* read by sistasks/suites/security/kaslr.py; 0: this kernel does not tell */
    finding("runtime.kaslr", STATUS_SKIP, "text=%" PRIx64 " physical=%" PRIx64 " areas=%" PRIx64, text, first,
            lowest_area());
    return STATUS_PASS;
}
