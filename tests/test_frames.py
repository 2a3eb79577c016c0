"""Frames as Python reads them: damage is an error, never a wrong frame."""

from __future__ import annotations

import pytest
from frame_parts import parse, stream, whole
from hypothesis import example, given, settings
from hypothesis import strategies as st

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

INT64 = st.integers(-(2**63), 2**63 - 1)
FRAMES = st.lists(st.tuples(st.sampled_from(FrameType), st.binary(max_size=200)), min_size=1, max_size=6)


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
