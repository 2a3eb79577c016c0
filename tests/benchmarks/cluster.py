"""Clusters of 4 to 100 kernels: what a decision costs, how that grows, and how much of it is the machine's.

    python tests/benchmarks/cluster.py [SIZES]        # for example 4,10,25

Run it with nothing else running. It needs what `doit setup` installs, and for a hundred nodes half an hour.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from sistasks.consensus.measures import growth
from sistasks.history.connection import reading
from sistasks.units import show

SIZES = (4, 10, 25, 50, 100)
PROTOCOLS = ("pbft", "hotstuff")
HEADINGS = (
    "nodes",
    "latency p50",
    "bound",
    "ratio",
    "messages",
    "CPU/message",
    "recovery p50",
    "election p50",
    "run",
)


def measured(db: Path) -> dict[tuple[str, str], float]:
    """(metric, statistic) -> value of the latest run: the cluster's own, or the median over its nodes."""
    query = """SELECT metric, node > 0 AS own, p50, mean FROM summaries
               WHERE run_id = (SELECT max(id) FROM runs) ORDER BY metric, p50"""
    with reading(db) as connection:
        assert connection is not None
        with closing(connection.execute(query)) as rows:
            found = rows.fetchall()
    values: dict[tuple[str, str], float] = {}
    for metric in {row[0] for row in found}:
        own = [row[2] for row in found if row[0] == metric]
        values[metric, "p50"] = own[len(own) // 2]
        values[metric, "mean"] = next(row[3] for row in found if row[0] == metric)
    return values


def row(db: Path, count: int, words: str) -> tuple[list[str], float]:
    """One line of the table, and the messages of a decision."""
    found = measured(db)
    messages = found["consensus.messages", "mean"] / 1000
    bound = found["consensus.bound", "p50"]
    ratio = words.split("a decision took ", 1)[-1].split(" times", 1)[0]
    with reading(db) as connection:
        assert connection is not None
        seconds, cores = connection.execute(
            """SELECT (julianday(finished_at) - julianday(started_at)) * 86400, host_cores
               FROM runs JOIN environments ON environments.id = environment_id ORDER BY runs.id DESC LIMIT 1"""
        ).fetchone()
    return [
        str(count), show(found["consensus.latency", "p50"], "ns"), show(bound, "ns"), ratio, f"{messages:.1f}",
        show(bound * cores / messages, "ns"), show(found["partition.recovery_time", "p50"], "ns"),
        show(found["election.time", "p50"], "ns"), f"{seconds:.0f} s",
    ], messages  # fmt: skip


def message_of(db: Path) -> str:
    """What the run says of its consensus test."""
    with reading(db) as connection:
        assert connection is not None
        query = """SELECT message FROM results WHERE node = 0 AND test = 'consensus'
                   AND run_id = (SELECT max(id) FROM runs)"""
        return str(connection.execute(query).fetchone()[0])


def main(sizes: list[int]) -> int:
    """Run every size with both protocols and show what came out."""
    worst = 0
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder:
        (Path(folder) / "dodo.py").write_text("from sistasks.tasks import *\n")
        for protocol in PROTOCOLS:
            print(f"\n{protocol}\n" + "  ".join(f"{name:>13}" for name in HEADINGS))
            points = []
            db = Path(folder) / f"{protocol}.db"
            for count in sizes:
                command = [
                    sys.executable, "-m", "doit", "distributed", f"nodes={count}", f"protocol={protocol}",
                    f"db={db}", "memory=128M", "quiet=yes",
                ]  # fmt: skip
                done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
                if done.returncode != 0:
                    worst = max(worst, done.returncode)
                    print(f"{count:>13}  {done.stderr.strip().splitlines()[-1]}")
                    continue
                words = message_of(db)
                cells, messages = row(db, count, words)
                points.append((count, messages))
                print("  ".join(f"{cell:>13}" for cell in cells), f" {words}", flush=True)
            if len(points) > 1:
                law = growth(points)
                print(f"messages grow as n^{law.exponent:.2f} (within {law.worst - 1:.0%} of it)")
    return worst


if __name__ == "__main__":
    sys.exit(main([int(size) for size in sys.argv[1].split(",")] if len(sys.argv) > 1 else list(SIZES)))
