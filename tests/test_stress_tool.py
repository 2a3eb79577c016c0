"""What stress-ng says, as the agent reads it: failures, want of room, what a kernel lacks, how much it did."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native import compile_harness, run_harness

if TYPE_CHECKING:
    from pathlib import Path

# names of stressors and the report's path are arguments, what it says is standard input
HARNESS = r"""
#define _GNU_SOURCE
#include "stress/tool.c"
#include <stdarg.h>

static uint64_t oom;

static void tell_of(const char *what, const char *format, va_list arguments)
{
    printf("%s ", what);
    vprintf(format, arguments);
    printf("\n");
}

void stress_fail(struct stress *stress, const char *format, ...)
{
    va_list arguments;
    (void)stress;
    va_start(arguments, format);
    tell_of("FAIL", format, arguments);
    va_end(arguments);
}

void stress_remark(struct stress *stress, const char *format, ...)
{
    va_list arguments;
    (void)stress;
    va_start(arguments, format);
    tell_of("REMARK", format, arguments);
    va_end(arguments);
}

void stress_idle(struct stress *stress, const char *stressor)
{
    stress_remark(stress, "%s came to no whole round", stressor);
}

void stress_skip(struct stress *stress, const char *stressor, const char *why)
{
    stress->lacking++;
    printf("SKIP %s %s\n", stressor, why);
}

void stress_rate(struct stress *stress, const char *stressor, double rate)
{
    stress->ran++;
    printf("RATE %s %.3f\n", stressor, rate);
}

uint64_t vmstat(const char *key)
{
    (void)key;
    return oom;
}

bool memory_read(struct memory *memory)
{
    memory->available = 100u << 20;
    return true;
}

bool plan_value(const char *key, char *value, size_t size)
{
    (void)key, (void)value, (void)size;
    return false;
}

pid_t job_start(struct job *job, bool with_output)
{
    (void)job, (void)with_output;
    return 1;
}

/* of a stress-ng that is asked what it has: what it says, and what it ends with */
static const char *answer = "";
static int answer_status;

void job_follow(struct stress *stress, struct job *job)
{
    (void)stress;
    job->status = answer_status;
    if (job->line != NULL && answer[0] != '\0') {
        job->line(job->context, answer);
    }
}

int main(int count, char **arguments)
{
    static struct stress stress = {.test = "stress_x"};
    static struct tool tool = {.stress = &stress};
    char line[sizeof ((struct job *)NULL)->rest];
    char problem[256] = "";
    if (strcmp(arguments[1], "ask") == 0) {
        answer = arguments[2];
        answer_status = atoi(arguments[3]) << 8;
        for (int i = 0; i < 2; i++) { /* an answer is kept, and none is asked for again */
            printf("%s %s\n", ask_names(&stress, problem, sizeof problem) ? "KNOWN" : "PROBLEM", problem);
        }
        return 0;
    }
    oom = (uint64_t)atoi(arguments[1]);
    for (int i = 4; i < count; i++) {
        snprintf(tool.stressors[tool.count++].name, STRESS_NAME, "%s", arguments[i]);
    }
    keep_names(NULL, "cpu vm swap bpf hdd");
    find_known(&tool);
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        said(&tool, line);
    }
    read_report(&tool, arguments[3]);
    struct job job = {.in_time = true, .status = atoi(arguments[2]) << 8};
    if (!judge(&tool, &job, problem, sizeof problem)) {
        printf("PROBLEM %s\n", problem);
    }
    tell(&tool);
    printf("percent %s %s\n", argument_of((char[]){"40%"}, 100u << 20), argument_of((char[]){"4M"}, 100u << 20));
    return 0;
}
"""

REPORT = """---
system-info:
      stress-ng-version: 0.15.06
metrics:
    - stressor: {name}
      bogo-ops: 1180
      bogo-ops-per-second-usr-sys-time: 2097.326620
      bogo-ops-per-second-real-time: {rate}
      wall-clock-time: 1.001075
...
"""


class Tool:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.harness = compile_harness(folder, HARNESS)

    def reads(
        self, said: bytes, *names: str, report: bytes = b"", code: int = 0, oom: bool = False
    ) -> list[str]:
        path = self.folder / "report.yaml"
        path.write_bytes(report)
        words = (str(int(oom)), str(code), str(path), *names)
        *lines, last = run_harness(self.harness, *words, stdin=said).decode(errors="replace").splitlines()
        assert last == "percent 41943040 4M"
        return lines


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Tool:
    return Tool(tmp_path_factory.mktemp("tool"))


def report(name: str, rate: float) -> bytes:
    return REPORT.format(name=name, rate=rate).encode()


def test_how_much_each_did_is_read_from_its_report(tool: Tool) -> None:
    both = report("cpu", 1178.733389) + report("vm", 0.5)
    assert tool.reads(b"", "cpu", "vm", report=both) == ["RATE cpu 1178.733", "RATE vm 0.500"]


@pytest.mark.parametrize(
    "line",
    [
        "stress-ng: fail:  [18475] vm: detected 3 bit errors while stressing memory",
        "stress-ng: error: [12] process 14 (vm) terminated on signal: 11 (Segmentation fault)",
        "stress-ng: warn:  [12] process [14] (stress-ng-vm) terminated on signal: 7 (Bus error)",
    ],
)
def test_what_it_found_wrong_is_a_failure_in_its_words(tool: Tool, line: str) -> None:
    words = line.partition("] ")[2] if "(stress-ng" not in line else line.partition("[12] ")[2]
    found = tool.reads(f"{line}\n".encode(), "vm", report=report("vm", 9.0))
    assert found == [f"FAIL stress-ng: {words}", "RATE vm 9.000"]


@pytest.mark.parametrize(
    "line",
    [
        "stress-ng: fail:  [9] vm: mmap failed, errno=12 (Cannot allocate memory)",
        "stress-ng: fail:  [9] vm: write failed, errno=28 (No space left on device)",
        "stress-ng: warn:  [9] process [14] (vm) was possibly killed by the OOM killer",
        "stress-ng: info:  [9] vm: assuming killed by OOM killer, bailing out (instance 0)",
    ],
)
def test_want_of_room_is_an_outcome_and_no_failure(tool: Tool, line: str) -> None:
    assert tool.reads(f"{line}\n".encode(), "vm") == ["REMARK vm had too little memory"]


def test_want_of_room_is_no_failure_either_by_its_exit_code(tool: Tool) -> None:
    said = b"stress-ng: fail:  [9] vm: write failed, errno=28 (No space left on device)\n"
    assert tool.reads(said, "vm", code=2) == ["REMARK vm had too little memory"]


def test_how_much_memory_it_takes_is_no_reason_to_skip_it(tool: Tool) -> None:
    said = b"stress-ng: info:  [9] vm: using 15.0M per stressor instance (total 15.0M of 99.1M available memory)\n"
    assert tool.reads(said, "vm", report=report("vm", 0.0)) == ["REMARK vm came to no whole round"]


@pytest.mark.parametrize(
    ("answer", "code", "word"),
    [
        ("cpu vm hdd", 0, "KNOWN "),
        ("", 0, "PROBLEM stress-ng does not tell which stressors it has: not a word"),
        (
            "it cannot be started: Exec format error",
            127,
            "PROBLEM stress-ng does not tell which stressors it has: it cannot be started: Exec format error ",
        ),
    ],
)
def test_one_that_does_not_work_is_not_taken_for_one_that_has_nothing(
    tool: Tool, answer: str, code: int, word: str
) -> None:
    assert run_harness(tool.harness, "ask", answer, str(code)).decode().splitlines() == [word, word]


def test_what_the_kernel_lacks_is_skipped_with_its_reason(tool: Tool) -> None:
    said = (
        b"stress-ng: info:  [16908] bpf: cannot open /sys/fs/bpf, no such thing\n"
        b"stress-ng: warn:  [16906] process [16908] (bpf) aborted early, out of system resources\n"
        b"stress-ng: info:  [8] swap stressor will be skipped, need to be running with CAP_SYS_ADMIN rights\n"
    )
    assert tool.reads(said, "bpf", "swap", "warp", report=report("bpf", 0.0)) == [
        "SKIP bpf cannot open /sys/fs/bpf, no such thing",
        "SKIP swap stressor will be skipped, need to be running with CAP_SYS_ADMIN rights",
        "SKIP warp this stress-ng does not have it",
    ]


def test_a_round_that_was_too_long_is_a_remark(tool: Tool) -> None:
    assert tool.reads(b"", "cpu", report=report("cpu", 0.0)) == ["REMARK cpu came to no whole round"]


def test_its_exit_code_counts(tool: Tool) -> None:
    line = b"stress-ng: unrecognized option '--warp'\n"
    (problem, _) = tool.reads(line, "cpu", code=1)
    assert problem == "PROBLEM stress-ng cannot do what was asked: stress-ng: unrecognized option '--warp'"
    (failure, _) = tool.reads(b"", "cpu", report=report("cpu", 1.0), code=2)
    assert failure.startswith("FAIL stress-ng says that a stressor failed")
    assert tool.reads(b"", "cpu", report=report("cpu", 1.0), code=2, oom=True) == ["RATE cpu 1.000"]


PIECES = st.sampled_from(
    ["stress-ng: fail:  [1] ", "stress-ng: info: ", "process ", "(", ")", "vm", "cpu", "stress-ng-", ": ", "] ",
     "terminated on signal: ", "errno=12 ", "    - stressor: ", "bogo-ops-per-second-real-time: ", "\n", "1e999", "%n"]
)  # fmt: skip
SAID = st.lists(st.one_of(PIECES, st.text(string.printable, max_size=40)), max_size=60).map("".join)


@settings(deadline=None)  # each starts a program
@given(SAID.map(str.encode), SAID.map(str.encode) | st.binary(max_size=300))
def test_nothing_that_it_says_breaks_the_agent(tool: Tool, said: bytes, written: bytes) -> None:
    found = tool.reads(said, "cpu", "vm", report=written)
    assert found, "each stressor is told of"
    assert not any("inf" in line or "nan" in line for line in found if line.startswith("RATE"))
