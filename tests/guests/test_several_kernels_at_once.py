"""Two kernels in one command: each measured, named, judged by its own history, and compared with the other."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from guest_project import SMALL, rows

if TYPE_CHECKING:
    from guest_project import Project

pytestmark = pytest.mark.guest

TABLE = """
[tool.sistasks.kernels.{name}]
kind = "file"
image = "{name}.img"
arguments = "init_on_alloc={value}"
"""
ASKED = (*SMALL, "nodes=1", "clone=no", "clock=virtual", "kernel=quick,costly")


@pytest.fixture(scope="module")
def two(project: Project, apart: Project) -> Project:
    """A project with two kernels: one image, which with another argument is another kernel."""
    image = next(project.folder.glob("target/testing/build/kernels/**/vmlinuz*"))
    for name in ("quick", "costly"):
        shutil.copy(image, apart.folder / f"{name}.img")
    modules = image.parent.parent / "lib/modules"
    if modules.is_dir():
        (apart.folder / "lib").mkdir()
        (apart.folder / "lib/modules").symlink_to(modules)
    table = "".join(TABLE.format(name=name, value=value) for value, name in enumerate(("quick", "costly")))
    (apart.folder / "pyproject.toml").write_text(table)
    return apart


def test_one_that_is_not_there_is_refused_before_anything_is_built(two: Project) -> None:
    done = two.doit("performance", "kernel=quick,cosly")
    assert done.returncode == 3
    assert (done.stdout, done.stderr) == (
        "", "kernels: kernel=cosly: no such kernel, no such file; did you mean 'costly'?\n",
    )  # fmt: skip


def test_each_is_measured_and_judged_by_its_own_history(two: Project) -> None:
    db = two.folder / "results.db"
    done = two.doit("performance", *ASKED, "quiet=yes")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    said = done.stdout.splitlines()
    for name in ("quick", "costly"):
        assert any(line.startswith(f"performance {name}: ok, ") for line in said), done.stdout
    assert said[-2:] == ["quick: done", "costly: done"]
    first, second = (
        name
        for (name,) in rows(
            db, "select name from kernels join runs on kernels.id = kernel_id order by runs.id"
        )
    )
    gate = two.doit("gate", *ASKED, "strict=yes")
    assert (gate.returncode, gate.stdout.count("has no baseline yet")) == (0, 2), gate.stdout + gate.stderr
    # another build of the one that was measured first: the newest run is the other kernel's
    with (two.folder / f"{first.split()[0]}.img").open("ab") as image:
        image.write(bytes(16))
    again = two.doit("performance", *ASKED)
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"performance:{second.split()[0]}: up to date" in again.stdout
    gate = two.doit("gate", *ASKED, "strict=yes")
    assert gate.returncode == 0, gate.stdout + gate.stderr
    assert f"run 3 ({first}) against run 1 ({first})" in gate.stdout
    assert rows(db, "select distinct run_id, outcome from verdicts") == [(3, "same")], gate.stdout


def test_they_are_compared_where_that_is_asked(two: Project) -> None:
    done = two.doit("compare", "base=quick", "head=costly")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "(costly init_on_alloc=1) against run" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(" memory_allocation.latency  ")]
    assert "! worse" in line
