"""The store: the same content once, verified on reading, and no name or path that leads out of it."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import evidence_parts as parts
import pytest
from evidence_parts import LOG, age, files, put, read
from hypothesis import given
from hypothesis import strategies as st
from small_disks import small_disk

from sistasks.errors import ArtifactError, ArtifactGone
from sistasks.evidence import kernels, places, sweep
from sistasks.evidence.artifacts import Store
from sistasks.evidence.places import Place
from sistasks.evidence.records import KINDS, Evidence
from sistasks.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sistasks.history.records import ArtifactRow

SHA: Final = hashlib.sha256(LOG).hexdigest()
CORE: Final = os.urandom(5000) + bytes(3 << 20)
_PUTTER: Final = """
import sys
from pathlib import Path
from sistasks.evidence.artifacts import Store
from sistasks.evidence.records import Evidence
sys.stdin.readline()
store = Store(Path(sys.argv[1]))
for turn in range(20):
    row = store.put(Evidence(node=1, kind=sys.argv[3], path=Path(sys.argv[2]), name="a.log"))
    with store.open(row) as file:
        assert len(file.read()) == row.size
"""


_ENDLESS: Final = """
import os, sys
from pathlib import Path
from sistasks.evidence.artifacts import Store
from sistasks.evidence.records import Evidence
store, path = Store(Path(sys.argv[1])), Path(sys.argv[2])
print(flush=True)
for turn in range(10**6):
    path.write_bytes(os.urandom(1 << 21))
    store.put(Evidence(node=1, kind=("logs", "core_dumps")[turn % 2], path=path, name="a.log"))
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "out" / "artifacts", tmp_path / "results.db")


def test_what_is_put_comes_back(store: Store) -> None:
    row = put(store, name="console.log", node=3)
    assert (row.node, row.kind, row.size, row.sha256, row.compressed) == (3, "logs", len(LOG), SHA, False)
    assert row.path == f"logs/{SHA[:2]}/{SHA}.log"
    assert json.loads(row.detail) == {"name": "console.log"}
    assert (store.root / row.path).read_bytes() == LOG
    assert read(store, row) == LOG
    assert store.path_of(row) == store.root / row.path


def test_the_same_content_is_there_once(store: Store) -> None:
    rows = [put(store, node=node, name=name) for node in (1, 2) for name in ("a.log", "b.log")]
    assert len({row.path for row in rows}) == 1
    assert files(store) == [rows[0].path]
    names = sorted((store.root / "metadata" / "artifacts").rglob("*.json"))
    told = [json.loads(path.read_text()) for path in names]
    assert sorted((one["node"], one["name"]) for one in told) == [
        (1, "a.log"), (1, "b.log"), (2, "a.log"), (2, "b.log"),
    ]  # fmt: skip
    assert {(one["sha256"], one["size"], one["kind"]) for one in told} == {(SHA, len(LOG), "logs")}
    assert told[0]["created_at"].endswith("Z")


def test_core_dumps_are_compressed_at_once(store: Store) -> None:
    row = put(store, CORE, kind="core_dumps", name="vm.core")
    assert row.compressed
    assert row.path.endswith(".core.zst")
    assert (row.size, row.sha256) == (len(CORE), hashlib.sha256(CORE).hexdigest())
    assert (store.root / row.path).stat().st_size < 10_000
    assert read(store, row) == CORE
    assert read(store, put(store, b"", kind="core_dumps")) == b""
    assert read(store, put(store, b"")) == b""


def test_a_file_that_is_taken_is_not_copied(store: Store, tmp_path: Path) -> None:
    store.root.mkdir(parents=True)
    path = tmp_path / "net.pcapng"
    path.write_bytes(LOG)
    inode = path.stat().st_ino
    row = store.put(Evidence(node=0, kind="captures", path=path, name="net.pcapng"), take=True)
    assert not path.exists()
    assert (store.root / row.path).stat().st_ino == inode
    path.write_bytes(LOG)
    assert (
        store.put(Evidence(node=0, kind="captures", path=path, name="net.pcapng"), take=True).path == row.path
    )
    assert not path.exists()
    assert files(store) == [row.path]


@pytest.mark.parametrize("kind", ["logs", "core_dumps"])
@pytest.mark.parametrize("where", [0, -1, 2000])
def test_a_flipped_bit_is_seen(store: Store, kind: str, where: int) -> None:
    row = put(store, CORE, kind=kind)
    path = store.root / row.path
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="is not what was kept") as caught:
        read(store, row)
    assert caught.value.exit_code == 2
    # whoever has it still, heals it
    assert put(store, CORE, kind=kind).path == row.path
    assert read(store, row) == CORE


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x", lambda _: b""])
def test_another_length_is_seen(store: Store, change: Callable[[bytes], bytes]) -> None:
    row = put(store)
    path = store.root / row.path
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ArtifactError, match="is not what was kept: it is"):
        read(store, row)


def test_what_is_gone_is_said_to_be_gone(store: Store) -> None:
    row = put(store)
    (store.root / row.path).unlink()
    with pytest.raises(ArtifactGone, match="is no longer in"):
        read(store, row)
    with pytest.raises(ArtifactGone):
        read(Store(store.root / "nowhere"), row)


@given(path=st.one_of(st.text(max_size=80), st.from_regex(r"[./a-z]{0,9}/[0-9a-f./]{0,70}(\.zst)?")))
def test_no_text_is_a_path_out_of_the_store(path: str) -> None:
    place = Place.read(path)
    assert place is None or (place.path == path and ".." not in path and place.kind in KINDS)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd", "../../etc/passwd", f"logs/{SHA[:2]}/../../../x", f"logs/{SHA[:2]}/{SHA}.log/..", f"logs//{SHA}",
        f"logs/00/{SHA}", f"logs/{SHA[:2]}/{SHA}.zst.zst", f"kernels/{SHA[:12]}/{SHA}", f"logs/{SHA[:2]}/{SHA}\n",
        f"LOGS/{SHA[:2]}/{SHA}", f"logs/{SHA[:2]}/{SHA}.a/b", "",
    ],
)  # fmt: skip
def test_a_row_that_leads_elsewhere_is_refused(store: Store, path: str) -> None:
    row = dataclasses.replace(put(store), path=path)
    for ask in (lambda: read(store, row), lambda: store.path_of(row)):
        with pytest.raises(ArtifactError, match="is no place of the store"):
            ask()


def test_a_row_that_names_another_content_is_refused(store: Store) -> None:
    one, other = put(store), put(store, b"other")
    with pytest.raises(ArtifactError, match="is no place of the store"):
        read(store, dataclasses.replace(one, path=other.path))


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/x", "/etc/passwd", "a\nb\0c", "x" * 300, "." * 300, "", "..", ".zst", "a.zst", "a.log\0",
        "a.LOG/../b", "\udcff\udc80.log", "-rf", "日本.ログ", "a.abcdefghijklmnop",
    ],
)  # fmt: skip
def test_a_name_never_becomes_a_path(store: Store, name: str) -> None:
    row = put(store, name=name)
    place = Place.read(row.path)
    assert place is not None
    assert place.suffix in {"", ".log"}
    assert files(store) == [row.path]
    assert read(store, row) == LOG
    row.detail.encode()
    assert len(json.loads(row.detail)["name"]) <= 1600
    assert {path.name for path in store.root.parent.iterdir()} == {"artifacts", "evidence"}


@given(name=st.text(max_size=400))
def test_a_suffix_is_short_and_plain(name: str) -> None:
    suffix = places.suffix_of(name)
    assert suffix == "" or (suffix[1:].isalnum() and suffix.isascii() and 2 <= len(suffix) <= 9)
    place = Place("logs", SHA, suffix)
    assert Place.read(place.path) == place
    assert Place.read(place.packed.path) == place.packed


def test_what_is_no_file_is_not_kept(store: Store, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "missing", "."):
        for take in (False, True):
            with pytest.raises(ArtifactError) as caught:
                store.put(Evidence(node=1, kind="logs", path=tmp_path / name, name="a.log"), take=take)
            assert name == "." or name in str(caught.value)
    assert files(store) == []
    with pytest.raises(ArtifactError, match="no kind of evidence"):
        put(store, kind="../logs")


@pytest.mark.parametrize("where", ["", "logs", f"logs/{SHA[:2]}", f"logs/{SHA[:2]}/{SHA}.log"])
def test_no_link_leads_out_of_the_store(store: Store, tmp_path: Path, where: str) -> None:
    """A link below the store's folder is followed neither to read nor to write; the folder itself may be one."""
    row = put(store)
    elsewhere = tmp_path / "elsewhere"
    (store.root / where).rename(elsewhere)
    (store.root / where).symlink_to(elsewhere)
    before = (
        sorted(path.name for path in elsewhere.rglob("*")) if elsewhere.is_dir() else elsewhere.read_bytes()
    )
    if where == "":
        assert read(store, row) == LOG
        return
    with pytest.raises(ArtifactError, match="a link is in its place"):
        read(store, row)
    if where.endswith(".log"):
        with pytest.raises(ArtifactError):
            put(store)
        assert elsewhere.read_bytes() == before
        return
    with pytest.raises(ArtifactError, match="cannot be kept"):
        put(store)
    age(store, 90)
    sweep.remove_unnamed(store, tmp_path / "results.db", days=30)
    assert sorted(path.name for path in elsewhere.rglob("*")) == before


@pytest.mark.parametrize("kind", ["logs", "core_dumps"])
def test_two_sessions_put_the_same_file_at_once(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_bytes(CORE)
    store = Store(tmp_path / "artifacts")
    command = [sys.executable, "-c", _PUTTER, str(store.root), str(tmp_path / "file"), kind]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for process in running:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in running:
        assert process.communicate(timeout=120)[1] == b""
        assert process.returncode == 0
    assert len(files(store)) == 1


def test_a_killed_session_leaves_nothing_half(tmp_path: Path) -> None:
    store = Store(tmp_path / "artifacts")
    command = [sys.executable, "-c", _ENDLESS, str(store.root), str(tmp_path / "file")]
    for turn in range(6):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"\n"
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.07 + turn / 30)
            process.kill()
    found = list(places.walk(store.root))
    assert found
    for place, _ in found:
        row = dataclasses.replace(
            put(store), kind=place.kind, path=place.path, sha256=place.sha256, size=1 << 21
        )
        assert place.sha256 == SHA or len(read(store, row)) == 1 << 21


def test_a_full_disk_leaves_nothing_half(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "2M") as disk:
        store = Store(disk / "artifacts")
        small = store.put(parts.evidence(tmp_path, LOG))
        for kind in ("logs", "core_dumps"):
            with pytest.raises(ArtifactError, match=os.strerror(errno.ENOSPC)):
                store.put(parts.evidence(tmp_path, os.urandom(4 << 20), kind=kind))
        assert files(store) == [small.path]
        assert read(store, small) == LOG


def test_statistics_count_what_is_there(store: Store, tmp_path: Path) -> None:
    assert {(kind.kind, kind.files) for kind in store.statistics()} == {(kind, 0) for kind in KINDS}
    put(store)
    put(store, node=2)
    put(store, b"another")
    put(store, CORE, kind="core_dumps")
    put(store, b"image", kind="kernels", name="bzImage")
    # what belongs to others in the same folder
    layout = Layout(store.root.parent)
    kept = kernels.KeptKernel(
        id="ab" * 32, image=SHA, initramfs=SHA, guest="cd" * 32, arguments=(), results_line="virtio"
    )
    (tmp_path / "image").write_bytes(LOG)
    kernels.keep(layout.kept_kernels(tmp_path / "results.db"), kept, tmp_path / "image", tmp_path / "image")
    layout.captures.mkdir()
    (layout.captures / "20260101T000000-1.pcapng").write_bytes(LOG)
    (store.root / "logs" / "notes.txt").write_bytes(LOG)
    found = {kind.kind: kind for kind in store.statistics()}
    logs, cores = found["logs"], found["core_dumps"]
    assert (logs.files, logs.content, logs.stored, logs.packed) == (2, len(LOG) + 7, len(LOG) + 7, 0)
    assert (cores.files, cores.content, cores.packed) == (1, len(CORE), 1)
    assert cores.stored < 10_000
    assert (found["kernels"].files, found["captures"].files, found["metadata"].files) == (1, 0, 0)
    assert logs.oldest is not None
    assert logs.newest is not None
    assert logs.oldest <= logs.newest
    # neither do they end with what retention takes
    age(store, 90)
    sweep.remove_unnamed(store, tmp_path / "results.db", days=30)
    assert kernels.find(layout.kept_kernels(tmp_path / "results.db"), kept.id, kept.guest) == kept
    assert (layout.captures / "20260101T000000-1.pcapng").exists()
    assert (store.root / "logs" / "notes.txt").exists()
    assert sum(kind.files for kind in store.statistics()) == 0


def test_a_run_tells_what_it_left(store: Store, tmp_path: Path) -> None:
    kept = (put(store), put(store, CORE, kind="core_dumps"))
    run = parts.write(tmp_path / "results.db", *kept)
    assert store.for_run(tmp_path / "results.db", run) == kept
    assert store.for_run(tmp_path / "results.db", 99) == ()


def _grown(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next read finds a file that has grown since it was opened."""
    real = os.fstat

    def fstat(descriptor: int) -> Any:
        found = real(descriptor)
        if path.exists() and os.path.samestat(found, path.stat()):
            with path.open("ab") as file:
                file.write(b"more")
        return found

    monkeypatch.setattr(os, "fstat", fstat)


@pytest.mark.parametrize("kind", ["logs", "core_dumps"])
def test_a_file_that_grows_meanwhile_is_kept_as_it_was(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = tmp_path / "growing"
    path.write_bytes(LOG)
    with monkeypatch.context() as patch:
        _grown(path, patch)
        row: ArtifactRow = store.put(Evidence(node=1, kind=kind, path=path, name="a.log"))
    assert path.stat().st_size > row.size >= len(LOG)
    assert read(store, row).startswith(LOG)
