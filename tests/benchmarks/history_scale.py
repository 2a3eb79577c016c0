"""How the history bears runs of a fleet: what one costs, what it costs when there are many, and what asking costs then.

    python tests/benchmarks/history_scale.py [--runs 100,1000,10000] [--long 100000] [--json FILE]

A real run of `performance` (10 nodes, 1000 iterations, both clocks) is made first, as a worker makes it. The history is
filled with runs like it, through the path that all runs take (`history.store.write_run`), and asked at each size what
people and tasks ask. `--long` asks the same of a history of so many runs without samples, which is generated. FILE is
what fleet_simulation.py reads. Run it with nothing else running; it takes some five minutes and 3 GB of a temporary
folder.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import pickle
import queue
import shutil
import sqlite3
import statistics
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, cast

from long_history import fill
from real_run import Real, Runs, real_run, widened

from sistasks.browse.functions import register
from sistasks.browse.queries import QUERIES
from sistasks.fleet.fleet import Fleet
from sistasks.fleet.session import Session, _Task
from sistasks.history import read
from sistasks.history.connection import open_to_read, writing
from sistasks.history.merge import merge
from sistasks.history.other import opened
from sistasks.history.samples import encode
from sistasks.history.store import write_run
from sistasks.layout import Layout
from sistasks.report.collect import collect
from sistasks.terminal import Terminal
from sistasks.verdicts.baseline import open_history

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from distributed import Future

    from sistasks.history.records import RunRecord

Figures = dict[str, Any]
NODES, WIDE = 10, 1000
ROUNDS: Final = 7
RECORDED: Final = 20
MERGED: Final = 50
# runs that each process writes beside others
EACH: Final = 60
# a merge that gives all runs new numbers is only measured up to here
MOVED_AT_MOST: Final = 1000


def main() -> None:
    """Measure, print, and write the figures."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--runs", default="100,1000,10000")
    asked.add_argument("--long", type=int, default=100_000)
    asked.add_argument("--json", type=Path)
    options = asked.parse_args()
    to = options.json.absolute() if options.json else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reals = {clock: real_run(folder, NODES, clock) for clock in ("virtual", "wall")}
        figures: Figures = {"run": {clock: _one(folder, real) for clock, real in reals.items()}}
        figures["wide"] = _wide(folder, reals["wall"])
        figures["together"] = _together(folder, reals["wall"])
        sizes = [int(size) for size in options.runs.split(",")]
        figures["growth"] = _grow(folder / "grown" / "results.db", reals["wall"], sizes)
        shutil.rmtree(folder / "grown")
        figures["long"] = _long(folder / "long.db", options.long) if options.long else {}
    if to is not None:
        to.write_text(json.dumps(figures, indent=2) + "\n")


def _one(folder: Path, real: Real) -> Figures:
    """What one run is, on the wire and in the history."""
    run, sent = real.returned.done.run, len(pickle.dumps(("address", real.returned)))
    count = sum(len(one.values) for one in run.samples)
    db = folder / f"one-{run.environment.clock}.db"
    runs, written = Runs(run), []
    write_run(db, runs.session(0), runs.run(0), real.metrics)
    before = _size(db)
    for number in range(1, 101):
        made = runs.run(number)
        written.append(_seconds(partial(write_run, db, runs.session(number), made, real.metrics)))
    disk = (_size(db) - before) / 100
    with writing(db) as connection:
        (safe,) = connection.execute("PRAGMA synchronous").fetchone()
        (journal,) = connection.execute("PRAGMA journal_mode").fetchone()
        (packed,) = connection.execute("SELECT sum(length(data)) FROM samples WHERE run_id = 50").fetchone()
    found = {
        "samples": count, "wire_bytes": sent, "parcel_bytes": sum(len(one.data) for one in real.returned.parcels),
        "job_bytes": len(pickle.dumps(real.job)),
        "file_bytes": sum(path.stat().st_size for path in real.paths.values()),
        "cache_bytes": _of_folder(folder / "cache"), "worker_seconds": real.seconds,
        "disk_bytes": disk, "packed_bytes": packed,
        "pickle_ms": 1e3 * _median(ROUNDS, lambda: pickle.loads(pickle.dumps(real.returned))),  # noqa: S301 - our own
        "encode_ms": 1e3 * _median(ROUNDS, lambda: [encode(one.values) for one in run.samples]),
        "write_ms": 1e3 * statistics.median(written), "journal": journal, "synchronous": safe,
    }  # fmt: skip
    print(
        f"one run, clock {run.environment.clock}: {count:,} samples of {NODES} nodes, "
        f"{real.seconds:.1f} s on its worker\n"
        f"  travels as {sent / 1e3:.0f} kB ({found['parcel_bytes'] / 1e3:.0f} kB of it files); its job as "
        f"{found['job_bytes'] / 1e3:.1f} kB; each worker once {found['file_bytes'] / 1e6:.1f} MB, and then keeps "
        f"{found['cache_bytes'] / 1e6:.0f} MB\n"
        f"  on disk {disk / 1e3:.1f} kB: {packed / count:.2f} bytes a sample packed, "
        f"{disk / count:.2f} with all the rest\n"
        f"  written in {found['write_ms']:.1f} ms, of which packing {found['encode_ms']:.1f} ms "
        f"({journal}, synchronous={safe}): {1e3 / found['write_ms']:.0f} runs/s\n"
    )
    return found


def _wide(folder: Path, real: Real) -> Figures:
    """A run of a thousand nodes: the real one's, again and again."""
    run = widened(real.returned.done.run, WIDE)
    runs, db = Runs(run), folder / "wide.db"
    write_run(db, runs.session(0), runs.run(0), real.metrics)
    before, seconds = _size(db), []
    for number in range(1, 4):
        made = runs.run(number)
        seconds.append(_seconds(partial(write_run, db, runs.session(number), made, real.metrics)))
    done = replace(real.returned.done, run=run)
    found = {
        "wire_bytes": len(pickle.dumps(replace(real.returned, done=done))),
        "samples": sum(len(one.values) for one in run.samples),
        "write_ms": 1e3 * statistics.median(seconds), "disk_bytes": (_size(db) - before) / 3,
    }  # fmt: skip
    print(
        f"a run of {WIDE} nodes: {found['samples']:,} samples, travels as {found['wire_bytes'] / 1e6:.1f} MB, "
        f"on disk {found['disk_bytes'] / 1e6:.1f} MB, written in {found['write_ms']:.0f} ms\n"
    )
    db.unlink()
    return found


def _grow(db: Path, real: Real, sizes: Sequence[int]) -> list[Figures]:
    """The history as it grows."""
    db.parent.mkdir()
    runs, found, number, before = Runs(real.returned.done.run), [], 0, 0
    home = _Home(db, real)
    print(
        f"{'runs':>8} {'MB':>7} {'kB/run':>7} {'written ms p50':>15} {'p99':>7} {'recorded ms p50':>16} {'p99':>7}"
    )
    for size in sizes:
        written = []
        first = number
        while number < size:
            made = runs.run(number)
            written.append(_seconds(partial(write_run, db, runs.session(number), made, real.metrics)))
            number += 1
        now = _size(db)
        recorded = [home.record(runs.run(number + one)) for one in range(RECORDED)]
        row: Figures = {
            "runs": size, "bytes": now, "run_bytes": (now - before) / (number - first),
            "write_ms": _spread(written), "record_ms": _spread(recorded),
            "recorded_ms": [1e3 * one for one in recorded],
        }  # fmt: skip
        before = now
        print(
            f"{size:8,} {now / 1e6:7.0f} {row['run_bytes'] / 1e3:7.1f} {row['write_ms']['p50']:15.1f} "
            f"{row['write_ms']['p99']:7.1f} {row['record_ms']['p50']:16.1f} {row['record_ms']['p99']:7.1f}"
        )
        row["asked_ms"] = _asked(db)
        row["merge_ms"] = _merges(db, real, size)
        found.append(row)
    _print_asked(found)
    return found


class _Home:
    """The process at home, which records what comes: the real path, with nobody at the other end."""

    def __init__(self, db: Path, real: Real) -> None:
        settings = replace(real.made[0].settings, db=db, output=db.parent / "output")
        self._real, self._layout = real, Layout(settings.output)
        made = [replace(recipe, settings=settings) for recipe in real.made]
        nobody: Any = SimpleNamespace(subscribe_topic=lambda *_: None)
        fleet = Fleet("tcp://home:8786", nobody)
        ended: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._session = Session(fleet, real.job, real.paths, made, ended)
        self._settings = settings

    def record(self, run: RunRecord) -> float:
        """Seconds that one run takes, with its files."""
        known = len(self._session.came)
        parcels = tuple(  # no two runs leave the same logs
            replace(one, data=_packed(b"%d\n" % known + _unpacked(one.data)))
            for one in self._real.returned.parcels
        )
        came = replace(self._real.returned, done=replace(self._real.returned.done, run=run), parcels=parcels)
        task = _Task(known, 0, cast("Any", None), "")
        with Terminal(self._settings, self._layout, io.StringIO()) as terminal:
            seconds = _seconds(lambda: self._session._record(task, "tcp://worker:1", came, terminal))
        assert len(self._session.came) == known + 1, "it was not recorded"
        return seconds


def _asked(db: Path) -> Figures:
    """Milliseconds of what people and tasks ask."""
    with closing(sqlite3.connect(db)) as connection:
        inputs, metric = connection.execute(
            "SELECT inputs_sha256, metric FROM runs JOIN summaries ON run_id = runs.id ORDER BY runs.id DESC LIMIT 1"
        ).fetchone()
    questions: dict[str, Callable[[], object]] = {
        "staleness: good_runs": lambda: read.good_runs(db, inputs, targets_met=True),
        "kernels to keep, after each new one": lambda: read.recent_kernels(db, 31),
        "gate: baseline and its boots": lambda: _baseline(db),
        "report: collect": lambda: collect(db),
        "Datasette: history of a metric": lambda: _trend(db, metric),
    }
    return {name: 1e3 * _median(ROUNDS, ask) for name, ask in questions.items()}


def _print_asked(rows: Sequence[Figures]) -> None:
    print(f"\n{'asked of so many runs, ms':34}" + "".join(f"{row['runs']:>10,}" for row in rows))
    for name in rows[0]["asked_ms"]:
        print(f"{name:34}" + "".join(f"{row['asked_ms'][name]:>10.1f}" for row in rows))
    for name in rows[0].get("merge_ms", {}):
        cells = (row["merge_ms"].get(name) for row in rows)
        print(f"{name:34}" + "".join(f"{'-' if cell is None else f'{cell:.1f}':>10}" for cell in cells))
    print()


def _baseline(db: Path) -> int:
    with open_history(db) as history:
        candidate = history.latest()[-1]
        runs = history.baseline_runs(candidate)
        assert runs, "there is nothing to judge by"
        return len(history.boots([candidate.id, *(run.id for run in runs)]))


def _trend(db: Path, metric: str) -> int:
    with closing(open_to_read(db)) as connection:
        register(connection)
        asked = {"metric": metric, "environment": "", "runs": ""}
        return len(connection.execute(QUERIES["history_of_metric"].sql, asked).fetchall())


def _merges(db: Path, real: Real, size: int) -> Figures:
    """Milliseconds a run of merging a history of later runs, and one of earlier ones, which moves all numbers."""
    found = {}
    for name, first in (
        ("merge, a run, later ones", size + RECORDED),
        ("merge, a run, earlier ones", -MERGED),
    ):
        if first < 0 and size > MOVED_AT_MOST:
            continue
        runs = Runs(real.returned.done.run)
        other, copy = db.with_name("other.db"), db.with_name("copy.db")
        for number in range(first, first + MERGED):
            write_run(other, runs.session(number + 10**6), runs.run(number), real.metrics)
        with closing(sqlite3.connect(db)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copyfile(db, copy)
        with tempfile.TemporaryDirectory() as scratch, opened(other, copy, Path(scratch)) as opened_other:
            found[name] = 1e3 * _seconds(partial(_merge, copy, opened_other)) / MERGED
        for path in db.parent.glob("[co][ot][ph][ye]*.db*"):
            path.unlink()
    return found


def _merge(copy: Path, other: Any) -> None:
    merged = merge(copy, other, {})
    assert len(merged.numbers.new) == MERGED, "not all of them came"


def _long(db: Path, runs: int) -> Figures:
    """What is asked of a long history without samples."""
    fill(db, runs, 1)
    with writing(db) as connection:  # kernels that a session asked for together are not judged by each other
        connection.execute(
            """INSERT INTO sessions SELECT 'of ' || runs.id, runs.started_at, runs.finished_at, command, host, detail
               FROM sessions JOIN runs ON session_id = sessions.id"""
        )
        connection.execute("UPDATE runs SET session_id = 'of ' || id")
    row = {"runs": runs, "bytes": _size(db), "asked_ms": _asked(db)}
    _print_asked([row])
    return row


def _together(folder: Path, real: Real) -> Figures:
    """Processes that write and read at the same time."""
    found: Figures = {"writers": {}, "readers": {}}
    for files, writers in ((1, 1), (1, 2), (1, 4), (2, 2), (4, 4)):
        rate = _at_once(folder, real, files, writers, 0)[0]
        found["writers"][f"{writers} into {files}"] = rate
        print(f"{writers} processes write into {files} files: {rate:6.1f} runs/s together")
    for readers in (1, 2, 4):
        rate, asked = _at_once(folder, real, 1, 1, readers)
        found["readers"][str(readers)] = {"runs_per_second": rate, "questions_per_second": asked}
        print(f"1 process writes, {readers} read: {rate:6.1f} runs/s, {asked:6.1f} questions/s")
    print()
    return found


def _at_once(folder: Path, real: Real, files: int, writers: int, readers: int) -> tuple[float, float]:
    """Runs written in a second by all, and questions answered meanwhile."""
    context = multiprocessing.get_context("spawn")
    stop, start = context.Event(), context.Barrier(writers + readers + 1)
    counted = context.Value("q", 0)
    place = Path(tempfile.mkdtemp(dir=folder))
    dbs = [place / f"{number}.db" for number in range(files)]
    runs = Runs(real.returned.done.run)
    for db in dbs:
        for number in range(40):
            write_run(db, runs.session(number), runs.run(number), real.metrics)
    processes = [
        context.Process(target=_write, args=(dbs[n % files], real.returned.done.run, real.metrics, n, start))
        for n in range(writers)
    ]
    asking = [context.Process(target=_ask, args=(dbs[0], start, stop, counted)) for _ in range(readers)]
    for process in (*processes, *asking):
        process.start()
    start.wait()
    began = time.perf_counter()
    for process in processes:
        process.join()
    seconds = time.perf_counter() - began
    stop.set()
    for process in asking:
        process.join()
    assert not any(process.exitcode for process in (*processes, *asking))
    shutil.rmtree(place)
    return writers * EACH / seconds, counted.value / seconds


def _write(db: Path, run: RunRecord, metrics: Any, which: int, start: Any) -> None:
    runs = Runs(run)
    made = [(runs.session(n), runs.run(n)) for n in range((which + 1) * 1000, (which + 1) * 1000 + EACH)]
    start.wait()
    for session, one in made:
        write_run(db, session, one, metrics)


def _ask(db: Path, start: Any, stop: Any, counted: Any) -> None:
    start.wait()
    while not stop.is_set():
        _baseline(db)
        with counted.get_lock():
            counted.value += 1


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _median(rounds: int, work: Callable[[], object]) -> float:
    return statistics.median(_seconds(work) for _ in range(rounds))


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds."""
    ordered = sorted(1e3 * one for one in seconds)
    return {
        "mean": statistics.mean(ordered),
        "p50": statistics.median(ordered),
        "p99": ordered[int(0.99 * (len(ordered) - 1))],
    }


def _size(db: Path) -> int:
    """Bytes that the history takes when its log has gone into it."""
    with closing(sqlite3.connect(db)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return db.stat().st_size


def _of_folder(folder: Path) -> int:
    return sum(
        path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file() and not path.is_symlink()
    )


def _packed(data: bytes) -> bytes:
    import zstandard

    return zstandard.compress(data)


def _unpacked(data: bytes) -> bytes:
    import zstandard

    return zstandard.decompress(data)


if __name__ == "__main__":
    main()
