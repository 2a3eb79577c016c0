"""Frames that the agent's C sends are those that Python reads, whatever it holds, releases and cuts."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from native import compile_harness, run_harness

from sistasks.guest.frames import (
    Frame,
    FrameType,
    Samples,
    decode_part,
    decode_samples,
    encode_samples,
)

if TYPE_CHECKING:
    from pathlib import Path

from frame_parts import parse, stream, whole

INT64 = st.integers(-(2**63), 2**63 - 1)
PER_FRAME = 2048


# commands come on standard input; every write of the channel goes to standard output
HARNESS = r"""
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
static bool poor;
static void *poor_realloc(void *old, size_t size) { return poor ? NULL : realloc(old, size); }
#define realloc poor_realloc
#include "channel.c"

bool pci_present(struct pci_device *device, unsigned vendor, unsigned id)
{
    (void)device, (void)vendor, (void)id;
    return false;
}

bool pci_find(struct pci_device *device, unsigned vendor, unsigned id)
{
    return pci_present(device, vendor, id);
}

uint64_t now_ns(void)
{
    return 0;
}

void sleep_until(uint64_t ns)
{
    (void)ns;
}

void power_off(void)
{
    exit(3);
}

int main(void)
{
    static char text[1 << 17];
    char word[64];
    channel = 1;
    while (scanf("%63s", word) == 1) {
        unsigned count = 0, type = 0;
        if (strcmp(word, "samples") == 0 && scanf("%63s %u", word, &count) == 2) {
            int64_t *samples = calloc(count + 1, sizeof *samples);
            for (unsigned i = 0; i < count; i++) {
                if (scanf("%" SCNd64, &samples[i]) != 1) {
                    return 2;
                }
            }
            channel_samples(word, samples, count);
            free(samples);
        } else if (strcmp(word, "text") == 0 && scanf("%u %u", &type, &count) == 2) {
            getchar();
            text[fread(text, 1, count, stdin)] = '\0';
            channel_text((enum frame_type)type, "%s", text);
        } else if (strcmp(word, "file") == 0 && scanf("%299s %u", text, &count) == 2) {
            if (!channel_file("a", text, count)) {
                return 4;
            }
        } else if (strcmp(word, "hold") == 0) {
            channel_hold();
        } else if (strcmp(word, "release") == 0) {
            channel_release();
        } else if (strcmp(word, "poor") == 0) {
            poor = true;
        } else if (strcmp(word, "count") == 0) {
            channel_text(FRAME_DONE, "samples=%" PRIu64, channel_sample_count());
        } else if (strcmp(word, "drain") == 0) {
            channel_drain();
        } else {
            return 3;
        }
    }
    free(held);
    return 0;
}
"""


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_harness(tmp_path_factory.mktemp("channel"), HARNESS)


def samples_command(metric: str, values: list[int]) -> bytes:
    return f"samples {metric} {len(values)} {' '.join(map(str, values))}\n".encode()


def text_command(kind: FrameType, text: bytes) -> bytes:
    return b"text %d %d\n" % (kind, len(text)) + text + b"\n"


def payloads(metric: str, values: list[int]) -> list[tuple[FrameType, bytes]]:
    return [
        (FrameType.SAMPLES, encode_samples(Samples(metric, first, values[first : first + PER_FRAME])))
        for first in range(0, len(values), PER_FRAME)
    ]


STEP = st.one_of(
    st.tuples(st.just("samples"), st.lists(INT64, max_size=30)),
    st.tuples(st.just("text"), st.binary(min_size=1, max_size=60).filter(lambda text: b"\0" not in text)),
    st.just(("hold", None)),
    st.just(("release", None)),
)


@settings(max_examples=80, deadline=None)
@example([("hold", None), ("samples", [-(2**63), 2**63 - 1, -(2**63), 0]), ("text", b"x"), ("release", None)])
@example([("release", None), ("hold", None), ("hold", None), ("text", b"never sent")])
@given(st.lists(STEP, max_size=12))
def test_the_agent_sends_what_python_reads(agent: Path, steps: list[tuple[str, list[int] | bytes]]) -> None:
    commands = b""
    sent: list[tuple[FrameType, bytes]] = []
    held: list[tuple[FrameType, bytes]] = []
    holding = False
    for word, value in steps:
        frames: list[tuple[FrameType, bytes]] = []
        if isinstance(value, bytes):
            commands += text_command(FrameType.NOTE, value)
            frames = [(FrameType.NOTE, value)]
        elif isinstance(value, list):
            commands += samples_command("a.metric", value)
            frames = payloads("a.metric", value)
        else:
            commands += word.encode() + b"\n"
            holding = word == "hold"
        held += frames
        if not holding:
            sent, held = sent + held, []
    data = run_harness(agent, stdin=commands)
    assert data == b"".join(stream(sent))
    assert parse(data) == (whole(sent, 0), "")


@pytest.mark.parametrize("count", [0, 1, PER_FRAME, PER_FRAME + 1, 3 * PER_FRAME + 5])
def test_many_samples_come_in_several_frames(agent: Path, count: int) -> None:
    draw = random.Random(count)  # noqa: S311 - the same numbers each time
    values = [
        draw.choice([draw.randrange(-(2**63), 2**63), 5000 + draw.randrange(100)]) for _ in range(count)
    ]
    data = run_harness(agent, stdin=samples_command("throughput.rate", values) + b"count\n")
    *frames, done = parse(data)[0]
    parts = [decode_samples(frame.payload) for frame in frames]
    assert [part.first for part in parts] == list(range(0, count, PER_FRAME))
    assert [value for part in parts for value in part.values] == values
    assert done.fields() == {"samples": str(count)}


def test_the_worst_samples_fit_a_frame(agent: Path) -> None:
    values = [2**62 * (-1) ** number for number in range(PER_FRAME)]
    frames, problem = parse(run_harness(agent, stdin=samples_command("m" * 60, values)))
    assert not problem
    assert decode_samples(frames[0].payload) == Samples("m" * 60, 0, values)


def test_too_long_a_text_is_cut_not_lost(agent: Path) -> None:
    frames, problem = parse(run_harness(agent, stdin=text_command(FrameType.NOTE, b"x" * 100_000)))
    assert not problem
    assert frames == [Frame(FrameType.NOTE, 0, b"x" * 32767)]


def test_without_memory_to_hold_frames_their_order_is_kept(agent: Path) -> None:
    values = list(range(0, 2**40, 2**29))
    commands = b"hold\n" + text_command(FrameType.BEGIN, b"test=a") + b"poor\n"
    commands += samples_command("m", values) + text_command(FrameType.END, b"test=a") + b"release\n"
    expected = [(FrameType.BEGIN, b"test=a"), *payloads("m", values), (FrameType.END, b"test=a")]
    assert parse(run_harness(agent, stdin=commands)) == (whole(expected, 0), "")


@pytest.mark.parametrize(
    ("size", "most"), [(0, 10), (10, 4), (30_000, 30_000), (30_001, 99_999), (90_000, 70_000)]
)
def test_a_file_comes_in_parts_and_no_longer_than_asked(
    agent: Path, tmp_path: Path, size: int, most: int
) -> None:
    content = random.Random(size).randbytes(size)  # noqa: S311 - the same bytes each time
    (tmp_path / "f").write_bytes(content)
    frames, problem = parse(run_harness(agent, stdin=f"file {tmp_path}/f {most}\n".encode()))
    assert not problem
    got = b""
    for frame in frames:
        part = decode_part(frame.payload)
        assert (frame.type, part.name, part.offset) == (FrameType.FILE, "a", len(got))
        got += part.data
    assert got == content[:most]


def test_what_is_much_is_followed_by_more_frames_than_a_queue_holds(agent: Path) -> None:
    little = text_command(FrameType.DONE, b"x") + b"drain\n"
    assert [frame.type for frame in parse(run_harness(agent, stdin=little))[0]] == [FrameType.DONE]
    much = samples_command("m", list(range(0, 2**55, 2**42))) + little + b"drain\n"
    frames, problem = parse(run_harness(agent, stdin=much))
    assert not problem
    assert [frame.type for frame in frames if frame.type is not FrameType.SAMPLES] == [
        FrameType.DONE, *[FrameType.FILL] * 160,
    ]  # fmt: skip
