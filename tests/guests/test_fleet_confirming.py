"""A suspicion is looked into where its run was measured: pairs of fresh boots on workers of the same environment."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest
from fleet_processes import fleet
from guest_project import SMALL, Project, rows
from running import running
from suspicions import NEWEST, suspect

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.guest
pytest.importorskip("distributed")

# another version of QEMU makes another environment
OTHER = """#!/bin/sh
case "$*" in
--version) echo "QEMU emulator version 99.8.7" ;;
*) exec {qemu} "$@" ;;
esac
"""


def test_pairs_are_measured_by_workers_of_the_run_s_environment_and_by_no_other(
    project: Project, tmp_path: Path
) -> None:
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None:
        pytest.skip("the wrapper is for x86_64")
    program = tmp_path / "qemu"
    program.write_text(OTHER.format(qemu=qemu))
    program.chmod(0o755)
    db = tmp_path / "results.db"
    with fleet(tmp_path) as made:
        for name in ("first", "second"):
            made.work(name, SIS_QEMU_PATH=str(program))
        known = (f"db={db}", "nodes=2", "clock=wall", "cpus=1", "clone=no", *SMALL, f"cluster={made.address}")
        for arguments in ("quiet", "quiet nothing.at_all=1"):
            done = project.doit("performance", *known, f"arguments={arguments}")
            assert done.returncode == 0, done.stdout + done.stderr
        versions = rows(
            db, "select qemu_version from environments join runs on environment_id = environments.id"
        )
        assert {version for (version,) in versions} == {"99.8.7"}, "not of this machine"
        suspect(db)
        made.work("here")

        gate = ("gate", *known, f"arguments={arguments}")
        with running(project, project.command(*gate)) as session:
            session.until("pair 3 of 6: from worker ")
            made.workers["second"].kill()
            assert session.end() == 0, session.said
        assert "confirming with 6 pairs of fresh boots of both kernels on 2 workers, about " in session.said
        ((outcome, confirmed, reason),) = rows(db, NEWEST)
        assert (outcome, confirmed) == ("same", 0), reason
        measured = re.findall(r"pair (\d+) of 6: from worker (\w+)", session.said)
        assert [int(number) for number, _ in measured] == [1, 2, 3, 4, 5, 6], session.said
        assert {name for _, name in measured} == {"first", "second"}

        made.workers["first"].kill()
        made.workers["first"].wait()
        alone = project.doit(*gate)
        assert alone.returncode == 0, alone.stdout + alone.stderr
        ((outcome, confirmed, reason),) = rows(db, NEWEST)
        assert (outcome, confirmed) == ("unsure", None)
        assert reason == (
            f"flagged, but not confirmed: no worker of {made.address} has that run's environment"
        )
