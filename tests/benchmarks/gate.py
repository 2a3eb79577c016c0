"""What the gate costs on a long history, and a large run its writing: one command, one table.

    python tests/benchmarks/gate.py [ROUNDS]

The history has 1,000,000 summaries: 10,000 runs of 10 nodes by 10 metrics in 20 environments, and one run more of a new
kernel, which is judged. Times are of the gate's own work, from its call to its sentence, with everything imported; the
reference is a bare sqlite3 that reads the same million figures. The run that is written has 10 nodes by 4 metrics by
10,000 samples; its bytes are those that the file grew by.
"""

from __future__ import annotations

import io
import random
import statistics
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from long_history import NODES, fill

from sistasks.errors import SistasksError
from sistasks.gate_steps import gate
from sistasks.history import read
from sistasks.history.connection import open_to_read, writing
from sistasks.history.records import MetricRow, SampleSet
from sistasks.history.store import write_run
from sistasks.layout import Layout
from sistasks.settings import Settings
from sistasks.suites.metrics import METRICS as METRICS_BY_NAME
from sistasks.terminal import Terminal

sys.path.append(str(Path(__file__).parent.parent))

import history_records as records  # type: ignore[import-not-found,unused-ignore]

if TYPE_CHECKING:
    from collections.abc import Callable

    from sistasks.history.records import RunRecord

# seconds of the gate, seconds of a run, bytes of a sample of the virtual clock
GATE, WRITE, BYTES = 1.0, 0.5, 2.0
METRICS: Final = (
    "ai_inference.latency",
    "context_switch.latency",
    "memory_allocation.latency",
    "throughput.rate",
)
SAMPLES: Final = 10_000


def main(rounds: int) -> int:
    """Measure and print; 1 if a bound is broken."""
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "results.db"
        summaries = fill(db)
        _add_candidate(db)
        said = _gate(db)
        print(f"{summaries:,} summaries, {db.stat().st_size / 1e6:.0f} MB; {said.splitlines()[-1][:90]}\n")
        reference = _median(rounds, lambda: _read_all(db))
        judged = _median(rounds, lambda: _gate(db))
        kept = _line("gate, clock wall", judged, reference, GATE)
        with writing(db) as connection:
            connection.execute("UPDATE environments SET clock = 'virtual'")
        kept &= _line("gate, clock virtual", _median(rounds, lambda: _gate(db)), reference, GATE)
        kept &= _line(
            "kernels to keep", _median(rounds, lambda: read.recent_kernels(db, 31)), reference, GATE
        )
        for clock, run in (("virtual", _large_run(1)), ("wall", _large_run(200))):
            before = _size(db)
            numbers: list[int] = []
            taken = _median(rounds, partial(_write, db, run, numbers))
            grown = (_size(db) - before) / rounds / (NODES * len(METRICS) * SAMPLES)
            exact = all(
                (read.samples_of(db, numbers[-1], one.node, one.metric) == one.values).all()
                for one in run.samples
            )
            kept &= _line(f"writing a run, clock {clock}", taken, reference, WRITE)
            kept &= exact and (clock == "wall" or grown <= BYTES)
            print(f"{'':24}{grown:.2f} bytes a sample, read back {'identical' if exact else 'DIFFERENT'}")
    return 0 if kept else 1


def _write(db: Path, run: RunRecord, numbers: list[int]) -> None:
    definitions = [MetricRow(**asdict(metric)) for metric in METRICS_BY_NAME.values()]
    numbers.append(write_run(db, records.session(), run, definitions))


def _median(rounds: int, work: Callable[[], object]) -> float:
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def _line(name: str, taken: float, reference: float, bound: float) -> bool:
    good = taken <= bound
    print(
        f"{name:<28}{taken:8.3f} s  {taken / reference:6.2f} x reading all   "
        f"{'kept' if good else 'BROKEN'} (≤ {bound:g} s)"
    )
    return good


def _gate(db: Path) -> str:
    settings = Settings(db=db, output=db.parent / "out", kernel="/none")
    said = io.StringIO()
    with Terminal(settings, Layout(settings.output), said) as terminal:
        try:
            gate(settings, terminal)
        except SistasksError as error:
            return f"{said.getvalue()}{error}"
    return said.getvalue()


def _read_all(db: Path) -> int:
    with closing(open_to_read(db)) as connection:
        return len(connection.execute("SELECT run_id, node, metric, p50 FROM summaries").fetchall())


def _add_candidate(db: Path) -> None:
    """One more run of a kernel that nobody has seen, otherwise the last but one again; each run in its own session."""
    with writing(db) as connection:
        columns = "sessions.started_at, sessions.finished_at, command, host, detail"
        connection.execute(f"INSERT INTO sessions SELECT 'last', {columns} FROM sessions")  # noqa: S608 - ours
        connection.execute(
            f"""INSERT INTO sessions SELECT 'of ' || runs.id, {columns}
                FROM sessions JOIN runs ON session_id = sessions.id"""  # noqa: S608 - ours
        )
        connection.execute("UPDATE runs SET session_id = 'of ' || id")
        columns = (
            "name, release, arch, git_commit, git_parent, git_dirty, config_sha256, command_line, size, path"
        )
        connection.execute(f"INSERT INTO kernels SELECT 'f00d', {columns} FROM kernels LIMIT 1")  # noqa: S608 - ours
        (last,) = connection.execute("SELECT max(id) FROM runs WHERE environment_id LIKE '%000'").fetchone()
        columns = "inputs_sha256, started_at, finished_at, status, nodes, iterations, seed, message"
        connection.execute(
            f"""INSERT INTO runs SELECT 100000, 'last', suite, 'f00d', environment_id, {columns}
                FROM runs WHERE id = ?""",  # noqa: S608 - ours
            (last,),
        )
        columns = (
            "count, mean, std, min, p50, p95, p99, max, ci_low, ci_high, confidence, p50_low, p50_high, p95_low, "
            "p95_high, p99_low, p99_high"
        )
        connection.execute(
            f"INSERT INTO summaries SELECT 100000, node, metric, {columns} FROM summaries WHERE run_id = ?",  # noqa: S608 - our own names
            (last,),
        )


def _size(db: Path) -> int:
    with writing(db) as connection:
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
    return int((pages - free) * size)


def _large_run(width: int) -> RunRecord:
    """A run whose samples differ by `width`; on the virtual clock by a step now and then, and a tick."""
    dice = random.Random(20_260_131)  # noqa: S311 - repeatable on purpose
    levels = {metric: 5600 + 1000 * index for index, metric in enumerate(METRICS)}
    samples = tuple(
        SampleSet(
            node=node,
            metric=metric,
            values=[
                level + dice.choice((0, 0, 0, 7, 28)) * width + (9000 if dice.random() < 0.004 else 0)
                + (dice.randrange(width) if width > 1 else 0)
                for _ in range(SAMPLES)
            ],
        )
        for node in range(1, NODES + 1) for metric, level in levels.items()
    )  # fmt: skip
    summaries = tuple(records.summary(node, metric) for node in range(1, NODES + 1) for metric in METRICS)
    made: RunRecord = records.run(NODES, samples=samples, summaries=summaries, suite="large")
    return made


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 7))
