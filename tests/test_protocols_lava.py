"""LAVA's signals: every result that was said, every one that was begun and not said, nothing else."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sistasks.protocols.profile import PROFILES
from sistasks.protocols.reader import reader_for
from sistasks.protocols.records import STATUSES, ConsoleResult, Reading, Series

SECOND = 1_000_000_000
LOG = """\
[   12.0] <LAVA_SIGNAL_STARTRUN 0_boot 1.2.3>
noise <LAVA_SIGNAL_TESTCASE TEST_CASE_ID=ping RESULT=pass> noise
<LAVA_SIGNAL_TESTSET START disk>
<LAVA_SIGNAL_STARTTC read>
<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=read RESULT=pass MEASUREMENT=12.5 UNITS=ms>
<LAVA_SIGNAL_ENDTC read>
<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=write RESULT=fail MEASUREMENT=99 UNITS=MB/s>
<LAVA_SIGNAL_TESTSET STOP>
<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=usb RESULT=skip>
<LAVA_SIGNAL_TESTREFERENCE TEST_CASE_ID=x>
<LAVA_SIGNAL_ENDRUN 0_boot 1.2.3>
"""


def read(log: str) -> Reading:
    reader = reader_for(PROFILES["lava"])
    assert reader.feed(1, log.encode()) == ""
    return reader.result()


def named(reading: Reading) -> dict[str, ConsoleResult]:
    return {result.name: result for result in reading.results}


def test_a_run_with_sets_and_measurements() -> None:
    reading = read(LOG)
    results = named(reading)
    assert {name: result.status for name, result in results.items()} == {
        "0_boot/ping": "pass",
        "0_boot/disk/read": "pass",
        "0_boot/disk/write": "fail",
        "0_boot/usb": "skip",
    }
    assert results["0_boot/disk/read"].metrics == {"measurement": Series("ns", (12.5e6,))}
    assert results["0_boot/disk/write"].metrics == {"measurement": Series("MB/s", (99.0,))}
    assert (reading.complete, reading.status, reading.findings) == (True, "fail", ())


def test_what_began_and_gave_no_result_has_crashed() -> None:
    reading = read(
        "<LAVA_SIGNAL_STARTRUN r 1>\n<LAVA_SIGNAL_STARTTC a>\n<LAVA_SIGNAL_ENDTC a>\n<LAVA_SIGNAL_STARTTC b>\n"
    )
    assert {name: (result.status, result.message) for name, result in named(reading).items()} == {
        "r/a": ("crash", "it ended and gave no result"),
        "r/b": ("crash", "it began and gave no result"),
        "r": ("crash", "the run did not end"),
    }
    assert not reading.complete


def test_what_cannot_be_understood_is_said() -> None:
    reading = read(
        "<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=a RESULT=good>\n<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=b RESULT=unknown>\n"
        "<LAVA_SIGNAL_TESTCASE RESULT=pass>\n<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=c RES\n<LAVA_SIGNAL_WHAT a>\n"
        "<LAVA_SIGNAL_ENDRUN x 1>\n<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=d RESULT=pass MEASUREMENT=nan UNITS=ms>\n"
    )
    assert {name: (result.status, result.message) for name, result in named(reading).items()} == {
        "a": ("crash", "RESULT='good' is none of pass, fail, skip, unknown"),
        "b": ("crash", "its result is 'unknown'"),
        "d": ("pass", ""),
    }
    assert reading.findings == (
        "a test case has no name that can be one: ''",
        "a signal of LAVA is broken off: '<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=c RES'",
        "a signal of LAVA is not understood: WHAT a",
        "the run 'x' ended and had not begun",
        "d: METRIC 'measurement=nan ms' is not a number (NaN), left out",
    )


def test_a_test_that_raises_ends_all() -> None:
    reader = reader_for(PROFILES["lava"])
    reader.feed(1, b"<LAVA_SIGNAL_STARTRUN r 1>\n<LAVA_SIGNAL_TESTRAISE no disk>\n")
    assert reader.done
    assert {name: result.message for name, result in named(reader.result()).items()} == {
        "r": "the run did not end",
        "lava-test-raise": "no disk",
    }


def test_silence_is_the_end_when_no_run_is_open() -> None:
    reader = reader_for(PROFILES["lava"])
    begin, end = LOG.encode().split(b"<LAVA_SIGNAL_ENDRUN")
    reader.feed(0, begin)
    assert not reader.finished(99 * SECOND)
    assert reader.overdue(99 * SECOND).startswith(
        "the end of 0_boot did not come, and nothing was said for 30 s"
    )
    reader.feed(100 * SECOND, b"<LAVA_SIGNAL_ENDRUN" + end)
    assert not reader.finished(129 * SECOND)
    assert reader.finished(130 * SECOND)


PARTS = st.sampled_from(["<LAVA_SIGNAL_", "TESTCASE ", "TEST_CASE_ID=a", "RESULT=pass", " ", ">", "<", "\n", "STARTTC a", "TESTSET START", "ENDTC a", "ENDRUN r", "STARTRUN"])  # fmt: skip # noqa: E501


@settings(max_examples=200, deadline=None)
@given(st.lists(PARTS | st.text(max_size=5), max_size=30))
def test_whatever_comes_is_read(parts: list[str]) -> None:
    reading = read("".join(parts))
    assert all(result.status in STATUSES and result.name for result in reading.results)
    assert not any(result.status == "pass" for result in reading.results) or "RESULT=pass" in "".join(parts)
