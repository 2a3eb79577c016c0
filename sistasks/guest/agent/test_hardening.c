/* How the kernel is protected: each rule is tried, or looked up where it cannot be tried, and told as a finding.
 *
 * A protection that is missing fails no test: a kernel is as its makers want it, and what became worse is for the host to
 * say. What cannot be known here, is skipped with the reason.
 */
#include <stdio.h>
#include <unistd.h>

#include "hardening/hardening.h"

const char *test_hardening(const struct plan *plan, char *problem, size_t size)
{
    (void)plan;
    if (getuid() != 0) {
        snprintf(problem, size, "the agent is not root");
        return STATUS_ERROR;
    }
    check_memory();
    check_processor();
    check_aslr();
    check_users();
    check_directory();
    check_doors();
    check_knobs();
    check_files();
    return STATUS_PASS;
}
