"""Fresh boots that fail while a suspicion is looked into: some are borne, and too many decide nothing."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

import pytest
from guest_project import SMALL, Project, nodes_of, rows
from suspicions import NEWEST, suspect

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.guest

# counts the starts of nodes, and fails those whose numbers are in a file beside it
WRAPPER: Final = """#!/bin/sh
case "$*" in
*sistasks-*) ;;
*) exec {qemu} "$@" ;;
esac
{{
    flock 9
    number=$(($(cat "$0.started") + 1))
    # a node that is ended in between must not leave an empty file: the count would begin anew
    echo $number >"$0.counted" && mv "$0.counted" "$0.started"
}} 9>"$0.lock"
if grep -qx $number "$0.failing"; then
    echo "this start was told to fail" >&2
    exit 1
fi
exec {qemu} "$@"
"""


@pytest.fixture
def wrapper(tmp_path: Path) -> Path:
    """A QEMU that fails on demand."""
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None:
        pytest.skip("the wrapper is for x86_64")
    program = tmp_path / "qemu"
    program.write_text(WRAPPER.format(qemu=qemu))
    program.chmod(0o755)
    fail(program)
    return program


def fail(wrapper: Path, *starts: int) -> None:
    """From now on these starts of nodes fail, counted from 1."""
    wrapper.with_name("qemu.started").write_text("0\n")
    wrapper.with_name("qemu.failing").write_text("".join(f"{start}\n" for start in starts))


def started(wrapper: Path) -> int:
    return int(wrapper.with_name("qemu.started").read_text())


def test_boots_that_fail_are_made_up_for_and_too_many_decide_nothing(
    project: Project, tmp_path: Path, wrapper: Path
) -> None:
    db = tmp_path / "results.db"
    known = (f"db={db}", f"qemu={wrapper}", "nodes=2", "clock=wall", "cpus=1", "clone=no", *SMALL)
    for arguments in ("quiet", "quiet nothing.at_all=1"):
        done = project.doit("performance", *known, f"arguments={arguments}")
        assert done.returncode == 0, done.stdout + done.stderr
    suspect(db)

    fail(wrapper)
    none = project.doit("gate", *known, f"arguments={arguments}", "confirm=0")
    assert none.returncode == 0, none.stdout + none.stderr
    why = "flagged, but not confirmed: it takes 6 pairs, and confirm=0 allows none"
    assert rows(db, NEWEST) == [("unsure", None, why)]
    assert started(wrapper) == 0

    fail(wrapper, 3, 6)
    borne = project.doit("gate", *known, f"arguments={arguments}", limit=280)
    assert borne.returncode == 0, borne.stdout + borne.stderr
    assert "confirming with 6 pairs of fresh boots of both kernels, about " in borne.stdout
    ((outcome, confirmed, reason),) = rows(db, NEWEST)
    assert (outcome, confirmed) == ("same", 0), reason
    assert reason.startswith("flagged, not confirmed by 6 pairs of fresh boots: ")
    # the other one of a pair that fails may not have been started
    assert 2 * 6 + 2 <= started(wrapper) <= 2 * 6 + 4

    fail(wrapper, *range(2, 100))
    many = project.doit("gate", *known, f"arguments={arguments}", limit=280)
    assert many.returncode == 0, many.stdout + many.stderr
    ((outcome, confirmed, reason),) = rows(db, NEWEST)
    assert (outcome, confirmed) == ("unsure", None), reason
    assert reason.startswith("flagged, but not confirmed: a fresh boot failed: node ")
    assert "QEMU ended" in reason
    assert reason in many.stdout.replace("\n", " ")
    assert started(wrapper) <= 6, "three failures are enough to know"
    assert nodes_of(project.folder) == []
    assert not list(project.folder.glob("target/testing/run/*"))
    strict = project.doit("gate", *known, f"arguments={arguments}", "strict=yes", limit=280)
    assert strict.returncode == 1
