"""Frames: what the agent's C sends is what Python reads; damage is an error, never a wrong frame."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from native import compile_harness, run_harness

from sistasks.guest.frames import (
    NOISE_MAX,
    PAYLOAD_MAX,
    FilePart,
    Frame,
    FrameError,
    FrameParser,
    FrameType,
    Samples,
    decode_part,
    decode_samples,
    encode,
    encode_part,
    encode_samples,
)

if TYPE_CHECKING:
    from pathlib import Path

INT64 = st.integers(-(2**63), 2**63 - 1)
FRAMES = st.lists(st.tuples(st.sampled_from(FrameType), st.binary(max_size=200)), min_size=1, max_size=6)
PER_FRAME = 2048


def stream(frames: list[tuple[FrameType, bytes]], first: int = 0) -> list[bytes]:
    return [encode(kind, first + number, payload) for number, (kind, payload) in enumerate(frames)]


def parse(data: bytes, first: int = 0) -> tuple[list[Frame], str]:
    """The frames that come before the end or the first damage, and the damage."""
    parser = FrameParser()
    parser.resume_at(first)
    frames = []
    try:
        for frame in parser.feed(data):
            frames.append(frame)  # noqa: PERF402 - those before a damage are kept
    except FrameError as error:
        return frames, str(error)
    return frames, ""


@settings(deadline=None)
@given(FRAMES, st.lists(st.integers(0, 2000)), st.integers(0, 2**31))
def test_round_trip_over_any_split(
    frames: list[tuple[FrameType, bytes]], cuts: list[int], first: int
) -> None:
    data = b"".join(stream(frames, first))
    ends = [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    parser = FrameParser()
    parser.resume_at(first)
    came = []
    for begin, end in zip([0, *ends], ends, strict=False):
        came += list(parser.feed(data[begin:end]))
    assert [(frame.type, frame.payload) for frame in came] == frames
    assert [frame.sequence for frame in came] == list(range(first, first + len(frames)))
    assert parser.pending == 0


def test_byte_by_byte() -> None:
    data = encode(FrameType.NOTE, 0, b"text=hello\n")
    parser = FrameParser()
    for number in range(len(data) - 1):
        assert list(parser.feed(data[number : number + 1])) == []
        assert parser.pending == number + 1
    assert [frame.payload for frame in parser.feed(data[-1:])] == [b"text=hello\n"]


def whole(frames: list[tuple[FrameType, bytes]], first: int) -> list[Frame]:
    return [Frame(kind, first + number, payload) for number, (kind, payload) in enumerate(frames)]


@settings(max_examples=300, deadline=None)
@given(FRAMES, st.sampled_from([0, 3]), st.data())
def test_a_changed_byte_never_makes_a_wrong_frame(
    frames: list[tuple[FrameType, bytes]], first: int, data: st.DataObject
) -> None:
    parts = stream(frames, first)
    bad = bytearray(b"".join(parts))
    at = data.draw(st.integers(0, len(bad) - 1))
    bad[at] ^= data.draw(st.integers(1, 255))
    ends = [sum(map(len, parts[: number + 1])) for number in range(len(parts))]
    before = sum(end <= at for end in ends)
    came, _ = parse(bytes(bad), first)
    assert came == whole(frames, first)[:before]


@settings(max_examples=300, deadline=None)
@given(FRAMES, st.sampled_from([0, 3]), st.data())
def test_lost_bytes_never_make_a_wrong_frame(
    frames: list[tuple[FrameType, bytes]], first: int, data: st.DataObject
) -> None:
    good = b"".join(stream(frames, first))
    begin = data.draw(st.integers(0, len(good) - 1))
    end = data.draw(st.integers(begin + 1, len(good)))
    came, _ = parse(good[:begin] + good[end:], first)
    assert came == whole(frames, first)[: len(came)]
    assert len(came) < len(frames)


@given(FRAMES.filter(lambda frames: len(frames) > 1), st.data())
def test_a_lost_frame_is_named(frames: list[tuple[FrameType, bytes]], data: st.DataObject) -> None:
    parts = stream(frames)
    lost = data.draw(st.integers(0, len(parts) - 2))
    came, problem = parse(b"".join(parts[:lost] + parts[lost + 1 :]))
    assert came == whole(frames, 0)[:lost]
    assert problem == f"frame {lost} is lost: {lost + 1} came"


def test_a_repeated_frame_is_an_error() -> None:
    part = encode(FrameType.NOTE, 0, b"")
    assert parse(part + part) == ([Frame(FrameType.NOTE, 0, b"")], "frame 1 is lost: 0 came")


@given(st.binary(max_size=300))
def test_any_bytes_to_a_clone_are_an_error_or_wait(noise: bytes) -> None:
    came, problem = parse(noise, first=1)
    assert came == []
    assert problem or b"SISF".startswith(noise[:4])


@given(st.binary(max_size=300).filter(lambda noise: b"S" not in noise), FRAMES)
def test_firmware_noise_before_the_first_frame_is_passed_over(
    noise: bytes, frames: list[tuple[FrameType, bytes]]
) -> None:
    parser = FrameParser()
    data = noise + b"".join(stream(frames))
    came = [frame for byte in data for frame in parser.feed(bytes([byte]))]
    assert came == whole(frames, 0)
    assert parse(data) == (came, "")


def test_noise_between_frames_is_not_passed_over() -> None:
    came, problem = parse(encode(FrameType.HELLO, 0, b"") + b"BdsDxe: starting")
    assert len(came) == 1
    assert "expected a frame, found b'BdsDxe: '" in problem


def test_noise_without_end_is_an_error() -> None:
    assert parse(b"x" * NOISE_MAX) == ([], "")
    assert "no frame among them" in parse(b"x" * (NOISE_MAX + 1))[1]


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("53495346 0000 0000 00000000 00000000", "a frame of type 0 with 0 bytes"),
        ("53495346 0d00 0000 00000000 00000000", "a frame of type 13 with 0 bytes"),
        ("53495346 0100 0100 00000000 00000000", "a frame of type 1 with 0 bytes"),
        ("53495346 0100 0000 00000000 01000100", f"a frame of type 1 with {PAYLOAD_MAX + 1} bytes"),
    ],
)
def test_an_impossible_header_is_refused_at_once(header: str, problem: str) -> None:
    assert parse(bytes.fromhex(header)) == ([], problem)


def test_the_largest_payload_comes_through() -> None:
    came, problem = parse(encode(FrameType.NOTE, 0, b"x" * PAYLOAD_MAX))
    assert not problem
    assert len(came[0].payload) == PAYLOAD_MAX


def test_fields() -> None:
    frame = Frame(FrameType.END, 0, b"test=boot\nmessage=a=b\n\nno field\nbad=\xff\n")
    assert frame.fields() == {"test": "boot", "message": "a=b", "bad": "\ufffd"}


@settings(deadline=None)
@example([-(2**63), 2**63 - 1, -(2**63), 0, -1, 1])
@given(st.lists(INT64, max_size=200))
def test_samples_round_trip(values: list[int]) -> None:
    samples = Samples("context_switch.latency", 4096, values)
    assert decode_samples(encode_samples(samples)) == samples


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=120)
    | st.builds(
        lambda name, first, count, rest: name + b"\0" + first + count.to_bytes(4, "little") + rest,
        st.binary(max_size=70),
        st.binary(min_size=4, max_size=4),
        st.integers(0, 12),
        st.binary(max_size=40),
    )
)
def test_any_payload_is_samples_or_a_frame_error(payload: bytes) -> None:
    try:
        samples = decode_samples(payload)
    except FrameError:
        return
    assert all(-(2**63) <= value < 2**63 for value in samples.values)
    assert decode_samples(encode_samples(samples)) == samples


def announced(count: int, numbers: bytes) -> bytes:
    return b"m\0" + bytes(4) + count.to_bytes(4, "little") + numbers


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (b"", "without a metric"),
        (b"\0" + bytes(8), "without a metric"),
        (b"x" * 65 + b"\0" + bytes(8), "without a metric"),
        (b"metric", "without a metric"),
        (b"m\0" + bytes(7), "without a metric"),
        (b"\xe4\0" + bytes(8), "other letters"),
        (announced(2, b"\x02"), "2 samples announced, 1 came"),
        (announced(1, b"\x02\x02"), "1 samples announced, 2 came"),
        (announced(1, b"\x80"), "1 samples announced, 0 came"),
        (announced(1, b"\x02\x80"), "1 samples announced, 1 came"),
        (announced(1, b"\x80" * 10 + b"\0"), "longer than 64 bits"),
        (announced(1, b"\x80" * 9 + b"\x02"), "longer than 64 bits"),
        (announced(1, b"\xff" * 9 + b"\x7f"), "longer than 64 bits"),
    ],
)
def test_damaged_samples_are_refused(payload: bytes, problem: str) -> None:
    with pytest.raises(FrameError, match=problem):
        decode_samples(payload)


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


@settings(deadline=None)
@given(
    st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=15),
    st.integers(0, 2**32 - 1),
    st.binary(),
)
def test_a_part_of_a_file_comes_back(name: str, offset: int, data: bytes) -> None:
    part = FilePart(name, offset, data)
    assert decode_part(encode_part(part)) == part


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_a_part_or_refused(payload: bytes) -> None:
    name, _, rest = payload.partition(b"\0")
    if 0 < len(name) < 64 and len(rest) >= 4:
        part = decode_part(payload)
        assert (part.offset, part.data) == (int.from_bytes(rest[:4], "little"), rest[4:])
    else:
        with pytest.raises(FrameError, match="without its name or its place"):
            decode_part(payload)


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
