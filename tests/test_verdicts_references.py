from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from history_records import environment
from judged import SWITCH, kernel_id, write

from sistasks.errors import UsageError
from sistasks.verdicts.baseline import MOST_RUNS, open_history
from sistasks.verdicts.references import before, find

if TYPE_CHECKING:
    from pathlib import Path

SAME = {SWITCH: [1000.0]}


@pytest.fixture
def db(tmp_path: Path) -> Path:
    path = tmp_path / "results.db"
    write(path, SAME, "first", session="one")
    write(path, SAME, "second", session="two", suite="boot")
    write(path, SAME, "second", session="two")
    write(path, SAME, "second", session="two", status="failed")
    write(path, SAME, "third", session="three", environment=environment(boot="uefi"))
    return path


def found(db: Path, text: str) -> list[int]:
    with open_history(db) as history:
        return [run.id for run in find(history, text)]


def test_what_a_run_may_be_called(db: Path) -> None:
    assert found(db, "4") == [4], "that very run, whatever its status"
    assert found(db, "latest") == [2, 5]
    assert found(db, "first") == [1]
    assert found(db, "two") == [2, 3]
    assert found(db, "second") == [2, 3]
    assert found(db, kernel_id("third")[:12]) == [5]
    assert found(db, kernel_id("third")) == [5]


@pytest.mark.parametrize("text", ["9", "99999999999999999999999999", "no such", "abcdef", "'", "%", "1e3"])
def test_what_names_nothing(db: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"is (no run|not in the history)"):
        found(db, text)


def test_digits_that_begin_several_kernels(db: Path) -> None:
    beginnings: dict[str, str] = {}
    for number in range(30_000):
        name = f"k{number}"
        other = beginnings.setdefault(kernel_id(name)[:6], name)
        if other != name:
            break
    write(db, SAME, name)
    write(db, SAME, other)
    with pytest.raises(UsageError, match="begins several kernels"):
        found(db, kernel_id(name)[:6])
    assert found(db, kernel_id(name)[:20]) == [6]


def test_an_older_suite_is_found_behind_many_runs_of_another(db: Path) -> None:
    for _ in range(MOST_RUNS + 1):
        write(db, SAME, "second", session="two")
    assert found(db, "second")[0] == 2
    assert found(db, "latest") == [2, 5 + MOST_RUNS + 1]


def test_the_run_before(db: Path) -> None:
    last = write(db, SAME, "fourth")
    with open_history(db) as history:
        found = before(history, history.run(last))
        assert found is not None
        assert found.id == 3
        assert before(history, history.run(1)) is None
