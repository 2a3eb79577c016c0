"""What a class of load comes to: skipped where there is nothing to run, an error where nothing came to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from native import compile_harness, run_harness

if TYPE_CHECKING:
    from pathlib import Path

# what ran, was lacking, came to no whole round, and failed are arguments
HARNESS = r"""
#define _GNU_SOURCE
#include "test_stress.c"
#include <stdlib.h>

bool exchange_load(struct stress *s, char *p, size_t n) { (void)s, (void)p, (void)n; return true; }
bool tool_load(struct stress *s, char *p, size_t n) { (void)s, (void)p, (void)n; return true; }
bool tool_there(void) { return true; }
bool own_begin(struct stress *s, struct own_run *r, bool b) { (void)s, (void)r, (void)b; return false; }
void own_end(struct stress *s, struct own_run *r) { (void)s, (void)r; }
uint64_t plan_number(const char *key) { (void)key; return 0; }
bool plan_value(const char *k, char *v, size_t n) { (void)k, (void)v, (void)n; return false; }
void channel_text(enum frame_type t, const char *f, ...) { (void)t, (void)f; }
bool stress_prepare(struct stress *s, const struct plan *p, char *w, size_t n)
{
    (void)s, (void)p, (void)w, (void)n;
    return true;
}
void stress_remark(struct stress *s, const char *f, ...) { (void)s, (void)f; }
void stress_rest(struct stress *s) { (void)s; }
void stress_recover(struct stress *s) { (void)s; }
void stress_send(struct stress *s) { (void)s; }
void stress_close(struct stress *s) { (void)s; }
bool folder_open(struct stress *s) { (void)s; return true; }
void folder_close(struct stress *s) { (void)s; }
void swap_close(void) { }

int main(int count, char **arguments)
{
    static struct stress stress;
    char problem[800];
    if (count == 5) {
        stress.ran = (unsigned)atoi(arguments[1]);
        stress.lacking = (unsigned)atoi(arguments[2]);
        stress.idle = (unsigned)atoi(arguments[3]);
        snprintf(stress.failure, sizeof stress.failure, "%s", arguments[4]);
    }
    printf("%s", judge(&stress, problem, sizeof problem));
    return 0;
}
"""


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_harness(tmp_path_factory.mktemp("outcome"), HARNESS)


@pytest.mark.parametrize(
    ("ran", "lacking", "idle", "failure", "status"),
    [
        (1, 1, 1, "", "pass"),
        (0, 2, 0, "", "skip"),
        (0, 0, 2, "", "error"),
        (0, 1, 1, "", "error"),  # one is lacking, and the one that is there did nothing
        (1, 0, 0, "corrupted", "fail"),
        (0, 1, 0, "no progress", "fail"),
    ],
)
def test_what_it_comes_to(
    harness: Path, ran: int, lacking: int, idle: int, failure: str, status: str
) -> None:
    assert run_harness(harness, str(ran), str(lacking), str(idle), failure).decode() == status
