"""The agent's time, natively: it waits as long as it is told to, on a kernel without the call for it too."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from native import compile_harness, run_harness

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="filters system calls by seccomp")

# says whether it came too early, and whether it left the processor to others meanwhile
HARNESS = r"""
#define _GNU_SOURCE
#include "clock.c"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static int take_away(unsigned call)
{
    struct sock_filter lines[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof lines / sizeof lines[0], .filter = lines};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

int main(int count, char **arguments)
{
    struct rusage before, after;
    const struct timespec nothing = {0};
    if (count == 2 && strcmp(arguments[1], "without") == 0 &&
        (take_away(SYS_clock_nanosleep) != 0 || clock_nanosleep(CLOCK_MONOTONIC, 0, &nothing, NULL) != ENOSYS)) {
        return 2;
    }
    getrusage(RUSAGE_SELF, &before);
    uint64_t until = now_ns() + 20500000;
    sleep_until(until);
    int early = now_ns() < until;
    sleep_until(until); /* in the past already */
    getrusage(RUSAGE_SELF, &after);
    printf("%s %s", early ? "early" : "in time", after.ru_nvcsw > before.ru_nvcsw ? "asleep" : "awake");
    return 0;
}
"""


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_harness(tmp_path_factory.mktemp("clock"), HARNESS)


@pytest.mark.parametrize("kernel", ["with", "without"])
def test_it_sleeps_until_then(harness: Path, kernel: str) -> None:
    assert run_harness(harness, kernel) == b"in time asleep"
