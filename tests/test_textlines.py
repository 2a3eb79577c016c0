"""Lines of a console: whatever comes and however it is cut into pieces, plain text, bounded."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from sistasks.textlines import LINE_LIMIT, Line, Lines, after_stamp, plain, shorten, stamp


def texts(*pieces: bytes) -> list[str]:
    lines = Lines()
    found = [line for piece in pieces for line in lines.feed(0, piece)]
    return [line.text for line in found + lines.end(0)]


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted(each % (len(data) + 1) for each in cuts)
    return [data[begin:end] for begin, end in zip([0, *ends], [*ends, len(data)], strict=True)]


def test_every_end_of_a_line_ends_one() -> None:
    assert texts(b"a\nb\r\nc\r\r\nd\re\r\rf") == ["a", "b", "c", "d", "e", "f"]
    assert texts(b"a\n\nb") == ["a", "", "b"]
    assert texts(b"a\r", b"\n\nb") == ["a", "", "b"]
    assert texts(b"") == []


def test_what_firmware_draws_on_a_screen_becomes_lines() -> None:
    data = b"\x1b[2J\x1b[01;01H\x1b[=3hBdsDxe: starting\x1b[05;01H\x1b[1;31mMETRIC a=1\x1b[0m\r\n"
    assert texts(data) == ["BdsDxe: starting", "METRIC a=1"]


def test_control_sequences_are_stripped() -> None:
    data = b"\x1b]0;title\x07\x1b]3008;start=1\x1b\\\x1bPq\x1b\\red\x1b(B \x1b[?25lx\x00y\x07\x08\tz\xc2\x9b31mw\x1bc"
    assert texts(data) == ["red xy\tzw"]


def test_bytes_that_are_no_utf8_are_marked() -> None:
    assert texts(b"\xff\xfe caf\xc3\xa9 \xe2\x82\n") == ["\ufffd\ufffd café \ufffd"]


def test_a_line_of_ten_megabytes_is_cut_with_a_mark() -> None:
    lines = Lines()
    for _ in range(160):
        assert lines.feed(1, b"x" * 65536) == []
    assert lines.partial == "x" * 256
    lines.feed(1, b" sis> ")
    assert lines.partial.endswith("sis>"), "a prompt after it is seen all the same"
    (line, after) = lines.feed(7, b"\nafter\n")
    assert line == Line(7, 0, "x" * LINE_LIMIT + " […cut: the line had 10485766 bytes]", cut=True)
    assert after == Line(7, 10485767, "after")


def test_the_unfinished_line_is_seen_without_what_is_still_to_come() -> None:
    lines = Lines()
    lines.feed(0, b"one\n\x1b[32msis> ")
    assert (lines.partial, lines.offset) == ("sis>", 4)
    lines.feed(0, b"\x1b[0")
    assert lines.partial == "sis>"
    lines.feed(0, b"mperf")
    assert lines.partial == "sis> perf"
    lines.feed(0, b"\x1b[2;1Hnext")
    assert (lines.partial, lines.offset) == ("next", 4 + 5 + 5 + 4 + 4 + 6)


def test_offsets_are_of_the_first_byte() -> None:
    data = b"ab\r\ncd\n\n\x1b[Hef\xc3\xa9\rg"
    lines = Lines()
    found = lines.feed(0, data) + lines.end(0)
    assert [(line.text, data[line.offset : line.offset + 1]) for line in found] == [
        ("ab", b"a"),
        ("cd", b"c"),
        ("", b"\n"),
        ("efé", b"e"),
        ("g", b"g"),
    ]


def test_times_are_of_the_bytes_that_end_a_line() -> None:
    lines = Lines()
    assert lines.feed(1, b"a") == []
    assert [line.at for line in lines.feed(2, b"b\nc\nd")] == [2, 2]
    assert [line.at for line in lines.end(3)] == [3]


PARTS = st.sampled_from(
    [
        b"\r",
        b"\n",
        b"\x1b[",
        b"\x1b[1;1H",
        b"31m",
        b"\x1b]0;",
        b"\x07",
        b"sis> ",
        b"\xc3",
        b"\xa9",
        b"x" * 3000,
    ]
)


@settings(max_examples=150, deadline=None)
@example([b"a\r", b"\n"], [2])
@given(st.lists(PARTS | st.binary(max_size=6), max_size=12), st.lists(st.integers(0, 20000), max_size=6))
def test_how_bytes_are_cut_makes_no_difference(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    one, other = Lines(), Lines()
    whole = one.feed(5, data)
    pieces = [line for piece in cut(data, cuts) for line in other.feed(5, piece)]
    assert pieces == whole
    assert (one.partial, one.offset) == (other.partial, other.offset)
    assert one.end(5) == other.end(5)
    for line in whole:
        assert len(line.text) <= LINE_LIMIT + 60
        assert all(letter == "\t" or ord(letter) >= 32 for letter in line.text)
        assert len(line.text.splitlines()) <= 1
        assert not any(0x7F <= ord(letter) <= 0x9F for letter in line.text)


@given(st.binary(max_size=200))
def test_plain_text_has_nothing_to_strip(data: bytes) -> None:
    once = plain(data)
    assert "\x1b" not in once
    assert plain(once.encode()) == once


def test_stamps_of_printk() -> None:
    for before in ("[    1.234567] ", "<6>[    1.234567][    T1] ", "[12345.6][  C0] ", "<30>"):
        assert stamp(before + " text") == before
        assert after_stamp(before + " text") == " text"
    for text in ("[drill] x", "[ 1 ] x", "text [    1.0] x", ""):
        assert (stamp(text), after_stamp(text)) == ("", text)


def test_shortened_text_says_so() -> None:
    assert (shorten("abc", 3), shorten("abcd", 3)) == ("abc", "ab…")
