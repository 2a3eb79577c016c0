"""A program as the agent runs it, natively: what it says arrives whole, and however it ends is told as it was."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
import pytest
from native import compile_harness, run_harness

from sistasks.guest.plan import Plan
from sistasks.guest.programs import Program

if TYPE_CHECKING:
    from pathlib import Path

# the plan's page comes from standard input; frames go to standard output with their length before them
HARNESS = r"""
#define _GNU_SOURCE
#define PROGRAMS "FOLDER"
#include "plan.c"
#include "clock.c"
#include "test_program.c"

static char memory[PLAN_PAGE];

bool pci_find(struct pci_device *device, unsigned vendor, unsigned id)
{
    (void)device, (void)vendor, (void)id;
    return true;
}

volatile void *pci_map(const struct pci_device *device, int resource, size_t size)
{
    (void)device, (void)resource, (void)size;
    return memory;
}

void channel_bytes(enum frame_type type, const void *data, size_t size)
{
    printf("%d %zu\n", type, size);
    fwrite(data, 1, size, stdout);
}

int main(int count, char **arguments)
{
    struct plan plan;
    char problem[256] = "";
    if (count != 2 || fread(memory, 1, PLAN_PAGE, stdin) != PLAN_PAGE || !plan_open() ||
        !plan_read(&plan, problem, sizeof problem)) {
        return 2;
    }
    if (!program_known(arguments[1])) {
        printf("unknown\n");
        return 0;
    }
    const char *status = test_program(&plan, arguments[1], problem, sizeof problem);
    printf("0 0\n%s %s\n", status, problem);
    return 0;
}
"""

# in the guest PATH is where the programs are, and nothing else
SHELL = "#!/bin/sh\nPATH=$PATH:/usr/bin:/bin\n"


@dataclass
class Said:
    lines: list[str]
    sizes: list[int]
    status: str
    message: str


class Guest:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.harness = compile_harness(folder, HARNESS.replace("FOLDER", str(folder)))

    def page(self, program: Program) -> bytes:
        return Plan(node=3, seed=45, tests=(program.name,), iterations=100, programs=(program,)).page()

    def run(self, script: str, *arguments: str, timeout: float = 60) -> Said:
        path = self.folder / "bench"
        path.write_text(SHELL + script)
        path.chmod(0o755)
        program = Program(name="bench", path=str(path), arguments=arguments, timeout=timeout)
        return self.read(run_harness(self.harness, "bench", stdin=self.page(program)))

    @staticmethod
    def read(output: bytes) -> Said:
        text, sizes = b"", []
        while not output.startswith(b"0 0\n"):
            head, _, rest = output.partition(b"\n")
            kind, size = map(int, head.split())
            assert kind == 10
            assert rest[size - 1 : size] == b"\n", "a frame ends with a line's end"
            sizes.append(size)
            text, output = text + rest[:size], rest[size:]
        status, _, message = output[4:].decode("utf-8", "replace").strip("\n").partition(" ")
        return Said(text.decode("utf-8", "replace").split("\n")[:-1], sizes, status, message)


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Guest:
    return Guest(tmp_path_factory.mktemp("programs"))


def test_its_metric_lines_come_as_it_wrote_them(guest: Guest) -> None:
    said = guest.run(
        "echo hello; echo METRIC a=1; echo ' METRIC b=2'; echo 'METRIC c=3.5 us'; echo METRICS d=4"
    )
    assert said.lines == ["METRIC a=1", "METRIC c=3.5 us"]
    assert (said.status, said.message) == ("pass", "")


def test_it_gets_its_arguments_and_knows_its_node(guest: Guest) -> None:
    script = 'for one in "$@"; do echo "METRIC [$one]"; done; echo METRIC $# $SIS_NODE $SIS_SEED $SIS_ITERATIONS $PWD\n'
    said = guest.run(
        script + "env | cut -d= -f1 | sort | tr '\\n' ' ' >&2; exit 1", "two words", "", "a=b", "ü"
    )
    assert said.lines == [
        "METRIC [two words]",
        "METRIC []",
        "METRIC [a=b]",
        "METRIC [ü]",
        "METRIC 4 3 45 100 /tmp",
    ]
    assert said.message == "exit code 1: HOME PATH PWD SIS_ITERATIONS SIS_NODE SIS_SEED"


def test_its_last_line_says_why_it_failed(guest: Guest) -> None:
    said = guest.run("echo begun; echo METRIC a=1; echo 'no such device' >&2; echo METRIC b=2; exit 3")
    assert (said.status, said.message) == ("fail", "exit code 3: no such device")
    assert said.lines == ["METRIC a=1", "METRIC b=2"]
    assert guest.run("exit 7").message == "exit code 7"


def test_a_signal_is_named(guest: Guest) -> None:
    said = guest.run("echo METRIC a=1; kill -SEGV $$")
    assert (said.status, said.message) == ("fail", "it was killed by signal 11 (Segmentation fault)")
    assert said.lines == ["METRIC a=1"]


@pytest.mark.parametrize(
    "wait", ["sleep 1000", "exec >&- 2>&-; sleep 1000", "trap '' TERM INT; while :; do :; done"]
)
def test_it_is_killed_at_its_limit(guest: Guest, wait: str) -> None:
    said = guest.run(f"echo METRIC a=1; {wait}", timeout=0.3)
    assert (said.status, said.message) == ("fail", "it was still running after 0.3 s and was killed")
    assert said.lines == ["METRIC a=1"]


def test_what_it_leaves_behind_is_ended_and_not_waited_for(guest: Guest) -> None:
    said = guest.run("sleep 1000 & echo METRIC pid=$!")
    assert said.status == "pass"
    number = int(said.lines[0].partition("=")[2])
    try:
        left = psutil.Process(number)
        assert left.name() != "sleep" or left.wait(10) is None
    except psutil.NoSuchProcess:
        pass


def test_a_program_that_cannot_be_started_says_why(guest: Guest) -> None:
    (guest.folder / "script").write_text("#!/nowhere/sh\n")
    (guest.folder / "script").chmod(0o755)
    for name in ("script", "missing"):
        program = Program(name=name, path="x")
        said = guest.read(run_harness(guest.harness, name, stdin=guest.page(program)))
        assert (said.status, said.message) == (
            "fail",
            "exit code 127: it cannot be started: No such file or directory",
        )


def test_only_programs_of_the_plan_are_known(guest: Guest) -> None:
    assert (
        run_harness(guest.harness, "other", stdin=guest.page(Program(name="bench", path="x"))) == b"unknown\n"
    )


def test_a_line_that_is_cut_can_never_be_taken_for_a_number(guest: Guest) -> None:
    said = guest.run("echo METRIC a=$(printf '0.%05000d' 1); echo METRIC b=2")
    assert len(said.lines[0]) == 1024
    assert said.lines[0].endswith("000 [cut]")
    assert said.lines[1:] == ["METRIC b=2"]


def test_whatever_bytes_it_writes_lines_stay_lines(guest: Guest) -> None:
    said = guest.run(
        r"printf 'METRIC a=1\r\nMETRIC\tb=2\nMETRIC \000c\033[31m=3\n\n\nMETRIC d=\377'; printf 'bad\007' >&2; exit 2"
    )
    assert said.lines == ["METRIC a=1", "METRIC b=2", "METRIC ?c?[31m=3", "METRIC d=\ufffd"]
    assert said.message == "exit code 2: bad?"


def test_many_lines_come_in_frames_of_whole_lines(guest: Guest) -> None:
    said = guest.run("seq -f 'METRIC value=%.0f' 1 20000")
    assert said.status == "pass"
    assert said.lines == [f"METRIC value={n}" for n in range(1, 20001)]
    assert max(said.sizes) <= 32000
    assert len(said.sizes) > 5


def test_a_flood_of_lines_fails_and_ends(guest: Guest) -> None:
    said = guest.run("yes 'METRIC value=123456789012345678901234567890' | head -n 120000")
    assert (said.status, said.message) == ("fail", "it wrote more than 4 MiB of METRIC lines")
    assert set(said.lines) == {"METRIC value=123456789012345678901234567890"}


def test_what_else_it_says_goes_to_the_console_with_its_name(guest: Guest) -> None:
    path = guest.folder / "bench"
    path.write_text(SHELL + "echo one; echo METRIC a=1; echo two >&2; seq 1 10000\n")
    path.chmod(0o755)
    page = guest.page(Program(name="bench", path="x"))
    done = subprocess.run([guest.harness, "bench"], input=page, capture_output=True, check=True)
    lines = done.stderr.decode().splitlines()
    assert {"bench: one", "bench: two", "bench: 1"} <= set(lines)
    assert lines[-1] == "bench: said more, which is left out"
    assert len(done.stderr) < 50_000
    assert not re.search(rb"METRIC", done.stderr)
