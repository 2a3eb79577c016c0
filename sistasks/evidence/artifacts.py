"""The store of what is kept as evidence: files by their content, verified whenever they are read.

Bytes and names come from guests that may be hostile. A name never becomes a path of the host: a file is called by the
SHA-256 of what is in it. A path of the history is not trusted either: it must have the form of a place of the store.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import fcntl
import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

from sistasks.errors import ArtifactError, ArtifactGone
from sistasks.evidence import copying, histories, places
from sistasks.evidence.compression import content_size, decompressed
from sistasks.evidence.places import Place
from sistasks.evidence.records import KINDS
from sistasks.files import write_atomically
from sistasks.history.records import ArtifactRow, utc_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sistasks.evidence.records import Evidence

# what is large and looked at seldom is never written in full; a quarter of a gigabyte of memory is mostly zeros
PACKED_AT_ONCE: Final = frozenset({"core_dumps"})
_LONGEST_NAME: Final = 200
_LOCK: Final = ".lock"
_HEAD: Final = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class KindStatistics:
    """What of one kind is in the store.

    Attributes:
        files: how many; the same content is there once.
        content: bytes as they were collected.
        stored: bytes that they take on the disk.
        packed: how many of the files are compressed.
        oldest, newest: when they were last put; None where there are none.
    """

    kind: str
    files: int = 0
    content: int = 0
    stored: int = 0
    packed: int = 0
    oldest: dt.datetime | None = None
    newest: dt.datetime | None = None


class Store:
    """The store.

    Args:
        root: its folder, made when something is put.
        db: the history whose runs the artifacts belong to. Retention asks every history that was ever given here
            before it removes a file; None for those who only read.
    """

    def __init__(self, root: Path, db: Path | None = None) -> None:
        self.root = root
        self._db = db

    def put(
        self,
        evidence: Evidence,
        *,
        take: bool = False,
        keep_until: dt.datetime | None = None,
        more: Mapping[str, str | int] | None = None,
    ) -> ArtifactRow:
        """Keep a file. What has the same content, kind and suffix is there once, however often it is put.

        The row must be in the history within the hour: after that, `doit cleanup` takes what no history names. Of a
        file that is still being written, what is there now is kept. Core dumps are compressed at once, the rest when
        it is cold.

        Args:
            evidence: the file; a link, or anything else than a file, is refused.
            take: the file becomes the store's (linked where that can be, instead of copied) and goes from where it was.
            keep_until: retention leaves it alone until then.
            more: what else the row's `detail` says.

        Raises:
            ArtifactError: it cannot be kept; the store is as it was.
        """
        import zstandard

        if evidence.kind not in KINDS:
            raise ArtifactError(
                f"kind '{evidence.kind}' is no kind of evidence", "one of " + ", ".join(KINDS)
            )
        name = _plain(evidence.name)
        try:
            self.register()
            place, size = self._keep(evidence, take=take)
            row = ArtifactRow(
                node=evidence.node, kind=evidence.kind, path=place.path, size=size, sha256=place.sha256,
                created_at=dt.datetime.now(dt.UTC), compressed=place.compressed, keep_until=keep_until,
                detail=json.dumps({"name": name, **(more or {})}),
            )  # fmt: skip
            self._describe(place, name, row)
        except OSError as error:
            where = evidence.path if error.filename == str(evidence.path) else self.root
            raise ArtifactError(
                f"{name!r} of node {evidence.node} cannot be kept: {where}: {error.strerror}",
                "make room there, or allow it",
            ) from error
        except zstandard.ZstdError as error:
            raise ArtifactError(
                f"{evidence.path} became smaller while it was read", "keep it when it is complete"
            ) from error
        return row

    @contextlib.contextmanager
    def open(self, row: ArtifactRow) -> Iterator[BinaryIO]:
        """The content as it was collected, to be read as a stream; it has been verified before it is handed out.

        Raises:
            ArtifactGone: the store does not have it any more.
            ArtifactError: it is not what was kept, or the row leads outside the store.
        """
        place = self._place(row)
        problem = ""
        # the form that the row tells of first; it may have been compressed since the row was read
        for form in (place, place.plain if place.compressed else place.packed):
            with contextlib.ExitStack() as stack:
                try:
                    file = stack.enter_context(self._file(form))
                except FileNotFoundError:
                    continue
                except OSError as error:
                    # a link is not followed: it may lead anywhere
                    linked = error.errno in {errno.ELOOP, errno.ENOTDIR}
                    why = "a link is in its place" if linked else f"{error.strerror}"
                    raise ArtifactError(f"{row.path} in {self.root} cannot be read: {why}") from error
                problem = copying.problem(file, form, row.size)
                if not problem:
                    file.seek(0)
                    yield decompressed(file) if form.compressed else file
                    return
        if not problem:
            raise ArtifactGone(f"{row.path} is no longer in {self.root}", "its row tells what it was")
        raise ArtifactError(
            f"{row.path} in {self.root} is not what was kept: {problem}", "it cannot be used as evidence"
        )

    def path_of(self, row: ArtifactRow) -> Path:
        """Where the file is now, for a person; it may be compressed.

        Raises:
            ArtifactError: the row leads outside the store.
        """
        place = self._place(row)
        for form in (place.plain, place.packed):
            if (self.root / form.path).exists():
                return self.root / form.path
        return self.root / place.path

    def for_run(self, db: Path, run_id: int) -> tuple[ArtifactRow, ...]:
        """What a run left, in the order of writing.

        Raises:
            HistoryError: the history cannot be read.
        """
        from sistasks.history.artifacts import artifacts_of

        return tuple(stored.row for stored in artifacts_of(db, run_id))

    def statistics(self) -> tuple[KindStatistics, ...]:
        """What is there, of every kind in the order of KINDS; asked of the folder, not of a history."""
        found: dict[str, list[tuple[Place, os.stat_result]]] = {kind: [] for kind in KINDS}
        for place, status in places.walk(self.root):
            found[place.kind].append((place, status))
        return tuple(self._statistics(kind, files) for kind, files in found.items())

    def _statistics(self, kind: str, files: list[tuple[Place, os.stat_result]]) -> KindStatistics:
        if not files:
            return KindStatistics(kind=kind)
        times = [dt.datetime.fromtimestamp(status.st_mtime, dt.UTC) for _, status in files]
        return KindStatistics(
            kind=kind,
            files=len({place.plain for place, _ in files}),
            content=sum(self._content(place, status.st_size) for place, status in files),
            stored=sum(status.st_size for _, status in files),
            packed=sum(place.compressed for place, _ in files),
            oldest=min(times),
            newest=max(times),
        )

    def _content(self, place: Place, stored: int) -> int:
        if not place.compressed:
            return stored
        try:
            with self._file(place) as file:
                size = content_size(file.read(_HEAD))
        except OSError:
            return stored
        return stored if size is None else size

    @property
    def holds_anything(self) -> bool:
        """Whether something was ever put; a store that is not there may be asked."""
        return (self.root / _LOCK).exists()

    @contextlib.contextmanager
    def locked(self, *, shared: bool = False) -> Iterator[None]:
        """Have the store alone among sessions; shared: only not while somebody removes.

        Raises:
            OSError: it cannot be written.
        """
        with places.folder(self.root, create=True) as folder:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            lock = os.open(_LOCK, flags, 0o644, dir_fd=folder)
            try:
                fcntl.flock(lock, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)

    def register(self) -> None:
        """Note that the history uses the store: what it names is then kept.

        Raises:
            OSError: the store cannot be written.
        """
        if self._db is None:
            return
        record = histories.record(self._db)
        with places.folder(self.root, *record.parts[:-1], create=True):
            write_atomically(self.root / record, json.dumps({"db": str(self._db.resolve())}) + "\n")
        self._db = None

    def _keep(self, evidence: Evidence, *, take: bool) -> tuple[Place, int]:
        packed = evidence.kind in PACKED_AT_ONCE
        scratch = f".new-{secrets.token_hex(8)}"
        with (
            copying.opened(evidence.path) as source,
            places.folder(self.root, evidence.kind, create=True) as kind,
        ):
            try:
                if take and not packed and copying.linked(evidence.path, source, kind, scratch):
                    sha256, size = copying.digest_of(source)
                else:
                    sha256, size = copying.copy(source, kind, scratch, packed=packed)
                place = Place(evidence.kind, sha256, places.suffix_of(evidence.name), packed)
                with (
                    self.locked(shared=True),
                    places.folder(self.root, place.kind, place.shelf, create=True) as shelf,
                ):
                    place = self._held(place, size, shelf) or self._shelve(place, kind, scratch, shelf)
            finally:
                with contextlib.suppress(OSError):
                    os.unlink(scratch, dir_fd=kind)
        if take:
            evidence.path.unlink(missing_ok=True)
        return place, size

    def _held(self, place: Place, size: int, shelf: int) -> Place | None:
        """The content, if the store has it already and it is whole; what is damaged makes room."""
        for form in (place.packed, place.plain):
            try:
                with self._file(form) as file:
                    problem = copying.problem(file, form, size)
            except FileNotFoundError:
                continue
            if not problem:
                # it is as fresh as its newest row
                os.utime(form.name, dir_fd=shelf, follow_symlinks=False)
                return form
            os.unlink(form.name, dir_fd=shelf)
        return None

    def _shelve(self, place: Place, kind: int, scratch: str, shelf: int) -> Place:
        os.utime(scratch, dir_fd=kind, follow_symlinks=False)
        # what is there already needs no waiting for the disk
        copying.sync(kind, scratch)
        os.rename(scratch, place.name, src_dir_fd=kind, dst_dir_fd=shelf)
        return place

    def _describe(self, place: Place, name: str, row: ArtifactRow) -> None:
        """Beside the history: what a file is called, for those who have only the folder."""
        known = {"name": name, "node": row.node, "kind": row.kind, "size": row.size, "sha256": row.sha256}
        digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:12]
        where = ("metadata", "artifacts", place.shelf)
        target = self.root.joinpath(*where, f"{place.sha256}.{place.kind}.{digest}.json")
        with places.folder(self.root, *where, create=True):
            note = json.dumps({**known, "created_at": utc_text(row.created_at)}, indent=2) + "\n"
            write_atomically(target, note, durable=False)

    def _place(self, row: ArtifactRow) -> Place:
        place = Place.read(row.path)
        if place is None or (place.kind, place.sha256) != (row.kind, row.sha256):
            raise ArtifactError(
                f"{_plain(row.path)!r} is no place of the store", "the row is damaged; nothing was read"
            )
        return place

    @contextlib.contextmanager
    def _file(self, place: Place) -> Iterator[BinaryIO]:
        with places.folder(self.root, place.kind, place.shelf) as folder:
            descriptor = os.open(
                place.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder
            )
        with os.fdopen(descriptor, "rb") as file:
            copying.require_file(descriptor, place.path)
            yield file


def _plain(name: str) -> str:
    """A name of anybody, so that it can be written anywhere and is not too long."""
    return name[:_LONGEST_NAME].encode(errors="backslashreplace").decode()
