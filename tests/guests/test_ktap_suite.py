"""`doit ktap`: what a kernel or its init prints as KTAP, as rows of the history."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from guest_project import Project, rows

from sistasks.guest.initramfs import character_device, file, pack

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.guest

PROGRAM = r"""
#include <stdio.h>
#include <sys/reboot.h>
#include <unistd.h>

int main(void)
{
    fputs(TEXT, stdout);
    fflush(stdout);
    sleep(1);
    reboot(RB_POWER_OFF);
    return 0;
}
"""
WHOLE = """KTAP version 1
1..2
    KTAP version 1
    # Subtest: list
    1..2
    ok 1 add
    ok 2 cut # SKIP nothing to cut
ok 1 list
ok 2 alone
"""


def kernel_of(project: Project, tmp_path: Path, text: str) -> Project:
    """A project whose kernel is the distribution's with an init that prints a text."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("the init takes a compiler of this machine")
    image = next(project.folder.glob("target/testing/build/kernels/**/vmlinuz*"))
    folder = tmp_path / "mine"
    folder.mkdir()
    literal = '"' + text.replace("\n", "\\n") + '"'
    (folder / "init.c").write_text(PROGRAM)
    subprocess.run(
        [compiler, "-static", "-O2", f"-DTEXT={literal}", "-o", folder / "init", folder / "init.c"],
        check=True,
    )
    (folder / "init.cpio").write_bytes(
        pack(
            [
                file("init", (folder / "init").read_bytes(), executable=True),
                character_device("dev/console", 5, 1),
            ]
        )
    )
    (folder / "dodo.py").write_text("from sistasks.tasks import *\n")
    (folder / "pyproject.toml").write_text(f"""
[tool.sistasks.kernels.mine]
kind = "file"
image = "{image}"
initramfs = "init.cpio"
console = {{protocol = "ktap"}}
""")
    return Project(folder)


def test_ktap_becomes_results(project: Project, tmp_path: Path) -> None:
    mine = kernel_of(project, tmp_path, WHOLE)
    done = mine.doit("ktap", "kernel=mine", "memory=128M")
    assert done.returncode == 0, done.stdout + done.stderr
    db = mine.folder / "results.db"
    assert dict(rows(db, "select test, status from results")) == {
        "list/add": "pass", "list/cut": "skip", "alone": "pass",
    }  # fmt: skip
    assert rows(db, "select suite, status, nodes from runs") == [("ktap", "ok", 1)]


def test_a_plan_that_is_not_fulfilled_is_a_crash(project: Project, tmp_path: Path) -> None:
    mine = kernel_of(project, tmp_path, WHOLE.replace("ok 2 alone\n", ""))
    done = mine.doit("ktap", "kernel=mine", "memory=128M")
    assert done.returncode == 1, done.stdout + done.stderr
    found = dict(rows(mine.folder / "results.db", "select test, status from results"))
    assert found["list/add"] == "pass"
    assert "fail" in found.values()
