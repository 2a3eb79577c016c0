"""Suites from Python: the same runs, and what they leave is found again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from guest_project import nodes_of, rows
from small_disks import read_only

from sistasks.api import Environment, QemuTestRunner, TestCase, TestResult, get_artifact_collector
from sistasks.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from guest_project import Project

pytestmark = pytest.mark.guest


@pytest.fixture
def environment(project: Project, tmp_path: Path) -> Environment:
    return Environment(
        output=project.folder / "target/testing", db=tmp_path / "results.db", nodes=1, memory="128M",
        iterations=100,
    )  # fmt: skip


def test_a_test_case_is_a_run_like_any_other(environment: Environment, project: Project) -> None:
    async def in_a_notebook() -> TestResult:
        return await asyncio.to_thread(
            runner.execute, TestCase(id="test_001", suite="performance"), timeout=200
        )

    with QemuTestRunner(environment) as runner:
        good = asyncio.run(in_a_notebook())
        bad = runner.execute(
            TestCase(id="test_002", suite="performance", variables={"arguments": "rdinit=/nonexistent"})
        )
    assert (good.status, good.message) == ("ok", "")
    (run,) = good.runs
    assert {row.metric for row in run.summaries} >= {"context_switch.latency", "throughput.rate"}
    assert rows(good.db, "select id, status from runs order by id") == [
        (run.id, "ok"),
        (bad.runs[0].id, "failed"),
    ]
    assert bad.status == "failed"
    assert "VFS: Unable to mount root fs" in bad.message
    assert [crash.kind for crash in bad.crashes] == ["panic"]
    collector = get_artifact_collector(environment)
    found = collector.get_artifacts_for_test("test_002")
    assert found == collector.collect_artifacts(bad)
    (log,) = [item for item in found if item.row.kind == "logs" and b"Kernel panic" in collector.read(item)]
    assert log.run_id == bad.runs[0].id
    assert [item.row.kind for item in found].count("core_dumps") == 1
    assert collector.get_artifacts_for_test("test_003") == ()
    assert nodes_of(project.folder) == []


def test_what_cannot_be_is_refused_at_once(environment: Environment) -> None:
    with pytest.raises(UsageError, match="unknown variable 'node'; did you mean 'nodes'"):
        Environment(node=3)
    with pytest.raises(UsageError, match="are several"):
        Environment(arch="x86_64,arm64")
    with QemuTestRunner(environment) as runner, pytest.raises(UsageError, match="nosuch"):
        runner.execute("nosuch")
    assert not environment.settings.db.exists()


def test_what_the_host_refuses_is_a_result(environment: Environment, project: Project) -> None:
    scratch = project.folder / "target/testing/run"
    with QemuTestRunner(environment) as runner, read_only(scratch):
        found = runner.execute("performance")
    assert (found.status, found.runs, found.artifacts) == ("error", (), ())
    assert found.message.startswith(f"{scratch}/")
    assert " cannot be used: " in found.message
    assert found.message.endswith("; allow it, or set output=")
