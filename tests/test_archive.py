"""Bundles of runs: everything is in them, the same bytes each time, and whatever is wrong with one is seen."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import evidence_parts as parts
import history_records as records
import judged
import pytest
import zstandard
from evidence_parts import LOG, put
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sistasks import evidence_steps
from sistasks.errors import ArchiveError
from sistasks.evidence.archive import verify, write_archive
from sistasks.evidence.artifacts import Store

if TYPE_CHECKING:
    from collections.abc import Callable

CORE: Final = os.urandom(3000) + bytes(1 << 20)
_Members = list[tuple[str, bytes]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "out" / "artifacts", tmp_path / "results.db")


@pytest.fixture
def db(store: Store, tmp_path: Path) -> Path:
    made = tmp_path / "results.db"
    parts.write(
        made,
        put(store, name="../../evil\n.log"),
        put(store, CORE, kind="core_dumps", name="vm.core"),
        put(store, node=2),
    )
    return made


@pytest.fixture
def bundle(store: Store, db: Path, tmp_path: Path) -> Path:
    assert write_archive(tmp_path / "archives" / "run.tar.zst", db, 1, store) == []
    return tmp_path / "archives" / "run.tar.zst"


def unpacked(path: Path) -> _Members:
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as reader:
        content = reader.read()
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        found = []
        for info in tar:
            member = tar.extractfile(info)
            assert member is not None
            assert (info.mode, info.uid, info.gid, info.uname, info.gname) == (0o644, 0, 0, "", "")
            assert info.mtime == int(records.run().finished_at.timestamp())
            found.append((info.name, member.read()))
    return found


def packed(path: Path, members: _Members, change: Callable[[tarfile.TarInfo], None] | None = None) -> Path:
    """A bundle of somebody else's."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if change is not None:
                change(info)
            tar.addfile(info, io.BytesIO(data))
    path.write_bytes(zstandard.ZstdCompressor().compress(out.getvalue()))
    return path


def test_everything_of_the_run_is_in_it(bundle: Path, store: Store, db: Path) -> None:
    members = unpacked(bundle)
    *rest, (last, manifest_text) = members
    names = [name for name, _ in rest]
    kept = store.for_run(db, 1)
    assert last == "manifest.json"
    assert names[:5] == ["run.json", *(f"samples/0000{number}.json" for number in range(1, 5))]
    assert names[5:] == [f"artifacts/{row.path.removesuffix('.zst')}" for row in kept[:2]]
    content = dict(members)
    assert content[names[5]] == LOG
    assert content[names[6]] == CORE
    run = json.loads(content["run.json"])
    assert run["run"]["suite"] == "performance"
    assert len(run["results"]) == 4
    assert len(run["summaries"]) == 4
    assert {metric["name"] for metric in run["metrics"]} == set(records.VALUES)
    assert run["kernel"][0]["name"] == "debian"
    assert len(run["artifacts"]) == 3
    assert {"verdicts", "crashes", "resources", "annotations", "session", "environment"} <= run.keys()
    sample = json.loads(content["samples/00002.json"])
    assert sample == {"node": 1, "metric": "throughput.rate", "values": [723_839, 700_478]}
    manifest = json.loads(manifest_text)
    assert (manifest["run"], manifest["missing"]) == (1, [])
    assert [(member["name"], member["size"], member["sha256"]) for member in manifest["members"]] == [
        (name, len(data), hashlib.sha256(data).hexdigest()) for name, data in rest
    ]
    log = manifest["members"][5]
    assert (log["node"], json.loads(log["detail"])["name"]) == (1, "../../evil\n.log")
    assert [also["node"] for also in log["also"]] == [2], "two nodes left the same"


def test_it_verifies(bundle: Path) -> None:
    found = verify(bundle)
    assert (found.run_id, found.members) == (1, 7)
    assert found.size > len(CORE) + len(LOG)


def test_the_same_run_makes_the_same_bytes(bundle: Path, db: Path, store: Store, tmp_path: Path) -> None:
    before = bundle.read_bytes()
    write_archive(bundle, db, 1, store)
    assert bundle.read_bytes() == before
    parts.age(store, 2)
    assert "compressed" in judged.told(db, evidence_steps.retain)[1]
    write_archive(bundle, db, 1, store)
    assert [name for name, _ in unpacked(bundle)][5:] == [name for name, _ in unpacked(bundle)][5:]
    assert verify(bundle).members == 7
    assert not list(bundle.parent.glob(".*"))


def test_one_that_is_cut_off_or_changed_anywhere_is_seen(bundle: Path, tmp_path: Path) -> None:
    whole = bundle.read_bytes()
    bad = tmp_path / "bad.tar.zst"
    # behind the last 4 bytes there is but the checksum of what has been compared already
    for length in (*range(0, len(whole) - 4, 97), len(whole) - 5):
        bad.write_bytes(whole[:length])
        with pytest.raises(ArchiveError, match="no whole bundle"):
            verify(bad)
    for where in range(0, len(whole), 61):
        data = bytearray(whole)
        data[where] ^= 0x10
        bad.write_bytes(data)
        # a flag of the frame that nothing depends on may have been changed
        with contextlib.suppress(ArchiveError):
            assert verify(bad) == verify(bundle), where


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=3000), frame=st.booleans())
def test_no_bytes_are_too_strange(tmp_path: Path, data: bytes, frame: bool) -> None:
    path = tmp_path / "strange.tar.zst"
    path.write_bytes(zstandard.ZstdCompressor().compress(data) if frame else data)
    with pytest.raises(ArchiveError):
        verify(path)


_ENDLESS: Final = b'{"format": "sistasks-archive/1", "run": Infinity, "members": []}'


@pytest.mark.parametrize(
    ("words", "edit"),
    [
        ("'run.json' is another one", lambda members: [(members[0][0], b"{}"), *members[1:]]),
        ("'run.json' is missing", lambda members: members[1:]),
        ("'more' is not named", lambda members: [("more", b""), *members]),
        ("'run.json' is there twice", lambda members: [members[0], *members]),
        ("it has no manifest", lambda members: members[:-1]),
        ("it has no manifest", lambda _: []),
        ("something follows its manifest", lambda members: [*members, ("more", b"x")]),
        ("its manifest cannot be read", lambda members: [*members[:-1], ("manifest.json", b"[]")]),
        ("its manifest cannot be read", lambda _: [("manifest.json", b"[" * 100_000)]),
        ("its manifest cannot be read", lambda _: [("manifest.json", b"\xff")]),
        ("its format is 'x'", lambda _: [("manifest.json", b'{"format": "x"}')]),
        ("its manifest cannot be read", lambda _: [("manifest.json", _ENDLESS)]),
        ("is no plain file", lambda members: [("x" * 150, b""), *members]),
    ],
)  # fmt: skip
def test_a_bundle_of_somebody_else_is_compared(
    bundle: Path, tmp_path: Path, words: str, edit: Callable[[_Members], _Members]
) -> None:
    with pytest.raises(ArchiveError) as caught:
        verify(packed(tmp_path / "bad.tar.zst", edit(unpacked(bundle))))
    assert words in str(caught.value)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_links_and_the_like_are_refused(bundle: Path, tmp_path: Path, kind: bytes) -> None:
    def change(info: tarfile.TarInfo) -> None:
        info.type, info.linkname = kind, "/etc/passwd"

    with pytest.raises(ArchiveError, match="is no plain file"):
        verify(packed(tmp_path / "bad.tar.zst", unpacked(bundle)[:1], change))


def step(db: Path, **variables: Any) -> tuple[int, str]:
    return judged.told(db, evidence_steps.archive, **variables)


def test_the_task_makes_one_and_verifies_one(store: Store, db: Path) -> None:
    code, said = step(db, run=1)
    assert code == 0, said
    path = Path(said.split(": run")[0])
    assert path == store.root.parent / "archives" / "run-1-20260131T235959.tar.zst"
    assert ": run 1, 7 files, 1.07 MB in " in said
    assert said.endswith(", verified\n")
    assert step(db, verify=str(path)) == (0, f"{path} is whole: run 1, 7 files, 1.07 MB\n")


def test_what_cannot_be_is_said_in_a_sentence(store: Store, db: Path, tmp_path: Path) -> None:
    code, said = step(db, run=7)
    assert (code, said.split(";")[0]) == (3, "run 7 is not in the history")
    assert step(db)[0] == 3
    assert step(db, run=1, verify="x")[0] == 3
    bad = tmp_path / "bad.tar.zst"
    bad.write_bytes(b"bad")
    code, said = step(db, verify=str(bad))
    assert (code, said.count("\n")) == (2, 0)
    assert "no whole bundle" in said
    code, said = step(db, verify=str(tmp_path / "nowhere"))
    assert (code, said) == (
        2, f"{tmp_path}/nowhere cannot be read: No such file or directory; name a bundle that is there",
    )  # fmt: skip
    assert step(db, verify=str(tmp_path))[0] == 2


def doit(folder: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "doit", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def test_the_tasks_themselves(store: Store, db: Path, tmp_path: Path) -> None:
    """Through doit, with its exit codes."""
    (tmp_path / "dodo.py").write_text("from sistasks.tasks import *\n")
    code, said = doit(tmp_path, "archive", "run=1", "output=out")
    assert code == 0
    bundle = r"out/archives/run-1-20260131T235959\.tar\.zst: run 1, 7 files, 1\.07 MB in .* kB, verified\n"
    assert re.fullmatch(bundle, said)
    code, said = doit(tmp_path, "archive", "verify=dodo.py", "output=out")
    assert code == 2
    assert "dodo.py is no whole bundle" in said
    assert doit(tmp_path, "archive", "run=2", "output=out")[0] == 3
    parts.age(store, 99)
    parts.rows(db, "UPDATE artifacts SET created_at = '2020-01-01T00:00:00.000000Z'")
    code, said = doit(tmp_path, "cleanup", "output=out", "keep_days=7")
    assert code == 0
    assert "3 artifacts removed: 3 older than 7 days" in said
    assert "2 files removed" in said
    assert parts.files(store) == []


def test_what_is_damaged_is_left_out_and_said(store: Store, db: Path) -> None:
    row = store.for_run(db, 1)[1]
    (store.root / row.path).unlink()
    code, said = step(db, run=1)
    assert code == 2
    assert "lacks 1 of the run's artifacts" in said
    (path,) = (store.root.parent / "archives").iterdir()
    *rest, (_, manifest) = unpacked(path)
    assert len(rest) == 6
    assert row.path in json.loads(manifest)["missing"][0]
    assert verify(path).members == 6


def artifacts(db: Path, **variables: Any) -> tuple[int, str]:
    return judged.told(db, evidence_steps.artifacts, **variables)


def test_the_store_is_shown(store: Store, db: Path) -> None:
    code, said = artifacts(db)
    assert code == 0
    lines = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line.strip()}
    assert lines["logs"][:6] == ["1", "17.5", "kB", "17.5", "kB", "0"]
    assert lines["core_dumps"][:3] == ["1", "1.05", "MB"]
    assert lines["core_dumps"][5] == "1"
    assert lines["all"][0] == "2"
    assert lines["traces"][-2:] == ["-", "-"]


def test_what_a_run_left_is_shown(store: Store, db: Path) -> None:
    kept = store.for_run(db, 1)
    (store.root / kept[1].path).write_bytes(b"damaged")
    code, said = artifacts(db, run=1)
    assert code == 0
    assert "../../evil\\n.log" in said
    assert [line.split()[-1] for line in said.splitlines()[4:7]] == ["whole", "damaged", "whole"]
    assert said.splitlines()[-1] == str(store.root / kept[0].path)
    (store.root / kept[0].path).unlink()
    assert artifacts(db, run=1)[1].count("gone") == 2
    assert artifacts(db, run=9)[0] == 3
    parts.write(db)
    assert artifacts(db, run=2) == (0, "run 2 left no artifacts\n")


def test_an_empty_store_is_told_of(tmp_path: Path) -> None:
    code, said = artifacts(tmp_path / "results.db")
    assert (code, said) == (0, f"{tmp_path}/out/artifacts keeps nothing yet\n")
    assert artifacts(tmp_path / "results.db", run=1)[0] == 2
