"""Applying retention: rows go first, in one transaction; then files that no history names. What is cold is compressed.

A session puts a file before its row is in the history, so that what is fresh is never taken, and readers find a file
in either form at any moment.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sistasks.errors import ArtifactError, HistoryError
from sistasks.evidence import copying, histories, places, retention

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from sistasks.evidence.artifacts import Store
    from sistasks.evidence.places import Place
    from sistasks.evidence.retention import Policy

# seconds between the put of a file and the commit of its row, at most
FRESH: Final = 3600.0
# seconds after which nobody is likely to read a file
COLD: Final = 86400.0
_LEVEL: Final = 10
# these are compressed by themselves
_DENSE: Final = frozenset({".png", ".jpg", ".gz", ".xz", ".bz2", ".zip"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What retention did to a history's rows.

    Attributes:
        gone, spared: how many rows for each reason.
    """

    gone: Counter[str] = field(default_factory=Counter)
    spared: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What became of files.

    Attributes:
        removed, freed: how many, and their bytes on the disk.
        fresh: files that no history names, and that may belong to a run that is being written.
        missing: histories that are not where they were.
        kept: why no file could be removed at all; empty: they could.
    """

    removed: int = 0
    freed: int = 0
    fresh: int = 0
    missing: tuple[Path, ...] = ()
    kept: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What was compressed.

    Attributes:
        files: how many.
        before, after: their bytes on the disk.
        damaged: places of files that are not what was kept; they stay.
        stopped: why the rest was not compressed, in words; empty: it was.
    """

    files: int = 0
    before: int = 0
    after: int = 0
    damaged: tuple[str, ...] = ()
    stopped: str = ""


def drop_rows(
    store: Store, db: Path, policy: Policy, protected: Callable[[], Mapping[int, str]], now: dt.datetime
) -> Rows:
    """Delete from the history the rows that retention takes, in one transaction.

    Args:
        store: tells how large files are.
        db: the history; nothing is done where there is none.
        policy: the limits.
        protected: run -> why its artifacts stay, asked before the transaction, besides those that the history
            itself tells of.
        now: an aware moment.

    Raises:
        HistoryError: the history cannot be read or written; it is then as it was.
    """
    from sistasks.history.artifacts import precious_runs, remove
    from sistasks.history.connection import writing

    if not _items(db, {}):
        return Rows()
    sizes = {place.plain: status.st_size for place, status in places.walk(store.root)}
    more = protected()
    with writing(db) as connection:
        decision = retention.decide(
            _read_items(connection.execute(_QUERY), sizes), policy, now, {**more, **precious_runs(connection)}
        )
        remove(connection, decision.gone)
    return Rows(gone=Counter(decision.gone.values()), spared=Counter(decision.spared.values()))


_QUERY: Final = "SELECT id, run_id, kind, path, sha256, created_at, keep_until FROM artifacts"


def _items(db: Path, sizes: Mapping[Place, int]) -> list[retention.Item]:
    from sistasks.history.connection import reading

    with reading(db) as connection:
        return [] if connection is None else _read_items(connection.execute(_QUERY), sizes)


def _read_items(rows: Iterable[tuple[object, ...]], sizes: Mapping[Place, int]) -> list[retention.Item]:
    from sistasks.history.artifacts import moment

    found = []
    for number, run_id, kind, path, sha256, created, until in rows:
        place = places.Place.read(str(path))
        found.append(
            retention.Item(
                id=int(str(number)),
                run_id=int(str(run_id)),
                kind=str(kind),
                content=place.plain.path if place is not None else f"{path} {sha256}",
                stored=sizes.get(place.plain, 0) if place is not None else 0,
                created_at=moment(str(created)),
                keep_until=None if until is None else moment(str(until)),
            )
        )
    return found


def remove_unnamed(store: Store, db: Path, *, days: float) -> Files:
    """Remove files that no history names, unless they are fresh.

    Where a history is missing, nobody can tell what it named: what is unnamed then stays for as long as retention keeps
    anything.

    Args:
        store: where.
        db: a history that is asked in any case.
        days: how long retention keeps a file.

    Raises:
        OSError: a file cannot be removed.
    """
    with store.locked():
        named = histories.named(store.root, db)
        if named.unreadable:
            return Files(kept=named.unreadable, missing=named.missing)
        age = max(FRESH, days * 86400) if named.missing else FRESH
        removed = freed = fresh = 0
        for place, status in list(places.walk(store.root)):
            if place.plain in named.places:
                continue
            if status.st_mtime > time.time() - age:
                fresh += 1
                continue
            with places.folder(store.root, place.kind, place.shelf) as shelf:
                os.unlink(place.name, dir_fd=shelf)
            removed, freed = removed + 1, freed + status.st_size
            _forget(store.root, place)
        _remove_scratch(store.root)
        histories.forget(store.root, named.missing, max(FRESH, days * 86400))
    return Files(removed=removed, freed=freed, fresh=fresh, missing=named.missing)


def _forget(root: Path, place: Place) -> None:
    """Remove what tells the names of a file, unless the same content is there in another form."""
    if any((root / form.path).exists() for form in (place.plain, place.packed)):
        return
    for path in (root / "metadata" / "artifacts" / place.shelf).glob(f"{place.sha256}.{place.kind}.*.json"):
        path.unlink(missing_ok=True)


def _remove_scratch(root: Path) -> None:
    """Remove half files of sessions that were killed."""
    for path in root.glob("*/.new-*"):
        with contextlib.suppress(OSError):
            if path.lstat().st_mtime < time.time() - FRESH:
                path.unlink()


def pack_cold(store: Store, db: Path, *, cold: float = COLD) -> Packed:
    """Compress files that were put long ago. Readers find each of them at any moment, as it was or compressed.

    The compressed file is in place before the histories are told, each in one transaction; then the other one goes.

    Args:
        store: where.
        db: a history that is told in any case.
        cold: seconds since a file was put.

    Raises:
        HistoryError: `db` cannot be written; both forms stay until it can.
    """
    moved: dict[Place, Place] = {}
    before = after = 0
    damaged, stopped = [], ""
    for place, status in list(places.walk(store.root)):
        young = status.st_mtime > time.time() - cold
        if place.compressed or young or place.suffix in _DENSE:
            continue
        try:
            after += _pack(store.root, place, status)
        except ArtifactError:
            damaged.append(place.path)
            continue
        except FileNotFoundError:  # another session has done it
            continue
        except OSError as error:  # no room to compress is no reason to fail
            stopped = f"{error.strerror}"
            break
        before += status.st_size
        moved[place] = place.packed
    if moved:
        _tell(store, db, {old.path: new.path for old, new in moved.items()})
    for place in moved:
        with places.folder(store.root, place.kind, place.shelf) as shelf:
            _unlink(place.name, shelf)
    return Packed(files=len(moved), before=before, after=after, damaged=tuple(damaged), stopped=stopped)


def _tell(store: Store, db: Path, moved: Mapping[str, str]) -> None:
    from sistasks.history.artifacts import move_compressed

    for one in sorted({db.resolve(), *(path.resolve() for path in histories.known(store.root))}):
        try:
            if one.exists():
                move_compressed(one, moved)
        except HistoryError:
            # others find the file in its new form by themselves
            if one == db.resolve():
                raise


def _pack(root: Path, place: Place, status: os.stat_result) -> int:
    """Put a compressed file beside another one; how large it is.

    Raises:
        ArtifactError: the file is not what was kept.
    """
    import zstandard

    scratch = f".new-{secrets.token_hex(8)}"
    with places.folder(root, place.kind) as kind, places.folder(root, place.kind, place.shelf) as shelf:
        descriptor = os.open(place.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=shelf)
        try:
            with os.fdopen(descriptor, "rb") as source:
                sha256, _ = copying.copy(source, kind, scratch, packed=True, level=_LEVEL)
            if sha256 != place.sha256:
                raise ArtifactError(f"{place.path} is not what was kept")
            # it is as old as what it stands for
            os.utime(scratch, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=kind)
            size = os.stat(scratch, dir_fd=kind).st_size
            copying.sync(kind, scratch)
            os.rename(scratch, place.packed.name, src_dir_fd=kind, dst_dir_fd=shelf)
        except zstandard.ZstdError as error:
            raise ArtifactError(f"{place.path} became shorter while it was read") from error
        finally:
            _unlink(scratch, kind)
    return size


def _unlink(name: str, folder: int) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder)
