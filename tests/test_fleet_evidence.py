"""Large evidence stays on the worker where it arose until it is asked for: a real scheduler and a real worker."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import history_records
import pytest
from fleet_processes import fleet
from guest_project import DODO, Project

from sistasks.evidence.artifacts import Store
from sistasks.evidence.places import Place
from sistasks.evidence.records import Evidence
from sistasks.history.store import write_run

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = "0" * 64
pytest.importorskip("distributed")


def test_what_stayed_on_a_worker_is_brought_when_it_is_asked_for(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dodo.py").write_text(DODO)
    core = tmp_path / "core"
    core.write_bytes(bytes(1 << 20) + b"the end")
    row = Store(tmp_path / "far/artifacts").put(
        Evidence(node=1, kind="core_dumps", path=core, name="vm.core")
    )
    lost = dataclasses.replace(row, path=Place("core_dumps", NOBODY, ".core", True).path, sha256=NOBODY)
    run = dataclasses.replace(history_records.run(), artifacts=(row, lost))
    write_run(home / "results.db", history_records.session(), run, history_records.METRICS)
    with fleet(tmp_path, "far") as made:
        done = Project(home).doit("artifacts", "run=1", f"cluster={made.address}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{lost.path} is on no worker of {made.address}" in done.stdout
    with Store(home / "target/testing/artifacts").open(row) as file:
        assert file.read() == core.read_bytes()
