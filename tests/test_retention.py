"""Retention at work: rows and files go or stay, and nobody who reads meanwhile is the worse for it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import evidence_parts as parts
import judged
import pytest
from evidence_parts import LOG, age, files, put, read, rows
from small_disks import fill, small_disk

from sistasks import evidence_steps
from sistasks.errors import HistoryError
from sistasks.evidence import histories, sweep
from sistasks.evidence.artifacts import Store
from sistasks.evidence.records import Evidence
from sistasks.history.artifacts import paths, precious_runs
from sistasks.history.connection import open_to_read, prepare, writing
from sistasks.history.records import CrashRow
from sistasks.verdicts.store import accept

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.history.records import ArtifactRow

_READER: Final = """
import sys
from pathlib import Path
from sistasks.evidence.artifacts import Store
db, store = Path(sys.argv[1]), Store(Path(sys.argv[2]))
rows = store.for_run(db, 1)
print(len(rows), flush=True)
turns = 0
while not Path(sys.argv[3]).exists() or turns < 3:
    turns += 1
    for row in (*rows, *store.for_run(db, 1)):
        with store.open(row) as file:
            assert len(file.read()) == row.size
print("read", flush=True)
"""


def artifact(store: Store, number: int) -> ArtifactRow:
    return put(store, b"log %d" % number)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "out" / "artifacts", tmp_path / "results.db")


def clean(db: Path, **variables: Any) -> str:
    code, said = judged.told(db, evidence_steps.retain, **variables)
    assert code == 0, said
    return said


def test_old_ones_go_rows_and_files_and_notes(store: Store, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    old, young = artifact(store, 1), artifact(store, 2)
    parts.write(db, old, days=40)
    parts.write(db, young)
    age(store, 2)
    said = clean(db)
    assert "1 artifacts removed: 1 older than 30 days" in said
    assert "1 files removed, 5.00 B free again" in said
    assert [row[0] for row in rows(db, "SELECT sha256 FROM artifacts")] == [young.sha256]
    assert read(store, young) == b"log 2"
    assert len(files(store)) == 1
    assert [
        json.loads(path.read_text())["sha256"] for path in store.root.glob("metadata/artifacts/*/*.json")
    ] == [young.sha256]
    assert rows(db, "SELECT count(*) FROM runs") == [(2,)], "the runs themselves stay"
    assert clean(db) == "", "and there is nothing more to say"


def test_what_a_person_baselines_regressions_and_crashes_name_stays(store: Store, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    good = {judged.SWITCH: [100.0] * 4}
    kept = [artifact(store, number) for number in range(9)]

    def run(number: int, kernel: str, **changes: Any) -> int:
        values = changes.pop("values", good)
        row = dataclasses.replace(kept[number], created_at=kept[number].created_at - dt.timedelta(days=90))
        return judged.write(db, values, kernel, artifacts=(row,), **changes)

    forgotten = run(0, "a")
    accepted = run(1, "b")
    accept(db, judged.run_info(db, accepted), "so it is")
    before = run(2, "c")
    worse = run(3, "d", values={judged.SWITCH: [150.0] * 4})
    assert judged.told(db)[0] == 1
    crash = CrashRow(node=1, kind="panic", title="Kernel panic", report="…")
    first = run(4, "e", status="failed", crashes=(crash,))
    again = run(5, "f", status="failed", crashes=(crash,))
    later = run(6, "g", suite="boot")
    newest = run(7, "h", suite="boot")
    with closing(open_to_read(db)) as connection:
        precious = precious_runs(connection)
    assert precious == {
        accepted: "accepted", worse: "of an open regression", before: "of an open regression",
        first: "first of its crash",
    }  # fmt: skip
    said = clean(db)
    left = {run for (run,) in rows(db, "SELECT run_id FROM artifacts")}
    assert left == {accepted, before, worse, first, later}, "the next run of boot is judged against `later`"
    assert {forgotten, again, newest}.isdisjoint(left)
    assert (
        "5 artifacts kept beyond their limits: 1 accepted, 1 first of its crash, 1 of a baseline, 2 of an"
        in said
    )
    # once it is accepted, a regression is none; what it was judged against stays as long as it is the newest verdict's
    accept(db, judged.run_info(db, worse), "meant")
    with closing(open_to_read(db)) as connection:
        precious = precious_runs(connection)
    assert (precious[worse], precious[before]) == ("accepted", "of a baseline")


def test_keep_until_is_kept(store: Store, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    until = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    parts.write(db, dataclasses.replace(artifact(store, 1), keep_until=until), days=99)
    assert "1 artifacts kept beyond their limits: 1 to be kept until a date" in clean(db)
    rows(db, "UPDATE artifacts SET keep_until = '2020-01-01T00:00:00.000000Z'")
    assert "1 artifacts removed" in clean(db)


def test_a_file_that_another_history_names_stays(store: Store, tmp_path: Path) -> None:
    db, other = tmp_path / "results.db", tmp_path / "other.db"
    shared = artifact(store, 1)
    parts.write(db, shared, days=99)
    parts.write(other, put(Store(store.root, other), b"log 1"))
    age(store, 2)
    assert "1 artifacts removed" in clean(db)
    assert read(store, shared) == b"log 1"
    # a history that cannot be asked may name anything
    other.write_bytes(b"damaged" * 1000)
    age(store, 99)
    said = clean(db)
    assert "no file was removed" in said
    assert "is not a database" in said
    assert len(files(store)) == 1
    # it cannot be told either what is compressed; whoever reads it finds that
    put(store, b"cold")
    age(store, 2)
    assert "1 files compressed" in clean(db)
    # one that is gone is waited for as long as anything is kept
    other.unlink()
    age(store, 2)
    said = clean(db)
    assert f"{other} has used this store and is gone" in said
    assert len(files(store)) == 2
    age(store, 99)
    clean(db)
    assert files(store) == []
    assert histories.known(store.root) == [db], "what is gone is forgotten"


def test_what_is_fresh_is_never_removed(store: Store, tmp_path: Path) -> None:
    """Another session puts its files before its run is in the history."""
    db = tmp_path / "results.db"
    prepare(db)
    row = artifact(store, 1)
    assert "1 files that no run names stay" in clean(db)
    age(store, 1)
    assert artifact(store, 1).path == row.path, "put again, it is fresh again"
    clean(db)
    assert read(store, row) == b"log 1"
    age(store, 1)
    (store.root / "logs" / ".new-0123").write_bytes(b"half")
    clean(db)
    assert (
        read(store, row) == b"log 1" if files(store)[-1] == row.path else files(store) == ["logs/.new-0123"]
    )


def test_half_files_of_killed_sessions_go(store: Store, tmp_path: Path) -> None:
    row = artifact(store, 1)
    parts.write(tmp_path / "results.db", row)
    half = store.root / "logs" / ".new-0123456789abcdef"
    half.write_bytes(b"half")
    clean(tmp_path / "results.db")
    assert half.exists()
    age(store, 0.2)
    clean(tmp_path / "results.db")
    assert files(store) == [row.path]


def test_cold_files_are_compressed_and_the_history_knows(store: Store, tmp_path: Path) -> None:
    db, other = tmp_path / "results.db", tmp_path / "other.db"
    kept = (
        put(store),
        put(store, b"\x89PNG" * 200, kind="screenshots", name="a.png"),
        put(store, b"warm " * 99),
    )
    parts.write(db, *kept)
    parts.write(other, put(Store(store.root, other)))
    age(store, 2)
    warm = store.root / kept[2].path
    os.utime(warm)
    said = clean(db)
    assert "1 files compressed: 17.5 kB are" in said
    packed = f"{kept[0].path}.zst"
    assert rows(db, "SELECT path, compressed, size, sha256 FROM artifacts") == [
        (packed, 1, len(LOG), kept[0].sha256),
        *((row.path, 0, row.size, row.sha256) for row in kept[1:]),
    ]
    assert paths(other) == {packed}
    assert files(store) == sorted([packed, kept[1].path, kept[2].path])
    assert read(store, kept[0]) == LOG, "a row that was read before is good still"
    assert read(store, store.for_run(db, 1)[0]) == LOG
    assert put(store).path == packed, "what is there compressed is there"
    assert clean(db) == ""


def test_a_full_disk_is_no_reason_not_to_tidy(tmp_path: Path) -> None:
    """Removing makes room, though compressing finds none."""
    with small_disk(tmp_path / "out", "3M") as disk:
        db, store = tmp_path / "results.db", Store(disk / "artifacts", tmp_path / "results.db")
        old = store.put(parts.evidence(tmp_path, b"old"))
        cold = store.put(parts.evidence(tmp_path, os.urandom(1 << 20)))
        parts.write(db, old, days=99)
        parts.write(db, cold)
        age(store, 2)
        fill(disk)
        said = clean(db)
        assert "1 files removed, 3.00 B free again" in said
        assert "could not all be compressed: No space left on device" in said
        assert files(store) == [cold.path]
        assert paths(db) == {cold.path}
        (disk / "fill").unlink()
        assert "1 files compressed" in clean(db)


def test_a_damaged_file_is_not_made_to_look_whole(store: Store, tmp_path: Path) -> None:
    row = put(store)
    parts.write(tmp_path / "results.db", row)
    (store.root / row.path).write_bytes(LOG[:-1])
    age(store, 2)
    assert f"{row.path} is damaged, and stays as it is" in clean(tmp_path / "results.db")
    assert files(store) == [row.path]


def test_readers_find_files_while_they_are_compressed(store: Store, tmp_path: Path) -> None:
    db, done = tmp_path / "results.db", tmp_path / "done"
    kept = [put(store, b"%d" % number * 4000) for number in range(40)]
    parts.write(db, *kept)
    age(store, 2)
    command = [sys.executable, "-c", _READER, str(db), str(store.root), str(done)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "40\n"
        assert sweep.pack_cold(store, db).files == 40
        done.touch()
        said, error = reader.communicate(timeout=120)
    assert (reader.returncode, said, error) == (0, "read\n", "")


def test_a_history_that_is_locked_keeps_its_rows_and_files(store: Store, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    row = put(store)
    parts.write(db, row)
    age(store, 2)
    (tmp_path / "other.db").write_bytes(b"damaged" * 1000)
    put(Store(store.root, tmp_path / "other.db"), b"x")
    with pytest.raises(HistoryError):
        sweep.pack_cold(store, tmp_path / "other.db")
    assert read(store, row) == LOG
    assert paths(db) <= {row.path, f"{row.path}.zst"}


def test_nothing_comes_to_be_where_nothing_is(tmp_path: Path) -> None:
    assert clean(tmp_path / "results.db") == ""
    assert not (tmp_path / "results.db").exists()
    assert not (tmp_path / "out" / "artifacts").exists()
    store = Store(tmp_path / "out" / "artifacts")
    put(store)
    assert "stay" in clean(tmp_path / "results.db")
    assert not (tmp_path / "results.db").exists()


def test_a_run_that_is_deleted_takes_its_rows_and_then_its_files(store: Store, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    parts.write(db, put(store))
    with writing(db) as connection:
        connection.execute("DELETE FROM runs")
    age(store, 1)
    clean(db)
    assert files(store) == []


def test_evidence_of_nobody_is_evidence(tmp_path: Path) -> None:
    """A store without a history: what it keeps is fresh for an hour, then it goes."""
    store = Store(tmp_path / "out" / "artifacts")
    (tmp_path / "file").write_bytes(LOG)
    store.put(Evidence(node=0, kind="logs", path=tmp_path / "file", name="a.log"))
    assert sweep.remove_unnamed(store, tmp_path / "results.db", days=30).fresh == 1
    age(store, 1)
    assert sweep.remove_unnamed(store, tmp_path / "results.db", days=30).removed == 1
