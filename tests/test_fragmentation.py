"""Fragmentation as the agent reads it from /proc/buddyinfo: sample texts of real machines and of none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native import compile_harness, run_harness

HARNESS = r"""
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

static FILE *there(const char *path, const char *mode);
#define fopen there
#include "test_memory_allocation.c"
#undef fopen

static FILE *there(const char *path, const char *mode)
{
    (void)mode;
    return strcmp(path, "/proc/buddyinfo") == 0 && getchar() == 'y' ? stdin : NULL;
}
uint64_t now_ns(void) { return 0; }
int64_t *samples_allocate(uint32_t count) { (void)count; return NULL; }
void samples_free(int64_t *samples, uint32_t count) { (void)samples, (void)count; }
void channel_samples(const char *metric, const int64_t *samples, uint32_t count)
{
    (void)metric, (void)samples, (void)count;
}
void random_seed(struct random_state *state, uint64_t seed) { state->x = seed; }
uint64_t random_next(struct random_state *state) { return state->x; }

int main(void)
{
    printf("%" PRId64, fragmentation());
    return 0;
}
"""
PAGE = os.sysconf("SC_PAGE_SIZE")
HUGE = 2 << 20


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_harness(tmp_path_factory.mktemp("fragmentation"), HARNESS)


def read(agent: Path, text: str) -> int:
    return int(run_harness(agent, stdin=b"y" + text.encode()))


def expected(zones: list[list[int]]) -> int:
    blocks = [(count * (PAGE << order), PAGE << order) for zone in zones for order, count in enumerate(zone)]
    free = sum(size for size, _ in blocks)
    large = sum(size for size, block in blocks if block >= HUGE)
    return (free - large) * 1_000_000 // free if free else -1


def buddyinfo(zones: list[list[int]]) -> str:
    # Documentation/filesystems/proc.rst: "Node %d, zone %8s " and a column an order, "%6lu "
    names = ("DMA", "DMA32", "Normal", "HighMem", "Movable")
    return "".join(
        f"Node {number // 5}, zone {names[number % 5]:>8} " + "".join(f"{count:6d} " for count in zone) + "\n"
        for number, zone in enumerate(zones)
    )


def test_a_real_machine(agent: Path) -> None:
    text = (
        "Node 0, zone      DMA      0      0      0      0      0      0      0      0      1      1      2 \n"
        "Node 0, zone    DMA32      5      6      4      5      6      5      6      7      4      3    730 \n"
        "Node 0, zone   Normal   4381   2901   1650    711    310    120     51     20     11      9   3912 \n"
    )
    zones = [[int(word) for word in line.split()[4:]] for line in text.splitlines()]
    assert 0 < expected(zones) < 100_000
    assert read(agent, text) == expected(zones)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 10**6), min_size=11, max_size=11), max_size=8))
def test_any_machine(agent: Path, zones: list[list[int]]) -> None:
    assert read(agent, buddyinfo(zones)) == expected(zones)


@pytest.mark.skipif(PAGE != 4096, reason="the figures are those of 4 KiB pages")
def test_the_ends_of_the_scale(agent: Path) -> None:
    assert read(agent, buddyinfo([[0] * 9 + [3, 4]])) == 0
    assert read(agent, buddyinfo([[7] + [0] * 10])) == 1_000_000
    assert read(agent, buddyinfo([[512] + [0] * 8 + [1, 0]])) == 500_000


@pytest.mark.parametrize("text", ["", "\n", "no such table\n", "Node 0, zone\n", "Node 0, zone   DMA\n"])
def test_what_tells_nothing_is_no_figure(agent: Path, text: str) -> None:
    assert read(agent, text) == -1


def test_without_the_file_there_is_no_figure(agent: Path) -> None:
    assert run_harness(agent, stdin=b"n") == b"-1"


def test_this_machine(agent: Path) -> None:
    text = Path("/proc/buddyinfo").read_text(encoding="ascii")
    zones = [[int(word) for word in line.split()[4:]] for line in text.splitlines()]
    assert read(agent, text) == expected(zones)
