"""However much a guest says, what is kept of it is bounded, and somebody is told."""

from __future__ import annotations

import itertools
import tracemalloc
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from sistasks.consensus.events import Unknown, encode_event
from sistasks.consensus.records import EMPTY, Decision, Decisions, encode_decisions
from sistasks.guest.frames import Frame, FrameError, FrameType, Samples, encode_samples
from sistasks.guest.plan import Plan
from sistasks.guest.programs import Program
from sistasks.machine.results import LINES_MAX, NOTES_MAX, SERIES_MAX, Allowed, GuestResults
from sistasks.protocols.profile import PROFILES
from sistasks.protocols.reader import reader_for
from sistasks.suites.distributed.arena import Arena
from sistasks.textlines import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sistasks.cluster.switch import Switch
    from sistasks.machine.node import Node
    from sistasks.protocols.records import Reading
    from sistasks.suites.distributed.config import Config

MEGABYTE = 1 << 20


def flood(results: GuestResults, payloads: Iterable[tuple[FrameType, bytes]]) -> str:
    """What stops it."""

    def pour() -> None:
        for number, (kind, payload) in enumerate(payloads):
            results.take(Frame(kind, number, payload))

    with pytest.raises(FrameError) as stopped:
        pour()
    return str(stopped.value)


def begun(*names: str, programs: frozenset[str] = frozenset(), samples: int = 1000) -> GuestResults:
    """A guest in the first of its tests."""
    results = GuestResults(allowed=Allowed(names, programs, samples))
    results.take(Frame(FrameType.BEGIN, 0, f"test={names[0]}\n".encode()))
    return results


def test_what_a_plan_lets_a_guest_send(tmp_path: Path) -> None:
    program = Program(name="bench", path=str(tmp_path / "bench"))
    plan = Plan(node=1, seed=1, tests=("boot", "bench"), iterations=1_000_000, programs=(program,))
    assert Allowed.by(plan) == Allowed(("boot", "bench"), frozenset({"bench"}), 8_000_000)
    assert Allowed.by(Plan(node=1, seed=1)).tests == ()


def test_samples_without_end() -> None:
    firsts = itertools.count(0, 100)
    frames = ((FrameType.SAMPLES, encode_samples(Samples("m", first, [1] * 100))) for first in firsts)
    results = begun("a")
    assert flood(results, frames) == "more than 1000 samples came, and the plan asks for fewer"
    assert len(results.samples["m"]) == 1000


def test_metrics_without_end() -> None:
    frames = ((FrameType.SAMPLES, encode_samples(Samples(f"m{n}", 0, []))) for n in itertools.count())
    results = begun("a")
    assert flood(results, frames) == f"more than {SERIES_MAX} metrics came"


def test_notes_without_end() -> None:
    frames = ((FrameType.NOTE, b"text=" + b"x" * 60_000) for _ in itertools.count())
    results = begun("a")
    assert flood(results, frames) == f"more than {NOTES_MAX} notes came"
    assert sum(map(len, results.notes)) <= NOTES_MAX * 2000


@pytest.mark.parametrize("line", [b"METRIC latency=1 us\n", b"\n", b"a\n"])
def test_lines_without_end(line: bytes) -> None:
    results = begun("a", programs=frozenset({"a"}))
    tracemalloc.start()
    words = flood(results, ((FrameType.LINES, line * (32_000 // len(line))) for _ in itertools.count()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert words == f"a: more than {LINES_MAX} bytes of METRIC lines came"
    assert peak < 20 * MEGABYTE


def test_lines_where_no_program_is() -> None:
    assert flood(begun("a"), [(FrameType.LINES, b"x")]) == "lines of a program came in a, which is none"


def test_tests_that_nobody_asked_for() -> None:
    begin = (FrameType.BEGIN, b"test=<b>a</b>\n")
    assert flood(begun("a", "b"), [begin]) == "test <b>a</b> began, and it was the turn of b"
    assert flood(begun("a"), [begin]) == "test <b>a</b> began, and 1 were all"
    anything = GuestResults()
    assert flood(anything, (begin for _ in itertools.count())).endswith("began, and 1000 were all")


@pytest.mark.parametrize("kind", [FrameType.HELLO, FrameType.READY])
def test_what_is_said_once(kind: FrameType) -> None:
    assert flood(begun("a"), [(kind, b""), (kind, b"")]) == f"{kind.name} came twice"


def test_nothing_is_said_after_the_last_word() -> None:
    done = (FrameType.DONE, b"samples=0\nproblem=\n")
    assert flood(begun("a"), [done, done]) == "DONE came after the last word"
    assert flood(begun("a"), [done, (FrameType.BEGIN, b"test=a\n")]) == "BEGIN came after the last word"


@pytest.mark.parametrize(
    "number", ["", "-1", "1e9", "9" * 19, "9" * 5000, "nan", "\N{ARABIC-INDIC DIGIT ONE}"]
)
def test_a_duration_that_is_none(number: str) -> None:
    end = f"test=a\nstatus=pass\nduration_ns={number}\n".encode()
    assert flood(begun("a"), [(FrameType.END, end)]).startswith("test a took ")


def test_what_a_guest_says_can_be_shown() -> None:
    results = begun("a")
    end = (
        b"test=a\nstatus=fail\nduration_ns=1\nmessage=\x1b[31mred\x1b]0;title\x07\x9b2J\x00\r "
        + b"x" * 60_000
    )
    results.take(Frame(FrameType.END, 1, end + b"\n"))
    assert results.tests[0].message.startswith("red\N{REPLACEMENT CHARACTER}2J xxx")
    assert len(results.tests[0].message) == 2000


def test_no_text_is_slow_to_clean() -> None:
    """Beginnings of control strings without an end were each read to the end of all: 64 KiB took a minute."""
    for piece in (
        b"\xc2\x90",
        b"\x1b]",
        b"\x1bP",
        b"\xc2\x9b",
        b"\x1b[",
        b"\xc2\x9d0;",
        b"\x1b[0;",
        b"\x1b ",
    ):
        plain(piece * (65_536 // len(piece)))


def read(protocol: str, chunks: Iterator[bytes]) -> tuple[Reading, int]:
    """What a console came to, and the most memory that it took, in bytes."""
    reader = reader_for(PROFILES[protocol])
    tracemalloc.start()
    for chunk in chunks:
        reader.feed(1, chunk)
    reading = reader.result()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return reading, peak


def test_lava_runs_within_runs() -> None:
    """Each result had the names of all open runs in its own."""
    begin = b"".join(b"<LAVA_SIGNAL_STARTRUN %d%s>\n" % (n, b"x" * 190) for n in range(300))
    case = b"<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=a RESULT=pass>\n" * 4000
    reading, peak = read("lava", iter([begin, case]))
    assert peak < 100 * MEGABYTE
    assert "more than 100 runs of LAVA are open at once, the rest is left out (200 times)" in reading.findings
    assert any("results came, the rest is left out" in words for words in reading.findings)


def test_ktap_paths_of_any_length() -> None:
    """Each test had the names of all tests around it in its own, and each missing one again."""
    begin = b"KTAP version 1\n" + b"".join(
        b"KTAP version 1\n# Subtest: %s\n" % (b"x" * 3000) for _ in range(50)
    )
    parents = b"KTAP version 1\n# Subtest: y\n1..1000000\nok 1 y\n" * 300
    reading, peak = read("ktap", iter([begin, parents]))
    assert peak < 150 * MEGABYTE
    assert any("tests came, the rest is left out" in words for words in reading.findings)


def test_events_and_decisions_without_end() -> None:
    """A node of a cluster tells of its work as long as it runs; what is kept of it has an end."""
    arena = Arena(cast("Config", None), cast("Switch", None))
    node = cast("Node", SimpleNamespace(number=1))
    arena.nodes = dict.fromkeys(range(1, 101), node)  # each has a hundredth
    event = encode_event(Unknown(1, "x", {"a": "b" * 1000}))
    decisions = encode_decisions(Decisions(0, (Decision(1, taken=False, at_ns=1, command=EMPTY),) * 500))

    def pour() -> None:
        for number in itertools.count():
            arena.hear(node, Frame(FrameType.EVENT, 2 * number, event))
            arena.hear(node, Frame(FrameType.DECISIONS, 2 * number + 1, decisions))

    tracemalloc.start()
    with pytest.raises(ValueError, match="more events and decisions than can be kept"):
        pour()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert MEGABYTE < kept < 20 * MEGABYTE
