"""Real kernels counted: nothing is moved by it, it repeats, and it names what got slower."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from guest_project import DODO, SMALL, Project, rows

from sistasks.guest.plan import SYMBOLS
from sistasks.history.profiles import COLUMNS, profiles_of
from sistasks.kinds import host_arch
from sistasks.machine.arch import ARCHES
from sistasks.tools import find_compiler

if TYPE_CHECKING:
    from sistasks.history.profiles import ProfileRecord

pytestmark = pytest.mark.guest

PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
static volatile unsigned long sink;
__attribute__((noinline)) void steady(void) { for (int i = 0; i < 5000; i++) sink += i; }
__attribute__((noinline)) void planted(void) { for (int i = 0; i < TURNS; i++) sink += i; }
int main(void)
{
    for (int i = 0; i < atoi(getenv("SIS_ITERATIONS")); i++) { steady(); planted(); }
    printf("METRIC done=1\n");
}
"""


@pytest.fixture(scope="module")
def measured(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Runs 1 and 2 of one kernel, uncounted and counted; 3 counted again; 4 of one that clears what it allocates."""
    folder = tmp_path_factory.mktemp("profiles")
    (folder / "dodo.py").write_text(DODO)
    mine = Project(folder)
    mine.take_build(project)
    for more in (
        ("arguments=init_on_alloc=0",),
        ("arguments=init_on_alloc=0", "profile=yes"),
        ("arguments=init_on_alloc=0", "profile=yes", "runs=2"),
        ("arguments=init_on_alloc=1",),
    ):
        done = mine.doit("performance", *SMALL, "nodes=1", *more)
        assert done.returncode == 0, done.stdout + done.stderr
    return mine


def _samples(project: Project, run: int) -> dict[str, bytes]:
    found = rows(project.folder / "results.db", "SELECT run_id, metric, data FROM samples")
    return {metric: data for number, metric, data in found if number == run and "/" not in metric}


def _columns(found: list[ProfileRecord]) -> dict[tuple[str, str], list[object]]:
    return {
        (profile.test, profile.phase): [
            profile.functions.names,
            # QEMU cuts a block in two where the host interrupts it: the same instructions, one block more
            *(getattr(profile.functions, column).tolist() for column in COLUMNS if column != "blocks"),
        ]
        for profile in found
    }


def test_counting_moves_no_sample_and_counts_the_same_again(measured: Project) -> None:
    assert _samples(measured, 1) == _samples(measured, 2) == _samples(measured, 3)
    db = measured.folder / "results.db"
    first, second = profiles_of(db, 2), profiles_of(db, 3)
    assert _columns(first) == _columns(second)
    phases = {profile.phase: profile.functions for profile in first}
    assert phases.keys() == {"context_switch", "memory_pages", "memory_small", "inference", "throughput"}
    switch = dict(zip(phases["context_switch"].names, phases["context_switch"].calls.tolist(), strict=True))
    # each sample is two switches, two writes and two reads
    assert switch["pipe_write"] == switch["pipe_read"] == 200
    assert switch["__schedule"] >= 200
    inference = phases["inference"]
    in_user = sum(
        count
        for name, count in zip(inference.names, inference.instructions.tolist(), strict=True)
        if name.startswith("user:")
    )
    assert in_user > 0.99 * inference.total("instructions")


def test_the_gate_names_the_function_that_got_slower(measured: Project) -> None:
    done = measured.doit("gate", *SMALL, "nodes=1", "arguments=init_on_alloc=1")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "counting what run 4 (debian init_on_alloc=1) executes" in done.stdout
    title = "throughput.rate, throughput.sustained: "
    table = done.stdout.partition(title)[2]
    assert table, done.stdout
    first = table.splitlines()[4].split()
    # the kernel clears what it allocates
    assert first[0] in {"__memset", "memset", "memset_orig", "memset_erms", "__pi_memset"}, table
    assert float(first[-3].rstrip("%")) > 80, table
    again = measured.doit("compare", "profile=yes", "base=1", "head=4")
    assert "run 1 has no profile: doit performance profile=yes counts" in again.stdout
    assert title in measured.doit("compare", "profile=yes", "base=3", "head=4").stdout


def test_what_a_program_does_longer_is_blamed_on_the_program(measured: Project) -> None:
    program = measured.folder / "bench"
    (measured.folder / "bench.c").write_text(PROGRAM)
    (measured.folder / "pyproject.toml").write_text(
        f'[tool.sistasks.programs.bench]\npath = "{program}"\nmetrics = ["done"]\n'
    )
    for turns in (5000, 5100):
        command = [*find_compiler(ARCHES[host_arch()]), "-O2", "-static", f"-DTURNS={turns}"]
        subprocess.run([*command, "-o", str(program), "bench.c"], cwd=measured.folder, check=True)
        done = measured.doit("programs", *SMALL, "nodes=1", "profile=yes", "arguments=init_on_alloc=0")
        assert done.returncode == 0, done.stdout + done.stderr
    done = measured.doit("compare", "profile=yes", "base=5", "head=6")
    table = done.stdout.partition("instructions a sample")[2]
    first = table.splitlines()[4].split()
    assert first[0] == "user:planted", done.stdout + done.stderr


def test_a_run_whose_symbols_cannot_be_read_is_kept_without_its_profile(measured: Project) -> None:
    for folder in (measured.folder / "target/testing/templates").iterdir():
        (folder / SYMBOLS).unlink(missing_ok=True)
        (folder / SYMBOLS).mkdir()  # in the way of what the kernel tells
    words = ("arguments=init_on_alloc=0", "profile=yes", "seed=7")
    done = measured.doit("performance", *SMALL, "nodes=1", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "node 1: measured, and no profile is kept: Is a directory: " in done.stdout
    db = measured.folder / "results.db"
    ((number, status, metrics),) = rows(
        db,
        "select id, status, count(*) from runs join samples on run_id = runs.id where seed = 7 group by 1, 2",
    )
    assert (status, metrics) == ("ok", 7)
    assert profiles_of(db, number) == []


def test_where_nothing_can_be_counted_one_sentence_says_why(measured: Project) -> None:
    for more, why in (("clock=wall", "the virtual clock"), ("clone=no", "clones of a template")):
        done = measured.doit("performance", *SMALL, "nodes=1", "profile=yes", more)
        assert done.returncode == 3, done.stdout + done.stderr
        assert f"counting needs {why}" in done.stderr
