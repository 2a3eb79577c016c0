"""Whole sessions as a person types them: real boots, real history."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from guest_project import DODO, SMALL, Project, rows

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.guest


def samples(db: Path) -> dict[tuple[int, str], bytes]:
    found = rows(db, "select node, metric, count, encoding, data from samples order by node, metric")
    return {
        (node, metric): f"{count} {encoding} ".encode() + data
        for node, metric, count, encoding, data in found
    }


def test_a_run_lands_in_the_history_and_is_not_repeated(project: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    first = project.doit("performance", "nodes=3", f"db={db}", *SMALL)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "12 of 12 tests passed" in first.stdout
    assert rows(db, "select suite, status, nodes, iterations, seed from runs") == [
        ("performance", "ok", 3, 100, 1)
    ]
    assert rows(db, "select count(*) from results where status = 'pass'") == [(12,)]
    assert rows(db, "select count(*), min(count) from samples where metric = 'context_switch.latency'") == [
        (3, 100)
    ]
    watched = rows(
        db, "select node, count(*), max(rss) > 10000000, max(cpu_percent) > 0 from resources group by node"
    )
    assert [row[0] for row in watched] == [0, 1, 2, 3]
    assert all(each > 0 and grown for _, each, grown, _ in watched)
    assert watched[0][3] == 1, "the host has at least its last sample"
    assert rows(
        db, "select count(*) from resources where node = 0 and processors > 0 and others_percent >= 0"
    ) > [(0,)]
    again = project.doit("performance", "nodes=3", f"db={db}", *SMALL)
    assert again.returncode == 0
    assert "up to date" in again.stdout
    assert rows(db, "select count(*) from runs") == [(1,)]
    forced = project.doit("-a", "performance", "nodes=3", f"db={db}", *SMALL)
    assert forced.returncode == 0, forced.stdout + forced.stderr
    assert rows(db, "select count(*) from runs") == [(2,)]
    other = project.doit("performance", "nodes=2", f"db={db}", *SMALL)
    assert other.returncode == 0
    assert rows(db, "select count(*) from runs") == [(3,)]


def test_json_keeps_the_form_that_others_read(project: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    done = project.doit("performance", "nodes=2", f"db={db}", *SMALL)
    assert done.returncode == 0, done.stdout + done.stderr
    for folder in ("qemu/results", "orchestrator"):
        text = (project.folder / "target/testing" / folder / "performance_results.json").read_text()
        found = json.loads(text)
        assert found["suite_name"] == "performance_benchmark"
        assert found["node_count"] == 2
        assert found["summary"]["total_tests"] == found["summary"]["passed_tests"] == 8
        latency = next(row for row in found["results"] if row["test_name"] == "ai_inference")["metrics"]
        assert 0 < latency["mean_latency_us"] <= latency["p99_latency_us"] * 1.5


def test_virtual_runs_repeat_to_the_bit(project: Project, tmp_path: Path) -> None:
    """Two fresh sessions, each with a template of its own: every sample of every node is the same."""
    other = Project(tmp_path / "other")
    other.folder.mkdir()
    (other.folder / "dodo.py").write_text(DODO)
    other.take_build(project)
    arguments = ("performance", "nodes=4", "clock=virtual", *SMALL)
    histories = []
    for place in (project, other):
        db = tmp_path / f"{place.folder.name}.db"
        done = place.doit(*arguments, f"db={db}", limit=280)
        assert done.returncode == 0, done.stdout + done.stderr
        histories.append(samples(db))
    assert len(histories[0]) == 4 * 7
    assert histories[0] == histories[1]
    assert len({data for (_, metric), data in histories[0].items() if metric == "ai_inference.latency"}) == 4


def test_a_cold_node_measures_too(project: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    done = project.doit("performance", "nodes=1", "clone=no", "clock=wall", f"db={db}", *SMALL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert rows(db, "select clock, host_cores > 0 from environments") == [("wall", 1)]


def test_boot_stages_directly_and_through_firmware(project: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    done = project.doit("boot", "clock=wall", f"db={db}", limit=280)
    assert done.returncode == 0, done.stdout + done.stderr
    found = rows(
        db,
        "select boot, metric, mean from summaries join runs on runs.id = run_id "
        "join environments on environments.id = environment_id",
    )
    stages = {(boot, metric): value for boot, metric, value in found}
    assert len(stages) == 6
    assert all(value > 0 for value in stages.values())
    assert stages["uefi", "boot.firmware"] > stages["direct", "boot.firmware"]
    again = project.doit("boot", "clock=wall", "nodes=7", "seed=3", f"db={db}")
    assert "up to date" in again.stdout, "only kernel, guest or firmware make it stale"
