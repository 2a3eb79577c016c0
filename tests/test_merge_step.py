"""`doit merge` as a person meets it: its words, its refusals, the files that come along, and a kill in the middle."""

from __future__ import annotations

import ast
import dataclasses
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from judged import kernel_id, told
from merging import content, measured, rows, untimed

from sistasks import merge_steps
from sistasks.evidence import kernels
from sistasks.evidence.artifacts import Store
from sistasks.evidence.records import Evidence
from sistasks.files import sha256_of
from sistasks.history.artifacts import artifacts_of
from sistasks.history.connection import prepare
from sistasks.layout import Layout

if TYPE_CHECKING:
    from sistasks.history.records import ArtifactRow
    from sistasks.settings import Settings
    from sistasks.terminal import Terminal

HERE = str(Path(__file__).parent)
KILLS = 400 if os.environ.get("FAULTS") == "long" else 25


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "here" / "results.db"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """In a project of its own, with its store where `doit` has it."""
    return tmp_path / "there" / "results.db"


def said(db: Path, other: Path, **variables: Any) -> tuple[int, str]:
    """Exit code and words of `doit merge from=other`."""

    def step(settings: Settings, terminal: Terminal) -> None:
        asked = dataclasses.replace(settings, other=other, given=settings.given | {"from"})
        merge_steps.merge(asked, terminal)

    code, words = told(db, step, **variables)
    return code, untimed(words)


def with_files(db: Path, minute: float, *contents: str, kernel: str = "old") -> None:
    """A run that left logs, and a dump, which the store compresses."""
    store = Store(db.parent / "target/testing/artifacts", db)
    found: list[ArtifactRow] = []
    for index, text in enumerate(contents):
        path = db.parent / "a.log"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        kind, name = ("core_dumps", "vmcore") if index else ("logs", "console.log")
        found.append(store.put(Evidence(node=1, kind=kind, path=path, name=name)))
    measured(db, minute, kernel, artifacts=tuple(found))


def test_what_it_says(db: Path, other: Path) -> None:
    measured(db, 10)
    for minute in (5, 15, 16, 30):
        measured(other, minute, "new")
    assert said(db, other) == (
        0,
        f"merge: earlier runs came, so run 1 of {db} is run 2 now\n"
        f"merge: 4 runs came from {other}, now 1, 3-5 of {db}; 0 were there already\n",
    )
    assert said(db, other) == (0, f"merge: 0 runs came from {other}; 4 were there already\n")
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("update results set status = 'fail' where run_id = 4")
        connection.execute(
            "update metrics set better = 'higher', description = char(27) where name like 'c%'"
        )
    assert said(db, other) == (
        0,
        f"merge: run 4 of {other} is run 5 of {db}, and differs in results: it stays as it is here\n"
        f"merge: context_switch.latency is defined otherwise in {other}: the definition of {db} counts, where it was "
        f"measured last\nmerge: 0 runs came from {other}; 4 were there already\n",
    )


def test_what_cannot_be_merged_is_refused_in_a_sentence(db: Path, other: Path) -> None:
    measured(db, 10)
    folder = db.parent
    newer, foreign = folder / "newer.db", folder / "foreign.db"
    prepare(newer)
    with closing(sqlite3.connect(newer)) as connection, connection:
        connection.execute(
            "insert into _sqlite_migrations (migration_set, name, applied_at) values ('sistasks', '0099_new', '')"
        )
    with closing(sqlite3.connect(foreign)) as connection, connection:
        connection.execute("create table theirs (a)")
    text, empty, link = folder / "text.db", folder / "empty.db", folder / "link.db"
    text.write_text("this is no database, whatever its name says\n" * 100)
    empty.touch()
    link.symlink_to(db)
    cases = {
        other: f"{other} does not exist; name another history with from=…",
        text: f"{text} is not a database; name another history with from=…",
        empty: f"{empty} is an empty file, and no history; name another history with from=…",
        foreign: f"{foreign} is a database of another program; name another history with from=…",
        newer: f"{newer} was written by a newer sistasks: it has '0099_new', which this one does not know; "
        "upgrade sistasks",
        folder: f"{folder} is a directory, and the history is a file; name another history with from=…",
        db: f"{db} is the history itself; name another history with from=…",
        link: f"{link} is the history itself; name another history with from=…",
    }
    before = content(db)
    for path, words in cases.items():
        raw = path.read_bytes() if path.is_file() else b""
        assert said(db, path) == (3, words)
        assert (path.read_bytes() if path.is_file() else b"") == raw
    assert told(db, merge_steps.merge) == (3, "merge needs the other history; doit merge from=other.db")
    assert content(db) == before
    fresh = folder / "fresh.db"
    assert said(fresh, text)[0] == 3
    assert not fresh.exists()


def test_files_come_along_where_they_are_at_hand(db: Path, other: Path) -> None:
    with_files(db, 10, "both have this")
    with_files(other, 20, "both have this", "a dump", kernel="new")
    with_files(other, 30, "this one is lost", kernel="newer")
    theirs, ours = Store(other.parent / "target/testing/artifacts"), Store(db.parent / "out/artifacts")
    theirs.path_of(artifacts_of(other, 2)[0].row).unlink()
    code, words = said(db, other)
    assert (code, "1 artifact is left out: no store at hand has the file whole" in words) == (0, True)
    assert "; 2 artifacts came" in words
    (log, dump), lost = artifacts_of(db, 2), artifacts_of(db, 3)
    assert lost == ()
    before = artifacts_of(other, 1)
    for new, old in zip((log, dump), before, strict=True):
        assert new.row == old.row
        with ours.open(new.row) as here, theirs.open(old.row) as there:
            assert here.read() == there.read()
    assert dump.row.path.endswith(".zst")
    assert "artifacts came" not in said(db, other)[1]
    # found later: the row follows its file
    lost_file = theirs.path_of(artifacts_of(other, 2)[0].row)
    lost_file.write_text("this one is lost")
    assert "; 1 artifact came" in said(db, other)[1]
    assert [one.row.kind for one in artifacts_of(db, 3)] == ["logs"]


def test_a_damaged_file_does_not_come(db: Path, other: Path) -> None:
    with_files(other, 20, "as it was", kernel="new")
    store = Store(other.parent / "target/testing/artifacts")
    store.path_of(artifacts_of(other, 1)[0].row).write_text("as it wàs")
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute(
            "insert into artifacts (run_id, node, kind, path, size, sha256, created_at)"
            " values (1, 1, 'logs', '../../../etc/passwd', 1, '00', '2026-01-01T00:00:00+00:00')"
        )
    code, words = said(db, other)
    assert (code, "2 artifacts are left out" in words) == (0, True)
    assert artifacts_of(db, 1) == ()


def test_a_store_that_both_use_serves_both(db: Path, tmp_path: Path) -> None:
    other = db.with_name("second.db")
    store = Store(db.parent / "out/artifacts", other)
    path = tmp_path / "a.log"
    path.write_text("console")
    measured(other, 10, artifacts=(store.put(Evidence(node=1, kind="logs", path=path, name="a.log")),))
    assert "1 artifact came" in said(db, other)[1]
    # what only this history names is kept when the other one has gone
    other.unlink()
    names = {path.read_text() for path in (store.root / "metadata/histories").iterdir()}
    assert any(str(db.resolve()) in name for name in names)


def test_kernels_of_baselines_come_along(db: Path, other: Path) -> None:
    for minute, kernel in ((10, "old"), (20, "new")):
        measured(other, minute, kernel)
    theirs = Layout(other.parent / "target/testing").kept_kernels(other)
    theirs.mkdir(parents=True)
    image, initramfs = other.parent / "image", other.parent / "initramfs"
    for name in ("old", "nobody names this"):
        image.write_text(name)
        initramfs.write_text("guest")
        kept = kernels.KeptKernel(
            id=kernel_id(name), image=sha256_of(image), initramfs=sha256_of(initramfs), guest="g", arguments=("quiet",),
            results_line="virtio",
        )  # fmt: skip
        kernels.keep(theirs, kept, image, initramfs)
    assert said(db, other)[0] == 0
    ours = Layout(db.parent / "out").kept_kernels(db)
    assert kernels.find(ours, kernel_id("old"), "g") == kernels.find(theirs, kernel_id("old"), "g")
    assert kernels.find(ours, kernel_id("old"), "g") is not None
    assert kernels.find(ours, kernel_id("nobody names this"), "g") is None


NURSERY = """
import os, random, select, signal, sqlite3, sys
sys.path.insert(0, {here!r})
from pathlib import Path
from merging import merged

db, other, kills = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
dice = random.Random(kills)
whole = None
before = db.read_bytes()
ends = []
for kill in range(kills):
    for suffix in ("", "-wal", "-shm"):
        Path(str(db) + suffix).unlink(missing_ok=True)
    db.write_bytes(before)
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        merged(db, other)
        os.write(tell, b"done")
        os._exit(0)
    os.close(tell)
    select.select([told], [], [], dice.uniform(0.0, {limit}))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    done = os.read(told, 4)
    os.close(told)
    connection = sqlite3.connect(db)
    assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
    assert connection.execute("pragma foreign_key_check").fetchall() == []
    runs = connection.execute("select group_concat(started_at) from (select * from runs order by id)").fetchone()
    counts = [connection.execute("select count(*) from " + table).fetchone()[0] for table in sys.argv[4].split()]
    connection.close()
    ends.append((done.decode(), runs[0].count(",") + 1, *counts))
print(sorted(set(ends)))
"""


def test_a_kill_at_any_instant_leaves_all_or_nothing(db: Path, other: Path) -> None:
    for minute in range(0, 12, 3):
        measured(db, minute)
    for minute in range(40):
        measured(other, minute + 0.5, "new")
    prepare(db)
    tables = "results summaries samples findings crashes resources profiles"
    per_run = [rows(db, f"select count(*) / 4 from {table}")[0][0] for table in tables.split()]  # noqa: S608 - our own names
    script = NURSERY.format(here=HERE, limit=0.12)
    command = [sys.executable, "-c", script, str(db), str(other), str(KILLS), tables]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert (done.returncode, done.stderr) == (0, "")
    ends = ast.literal_eval(done.stdout)
    nothing = (4, *(4 * count for count in per_run))
    everything = (44, *(44 * count for count in per_run))
    assert {end[1:] for end in ends} <= {nothing, everything}
    assert all(end[1:] == everything for end in ends if end[0]), "what was told of is there"
    assert ("", *nothing) in ends, "nothing was interrupted: nothing was tested"


def test_as_it_is_typed(db: Path, other: Path) -> None:
    measured(other, 10)
    (db.parent).mkdir()
    (db.parent / "dodo.py").write_text("from sistasks.tasks import *\n")
    command = [sys.executable, "-m", "doit", "merge", f"from={other}"]
    done = subprocess.run(command, cwd=db.parent, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"merge: 1 run came from {other}, now 1 of results.db; 0 were there already\n"
    shutil.copy(other, db.parent / "copy.db")
    again = subprocess.run(
        [*command[:-1], "from=copy.db"],
        cwd=db.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert again.stdout == "merge: 0 runs came from copy.db; 1 was there already\n"
    assert list((db.parent / "target/testing").glob("run/*")) == []
