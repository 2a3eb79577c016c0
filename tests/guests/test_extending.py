"""docs/extending.md, run as it stands there: its files are written, its commands typed, and its answers must come."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest
from extending_page import EXAMPLES, PAGE, ROOT, type_all, write
from guest_project import DODO, Project, nodes_of, rows

pytestmark = pytest.mark.guest


@pytest.fixture
def small(project: Project, tmp_path: Path) -> tuple[str, ...]:
    """What is built for all guest tests serves here, too."""
    Project(tmp_path).share_output(project)
    return ("memory=128M",)


def test_every_file_and_command_of_the_page_is_tried_here() -> None:
    assert {name for name, _ in EXAMPLES} == {
        "build/spin.c", "pyproject.toml", "run", "dodo.py", "mini/pyproject.toml", "mini/run",
        "package/pyproject.toml", "package/steady.py", "board/dodo.py", "i386/dodo.py", "i386/run",
    }  # fmt: skip
    assert len(EXAMPLES) == PAGE.count("```") // 2


def test_programs_metrics_and_suites(tmp_path: Path, small: tuple[str, ...]) -> None:
    write(tmp_path)
    project = Project(tmp_path)
    type_all(project, "run", *small)
    db = tmp_path / "results.db"
    assert rows(db, "select suite, status, nodes from runs") == [
        ("programs", "ok", 2), ("switching", "ok", 2), ("outage", "ok", 3),
    ]  # fmt: skip
    described = (
        "select unit, better, target, target_statistic, industry, minimum_effect, description from metrics "
    )
    assert rows(db, described + "where name = 'spin.latency'") == [
        ("ns", "lower", 20_000, "p95", "a bare loop 500 ns", 0.02, "one loop of 500 turns")
    ]
    assert rows(db, "select target from metrics where name = 'context_switch.latency'") == [(10_000,)]
    assert rows(db, "select count(*), min(count) from samples where metric = 'spin.latency'") == [(4, 200)]
    assert rows(db, "select unit from metrics where name = 'outage.survivors'") == [("nodes",)]
    assert rows(db, "select mean from summaries where metric = 'outage.survivors'") == [(2.0,)]
    report = project.doit("report", *small)
    assert report.returncode == 0, report.stdout + report.stderr
    assert nodes_of(tmp_path) == []


def test_a_command_of_a_kernel(tmp_path: Path) -> None:
    if shutil.which("x86_64-linux-gnu-gcc") is None or not Path("/usr/share/OVMF").exists():
        pytest.skip("the tiny kernel takes a compiler for x86_64 and OVMF")
    write(tmp_path, "mini/")
    shutil.copytree(ROOT / "tests/guests/minikernel", tmp_path / "minikernel")
    (tmp_path / "dodo.py").write_text(DODO)
    type_all(Project(tmp_path), "mini/run")
    db = tmp_path / "results.db"
    assert rows(db, "select test, status from results") == [("heap", "pass")]
    assert rows(db, "select name, target from metrics where name like 'heap.%'") == [
        ("heap.memory_alloc_ns", 1_000_000)
    ]


def test_a_package_brings_a_suite(tmp_path: Path, small: tuple[str, ...]) -> None:
    installed = tmp_path / "installed"
    write(installed, "package/")
    described = tomllib.loads((installed / "pyproject.toml").read_text())["project"]
    info = installed / f"{described['name']}-{described['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {described['name']}\nVersion: {described['version']}\n")
    points = described["entry-points"]["sistasks.suites"]
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[sistasks.suites]\n{lines}")
    (tmp_path / "dodo.py").write_text(DODO)
    project = Project(tmp_path)
    listed = project.doit("list", PYTHONPATH=str(installed))
    assert "steady" in listed.stdout, listed.stdout + listed.stderr
    done = project.doit("steady", "nodes=1", *small, PYTHONPATH=str(installed))
    assert done.returncode == 0, done.stdout + done.stderr
    assert rows(tmp_path / "results.db", "select suite, status, iterations from runs") == [
        ("steady", "ok", 500)
    ]
    (installed / "steady.py").write_text("raise ImportError('no such thing')\n")
    broken = project.doit("list", PYTHONPATH=str(installed))
    assert broken.returncode == 3
    assert "the suite steady of steady cannot be loaded: no such thing; mend or uninstall" in broken.stderr


def test_a_record_of_an_architecture(project: Project, tmp_path: Path) -> None:
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("the example is for x86_64")
    write(tmp_path, "board/")
    board = Project(tmp_path)
    board.take_kernels(project)
    done = board.doit("performance", "nodes=1", "iterations=10", "memory=128M", "accel=tcg", "arch=x86_64")
    assert done.returncode == 0, done.stdout + done.stderr
    assert rows(tmp_path / "results.db", "select cpu_model from environments") == [("Nehalem",)]
