"""The console: its log is what came, and a panic is the kernel's own word at the start of a line."""

from __future__ import annotations

import asyncio
import errno
import io
import os
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sistasks.machine import logs
from sistasks.machine.console import Console
from sistasks.machine.logs import LOG_LIMIT


def watch(chunks: list[bytes], log: IO[bytes] | None = None) -> tuple[Console, list[str]]:
    """A console that was told the chunks and then closed, and the panics that it reported."""
    panics: list[str] = []

    async def feed() -> Console:
        console = Console(io.BytesIO() if log is None else log, panics.append)
        for chunk in chunks:
            console.data_received(chunk)
        console.connection_lost(None)
        await console.closed
        return console

    return asyncio.run(feed()), panics


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted(cut % (len(data) + 1) for cut in cuts)
    return [data[begin:end] for begin, end in zip([0, *ends], [*ends, len(data)], strict=True)]


BOOT = (
    b"\x1b[2J\x1b[01;01H\x1b[=3h\x1b[2J\x1b[01;01HBdsDxe: starting\r\n"
    b"[    0.000000] Linux version 6.1.0\r\n[    1.000000] Run /init as init process\r\n"
)
WORDS = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100"


@pytest.mark.parametrize(
    "start", [b"", b"[    1.234567] ", b"[12345.678901] ", b"[    1.234567][    T1] ", b"[    0.5][   C0] "]
)
@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 1000), max_size=8))
def test_a_panic_is_noticed_once_in_any_split(start: bytes, cuts: list[int]) -> None:
    data = BOOT + start + WORDS.encode() + b"\r\n" + start + b"Kernel panic - not syncing: again\r\n"
    console, panics = watch(pieces(data, cuts))
    assert panics == [WORDS]
    assert console.panic == WORDS


def test_a_panic_without_an_end_of_line_is_noticed_at_the_end() -> None:
    console, panics = watch([b"[    1.0] " + WORDS.encode()])
    assert (console.panic, panics) == (WORDS, [WORDS])


@pytest.mark.parametrize(
    "line",
    [
        "test: a log that says Kernel panic - not syncing: is silent",
        " Kernel panic - not syncing: indented",
        "[    1.0] test: Kernel panic - not syncing: quoted",
        "[    1.0] [drill] Kernel panic - not syncing: quoted",
        "[drill] Kernel panic - not syncing: quoted",
        "[    1.0]  Kernel panic - not syncing: two blanks",
        "[    1.0] Kernel panic",
        "[    1.0] kernel panic - not syncing: other case",
        "[    1.0] ---[ end Kernel panic - not syncing: a repetition ]---",
        "x" * 4096 + "Kernel panic - not syncing: far right",
        "x" * 10000 + "Kernel panic - not syncing: farther right",
        "x" * 100 + "Kernel panic - not syncing: ".ljust(4096, "y"),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 4096, 100_000])
def test_a_line_that_mentions_it_is_silent(line: str, step: int) -> None:
    data = line.encode() + b"\n"
    console, panics = watch([data[at : at + step] for at in range(0, len(data), step)])
    assert (console.panic, panics) == ("", [])


@settings(deadline=None)
@example([b"\xff\xfe", b"\xe2\x82", b"\xac\n"])
@given(st.lists(st.binary(max_size=60), max_size=20))
def test_the_log_is_what_came_and_the_tail_is_printable(chunks: list[bytes]) -> None:
    log = io.BytesIO()
    console, _ = watch(chunks, log)
    assert log.getvalue() == b"".join(chunks)
    for line in console.tail(20).splitlines():
        assert not any(ord(letter) < 32 and letter != "\t" for letter in line)
        assert not any(0x7F <= ord(letter) <= 0x9F for letter in line)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=6))
def test_the_split_makes_no_difference(data: bytes, cuts: list[int]) -> None:
    one, first = watch([data])
    other, second = watch(pieces(data, cuts))
    assert (one.tail(20), one.panic, first) == (other.tail(20), other.panic, second)


def test_the_tail_is_the_last_lines_without_empty_ones() -> None:
    console, _ = watch([b"".join(b"line %d\r\n\r\n" % number for number in range(50)) + b"unfinished"])
    assert console.tail(3) == "line 48\nline 49\nunfinished"
    assert len(console.tail().splitlines()) == 10


def test_the_tail_is_short_however_long_a_line_is() -> None:
    for chunks in ([b"x" * 100_000 + b"\n"], [b"x" * 1000] * 100):
        assert watch(chunks)[0].tail() == "x" * 400 + "…"


def test_control_sequences_are_not_shown() -> None:
    console, _ = watch(
        [BOOT, b"\x1b[1;31mred\x1b[0m \x1b[?25l\x1bc\x07bell\x08\t\xc2\xb5s\x9b2J\xc2\x9b2Jend\x1b(B\n"]
    )
    assert console.tail().splitlines() == [
        "BdsDxe: starting",
        "[    0.000000] Linux version 6.1.0",
        "[    1.000000] Run /init as init process",
        "red bell\tµs\N{REPLACEMENT CHARACTER}2Jend",
    ]


def test_the_log_ends_at_its_limit_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOG_LIMIT", 1000)
    for step in (1, 300, 1000, 5000):
        log = io.BytesIO()
        data = (b"a" * 99 + b"\n") * 30 + b"[    1.0] " + WORDS.encode() + b"\n"
        console, panics = watch([data[at : at + step] for at in range(0, len(data), step)], log)
        kept, _, rest = log.getvalue().partition(b"\n[sistasks: ")
        assert kept == data[:1000], step
        assert panics == [WORDS], "what is left out of the log is watched all the same"
        assert console.tail(1) == f"[    1.0] {WORDS}"
        assert rest == b"the console said more than 1000 bytes; the rest is left out]\n", step


def test_a_log_of_exactly_the_limit_has_nothing_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOG_LIMIT", 1000)
    log = io.BytesIO()
    watch([b"a" * 600, b"a" * 400], log)
    assert log.getvalue() == b"a" * 1000


def test_the_limit_is_of_a_size_that_a_disk_has() -> None:
    assert 1 << 20 <= LOG_LIMIT <= 64 << 20


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_takes_the_log_and_not_the_watch() -> None:
    with Path("/dev/full").open("wb", buffering=0) as log:
        console, panics = watch([BOOT, WORDS.encode() + b"\n", b"more\n"], log)
    assert panics == [WORDS]
    assert console.tail(1) == "more"
    assert console.log_problem == "No space left on device"


def test_a_log_that_can_be_written_has_no_problem() -> None:
    assert watch([BOOT])[0].log_problem == ""


class Scarce(io.BytesIO):
    """A disk that is nearly full takes a part of what it is given, and then nothing."""

    def write(self, data: Any) -> int:
        if self.tell() >= 50:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(bytes(data)[:20])


def test_a_disk_that_takes_a_part_is_given_the_rest_and_one_that_is_full_is_told_of_once() -> None:
    said: list[str] = []
    log = Scarce()

    async def feed() -> None:
        console = Console(log, lambda _: None, on_log_problem=said.append)
        console.data_received(b"x" * 45)
        assert log.getvalue() == b"x" * 45
        assert said == []
        for _ in range(3):
            console.data_received(b"x" * 45)

    asyncio.run(feed())
    assert log.getvalue() == b"x" * 65
    assert said == ["the rest of its console's log is missing: No space left on device"]


def test_crashes_are_told_and_only_what_ends_linux_is_a_panic() -> None:
    warning = b"[    1.0] WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2\n"
    console, panics = watch([b"PANIC: of another kernel\n", b"[    0.0] Linux version 6.1\n", warning])
    assert [(crash.kind, crash.fatal) for crash in console.crashes] == [
        ("sis_panic", True),
        ("warning", False),
    ]
    assert console.fatal == console.crashes[0]
    assert (console.panic, panics) == ("", [])
    fault = b"[    1.0] traps: PANIC: double fault, error_code: 0x0\n"
    console, panics = watch(
        [fault, b"[    1.0] RIP: 0010:f+0x1/0x2\n", b"[    1.0] " + WORDS.encode() + b"\n"]
    )
    assert [crash.title for crash in console.crashes] == ["double fault in f"]
    assert panics == [console.panic] == ["traps: PANIC: double fault, error_code: 0x0"]
