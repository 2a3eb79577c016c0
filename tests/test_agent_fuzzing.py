"""What the agent says of episodes in which no call was made: a kernel on which nothing was tried has passed nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from native import compile_harness, run_harness

if TYPE_CHECKING:
    from pathlib import Path

# the argument: calls that each process makes before it ends
HARNESS = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#define FOLDER "@FOLDER@/episode"
#define CANARY "@FOLDER@/canary"
/* this machine's log and its devices are none of the test's */
static int nothing(int result) { return result; }
#define open(path, ...) (strcmp(path, "/dev/kmsg") == 0 ? -1 : open(path, __VA_ARGS__))
#define mount(...) nothing(0)
#define umount2(...) nothing(0)
#define ioctl(...) nothing(-1)
#include "test_fuzzing.c"

static uint32_t calls_of_each;

void fuzz_find_doors(void) {}
unsigned fuzz_doors(void) { return 0; }
unsigned fuzz_know_calls(void) { return 1; }
void channel_release(void) {}
void channel_drain(void) {}
void channel_hold(void) {}
void sleep_to_boundary(uint64_t ns) { (void)ns; }
/* episodes take 1 s, 3 s and 2 s */
uint64_t now_ns(void)
{
    static const uint64_t TIMES[] = {0, 1000000000u, 1000000000u, 4000000000u, 4000000000u, 6000000000u};
    static unsigned next;
    return TIMES[next < 5 ? next++ : 5];
}
uint64_t plan_number(const char *key) { return strcmp(key, "fuzz_episodes") == 0 ? 3 : 0; }
int64_t *samples_allocate(uint32_t count) { return calloc(count, sizeof(int64_t)); }
void samples_free(int64_t *samples, uint32_t count) { (void)count, free(samples); }
void channel_samples(const char *metric, const int64_t *values, uint32_t count)
{
    printf("samples %s %u", metric, count);
    for (uint32_t i = 0; i < count; i++) {
        printf(" %lld", (long long)values[i]);
    }
    printf("\n");
}
void finding(const char *rule, const char *outcome, const char *format, ...)
{
    (void)format;
    printf("finding %s %s\n", rule, outcome);
}

void fuzz_live(const struct fuzz_episode *episode, struct fuzz_progress *progress)
{
    (void)episode;
    progress->next = calls_of_each;
    progress->finished = calls_of_each > 0;
    _exit(2);
}

int main(int count, char **arguments)
{
    struct plan plan = {.aligned = false};
    char problem[512] = "";
    calls_of_each = count > 1 ? (uint32_t)atoi(arguments[1]) : 0;
    const char *status = test_fuzzing(&plan, problem, sizeof problem);
    printf("%s: %s\n", status, problem);
    return 0;
}
"""


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzzing")
    return compile_harness(folder, HARNESS.replace("@FOLDER@", str(folder)))


def test_calls_that_were_never_made_found_nothing_out(harness: Path) -> None:
    said = run_harness(harness, "0").decode()
    assert said == "skip: no process made a call: this kernel lets none become an ordinary user\n"


def test_calls_that_were_made_count(harness: Path) -> None:
    """The rate is that of the median episode, the one of 2 s."""
    said = run_harness(harness, "1200").decode().splitlines()
    assert said[:2] == ["finding fuzz.privilege pass", "samples fuzzing.rate 1 599"]
    assert said[2].startswith("pass: 3 episodes, 0 cut short; of 3600 calls, ")
