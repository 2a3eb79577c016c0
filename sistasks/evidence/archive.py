"""One run as one file: what the history knows of it and every artifact, `.tar.zst`, with a manifest that verifies.

The same run makes the same bytes (with the same version of the compressor): members have a fixed order, belong to
nobody, and are as old as the run. `manifest.json` is the last member and names the size and SHA-256 of every other one,
so that a bundle is written and verified in one pass, without unpacking. Its tar has the form of POSIX.1-1988 (ustar),
with that of GNU for sizes beyond 8 GiB.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from sistasks.errors import ArchiveError, ArtifactError
from sistasks.evidence.compression import CHUNK, compressing, decompressed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sistasks.evidence.artifacts import Store

FORMAT: Final = "sistasks-archive/1"
_MANIFEST: Final = "manifest.json"
_LARGEST_MANIFEST: Final = 64 << 20
_BLOCK: Final = tarfile.BLOCKSIZE
_LEVEL: Final = 10
_PARTS: Final = ("results", "summaries", "verdicts", "crashes", "resources", "annotations", "artifacts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a whole bundle holds.

    Attributes:
        run_id: of the run, in the history that it comes from.
        members: how many files besides the manifest.
        size: their bytes.
    """

    run_id: int
    members: int
    size: int


class _Bundle:
    """A tar that is being written, and what the manifest will say of it."""

    def __init__(self, target: BinaryIO, mtime: int) -> None:
        self._target = target
        self._mtime = mtime
        self.members: list[dict[str, Any]] = []

    def add(self, name: str, size: int, content: BinaryIO, **more: Any) -> None:
        """Append a member, and note it."""
        digest = self._write(name, size, content)
        self.members.append({"name": name, "size": size, "sha256": digest, **more})

    def add_json(self, name: str, value: object, **more: Any) -> None:
        """Append a value as JSON, the same bytes for the same value."""
        data = _json(value)
        self.add(name, len(data), io.BytesIO(data), **more)

    def finish(self, manifest: dict[str, Any]) -> None:
        """Append the manifest and the end."""
        data = _json({**manifest, "members": self.members}, indent=1)
        self._write(_MANIFEST, len(data), io.BytesIO(data))
        self._target.write(bytes(2 * _BLOCK))

    def _write(self, name: str, size: int, content: BinaryIO) -> str:
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = size, 0o644, self._mtime
        self._target.write(info.tobuf(tarfile.GNU_FORMAT))
        digest, left = hashlib.sha256(), size
        while left and (chunk := content.read(min(left, CHUNK))):
            digest.update(chunk)
            self._target.write(chunk)
            left -= len(chunk)
        if left:
            raise ArchiveError(f"{name} became shorter while it was bundled", "try again")
        self._target.write(bytes(-size % _BLOCK))
        return digest.hexdigest()


def _json(value: object, indent: int | None = None) -> bytes:
    return (json.dumps(value, indent=indent, sort_keys=True, ensure_ascii=True) + "\n").encode()


def write_archive(target: Path, db: Path, run_id: int, store: Store) -> list[str]:
    """Bundle a run; the file is whole or not there.

    Args:
        target: the file; its folder is made.
        db: the history.
        run_id: a run that it has.
        store: where the artifacts are.

    Returns:
        Which artifacts are not in the bundle, and why, in words.

    Raises:
        HistoryError: the history cannot be read.
        OSError: there is no room.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    scratch = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with compressing(file, level=_LEVEL) as content:
                missing = _fill(content, db, run_id, store)
            file.flush()
            os.fsync(descriptor)
        scratch.chmod(0o644)
        scratch.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise
    return missing


def _fill(content: BinaryIO, db: Path, run_id: int, store: Store) -> list[str]:
    from sistasks.history.artifacts import artifacts_of, moment
    from sistasks.history.read import samples_of

    known, samples = _run(db, run_id)
    finished = moment(known["run"]["finished_at"])
    bundle = _Bundle(content, max(0, int(finished.timestamp())) if finished is not None else 0)
    bundle.add_json("run.json", known)
    for number, (node, metric) in enumerate(samples, 1):
        values = samples_of(db, run_id, node, metric).tolist()
        bundle.add_json(
            f"samples/{number:05}.json",
            {"node": node, "metric": metric, "values": values},
            node=node,
            metric=metric,
        )
    missing: list[str] = []
    for stored in artifacts_of(db, run_id):
        row = stored.row
        try:
            with store.open(row) as kept:
                # the name in the bundle is ours; what a person calls it stands in the manifest
                name = f"artifacts/{row.path.removesuffix('.zst') if row.compressed else row.path}"
                _add_once(bundle, name, row.size, kept, node=row.node, kind=row.kind, detail=row.detail)
        except ArtifactError as error:
            missing.append(f"{error.problem}")
    bundle.finish({"format": FORMAT, "run": run_id, "missing": missing})
    return missing


def _add_once(bundle: _Bundle, name: str, size: int, content: BinaryIO, **more: Any) -> None:
    """Append an artifact; two rows may share its file, and then share its member."""
    for member in bundle.members:
        if member["name"] == name:
            member["also"] = [*member.get("also", ()), more]
            return
    bundle.add(name, size, content, **more)


def _run(db: Path, run_id: int) -> tuple[dict[str, Any], list[tuple[int, str]]]:
    """All that the history knows of a run besides its samples, and which samples there are."""
    from sistasks.history.connection import reading

    with reading(db) as connection:
        if connection is None:
            raise ArchiveError(f"{db} is empty")
        # a hand or a damaged disk may have left text that is none
        connection.text_factory = lambda raw: raw.decode(errors="replace")

        def rows(table: str, column: str, key: object) -> list[dict[str, Any]]:
            query = f"SELECT * FROM {table} WHERE {column} = ? ORDER BY 1, 2, 3"  # noqa: S608 - our own tables
            return [dict(row) for row in connection.execute(query, (key,))]

        (run,) = rows("runs", "id", run_id)
        known: dict[str, Any] = {
            "run": run,
            "session": rows("sessions", "id", run["session_id"]),
            "kernel": rows("kernels", "id", run["kernel_id"]),
            "environment": rows("environments", "id", run["environment_id"]),
            "metrics": [dict(row) for row in connection.execute("SELECT * FROM metrics ORDER BY name")],
            **{table: rows(table, "run_id", run_id) for table in _PARTS},
        }
        query = "SELECT node, metric FROM samples WHERE run_id = ? ORDER BY node, metric"
        samples = [(row["node"], row["metric"]) for row in connection.execute(query, (run_id,))]
    measured = {metric for _, metric in samples} | {row["metric"] for row in known["summaries"]}
    known["metrics"] = [row for row in known["metrics"] if row["name"] in measured]
    return known, samples


def verify(path: Path) -> Verified:
    """Read a bundle to its end and compare every file in it with the manifest. Nothing is unpacked.

    Raises:
        ArchiveError: it cannot be read, is no bundle, or is not whole.
    """
    import zstandard

    try:
        with path.open("rb") as file:
            found, manifest = _read(decompressed(file), path)
    except OSError as error:
        raise ArchiveError(
            f"{path} cannot be read: {error.strerror}", "name a bundle that is there"
        ) from error
    except zstandard.ZstdError as error:
        raise _not_whole(path, str(error)) from error
    return _compare(found, manifest, path)


def _not_whole(path: Path, why: str) -> ArchiveError:
    return ArchiveError(f"{path} is no whole bundle: {why}", "make it again: doit archive run=…")


def _read(content: BinaryIO, path: Path) -> tuple[dict[str, tuple[int, str]], dict[str, Any]]:
    """Name -> size and SHA-256 of every member but the last, and what the manifest, which is the last, says."""
    found: dict[str, tuple[int, str]] = {}
    for name, size in _headers(content, path):
        if name == _MANIFEST:
            if size > _LARGEST_MANIFEST:
                raise _not_whole(path, "its manifest is too long")
            data = _exactly(content, size, path)
            end = _exactly(content, -size % _BLOCK + 2 * _BLOCK, path)
            # other programs fill a record of 20 blocks with zeros
            if (end + content.read(tarfile.RECORDSIZE)).strip(b"\0") or content.read(1):
                raise _not_whole(path, "something follows its manifest")
            return found, _parse(data, path)
        if name in found:
            raise _not_whole(path, f"{name!r} is there twice")
        digest, left = hashlib.sha256(), size
        while left:
            chunk = content.read(min(left, CHUNK))
            if not chunk:
                raise _not_whole(path, "it ends early")
            digest.update(chunk)
            left -= len(chunk)
        found[name] = (size, digest.hexdigest())
        _exactly(content, -size % _BLOCK, path)
    raise _not_whole(path, "it has no manifest")


def _headers(content: BinaryIO, path: Path) -> Iterator[tuple[str, int]]:
    """Name and size of each member; the content is read between them."""
    while True:
        block = _exactly(content, _BLOCK, path)
        if not block.strip(b"\0"):
            return
        try:
            info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        except (tarfile.TarError, ValueError) as error:
            raise _not_whole(path, f"{error}") from error
        if info.type != tarfile.REGTYPE or info.size < 0:
            raise _not_whole(path, f"{info.name!r} is no plain file")
        yield info.name, info.size


def _exactly(content: BinaryIO, size: int, path: Path) -> bytes:
    data = content.read(size)
    if len(data) < size:
        raise _not_whole(path, "it ends early")
    return data


def _parse(data: bytes, path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(data)
        if manifest["format"] != FORMAT:
            raise _not_whole(
                path, f"its format is {manifest['format']!r}, and this sistasks knows {FORMAT!r}"
            )
        return {
            "run": int(manifest["run"]),
            "members": {
                str(member["name"]): (int(member["size"]), str(member["sha256"]))
                for member in manifest["members"]
            },
        }
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise _not_whole(path, "its manifest cannot be read") from error


def _compare(found: dict[str, tuple[int, str]], manifest: dict[str, Any], path: Path) -> Verified:
    named = manifest["members"]
    for name in sorted(found.keys() | named.keys()):
        if found.get(name) != named.get(name):
            how = (
                "is missing"
                if name not in found
                else "is not named"
                if name not in named
                else "is another one"
            )
            raise _not_whole(path, f"{name!r} {how}")
    return Verified(run_id=manifest["run"], members=len(found), size=sum(size for size, _ in found.values()))
