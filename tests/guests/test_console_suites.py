"""Suites on a kernel that is not ours: from its build command over the firmware to the history and the gate."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from guest_project import Project, nodes_of, rows

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

pytestmark = pytest.mark.guest

SOURCES = Path(__file__).parent / "minikernel"
PYPROJECT = """
[tool.sistasks.kernels.mini]
kind = "command"
path = "mini"
build = "{python} build.py {{arch}} out"
inputs = ["*.*"]
esp = {{"EFI/BOOT/{{boot}}" = "out/EFI/BOOT/{{boot}}", "EFI/SIS/KERNEL.ELF" = "out/EFI/SIS/KERNEL.ELF"}}
[tool.sistasks.kernels.mini.console]
profile = "sis"
{more}
"""
ALONE = ("kernel=mini", "nodes=1", "cpus=1")


def make(folder: Path) -> Project:
    """A project whose kernel is our own tiny one."""
    if shutil.which("x86_64-linux-gnu-gcc") is None or not Path("/usr/share/OVMF").exists():
        pytest.skip("the tiny kernel takes a compiler for x86_64 and OVMF")
    (folder / "dodo.py").write_text("from sistasks.tasks import *\n")
    shutil.copytree(SOURCES, folder / "mini")
    project = Project(folder)
    console(project)
    return project


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project that those share who leave the kernel as it is."""
    return make(tmp_path_factory.mktemp("mini"))


@pytest.fixture
def mini(built: Project) -> Iterator[Project]:
    """The project, with its entry as it was and no history."""
    yield built
    console(built)
    for file in built.folder.glob("results.db*"):
        file.unlink()


def console(project: Project, more: str = "") -> None:
    """The entry, with more of its console."""
    text = PYPROJECT.format(python=sys.executable, more=more)
    (project.folder / "pyproject.toml").write_text(text)


def said(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def test_from_the_build_to_the_gate(tmp_path: Path) -> None:
    mini = make(tmp_path)
    db = mini.folder / "results.db"
    first = mini.doit("boot", "performance", *ALONE, "arch=x86_64")
    assert first.returncode == 0, said(first)
    assert rows(db, "select suite, status, nodes from runs") == [("boot", "ok", 1), ("performance", "ok", 1)]
    found = dict(rows(db, "select metric, min(p50) from summaries group by metric"))
    stages = [found[f"boot.{stage}"] for stage in ("kernel", "mmu", "heap", "shell", "ready")]
    assert stages == sorted(stages)
    assert 0 < found["context_switch.ctx_switch_ns"] < 1e6
    assert set(rows(db, "select unit from metrics where name like '%_ns'")) == {("ns",)}

    again = mini.doit("boot", "performance", *ALONE, "arch=x86_64")
    assert again.returncode == 0, said(again)
    assert "building" not in said(again), "nothing has changed"
    assert len(rows(db, "select 1 from runs")) == 2

    source = mini.folder / "mini" / "kernel.c"
    source.write_text(source.read_text().replace("an illegal instruction", "an unlawful instruction"))
    judged = mini.doit("performance", "gate", *ALONE, "arch=x86_64")
    assert judged.returncode == 0, said(judged)
    assert said(judged).count("building mini") == 1
    assert "context_switch.ctx_switch_ns" in said(judged)
    assert len(rows(db, "select distinct kernel_id from runs where suite = 'performance'")) == 2
    report = mini.doit("report", "arch=x86_64")
    assert report.returncode == 0, said(report)
    assert nodes_of(mini.folder) == []


def test_a_cluster_of_four(mini: Project) -> None:
    done = mini.doit("distributed", "kernel=mini", "nodes=4", "cpus=1", "arch=x86_64")
    assert done.returncode == 0, said(done)
    assert rows(mini.folder / "results.db", "select count(*), min(status) from results") == [(4, "pass")]
    logs = [path.read_text(errors="replace") for path in mini.folder.glob("target/**/distributed/node_?.log")]
    assert {f"consensus_test start_node {node} 4" in text for node, text in enumerate(sorted(logs), 1)} <= {
        True,
        False,
    }
    assert sum("consensus_test start_node" in text for text in logs) == 4


ENDS = {
    "panic": ("panic", "node 1: ", 1),
    "hang": ("hang", "the end of it ('hang') did not come within", 1),
    "reboot": ("reboot", "the kernel rebooted", 1),
    "off": ("off", "the kernel powered off", 1),
}


@pytest.mark.parametrize(("command", "words", "code"), ENDS.values(), ids=ENDS)
def test_a_kernel_that_falls_fails(mini: Project, command: str, words: str, code: int) -> None:
    console(mini, f'tests = {{it = "{command}", context_switch = "perf_test context_switch"}}')
    done = mini.doit("performance", "kernel=mini", "nodes=1", "timeout=8", "arch=x86_64")
    assert done.returncode == code, said(done)
    assert words in said(done)
    db = mini.folder / "results.db"
    assert rows(db, "select status from runs") == [("failed",)]
    results = dict(rows(db, "select test, status from results"))
    assert results == {"it": "fail", "context_switch": "fail"}
    assert nodes_of(mini.folder) == []


def test_a_prompt_that_never_comes(mini: Project) -> None:
    console(mini, 'prompt = "C:>"')
    done = mini.doit("performance", "kernel=mini", "nodes=1", "timeout=8", "arch=x86_64")
    assert done.returncode == 1, said(done)
    assert "the prompt 'C:>' did not come within 24 s" in said(done)


def test_metrics_that_cannot_be_are_said_and_left_out(mini: Project) -> None:
    console(mini, 'tests = {it = {command = "garbage metrics", metrics = ["never.printed"], success = ""}}')
    refused = mini.doit("performance", "kernel=mini", "nodes=1", "timeout=8", "arch=x86_64")
    assert refused.returncode == 3, said(refused)
    console(
        mini,
        """tests = {it = {command = "garbage metrics", metrics = ["never.printed"]},
        context_switch = "perf_test context_switch"}""".replace("\n", " "),
    )
    done = mini.doit("performance", "kernel=mini", "nodes=1", "timeout=8", "arch=x86_64")
    assert done.returncode == 1, said(done)
    assert "left out" in said(done)
    results = dict(rows(mini.folder / "results.db", "select test, status from results"))
    assert results["context_switch"] == "pass", "a test that talks garbage spoils no other"
    values = [value for (value,) in rows(mini.folder / "results.db", "select min from summaries")]
    assert min(values) >= 0


def test_the_virtual_clock_cannot_be_where_somebody_types(mini: Project) -> None:
    done = mini.doit("performance", *ALONE, "clock=virtual", "arch=x86_64")
    assert done.returncode == 3, said(done)
    assert "clock=virtual cannot be with kernel=mini, which is typed to" in said(done)


def test_a_suite_that_a_kernel_has_nothing_for(mini: Project) -> None:
    console(mini, 'tests = {it = "perf_test context_switch"}')
    done = mini.doit("distributed", "kernel=mini", "nodes=4", "arch=x86_64")
    assert done.returncode == 3, said(done)
    assert "kernel=mini has no tests that take part in a cluster" in said(done)
    ktap = mini.doit("ktap", "kernel=mini", "arch=x86_64")
    assert ktap.returncode == 3, said(ktap)
    assert "kernel=mini does not speak KTAP" in said(ktap)
