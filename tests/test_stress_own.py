"""What the agent's own stressors make of processes that die: killed for want of memory, or of what they found."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from native import compile_harness, run_harness

if TYPE_CHECKING:
    from pathlib import Path

# what the child of a fork dies of, and whether the kernel says that it has killed one
HARNESS = r"""
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static int deadly;

static pid_t fork_and_die(void)
{
    pid_t child = fork();
    if (child == 0 && deadly != 0) {
        signal(deadly, SIG_DFL);
        raise(deadly);
    }
    return child;
}
#define fork fork_and_die
#include "stress/own_memory.c"
#include "stress/own_time.c"
#include "stress/patterns.c"

static uint64_t oom;

bool memory_read(struct memory *memory) { memory->available = 0; return true; }
uint64_t vmstat(const char *key) { (void)key; return oom; }
uint64_t now_ns(void) { return 0; }
uint64_t random_next(struct random_state *state) { (void)state; return 1; }

int main(int count, char **arguments)
{
    static struct stress stress;
    static struct worker worker;
    struct bench bench = {.stress = &stress, .worker = &worker};
    (void)count;
    signal(SIGPIPE, SIG_IGN);
    deadly = atoi(arguments[2]);
    oom = (uint64_t)atoi(arguments[3]);
    enum outcome outcome = strcmp(arguments[1], "ring") == 0 ? own_ring(&bench) : own_fork(&bench);
    printf("%s", outcome == OWN_GOOD ? "good" : outcome == OWN_NO_ROOM ? "no room" : "wrong");
    return 0;
}
"""


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_harness(tmp_path_factory.mktemp("own"), HARNESS)


@pytest.mark.parametrize(
    ("stressor", "number", "killed", "outcome"),
    [
        ("fork", 0, 0, "good"),
        ("fork", signal.SIGKILL, 1, "no room"),
        ("fork", signal.SIGILL, 0, "wrong"),
        ("ring", 0, 0, "good"),
        ("ring", signal.SIGKILL, 1, "no room"),
        ("ring", signal.SIGILL, 0, "wrong"),
    ],
)
def test_only_what_the_kernel_killed_had_too_little_memory(
    harness: Path, stressor: str, number: int, killed: int, outcome: str
) -> None:
    assert run_harness(harness, stressor, str(int(number)), str(killed)).decode() == outcome
