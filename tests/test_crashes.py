"""How kernels end is recognised in what their consoles say, and only there where they say it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sistasks.evidence.crash_patterns import KINDS, PATTERNS, Pattern
from sistasks.evidence.crash_report import REPORT_BYTES, REPORT_LINES, TITLE_LIMIT, function_name, normalised
from sistasks.evidence.crashes import _LINE, CRASHES, LINE_LIMIT, Crash, Recogniser, _first_look
from sistasks.protocols.profile import PROFILES
from sistasks.protocols.reader import reader_for

LOGS = Path(__file__).parent / "crashes"
_PRINTABLE = st.characters(min_codepoint=32, max_codepoint=126)
NAMES = sorted(path.stem for path in LOGS.glob("*.log"))
PANIC = b"[    1.0] Kernel panic - not syncing: Fatal exception\n"


def crashes_of(*pieces: bytes) -> tuple[Crash, ...]:
    recogniser = Recogniser()
    for at, piece in enumerate(pieces):
        recogniser.feed(piece, at)
    recogniser.finish()
    return recogniser.crashes


def told(crashes: tuple[Crash, ...]) -> list[str]:
    return [f"{crash.kind} | {'fatal' if crash.fatal else 'goes on'} | {crash.title}" for crash in crashes]


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted(cut % (len(data) + 1) for cut in cuts)
    return [data[begin:end] for begin, end in zip([0, *ends], [*ends, len(data)], strict=True)]


@pytest.mark.parametrize("name", NAMES)
def test_golden_logs(name: str) -> None:
    log = (LOGS / f"{name}.log").read_bytes()
    crashes = crashes_of(log)
    assert told(crashes) == (LOGS / f"{name}.txt").read_text().splitlines()
    for crash in crashes:
        assert crash.kind in KINDS
        assert log[crash.offset :].startswith(crash.line.encode("utf-8", "replace")[:20])
        assert crash.line[:300] in crash.report
        assert not re.search(r"0x[0-9a-f]+|[0-9a-f]{9,}|\.(?:isra|constprop|part)", crash.title), crash.title
    # what a kernel said before, and what programs say behind it, changes nothing
    assert told(crashes_of(b"sh: hello\n" * 30 + log)) == told(crashes)
    assert told(crashes_of(log + b"\n" + b"login: \r\n[   99.0] usb 1-1: new device\r\n" * 50)) == told(
        crashes
    )


def test_there_are_logs_enough_and_each_is_said_to_be_real_or_written() -> None:
    expected = {name: (LOGS / f"{name}.txt").read_text() for name in NAMES}
    assert sum(bool(text) for text in expected.values()) >= 35
    assert sum(not text for text in expected.values()) >= 10
    readme = (LOGS / "README").read_text()
    assert [name for name in NAMES if f"`{name}`" not in readme] == []
    kinds = {line.split(" | ")[0] for text in expected.values() for line in text.splitlines()}
    assert kinds == set(KINDS)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=6, deadline=None)
@given(cuts=st.lists(st.integers(0, 1 << 20), max_size=12))
def test_the_split_makes_no_difference(name: str, cuts: list[int]) -> None:
    log = (LOGS / f"{name}.log").read_bytes()
    whole = crashes_of(log)
    cut = crashes_of(*pieces_of(log, cuts))
    assert [(crash.line, crash.title, crash.report, crash.offset, crash.fatal) for crash in cut] == [
        (crash.line, crash.title, crash.report, crash.offset, crash.fatal) for crash in whole
    ]


_WORDS = st.sampled_from(
    [
        b"[    1.0] ", b"Kernel panic - not syncing: x", b"\n", b"\r", b"\r\n", b"\x1b[2J", b"\x1b[1;1H", b"\x1b[",
        b"\x1b[31m", b"BUG: KASAN: use-after-free in f+0x1/0x2", b"WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2",
        b"Linux version 6.1", b"SeaBIOS (version 1)", b"Call Trace:", b" f+0x1/0x2", b"=" * 40, b"x" * 5000,
        b"\xff\xfe",
        b"---[ end trace 0 ]---", b"---[ end Kernel panic - not syncing: x ]---", b"RIP: 0010:g+0x1/0x2", b"PANIC: x",
        b"BdsDxe: failed to load Boot0001 a: Not Found", b"BdsDxe: starting Boot0002",
    ]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@example([b"\x1b", b"[2J", b"Kernel panic - not syncing: x", b"\r", b"\nPANIC: y"], [3, 4])
@given(st.lists(_WORDS | st.binary(max_size=40), max_size=40), st.lists(st.integers(0, 100_000), max_size=10))
def test_any_bytes_are_taken_and_mean_the_same_in_any_pieces(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    whole = crashes_of(data)
    cut = crashes_of(*pieces_of(data, cuts))
    assert [(crash.title, crash.offset, crash.report) for crash in cut] == [
        (crash.title, crash.offset, crash.report) for crash in whole
    ]
    for crash in whole:
        assert 0 <= crash.offset <= len(data)
        assert len(crash.title) <= TITLE_LIMIT


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\n[    1.0] "])
def test_memory_is_bounded_whatever_comes(end: bytes) -> None:
    recogniser = Recogniser()
    recogniser.feed(b"WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2\n")
    for _ in range(200):
        recogniser.feed(b"x" * 9999 + end)
    recogniser.feed(b"\n" + b" f+0x1/0x2\n" * 100_000)
    recogniser.feed(b"BUG: one\n" * 10_000)
    assert len(recogniser._rest) <= LINE_LIMIT + 64
    crashes = recogniser.crashes
    assert len(crashes) == CRASHES
    assert max(len(crash.report) for crash in crashes) <= REPORT_BYTES + LINE_LIMIT
    assert max(crash.report.count("\n") for crash in crashes) <= REPORT_LINES
    recogniser.feed(PANIC)
    assert recogniser.fatal is not None, "a fatal one is told after ever so many"
    assert len(recogniser.crashes) == CRASHES


def test_a_fatal_crash_is_known_with_its_line_while_its_report_grows() -> None:
    recogniser = Recogniser()
    recogniser.feed(b"[    1.0] Kernel panic - not syncing: VFS: gone", 5)
    assert recogniser.fatal is None
    recogniser.feed(b"\r", 6)
    crash = recogniser.fatal
    assert crash is not None
    assert (crash.title, crash.at, recogniser.panic) == (
        "kernel panic: VFS: gone", 6, "Kernel panic - not syncing: VFS: gone",
    )  # fmt: skip
    recogniser.feed(b"\n[    1.0] CPU: 0 PID: 1\n[    1.0] Call Trace:\n")
    assert recogniser.fatal is not None
    assert recogniser.fatal.report.endswith("Call Trace:")


def test_a_panic_that_a_fault_causes_is_the_fault_s() -> None:
    fault = b"[    1.0] BUG: kernel NULL pointer dereference, address: 0000000000000008\n"
    trace = (
        b"[    1.0] RIP: 0010:drill.isra.0+0x1/0x20 [drill]\n[    1.0] ---[ end trace 0000000000000000 ]---\n"
    )
    assert told(crashes_of(fault + trace + PANIC)) == [
        "oops | fatal | kernel NULL pointer dereference in drill"
    ]
    other = b"[    9.0] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n"
    assert told(crashes_of(fault + trace + other)) == [
        "oops | goes on | kernel NULL pointer dereference in drill",
        "panic | fatal | kernel panic: VFS: Unable to mount root fs on unknown-block(N,N)",
    ]


@pytest.mark.parametrize(
    ("words", "title"),
    [
        ("Attempted to kill init! exitcode=0x0000000b", "Attempted to kill init"),
        ("unknown-block(254,1)", "unknown-block(N,N)"),
        ("at ffff888003c0d000 of CPU#3", "at ADDR of CPU"),
        ("in foo.constprop.0+0x12/0x30 [mod]", "in foo"),
        ("ext4_fill_super x86_64 kmalloc-64", "ext4_fill_super x86_64 kmalloc-64"),
        ("stuck for 22s!", "stuck for Ns"),
    ],
)
def test_words_without_what_differs(words: str, title: str) -> None:
    assert normalised(words) == title


def test_what_the_compiler_adds_to_a_name_is_left_out() -> None:
    names = ("a.isra.0", "b.constprop.0.isra.3", "c.cold", "d.part.12", "e.f", "g")
    assert [function_name(name) for name in names] == ["a", "b", "c", "d", "e.f", "g"]


@pytest.mark.parametrize(
    "line",
    [
        "INFO: lockdep is turned off.",
        "INFO: NMI handler (x) took too long to run: 1 msecs",
        "DEBUG: BUG: x",
        "ODEBUG: free active",
        "test: a log that says BUG: is silent",
        " Kernel panic - not syncing: x",
        "Kernel panic",
        "Debugging symbols",
        "Kernel command line: panic=-1 oops=panic",
        "[drill] Kernel panic - not syncing: x",
        "init[1]: segfault at 0 ip 0000000000401bca",
        "traps: a[7] general protection fault ip:401bca sp:7ffd error:0 in a[401000+7a000]",
        "rcu: INFO: nothing",
        "",
    ],
)
@pytest.mark.parametrize("stamp", ["", "[    1.0] ", "<4>[    1.234567][    T1] "])
def test_what_is_no_crash(stamp: str, line: str) -> None:
    assert crashes_of(f"{stamp}{line}\n".encode()) == ()


def test_a_warning_without_a_stamp_is_a_program_s() -> None:
    assert crashes_of(b"WARNING: no name is set\n") == ()
    assert told(crashes_of(b"[    1.0] WARNING: stack going the wrong way? ip=0xffffffff81000000\n")) == [
        "warning | goes on | WARNING: stack going the wrong way? ip=ADDR"
    ]


@pytest.mark.parametrize(
    "before", ["", "<0>", "[   12.345678] ", "[    1.2][    T1] ", "[    1.2][   C0] ", "<4>[    1.2] "]
)
@pytest.mark.parametrize("colour", ["", "\x1b[31m", "\x1b[0;1m"])
@pytest.mark.parametrize("jump", ["\n", "\r", "\x1b[2J", "\x1b[01;01H"])
def test_what_stands_before_the_words(before: str, colour: str, jump: str) -> None:
    line = f"noise{jump}{colour}{before}{colour}Kernel panic - not syncing: x\r\n"
    assert told(crashes_of(line.encode())) == ["panic | fatal | kernel panic: x"]


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.words[:30])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_what_a_pattern_takes_passes_the_first_look(pattern: Pattern, data: st.DataObject) -> None:
    """A pattern whose words the quick look at every line does not know would never be seen."""
    text = data.draw(st.from_regex(re.compile(rf"\A(?:{pattern.words})", re.ASCII), alphabet=_PRINTABLE))
    for fatal in {False, pattern.fatal}:
        assert _first_look(_LINE, fatal=fatal).match(b"\n" + text.encode())


def test_complaints_have_their_place_and_change_no_status() -> None:
    log = b"boot\n[    1.0] WARNING: CPU: 0 PID: 1 at a.c:1\n[    1.0] KTAP version 1\n[    1.0] 1..1\n"
    log += b"[    1.0] ok 1 a\n"
    reader = reader_for(PROFILES["ktap"])
    reader.feed(4, log)
    reading = reader.result()
    (crash,) = reading.crashes
    assert (crash.kind, crash.title, crash.at) == ("warning", "WARNING", 4)
    assert log[crash.offset :].startswith(b"[    1.0] WARNING")
    assert reading.status == "pass"


def test_what_did_not_come_after_a_complaint_is_told_with_it() -> None:
    reader = reader_for(PROFILES["ktap"])
    reader.feed(
        0,
        b"KTAP version 1\n1..2\nok 1 a\nWARNING: CPU: 0 PID: 1 at x.c:1\n"
        b"BUG: kernel NULL pointer dereference\nRIP: 0\n",
    )
    assert reader.overdue(300 * 10**9) == (
        "test 2 of 2 of main did not come within 300 s; the kernel complained: BUG: kernel NULL pointer dereference"
    )


def test_linux_that_starts_again_has_fallen() -> None:
    boot = b"[    0.000000] Linux version 6.1.0 (a@b)\n[    0.1] KTAP version 1\n[    0.1] 1..2\n[    0.1] ok 1 a\n"
    reader = reader_for(PROFILES["ktap"])
    reader.feed(0, boot + boot)
    reading = reader.result()
    assert reading.panic == "the kernel started again: Linux version 6.1.0 (a@b)"
    assert [result.status for result in reading.results] == ["pass", "crash"]
    assert told(reading.crashes) == ["reboot | fatal | unexpected reboot"]


def test_modprobe_s_fatal_is_no_last_word_of_linux() -> None:
    reader = reader_for(PROFILES["ktap"])
    reader.feed(
        0, b"[    0.000000] Linux version 6.1\nFATAL: Module x not found\nKTAP version 1\n1..1\nok 1 a\n"
    )
    reading = reader.result()
    assert (reading.status, reading.crashes) == ("pass", ())


def test_complaints_are_bounded() -> None:
    reader = reader_for(PROFILES["ktap"])
    reader.feed(0, b"BUG: x\n" * 1000)
    assert len(reader.result().crashes) == CRASHES
