"""The dialogue at a prompt: what is typed when, and what is made of the answers, of panics, hangs and garbage."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sistasks.errors import UsageError
from sistasks.protocols.profile import PROFILES, SIS, ConsoleProfile, ConsoleTest, from_table
from sistasks.protocols.reader import Reader, reader_for

if TYPE_CHECKING:
    from sistasks.protocols.records import Reading

SECOND = 1_000_000_000
# tests/guests/minikernel, through OVMF
LOG = Path(__file__).parent / "protocols" / "sis-panic.log"
BOOT = (
    b"\x1b[2J\x1b[01;01HBdsDxe: starting Boot0001\r\n!KERNEL(U)\r\nSTACK OK\r\nMMU ON\r\nMETRIC cntfrq_hz=62500000\r\n"
    b"HEAP: READY\r\nLAUNCHING SHELL\r\nSIS Kernel Ready\r\n"
)
PROMPT = b"sis> "
ANSWERS = {
    "perf_test ai_inference": b"[PERF] go\r\nMETRIC ai_inference_us=38\r\nMETRIC ai_inference_us=40\r\nTEST PASSED\r\n",
    "perf_test context_switch": b"METRIC context_switch.latency=480 ns\r\nTEST PASSED\r\n",
    "perf_test memory_alloc": b"METRIC memory.latency=900 ns\r\nTEST PASSED\r\n",
    "consensus_test start_node 2 4": b"node 2 of 4\r\nCONSENSUS_SUCCESS\r\n",
}


def one(command: str = "run", metrics: tuple[str, ...] = ()) -> ConsoleProfile:
    """A profile with one test, whose prompt is `>`."""
    test = ConsoleTest(command=command, metrics=metrics)
    return dataclasses.replace(SIS, prompt=">", ready="", marks={}, tests={"t": test})


def talk(
    reader: Reader, answers: dict[str, bytes], boot: bytes = BOOT, *, step: int = 1 << 20, echo: bool = True
) -> list[str]:
    """A kernel that boots, and answers what is typed; what was typed. Each piece takes a second."""
    typed: list[str] = []
    at = 0
    queue = [boot + PROMPT]
    while queue:
        data = queue.pop(0)
        for begin in range(0, len(data), step):
            at += SECOND
            command = reader.feed(at, data[begin : begin + step])
            if command:
                assert command.endswith("\r")
                typed.append(command[:-1])
                answer = answers.get(command[:-1], b"Unknown command\r\n")
                queue.append((command[:-1].encode() + b"\r\n" if echo else b"") + answer + PROMPT)
    return typed


def finish(reader: Reader, why: str = "") -> tuple[Reading, dict[str, str]]:
    reading = reader.result(why)
    return reading, {result.name: result.status for result in reading.results}


@pytest.mark.parametrize("step", [1, 3, 7, 1 << 20])
@pytest.mark.parametrize("echo", [True, False])
def test_a_whole_dialogue(step: int, *, echo: bool) -> None:
    reader = reader_for(SIS, node=2, nodes=4)
    assert talk(reader, ANSWERS, step=step, echo=echo) == list(ANSWERS)
    assert reader.done
    reading, statuses = finish(reader)
    assert statuses == dict.fromkeys(["boot", *SIS.tests], "pass")
    assert (reading.status, reading.complete, reading.findings, reading.panic) == ("pass", True, (), "")
    assert list(reading.marks) == list(SIS.marks)
    assert list(reading.marks.values()) == sorted(reading.marks.values())
    metrics = {result.name: result.metrics for result in reading.results}
    assert metrics["boot"]["cntfrq_hz"].values == (62500000.0,)
    assert metrics["ai_inference"]["ai_inference_us"].values == (38000.0, 40000.0)
    assert metrics["context_switch"]["context_switch.latency"].unit == "ns"
    assert metrics["consensus"] == {}
    for result in reading.results[1:]:
        assert result.started is not None
        assert result.finished is not None
        assert result.started <= result.finished


def test_marks_have_the_times_at_which_they_came() -> None:
    reader = reader_for(SIS)
    reader.feed(5, b"!KERNEL(U)\r\n")
    reader.feed(7, b"MMU ON")
    reader.feed(9, b"\r\nHEAP: READY\r\n")
    reader.feed(11, b"SIS Kernel Ready\r\n")
    reading, _ = finish(reader)
    assert reading.marks == {"kernel": 5, "mmu": 7, "heap": 9}
    assert reading.ready == 11


def test_a_subset_of_the_tests_can_be_run() -> None:
    reader = reader_for(SIS, tests=["context_switch"])
    assert talk(reader, ANSWERS) == ["perf_test context_switch"]
    assert finish(reader)[1] == {"boot": "pass", "context_switch": "pass"}
    with pytest.raises(
        UsageError, match="the console has no test 'disk'; it has ai_inference, context_switch"
    ):
        reader_for(SIS, tests=["disk"])


def test_a_command_that_the_kernel_does_not_know_fails() -> None:
    reader = reader_for(SIS, tests=["ai_inference", "context_switch"])
    assert talk(reader, {"perf_test context_switch": b"TEST PASSED\r\n"}) == list(ANSWERS)[:2]
    reading, statuses = finish(reader)
    assert statuses == {"boot": "pass", "ai_inference": "fail", "context_switch": "pass"}
    assert (
        reading.results[1].message
        == "the prompt came again without 'TEST PASSED'; before it: Unknown command"
    )
    assert (reading.status, reading.complete) == ("fail", True)


def test_the_echo_of_a_command_is_no_answer() -> None:
    reader = reader_for(one("say TEST PASSED"))
    assert reader.feed(1, b"> ") == "say TEST PASSED\r"
    reader.feed(2, b"say TEST PASSED\r\nno\r\n> ")
    assert finish(reader)[1]["t"] == "fail"


def test_a_word_within_a_word_is_no_success() -> None:
    reader = reader_for(one())
    reader.feed(1, b"> ")
    reader.feed(2, b"run\r\nTEST PASSED_NOT\r\n> ")
    assert finish(reader)[1]["t"] == "fail"


def test_a_test_must_give_its_metrics() -> None:
    reader = reader_for(one(metrics=("a", "b")))
    reader.feed(1, b"> ")
    reader.feed(2, b"run\r\nMETRIC a=1\r\nMETRIC b=nan\r\nTEST PASSED\r\n> ")
    reading, statuses = finish(reader)
    assert statuses["t"] == "fail"
    assert reading.results[1].message == "passed, but did not measure b"
    assert reading.findings == ("t: METRIC 'b=nan' is not a number (NaN), left out",)


def test_metrics_may_come_after_the_word_of_success_and_behind_the_prompt() -> None:
    reader = reader_for(one())
    reader.feed(1, b"> METRIC background=1\r\n[TIMER] tick\r\n")
    reader.feed(2, b"run\r\nTEST PASSED\r\nMETRIC late=2\r\n> ")
    reading, statuses = finish(reader)
    assert statuses == {"boot": "pass", "t": "pass"}
    assert list(reading.results[1].metrics) == ["background", "late"]


def test_a_shell_that_draws_its_line_again_does_not_end_a_test() -> None:
    reader = reader_for(one("run it"))
    assert reader.feed(1, b"> ") == "run it\r"
    assert reader.feed(2, b"\r> r\r> ru\r> run\r\x1b[1m> run it\x1b[0m\r\n") == ""
    assert not reader.done
    reader.feed(3, b"\r\nTEST PASSED\r\n\x1b[32m>\x1b[0m ")
    assert reader.done
    assert finish(reader)[1]["t"] == "pass"


def test_the_same_prompt_twice_types_once() -> None:
    reader = reader_for(one())
    assert reader.feed(1, b"> ") == "run\r"
    assert reader.feed(2, b"\r\n> \r\n> ") == "", "nothing of what was typed has arrived"
    assert reader.feed(3, b"run\r\nTEST PASSED\r\n> ") == ""
    assert finish(reader)[1]["t"] == "pass"


@pytest.mark.parametrize(
    "words",
    [
        "PANIC: out of memory",
        "!!!                        KERNEL PANIC                                      !!!",
        "[    1.234567] FATAL: no memory",
        "[core 1] PANIC at main.rs:1",
        "*** FATAL ***",
    ],
)
def test_a_panic_ends_all(words: str) -> None:
    reader = reader_for(SIS)
    typed = reader.feed(1, BOOT + PROMPT)
    assert typed == "perf_test ai_inference\r"
    reader.feed(2, b"perf_test ai_inference\r\nMETRIC a=1\r\n" + words.encode() + b"\r\n")
    assert reader.done
    assert reader.feed(3, b"x0: 0 x1: 1\r\nTEST PASSED\r\nsis> ") == "", "nothing is typed to a fallen kernel"
    reading, statuses = finish(reader, "the node ended")
    last = words.removeprefix("[    1.234567] ")
    assert reading.panic == last
    assert reading.status == "crash"
    assert statuses == {"boot": "pass", **dict.fromkeys(SIS.tests, "crash")}
    assert reading.results[1].message == last
    assert "a" in reading.results[1].metrics
    assert reading.results[2].message == f"'perf_test context_switch' was not typed: {last}"
    assert "METRIC a=1" in reading.report
    assert "x0: 0 x1: 1" in reading.report


def test_a_panic_behind_the_prompt_is_one() -> None:
    reader = reader_for(one())
    assert reader.feed(1, b"> ") == "run\r"
    assert reader.feed(2, b"run\r\nTEST PASSED\r\n> PANIC: late\r\n") == ""
    reading, statuses = finish(reader)
    assert (reading.panic, reading.status, statuses["t"]) == ("", "pass", "pass"), "all was done before"
    reader = reader_for(SIS)
    reader.feed(1, PROMPT)
    reader.feed(2, b"perf_test ai_inference\r\nTEST PASSED\r\nsis> PANIC: late\r\n")
    reading, statuses = finish(reader)
    assert (reading.panic, statuses["ai_inference"], statuses["context_switch"]) == (
        "PANIC: late",
        "pass",
        "crash",
    )


@pytest.mark.parametrize(
    "words",
    [
        "the PANIC handler is installed",
        "METRIC panic=0",
        "PANICKED_COUNT=0",
        "'PANIC' is the word",
        "nonFATAL",
        "panic",
    ],
)
def test_a_line_that_mentions_it_is_silent(words: str) -> None:
    reader = reader_for(SIS)
    reader.feed(1, BOOT + words.encode() + b"\r\n" + PROMPT)
    assert reader.panic == ""
    assert finish(reader)[1]["boot"] == "pass"


def test_a_kernel_that_starts_again_has_fallen() -> None:
    reader = reader_for(SIS)
    reader.feed(1, BOOT + PROMPT)
    reader.feed(2, b"perf_test ai_inference\r\n\x1b[2J" + BOOT + PROMPT)
    reading, statuses = finish(reader)
    assert reading.panic == "the kernel started again: !KERNEL(U)"
    assert statuses["ai_inference"] == "crash"


def test_a_prompt_that_never_comes_is_told_by_the_callers_time() -> None:
    reader = reader_for(SIS, started=SECOND)
    assert reader.overdue(300 * SECOND) == ""
    assert reader.deadline() == 301 * SECOND
    assert (
        reader.overdue(301 * SECOND)
        == "the prompt 'sis>' did not come within 300 s; the console has said nothing"
    )
    reader.feed(2 * SECOND, b"!KERNEL(U)\r\nMMU ON\r\nloading")
    why = reader.overdue(301 * SECOND)
    assert why == "the prompt 'sis>' did not come within 300 s; the last mark was 'mmu'"
    reading, statuses = finish(reader, why)
    assert statuses == {"boot": "crash", **dict.fromkeys(SIS.tests, "crash")}
    assert reading.results[0].message == why
    assert reading.results[1].message == f"'perf_test ai_inference' was not typed: {why}"


def test_a_test_that_hangs_is_told() -> None:
    reader = reader_for(dataclasses.replace(SIS, quiet=20))
    reader.feed(100 * SECOND, BOOT + PROMPT)
    reader.feed(101 * SECOND, b"perf_test ai_inference\r\nworking\r\n")
    assert reader.deadline() == 121 * SECOND
    assert reader.overdue(121 * SECOND - 1) == ""
    assert reader.overdue(121 * SECOND) == (
        "the end of ai_inference ('perf_test ai_inference') did not come, and nothing was said for 20 s;"
        " the last line is: working"
    )
    reader.feed(399 * SECOND, b".")
    assert reader.overdue(400 * SECOND).startswith(
        "the end of ai_inference ('perf_test ai_inference') did not come within"
    )
    assert finish(reader, "it hangs")[0].results[1].message == "it hangs"


def test_a_test_that_passed_before_the_end_has_passed() -> None:
    reader = reader_for(one())
    reader.feed(1, b"> ")
    reader.feed(2, b"run\r\nTEST PASSED\r\n")
    reading, statuses = finish(reader, "the node ended")
    assert statuses == {"boot": "pass", "t": "pass"}
    assert not reading.complete


@pytest.mark.parametrize("step", [5, 100, 1 << 20])
def test_a_real_kernel_through_real_firmware(step: int) -> None:
    profile = dataclasses.replace(SIS, tests={**SIS.tests, "panic": ConsoleTest(command="panic")})
    log = LOG.read_bytes()
    reader = reader_for(profile, nodes=4)
    typed = [reader.feed(at, log[at : at + step]) for at in range(0, len(log), step)]
    assert "".join(typed).split("\r")[:-1] == [test.typed(1, 4) for test in profile.tests.values()]
    reading, statuses = finish(reader, "the node ended")
    assert statuses == {**dict.fromkeys(["boot", *SIS.tests], "pass"), "panic": "crash"}
    assert reading.panic.startswith("PANIC: invalid opcode at 0x")
    assert list(reading.marks) == list(SIS.marks)
    assert reading.findings == ()
    samples = {
        result.name: [len(each.values) for each in result.metrics.values()] for result in reading.results
    }
    assert samples == {
        "boot": [1], "ai_inference": [64], "context_switch": [64], "memory_allocation": [64], "consensus": [16],
        "panic": [],
    }  # fmt: skip


def test_marks_that_were_passed_over_or_came_out_of_order_are_findings() -> None:
    reader = reader_for(SIS)
    reader.feed(1, b"HEAP: READY\r\n!KERNEL(U)\r\nsis> ")
    assert finish(reader)[0].findings == (
        "the mark 'mmu' (MMU ON) never came, though later ones did",
        "the marks of booting came out of order: heap, kernel",
        "'SIS Kernel Ready' never came, though the kernel is up",
    )


def test_a_kernel_that_only_prints_yields_marks_and_metrics() -> None:
    profile = from_table({"marks": {"start": "hello"}, "ready": "done", "quiet": 2})
    assert profile.protocol == "metric"
    reader = reader_for(profile)
    assert reader.feed(1 * SECOND, b"hello\nMETRIC boot.time=3 ms\n") == ""
    assert not reader.finished(9 * SECOND)
    assert reader.overdue(3 * SECOND) == (
        "'done' did not come, and nothing was said for 2 s; the last mark was 'start'"
    )
    reader.feed(3 * SECOND, b"done\nMETRIC late=1\n")
    assert not reader.finished(4 * SECOND)
    assert reader.finished(5 * SECOND)
    assert reader.overdue(5 * SECOND) == ""
    reading, statuses = finish(reader)
    assert statuses == {"boot": "pass"}
    assert list(reading.results[0].metrics) == ["boot.time", "late"]
    assert (reading.complete, reading.status, reading.marks, reading.ready) == (
        True,
        "pass",
        {"start": SECOND},
        3 * SECOND,
    )


def test_a_kernel_that_never_falls_silent_has_its_time() -> None:
    reader = reader_for(from_table({"ready": "done", "quiet": 30, "limit": 100}))
    for at in range(100):
        assert not reader.finished(at * SECOND)
        reader.feed(at * SECOND, b"done\n" if at == 9 else b"METRIC tick=1\n")
    assert reader.deadline() == 100 * SECOND
    assert reader.finished(100 * SECOND)
    assert reader.overdue(100 * SECOND) == ""
    assert len(reader.result().results[0].metrics["tick"].values) == 99
    assert reader.result().status == "pass"


def test_a_kernel_that_says_nothing_has_crashed() -> None:
    for name in PROFILES:
        reader = reader_for(PROFILES[name])
        assert reader.feed(1, b"") == ""
        assert finish(reader, "the node ended")[0].status == "crash"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.binary(max_size=30) | st.sampled_from([BOOT, PROMPT, b"TEST PASSED\r\n", b"PANIC\n", b"\x1b["]),
        max_size=12,
    )
)
def test_garbage_never_raises_and_never_passes_what_was_not_run(pieces: list[bytes]) -> None:
    reader = reader_for(SIS)
    typed = "".join(reader.feed(at, piece) for at, piece in enumerate(pieces))
    reading, statuses = finish(reader, "the node ended")
    assert set(statuses) == {"boot", *SIS.tests}
    for name, test in SIS.tests.items():
        if test.typed() not in typed:
            assert statuses[name] == "crash"
        if statuses[name] == "pass":
            assert b"TEST PASSED" in b"".join(pieces)
    assert reader.result() is reading
