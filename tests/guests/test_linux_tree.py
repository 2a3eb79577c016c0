"""A real Linux tree: built, booted, measured and judged; then one changed file.

Takes minutes of all processors, so it asks for a tree: `LINUX_TREE=/path pytest tests/guests/test_linux_tree.py`
(`doit kernel kernel=source` leaves one below target/testing/build/kernels/sources). The tree is only read.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from guest_project import DODO, SMALL, Project, rows

from sistasks.kinds import host_arch

TREE = os.environ.get("LINUX_TREE", "")
ENTRY = '[tool.sistasks.kernels.mine]\nkind = "tree"\npath = "linux"\nconfig = "my.config"\n'
ASKED = ("nodes=2", "kernel=mine", "clock=virtual", *SMALL)
# the start of what runs at each context switch
SCHEDULE = "static void __sched notrace __schedule("
SLOWER = "\tfor (volatile int spin = 0; spin < 300; spin++)\n\t\t;\n"

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(not TREE, reason="set LINUX_TREE to a Linux tree to build it"),
    pytest.mark.timeout(3600),
]


def test_one_changed_file(tmp_path: Path) -> None:
    # links: the tree that was given stays as it is, and a changed file is one that is no link any more
    subprocess.run(["cp", "-rs", Path(TREE).resolve(), tmp_path / "linux"], check=True)
    (tmp_path / "dodo.py").write_text(DODO)
    (tmp_path / "pyproject.toml").write_text(ENTRY)
    (tmp_path / "my.config").write_text('CONFIG_LOCALVERSION="-mine"\n')
    project = Project(tmp_path)

    first = project.doit("performance", *ASKED, limit=3000)
    assert first.returncode == 0, first.stdout + first.stderr
    again = project.doit("performance", "gate", *ASKED)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "performance: up to date" in again.stdout
    assert "building" not in again.stdout

    core = tmp_path / "linux/kernel/sched/core.c"
    text = core.read_text()
    body = text.index("{\n", text.index(SCHEDULE)) + 2
    core.unlink()
    core.write_text(text[:body] + SLOWER + text[body:])
    changed = project.doit("performance", "gate", *ASKED, limit=600)
    assert changed.returncode == 1, changed.stdout + changed.stderr
    assert "worse: context_switch.latency" in changed.stdout
    assert not re.search(r"^\S* ?(setup|guest):", changed.stdout, re.MULTILINE)
    log = (tmp_path / f"target/testing/build/kernels/mine-{host_arch()}/build.log").read_text()
    compiled = re.findall(r"^  CC      (\S+)", log, re.MULTILINE)
    assert [name for name in compiled if not name.startswith(("arch/", "init/version"))] == [
        "kernel/sched/core.o"
    ]
    kernels = rows(tmp_path / "results.db", "select id, release, config_sha256 from kernels")
    assert len({kernel for kernel, _, _ in kernels}) == 2
    assert all(release.endswith("-mine") and len(config) == 64 for _, release, config in kernels)
