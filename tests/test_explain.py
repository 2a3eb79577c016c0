"""What explains a regression: which runs are compared, and when nothing needs to be played again."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import judged
import numpy as np
import pytest

from sistasks.explain_steps import Explanation, explain
from sistasks.history.profiles import COLUMNS, Functions, ProfileRecord
from sistasks.layout import Layout
from sistasks.settings import resolve
from sistasks.terminal import Terminal
from sistasks.verdicts.baseline import open_history

if TYPE_CHECKING:
    from pathlib import Path


def _run(db: Path, instructions: int, *, seed: int = 1, node: int = 1, counted: bool = True) -> int:
    """A run whose one function executed so much."""
    counts = {column: np.array([instructions], dtype=np.int64) for column in COLUMNS}
    profile = ProfileRecord(
        node=node, test="context_switch", phase="context_switch", metrics=(judged.SWITCH,),
        functions=Functions(("schedule",), **counts),
    )  # fmt: skip
    return judged.write(
        db, {judged.SWITCH: [float(instructions)]}, seed=seed, profiles=(profile,) if counted else ()
    )


def _explained(db: Path, head: int, *others: int) -> Explanation | str:
    settings = resolve({"db": str(db), "output": str(db.parent / "target")})
    with (
        open_history(db) as history,
        Terminal(settings, Layout(settings.output), io.StringIO()) as terminal,
    ):
        return explain(history.run(head), [history.run(one) for one in others], settings, terminal)


def test_runs_that_are_counted_need_no_kernel_any_more(tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    base, head = _run(db, 6000), _run(db, 9000)
    found = _explained(db, head, base)
    assert isinstance(found, Explanation), found
    (phase,) = found.phases
    assert [(one.function, one.share) for one in phase.functions] == [("schedule", 1.0)]
    assert phase.head == pytest.approx(1.5 * phase.base)


def test_a_run_of_another_seed_explains_nothing(tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    same, other, head = _run(db, 6000), _run(db, 7000, seed=2), _run(db, 9000)
    found = _explained(db, head, other, same)
    assert isinstance(found, Explanation), found
    assert found.base.id == same
    assert _explained(db, head, other) == "no run of the baseline has seed=1"


def test_nodes_that_are_not_the_same_are_not_compared(tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    base, head = _run(db, 6000, node=2), _run(db, 9000)
    assert _explained(db, head, base) == f"runs {base} and {head} have nothing in common that was counted"


def test_what_must_be_played_again_and_cannot_is_told_in_a_sentence(tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    base, head = _run(db, 6000, counted=False), _run(db, 9000)
    found = _explained(db, head, base)
    assert isinstance(found, str)
    assert found
