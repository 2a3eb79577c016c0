"""SIGKILL at random instants while runs are written: never half a run, and none is lost that a writer was told of."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

HERE = str(Path(__file__).parent)
KILLS = 2000 if os.environ.get("FAULTS") == "long" else 120
# Imports once and forks a writer for each kill, which is of one moment's work and not of an interpreter's start.
# The second writer of each pair is one of many at once, and is killed while it waits for the lock as well.
NURSERY = """
import os, random, select, signal, sqlite3, sys
sys.path.insert(0, {here!r})
from pathlib import Path
from history_records import METRICS, run, session
from sistasks.history.records import SampleSet
from sistasks.history.store import write_run

db, kills = Path(sys.argv[1]), int(sys.argv[2])
dice = random.Random(kills)
noise = [dice.randrange(1 << 62) for _ in range(20_000)]
record = run(samples=tuple(SampleSet(node=node, metric="throughput.rate", values=noise) for node in (1, 2)))

def begin(name):
    told, tell = os.pipe()
    writer = os.fork()
    if writer == 0:
        os.close(told)
        while True:
            number = write_run(db, session(name), record, METRICS)
            os.write(tell, number.to_bytes(8, "big"))
    os.close(tell)
    return writer, told

def numbers(told):
    with os.fdopen(told, "rb") as file:
        data = file.read()
    return {{int.from_bytes(data[i : i + 8], "big") for i in range(0, len(data), 8)}}

write_run(db, session("first"), record, METRICS)
known = {{1}}
for kill in range(kills):
    writers = [begin(f"session {{kill}}-{{n}}") for n in range(1 + kill % 2)]
    select.select([], [], [], dice.uniform(0.0, 0.06))
    for writer, _ in writers:
        os.kill(writer, signal.SIGKILL)
        ended = os.waitpid(writer, 0)[1]
        assert os.WTERMSIG(ended) == signal.SIGKILL, "a writer failed by itself"
    for _, told in writers:
        known |= numbers(told)
    if kill % 10 == 0:
        connection = sqlite3.connect(db)
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        connection.close()
print(len(known), max(known))
"""


def test_a_writer_killed_at_any_instant_leaves_whole_runs(tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    command = [sys.executable, "-c", NURSERY.format(here=HERE), str(db), str(KILLS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert (done.returncode, done.stderr) == (0, "")
    told, last = map(int, done.stdout.split())
    with contextlib.closing(sqlite3.connect(db)) as connection:

        def rows(query: str) -> list[tuple[object, ...]]:
            return connection.execute(query).fetchall()

        assert rows("pragma integrity_check") == [("ok",)]
        assert rows("pragma foreign_key_check") == []
        ((held, newest),) = rows("select count(*), max(id) from runs")
        assert isinstance(held, int)
        assert isinstance(newest, int)
        # ids have no gaps, so all that a writer was told of are there; one that was killed could not tell of its last
        assert held == newest >= last
        assert told <= held <= told + KILLS * 2
        assert told > KILLS / 10, "most were killed before they wrote anything: nothing was tested"
        for table, count in (("results", 4), ("summaries", 4), ("samples", 2)):
            found = rows(f"select run_id, count(*) from {table} group by run_id having count(*) <> {count}")  # noqa: S608 - our own names
            assert found == [], table
            assert rows(f"select count(distinct run_id) from {table}") == [(held,)]  # noqa: S608 - our own names
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("results.db")] == []
