"""Clusters of real kernels: they agree, they betray, they are cut off and killed, and the checker says so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from guest_project import Project, rows
from running import running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.guest

# few decisions: what is tested here is not a measurement
SMALL = ("memory=128M", "iterations=40", "nodes=4")
NODES = 4


def verdicts(db: Path, node: int = 0) -> dict[str, tuple[str, str]]:
    """Test -> (status, message) of the latest run."""
    query = "select node, test, status, message from results where run_id = (select max(id) from runs)"
    return {test: (status, message) for which, test, status, message in rows(db, query) if which == node}


def figures(db: Path) -> dict[str, float]:
    """Metric -> mean of the cluster in the latest run."""
    query = "select metric, mean from summaries where run_id = (select max(id) from runs) and node = 0"
    return dict(rows(db, query))


def test_kernels_agree_and_a_capture_shows_how(project: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    done = project.doit("distributed", *SMALL, f"db={db}", "capture=yes", limit=180)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {status for status, _ in verdicts(db).values()} == {"pass"}
    assert set(verdicts(db)) == {"network", "consensus", "partition", "election"}
    found = figures(db)
    # Castro & Liskov: pre-prepares, prepares, commits; three in four clients are not the primary; checkpoints
    least = (NODES - 1) + (NODES - 1) ** 2 + NODES * (NODES - 1)
    assert least <= found["consensus.messages"] / 1000 <= least * 1.25
    assert found["partition.lost"] == 0
    assert 0 < found["partition.recovery_time"] < 60e9
    assert 0 < found["election.time"] < 60e9
    counts = rows(db, "select node, count from summaries where metric = 'consensus.latency'")
    # each node is the client of every fourth decision, and all decisions are samples
    assert [node for node, _ in counts] == [1, 2, 3, 4]
    assert sum(count for _, count in counts) >= 40
    assert rows(db, "select clock from environments") == [("wall",)]
    ((path,),) = rows(db, "select path from artifacts where kind = 'captures' and node = 0")
    capture = project.folder / "target/testing/artifacts" / path
    assert str(path) in done.stdout
    assert capture.read_bytes()[:4] == b"\x0a\x0d\x0d\x0a"
    assert capture.stat().st_size > 40 * least * 100
    text = (project.folder / "target/testing/qemu/results/distributed_results.json").read_text()
    assert json.loads(text)["suite_name"] == "distributed_consensus"
    again = project.doit("distributed", *SMALL, f"db={db}")
    assert "up to date" in again.stdout
    other = project.doit("distributed", *SMALL, f"db={db}", "seed=2", limit=180)
    assert other.returncode == 0, other.stdout + other.stderr
    gate = project.doit("gate", f"db={db}")
    assert gate.returncode in {0, 1}, gate.stdout + gate.stderr


def test_a_traitor_among_four_changes_nothing_and_messages_grow_with_n(
    project: Project, tmp_path: Path
) -> None:
    db = tmp_path / "results.db"
    words = ("protocol=hotstuff", "byzantine=1", "traitors=equivocate", f"db={db}")
    done = project.doit("distributed", *SMALL, *words, limit=180)
    assert done.returncode == 0, done.stdout + done.stderr
    traitors = [
        node for node in range(1, NODES + 1) if "a traitor: equivocate" in verdicts(db, node)["consensus"][1]
    ]
    assert len(traitors) == 1
    done = project.doit("distributed", *SMALL, "protocol=hotstuff", f"db={db}", limit=180)
    assert done.returncode == 0, done.stdout + done.stderr
    # a proposal and a vote for each node but one
    assert 2 * (NODES - 1) * 0.9 <= figures(db)["consensus.messages"] / 1000 <= 2 * (NODES - 1) * 1.5


def test_more_traitors_than_can_be_borne_are_found_out(project: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    words = ("byzantine=2", "force=yes", "traitors=silent", "timeout=5", f"db={db}")
    done = project.doit("distributed", *SMALL, *words, limit=180)
    assert done.returncode == 1, done.stdout + done.stderr
    status, message = verdicts(db)["consensus"]
    assert status == "fail"
    assert "40" in message
    assert "decided" in message or "decisions" in message
    assert verdicts(db)["partition"][0] == "pass", "traitors betray in the consensus test alone"


def test_a_network_that_is_cut_everywhere_is_a_failure_and_no_hang(project: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    words = ("faults=at 200ms: cut 1|2|3|4", "iterations=1000", "timeout=5", f"db={db}")
    done = project.doit("distributed", "memory=128M", "nodes=4", *words, limit=180)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "nodes 1-4" in verdicts(db)["consensus"][1]
    assert "1000" in verdicts(db)["consensus"][1]
    assert verdicts(db)["election"][0] == "pass", "the network is healed for the next test"


def test_lost_frames_are_repeated(project: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    words = ("faults=loss=3%, duplicate=3%, reorder=3%, corrupt=1%, delay=1ms, jitter=1ms", f"db={db}")
    done = project.doit("distributed", *SMALL, *words, limit=180)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "loss 3%, duplicate 3%" in verdicts(db)["consensus"][1]


def test_a_node_that_dies_is_named_and_the_others_go_on(project: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    command = project.command(
        "distributed", "memory=128M", "nodes=4", "iterations=400", f"db={db}", "verbose=yes"
    )
    with running(project, command) as going:
        for _ in range(2):  # the whole cluster is tried again once
            going.until("node 4: testing consensus")
            going.said = going.said.replace("node 4: testing consensus", "")
            victim = next(
                node for node in going.nodes() if any("-node-4," in part for part in node.cmdline())
            )
            victim.kill()
        code = going.end()
    assert "distributed: again on fresh nodes, for node 4" in going.said
    assert code == 2, going.said
    assert "node 4" in going.said.splitlines()[-1]
    assert verdicts(db)["consensus"][0] == "pass", "three of four are a quorum"
    assert verdicts(db, 4)["consensus"][0] == "error"
    assert {verdicts(db, node)["consensus"][0] for node in (1, 2, 3)} == {"pass"}
    # both left something, and what passed was done by a second one
    assert verdicts(db, 4)["network"] == ("pass", "on a second node, for the first: QEMU ended (signal 9)")
    left = rows(
        db, "select count(*) from artifacts where node = 4 and detail ->> '$.name' = 'post_mortem.json'"
    )
    assert left == [(2,)]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("nodes=3",), "nodes=3 cannot agree: it takes 4 to bear one traitor"),
        (("nodes=129",), "nodes=129 are too many for one cluster"),
        (("nodes=7", "byzantine=3"), "byzantine=3 is more than 7 nodes can bear, which is 2"),
        (("nodes=4", "faults=cut 1|5"), "5"),
        (("nodes=4", "faults=at noon: heal"), "noon"),
        (("protocol=raft",), "protocol=raft cannot be"),
        (("traitors=kind",), "traitors=kind cannot be"),
    ],
)
def test_what_no_cluster_can_be_is_refused_before_anything_is_done(
    project: Project, tmp_path: Path, words: tuple[str, ...], problem: str
) -> None:
    db = tmp_path / "results.db"
    done = project.doit("distributed", *words, f"db={db}")
    assert done.returncode == 3, done.stdout + done.stderr
    assert problem in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not db.exists()
