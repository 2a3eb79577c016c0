"""Fuzzing real kernels: a hole that an argument plants is found, found again, and played again by its number."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from guest_project import DODO, Project, rows

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.guest

SUITE = DODO + "from sistasks.extend import suite\nsuite('fuzzed', tests=['fuzzing'], iterations=1)\n"
CRASHES = "SELECT node, kind, title, reproducer FROM crashes ORDER BY node, id"
MESSAGES = "SELECT node, status, message FROM results ORDER BY node"
FAULT = "arguments=sistasks.fault=sysrq"


@dataclass(frozen=True)
class Fuzzed:
    """A project whose suite is fuzzing alone, and a history of it with a planted fault."""

    project: Project
    db: Path

    def doit(self, task: str, *words: str, db: Path | None = None) -> tuple[int, str]:
        given = () if any(word.startswith("memory=") for word in words) else ("memory=128M",)
        asked = ("-f", "fuzzed.py", task, "dumps=no", f"db={db or self.db}", *given, *words)
        done = self.project.doit(*asked)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def fuzzed(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Fuzzed:
    (project.folder / "fuzzed.py").write_text(SUITE)
    made = Fuzzed(project, tmp_path_factory.mktemp("fuzzed") / "results.db")
    code, said = made.doit("fuzzed", "nodes=2", FAULT)
    assert code == 1, said
    return made


def test_what_was_found_once_is_found_every_time(fuzzed: Fuzzed, tmp_path: Path) -> None:
    crashes = rows(fuzzed.db, CRASHES)
    assert crashes
    assert {kind for _, kind, _, _ in crashes} <= {"panic", "reboot", "power_off"}
    for node, _, _, reproducer in crashes:
        assert re.fullmatch(rf"seed={1 + node} first=1 episode=\d+ calls=1000", reproducer)
    again = tmp_path / "again.db"
    code, said = fuzzed.doit("fuzzed", "nodes=2", FAULT, db=again)
    assert code == 1, said
    assert rows(again, CRASHES) == crashes
    assert rows(again, MESSAGES) == rows(fuzzed.db, MESSAGES)


def test_a_crash_is_played_again_by_its_number(fuzzed: Fuzzed) -> None:
    """The argument is the kernel's own: it is known from the run."""
    before = rows(fuzzed.db, "SELECT count(*) FROM runs")
    code, said = fuzzed.doit("reproduce", "crash=1")
    assert code == 0, said
    ((title,),) = rows(fuzzed.db, "SELECT title FROM crashes WHERE id = 1")
    assert f"crash 1 came again, in its episode alone: {title}; see " in said
    assert rows(fuzzed.db, "SELECT count(*) FROM runs") == before


def test_a_crash_that_does_not_come_again(fuzzed: Fuzzed, tmp_path: Path) -> None:
    other = copy(fuzzed.db, tmp_path / "other.db", "UPDATE crashes SET title = 'BUG: another' WHERE id = 1")
    code, said = fuzzed.doit("reproduce", "crash=1", db=other)
    assert code == 1, said
    ((title,),) = rows(fuzzed.db, "SELECT title FROM crashes WHERE id = 1")
    assert f"crash 1 did not come again: BUG: another; instead came: {title}; see " in said


def test_other_settings_are_refused(fuzzed: Fuzzed) -> None:
    code, said = fuzzed.doit("reproduce", "crash=1", "memory=160M")
    assert code == 3
    assert "the settings are not those of run 1: memory_bytes was 134217728 and is 167772160" in said


def test_a_kernel_that_is_gone(fuzzed: Fuzzed, tmp_path: Path) -> None:
    gone = ("DELETE FROM artifacts", "UPDATE kernels SET id = 'old'", "UPDATE runs SET kernel_id = 'old'")
    other = copy(fuzzed.db, tmp_path / "gone.db", *gone)
    code, said = fuzzed.doit("reproduce", "crash=1", db=other)
    assert code == 2
    assert "the kernel and the guest of run 1 are no longer at hand; build " in said


def test_without_the_fault_the_kernel_lives(fuzzed: Fuzzed, tmp_path: Path) -> None:
    db = tmp_path / "sound.db"
    code, said = fuzzed.doit("fuzzed", "nodes=1", db=db)
    assert code == 0, said
    ((status, message),) = rows(db, "SELECT status, message FROM results")
    assert status == "pass"
    accepted = re.search(
        r"^20 episodes, 0 cut short; of 20000 calls, of \d+ kinds, (\d+) were accepted; ", message
    )
    assert accepted
    assert 2000 < int(accepted[1]) < 18000, (
        "a grammar that is always refused, or refused nothing, tries little"
    )
    assert rows(db, "SELECT count FROM summaries WHERE metric = 'fuzzing.rate'") == [(1,)]
    assert rows(db, CRASHES) == []


def copy(source: Path, target: Path, *statements: str) -> Path:
    """A history like another, but for what the statements change."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
        parameters: Any = ()
        for statement in statements:
            new.execute(statement, parameters)
        new.commit()
    return target
