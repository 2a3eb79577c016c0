"""KTAP: what is planned and does not come has crashed, wherever a log ends; real logs and the format's own examples."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sistasks.protocols import ktap
from sistasks.protocols.profile import PROFILES
from sistasks.protocols.reader import reader_for

if TYPE_CHECKING:
    from sistasks.protocols.records import ConsoleResult, Reading

LOGS = Path(__file__).parent / "protocols"
SECOND = 1_000_000_000


def read(log: str | bytes, why: str = "") -> Reading:
    reader = reader_for(PROFILES["ktap"])
    assert reader.feed(1, log.encode() if isinstance(log, str) else log) == ""
    return reader.result(why)


def statuses(log: str | bytes) -> dict[str, str]:
    return {result.name: result.status for result in read(log).results}


def find(reading: Reading, name: str) -> ConsoleResult:
    (result,) = [result for result in reading.results if result.name == name]
    return result


NESTED = """\
some firmware
KTAP version 1
1..2
  KTAP version 1
  1..3
    KTAP version 1
    # Subtest: inner
    1..1
    # one: preparing
    ok 1 one
  ok 1 inner
  # unknown lines may stand anywhere
random: crng init done
  ok 2 second # SKIP no disk
  not ok 3 third # TODO later
not ok 1 outer
ok 2 - last
"""


def test_a_nested_tree_is_read() -> None:
    reading = read(NESTED)
    assert {result.name: result.status for result in reading.results} == {
        "outer/inner/one": "pass",
        "outer/second": "skip",
        "outer/third": "fail",
        "last": "pass",
    }
    assert reading.complete
    assert reading.status == "fail"
    assert reading.findings == ()
    assert find(reading, "outer/second").message == "no disk"
    assert find(reading, "outer/third").message.splitlines()[0] == "TODO later"


@pytest.mark.parametrize(
    ("log", "counts", "status", "findings"),
    [
        ("kunit-passing.log", {"pass": 181, "skip": 7}, "pass", 0),
        ("kunit-failing.log", {"pass": 98, "skip": 2, "fail": 1}, "fail", 0),
        ("kunit-panic.log", {"pass": 33, "fail": 1, "crash": 12}, "crash", 3),
    ],
)
def test_real_logs_of_a_kernel(log: str, counts: dict[str, int], status: str, findings: int) -> None:
    reading = read((LOGS / log).read_bytes())
    assert Counter(result.status for result in reading.results) == counts
    assert reading.status == status
    assert len(reading.findings) == findings


def test_a_kernel_without_a_disk_may_panic_when_its_tests_are_done() -> None:
    log = (LOGS / "kunit-passing.log").read_bytes()
    assert b"Kernel panic - not syncing: No working init found" in log
    reading = read(log)
    assert (reading.complete, reading.panic, reading.crashes) == (True, "", ())


def test_a_panic_between_the_tests_says_why_the_rest_is_missing() -> None:
    reading = read((LOGS / "kunit-panic.log").read_bytes())
    words = "Kernel panic - not syncing: Fatal exception"
    assert (reading.panic, reading.complete) == (words, False)
    assert [crash.kind for crash in reading.crashes] == ["oops"]
    assert reading.report.splitlines()[-1].endswith("Kernel Offset: disabled")
    running = find(reading, "example/2").message.splitlines()
    assert running[0] == f"planned, and did not come: {words}"
    assert running[1] == "# example_crash_test: initializing"
    assert running[2].startswith("BUG: kernel NULL pointer dereference")
    assert find(reading, "17").message == f"planned, and did not come: {words}"
    assert (
        find(reading, "example/example_fail_test")
        .message.splitlines()[1]
        .startswith("# example_fail_test: EXPECT")
    )


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("", {}),
        ("nothing of the kind\n", {}),
        ("KTAP version 1\n", {}),
        ("KTAP version 1\n1..2\nok 1 a\n", {"a": "pass", "2": "crash"}),
        ("KTAP version 1\n1..2\nok 1 a\nok 2 b", {"a": "pass", "2": "crash"}),
        ("KTAP version 1\nok 1 a\nnot ok 2 b\n", {"a": "pass", "b": "fail"}),
        ("TAP version 13\n1..1\nok 1\n", {"1": "pass"}),
        ("KTAP version 1\n1..1\nok 1 a # SKIP\nok 2 b\n", {"a": "skip"}),
        ("KTAP version 1\n1..1\nok 1 a # XFAIL x\n", {"a": "pass"}),
        ("KTAP version 1\n1..1\nnot ok 1 a # TIMEOUT 30 s\n", {"a": "fail"}),
        ("KTAP version 1\n1..1\nok 1 a#b\n", {"1": "crash"}),
        ("KTAP version 1\n1..1\n# Subtest: s\n1..2\nok 1 a\nok 1 s\n", {"s/a": "pass", "s/2": "crash"}),
        ("KTAP version 1\n1..1\n# Subtest: s\n1..1\nok 1 a\n", {"s/a": "pass", "s": "crash"}),
        ("KTAP version 1\n1..1\n# Subtest: s\n1..1\nok 1 a\nok 1 s", {"s/a": "pass"}),
        ("KTAP version 1\n1..1\n# Subtest: s\n1..1\nok 1 a\nnot ok 1 s\n", {"s/a": "pass", "s": "fail"}),
        ("KTAP version 1\n1..1\n# Subtest: s\n1..0\nok 1 s\n", {"s": "skip", "main": "crash"}),
        ("KTAP version 1\n1..1\n  KTAP version 1\n  ok 1 a\n  ok 2 b\nok 1 s\n", {"s/a": "pass", "s/b": "pass"}),
        ("KTAP version 1\n1..2\nok 1 a\nBail out! x\nok 2 b\n", {"a": "pass", "2": "crash", "main": "crash"}),
        ("KTAP version 1\nok 1 a\nBail out!\n", {"a": "pass", "main": "crash"}),
        ("KTAP version 1\n1..1\n# Subtest: s\nok 1 a\nBail out! x\nok 1 s\n", {"s/a": "pass", "s": "crash"}),
        ("KTAP version 1\n1..2\nok 1 a\nreboot: System halted\nok 2 b\n", {"a": "pass", "2": "crash"}),
        ("log: KTAP version 1\nlog: 1..1\nlog: ok 1 a\n", {"a": "pass"}),
        ("[1.0] KTAP version 1\n[1.0] 1..2\nok 1 a\n[99.123] ok 1 b\n[1.0][ T1] ok 2 c\n", {"b": "pass", "c": "pass"}),
    ],
)  # fmt: skip
def test_small_logs(log: str, expected: dict[str, str]) -> None:
    assert statuses(log) == expected


def test_what_is_wrong_is_said() -> None:
    reading = read("KTAP version 9\n1..3\nok 2 a\n# Subtest: s\n1..0\nok 2 s\n", "the node ended")
    assert reading.findings == (
        "KTAP version 9 is unknown, read as if it were known",
        "a: test 1 was expected, and came as 2",
        "s: no tests were run in it",
        "main: 1 of 3 planned tests did not come",
    )
    assert find(reading, "3").message == "planned, and did not come: the node ended"
    assert read("hello\n").findings == ("no KTAP was said",)
    assert read("hello\n").status == "crash"


def test_metrics_between_the_lines_belong_to_the_next_result() -> None:
    reading = read("KTAP version 1\n1..2\n# METRIC x_us=2\n# METRIC x_us=3\nok 1 a\n# METRIC y=nan\nok 2 b\n")
    assert find(reading, "a").metrics["x_us"].values == (2000.0, 3000.0)
    assert find(reading, "b").metrics == {}
    assert reading.findings == ("main: METRIC 'y=nan' is not a number (NaN), left out",)


def test_a_plan_of_any_size_is_told_in_few_records() -> None:
    reading = read("KTAP version 1\n1..999999999\nok 1 a\n")
    assert len(reading.results) == 102
    assert reading.results[-1].name == "102-999999999"


def test_tests_without_end_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ktap, "TESTS_LIMIT", 1000)
    reading = read("KTAP version 1\n" + "".join(f"ok {n} t{n}\n" for n in range(1, 1003)))
    assert len(reading.results) == 1000
    assert "more than 1000 tests came, the rest is left out (2 times)" in reading.findings


def test_versions_within_versions_are_bounded() -> None:
    reading = read("KTAP version 1\n" * 5000 + "ok 1 a\n")
    assert reading.status == "crash"
    assert any(finding.startswith("KTAP is nested deeper than 64 levels") for finding in reading.findings)


def test_the_reading_ends_with_the_plan() -> None:
    reader = reader_for(PROFILES["ktap"])
    for at, line in enumerate(NESTED.splitlines(keepends=True)):
        assert not reader.done
        reader.feed(at, line.encode())
    assert reader.done
    assert reader.finished(10**18)
    assert reader.overdue(10**18) == ""


def test_what_is_awaited_is_said_in_time() -> None:
    reader = reader_for(PROFILES["ktap"], started=SECOND)
    assert reader.deadline() == 301 * SECOND
    assert reader.overdue(301 * SECOND - 1) == ""
    assert reader.overdue(301 * SECOND) == (
        "the first line of KTAP did not come within 300 s; the console has said nothing"
    )
    reader.feed(5 * SECOND, b"KTAP version 1\n1..3\nok 1 a\n# b: begins\n")
    assert reader.deadline() == 305 * SECOND
    assert reader.overdue(305 * SECOND) == (
        "test 2 of 3 of main did not come within 300 s; the last line is: # b: begins"
    )


LOG = (
    b"boot\n[    0.1] KTAP version 1\n[    0.1] 1..3\n[    0.2]     KTAP version 1\n[    0.2]     # Subtest: s\n"
    b"[    0.2]     1..3\n[    0.2]     ok 1 a\n[    0.3]     # b: oh\n[    0.3]     not ok 2 b\n"
    b"[    0.3]     ok 3 c # SKIP not here\n[    0.3] not ok 1 s\n[    0.4] usb 1-1: new device\n"
    b"[    0.4]     # Subtest: t\n[    0.4]     1..2\n[    0.4]     ok 1 a\n[    0.4]     ok 2 aa\n"
    b"[    0.5] ok 2 t\n[    0.6] ok 3 u # SKIP\n"
)


def test_a_log_truncated_at_any_byte_calls_nothing_passed_that_did_not_come() -> None:
    whole = statuses(LOG)
    assert Counter(whole.values()) == {"pass": 3, "skip": 2, "fail": 1}
    for end in range(len(LOG)):
        reading = read(LOG[:end])
        assert reading.status == "crash", LOG[:end]
        complete = LOG[: LOG[:end].rfind(b"\n") + 1].decode()
        for result in reading.results:
            if result.status != "crash":
                assert whole[result.name] == result.status
                last = result.name.rsplit("/", 1)[-1]
                assert any(line.split("#")[0].rstrip().endswith(f" {last}") for line in complete.splitlines())


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(LOGS.glob("kunit-*.log"))), st.integers(0, 30000))
def test_a_real_log_truncated_at_any_byte(log: Path, end: int) -> None:
    data = log.read_bytes()
    whole, part = read(data), read(data[:end])
    said = {result.name: result.status for result in whole.results}
    assert all(result.status == said.get(result.name) for result in part.results if result.status != "crash")
    if not part.complete:
        assert part.status == "crash"


LINES = st.sampled_from(
    ["KTAP version 1", "TAP version 13", "1..0", "1..2", "1..3", "# Subtest: a", "# Subtest: b", "ok 1 a", "ok 3",
     "not ok 2 b", "ok 2 b # SKIP", "Bail out! x", "# diag", "# METRIC a=1", "reboot: System halted",
     "[    1.0] ok 1 a", "\ufffd"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["", "  ", "    ", "\t"]), LINES), max_size=25),
    st.lists(st.integers(0, 600), max_size=4),
)
def test_whatever_comes_is_read_and_no_plan_is_forgotten(
    lines: list[tuple[str, str]], cuts: list[int]
) -> None:
    data = "".join(f"{indent}{line}\n" for indent, line in lines).encode()
    one, other = reader_for(PROFILES["ktap"]), reader_for(PROFILES["ktap"])
    one.feed(0, data)
    ends = sorted(cut % (len(data) + 1) for cut in cuts)
    for begin, end in zip([0, *ends], [*ends, len(data)], strict=True):
        other.feed(0, data[begin:end])
    reading = one.result()
    assert other.result() == reading
    assert one.result() is reading
    if any(finding.endswith("planned tests did not come") for finding in reading.findings):
        assert reading.status == "crash"


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_bytes_of_any_kind_never_raise(data: bytes) -> None:
    read(b"KTAP version 1\n1..2\n" + data)
    read(data)
