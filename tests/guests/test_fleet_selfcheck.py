"""The self-check of a fleet: real workers that agree, one whose clock is another in secret, one with another QEMU."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from fleet_processes import fleet
from guest_project import SMALL, Project, rows

from sistasks.history.read import samples_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from fleet_processes import Fleet

pytestmark = pytest.mark.guest
pytest.importorskip("distributed")

# says what QEMU says, and counts two nanoseconds for an instruction
SKEWED = """for one; do
    shift
    case $one in shift=0,*) one=shift=1,${one#*,} ;; esac
    set -- "$@" "$one"
done
"""
# says that it is another one
NEWER = 'case $1 in --version) echo "QEMU emulator version 7.2.999"; exit ;; esac\n'


@pytest.fixture(scope="module")
def made(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    # one freezes no template: the others are compared with what was frozen by the project itself
    (folder / "one").mkdir()
    (folder / "one/templates").symlink_to(project.folder / "target/testing/templates")
    with fleet(folder, "one") as found:
        yield found


def wrapper(path: Path, words: str) -> str:
    """A QEMU with something before it."""
    qemu = shutil.which("qemu-system-x86_64")
    assert qemu is not None
    path.write_text(f'#!/bin/sh\n{words}exec {qemu} "$@"\n')
    path.chmod(0o755)
    return str(path)


def selfcheck(
    project: Project, made: Fleet, db: Path, *more: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """What came of it, and what it said on standard output, line by line."""
    asked = ("selfcheck", *SMALL, "nodes=1", f"db={db}", f"cluster={made.address}", *more)
    done = project.doit(*asked, limit=180)
    assert "Traceback" not in done.stdout + done.stderr
    return done, done.stdout.splitlines()


def line_of(worker: str, said: list[str]) -> list[str]:
    """Its line in the table: environment, QEMU, …"""
    (found,) = [line.split() for line in said if line.split()[:1] == [worker] and "virtual" in line]
    return found[1:]


def test_one_worker_has_nobody_to_be_compared_with(project: Project, made: Fleet, tmp_path: Path) -> None:
    done, _ = selfcheck(project, made, tmp_path / "results.db")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "worker one (tcp://127.0.0.1:" in done.stderr
    assert "is alone, and one run has nothing to be compared with; start another worker" in done.stderr
    assert rows(tmp_path / "results.db", "select * from runs") == []


def test_workers_of_one_environment_agree_to_the_bit(project: Project, made: Fleet, tmp_path: Path) -> None:
    made.work("two")
    db = tmp_path / "results.db"
    done, said = selfcheck(project, made, db)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = rows(db, "select status, environment_id, kernel_id, inputs_sha256 from runs")
    assert len(runs) == 2
    assert len(set(runs)) == 1
    assert line_of("one", said)[0] == runs[0][1][:12]
    assert " ".join(line_of("one", said)).endswith("identical to two")
    assert " ".join(line_of("two", said)).endswith("identical to one")
    first, second = (
        rows(db, f"select node, metric, count, data from samples where run_id = {run} order by 1, 2")  # noqa: S608 - our own numbers
        for run in (1, 2)
    )
    assert first == second
    series, samples = 2 * len(first), 2 * sum(row[2] for row in first)
    assert said[-1] == (
        f"selfcheck: environment {runs[0][1][:12]}: 2 runs on 2 workers are identical to the bit, virtual clock: "
        f"{series} series, {samples} samples compared"
    )
    assert series == 14


def test_a_worker_that_only_says_that_it_is_the_same_is_named(
    project: Project, made: Fleet, tmp_path: Path
) -> None:
    made.work("skewed", SIS_QEMU_PATH=wrapper(tmp_path / "skewed", SKEWED))
    made.work("newer", SIS_QEMU_PATH=wrapper(tmp_path / "newer", NEWER))
    db = tmp_path / "results.db"
    done, said = selfcheck(project, made, db)
    assert done.returncode == 2, done.stdout + done.stderr
    environments = rows(db, "select environment_id, count(*) from runs group by 1 order by 2 desc")
    assert [count for _, count in environments] == [3, 1], done.stdout + done.stderr
    (ours, _), (other, _) = environments
    numbers = [number for (number,) in rows(db, f"select id from runs where environment_id = '{ours}'")]  # noqa: S608 - our own
    assert "worker skewed (tcp://127.0.0.1:" in done.stderr
    assert f"measures something else than the others of environment {ours[:12]}; " in done.stderr
    assert "worker one" not in done.stderr
    assert "newer" not in done.stderr
    assert " ".join(line_of("one", said)).endswith("identical to two; differs from skewed")
    assert " ".join(line_of("skewed", said)).endswith("differs from one, two")
    assert line_of("newer", said)[:2] == [other[:12], "7.2.999"]
    assert " ".join(line_of("newer", said)).endswith("with nobody's: no other is in this environment")
    # the first sample that differs is what the history has
    noted = rows(db, "select run_id, metric, text from annotations where kind = 'selfcheck'")
    ((run, metric, words),) = noted
    values = {one: int(samples_of(db, one, 1, metric)[0]) for one in numbers}
    slow = values.pop(run)
    ((reference, fast), (_, same)) = values.items()
    assert slow > 1.5 * fast == 1.5 * same
    if f"from run {reference};" not in words:
        (reference,) = values.keys() - {reference}
    assert words == (
        f"7 of 7 series differ from run {reference}; the first is {metric} on node 1, sample 1: {slow} ns, and there "
        f"{fast} ns"
    )
    assert any(one.startswith("worker skewed (") and one.endswith(f", run {run}: {words}") for one in said)
    assert f"; compare run {run} with no others" in done.stderr
    assert "runs of different environments are never compared" in said
