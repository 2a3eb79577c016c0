"""The inference's network computed apart from the agent: the digests that each guest checks itself against."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from native import compile_harness, run_harness

from sistasks.guest.build import AGENT

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

WEIGHT_SEED = 20240101
MASK = (1 << 64) - 1


class Draws:
    """xorshift64* (Vigna 2016) from a state that splitmix64 spreads."""

    def __init__(self, seed: int) -> None:
        z = (seed + 0x9E3779B97F4A7C15) & MASK
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
        self._x = (z ^ z >> 31) | 1

    def next(self) -> int:
        self._x ^= self._x >> 12
        self._x ^= self._x << 25 & MASK
        self._x ^= self._x >> 27
        return self._x * 0x2545F4914F6CDD1D & MASK

    def int8(self, rows: int, columns: int) -> Ints:
        top = np.array([self.next() >> 56 for _ in range(rows * columns)], dtype=np.uint8)
        return top.view(np.int8).reshape(rows, columns).astype(np.int64)


def hidden(sums: Ints) -> Ints:
    # C divides towards zero, and what is negative is clamped to 0 in any case
    return np.clip(np.trunc(sums / 256).astype(np.int64), 0, 127)


def outputs() -> Ints:
    """Shape (16, 10): the network's answer to each of its inputs."""
    draws = Draws(WEIGHT_SEED)
    first, second, third = draws.int8(64, 64), draws.int8(32, 64), draws.int8(10, 32)
    inputs = draws.int8(16, 64)
    answers: Ints = hidden(hidden(inputs @ first.T) @ second.T) @ third.T
    return answers


def fnv1a(data: bytes) -> int:
    digest = 2166136261
    for byte in data:
        digest = (digest ^ byte) * 16777619 % 2**32
    return digest


HARNESS = r"""
#include <stdlib.h>
#include <string.h>
#define inference_digests recorded_digests
#include "inference_digests.h"
#undef inference_digests
static uint32_t inference_digests[INFERENCE_INPUTS]; /* so that one of them can be made wrong */
#include "test_ai_inference.c"
#include "random.c"

static uint64_t time_now;
uint64_t now_ns(void) { return time_now += 5; }
int64_t *samples_allocate(uint32_t count) { return count <= 64 ? calloc(count, sizeof(int64_t)) : NULL; }
void samples_free(int64_t *samples, uint32_t count) { (void)count; free(samples); }
void channel_text(enum frame_type type, const char *format, ...) { (void)type, (void)format; }
void channel_samples(const char *metric, const int64_t *samples, uint32_t count)
{
    printf("samples %s %u", metric, count);
    for (uint32_t i = 0; i < count; i++) {
        printf(" %ld", (long)samples[i]);
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    char problem[128] = "";
    struct plan plan = {.seed = strtoull(argv[1], NULL, 10), .iterations = (uint32_t)atoi(argv[2])};
    memcpy(inference_digests, recorded_digests, sizeof inference_digests);
    inference_digests[5] ^= argc > 3;
    printf("%s", test_ai_inference(&plan, problem, sizeof problem));
    printf(" %s\n", problem);
    for (int which = 0; which < INFERENCE_INPUTS; which++) {
        int32_t out[OUT];
        infer(inputs[which], out);
        for (int row = 0; row < OUT; row++) {
            printf("%d ", out[row]);
        }
        printf("%u\n", digest(out));
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_harness(tmp_path_factory.mktemp("inference"), HARNESS)


def recorded() -> list[int]:
    text = (AGENT / "inference_digests.h").read_text()
    return [int(word, 16) for word in re.findall(r"0x[0-9a-f]{8}", text)]


def test_the_recorded_digests_are_those_of_the_network() -> None:
    assert [fnv1a(row.astype("<i4").tobytes()) for row in outputs()] == recorded()


def test_the_network_is_worth_checking() -> None:
    answers = outputs()
    assert len(set(recorded())) == 16
    assert np.abs(answers).max() < 2**31
    assert (answers != 0).mean() > 0.9


def test_the_agent_computes_the_same_outputs(agent: Path) -> None:
    lines = run_harness(agent, "1", "3").decode().splitlines()
    expected = [[*row.tolist(), digest] for row, digest in zip(outputs(), recorded(), strict=True)]
    assert [[int(word) for word in line.split()] for line in lines[-16:]] == expected


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_the_test_passes_and_sends_one_sample_an_iteration(agent: Path, seed: int) -> None:
    first, second, *_ = run_harness(agent, str(seed), "40").decode().splitlines()
    assert first == "samples ai_inference.latency 40" + " 5" * 40
    assert second == "pass "


def test_without_memory_the_test_is_an_error(agent: Path) -> None:
    assert run_harness(agent, "1", "65").decode().startswith("error too little memory for 65 samples\n")


def test_a_wrong_answer_fails_and_sends_nothing(agent: Path) -> None:
    lines = run_harness(agent, "1", "64", "wrong").decode().splitlines()
    assert re.fullmatch(r"fail [1-9][0-9]* of 80 outputs are wrong", lines[0])
