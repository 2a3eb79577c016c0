"""Evidence that is kept: what there is, one run's as a bundle, and what has had its time."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks.errors import ArchiveError, UsageError
from sistasks.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.table import Table

    from sistasks.evidence.archive import Verified
    from sistasks.evidence.artifacts import KindStatistics, Store
    from sistasks.evidence.sweep import Files, Packed, Rows
    from sistasks.history.artifacts import StoredArtifact
    from sistasks.settings import Settings
    from sistasks.terminal import Terminal

_NOTHING: Final = "-"


def artifacts(settings: Settings, terminal: Terminal) -> None:
    """Show what is in the store, of each kind; or what one run left.

    Raises:
        UsageError: the history has no such run.
        HistoryError: the history cannot be read.
    """
    from sistasks.evidence.artifacts import Store

    store = Store(Layout(settings.output).artifacts)
    if "run" in settings.given:
        _show_run(store, settings, terminal)
        return
    kinds = store.statistics()
    if not any(kind.files for kind in kinds):
        terminal.result(f"{store.root} keeps nothing yet")
        return
    terminal.table(_statistics_table(kinds, store.root))


def _show_run(store: Store, settings: Settings, terminal: Terminal) -> None:
    from sistasks.history.artifacts import artifacts_of
    from sistasks.verdicts.baseline import open_history

    with open_history(settings.db) as history:
        run = history.run(settings.run)
    left = artifacts_of(settings.db, run.id)
    if settings.cluster:
        from sistasks.fleet.bring import bring

        bring([stored.row for stored in left], store, settings, terminal)
    found = [(stored, _state(store, stored)) for stored in left]
    if not found:
        terminal.result(f"run {run.id} left no artifacts")
        return
    terminal.table(_run_table(run.id, found))
    # a line each: in a table they would be folded
    for path in dict.fromkeys(path for _, (_, path) in found if path):
        terminal.result(path)


def _columns(title: str, headings: str, right: str) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings.split():
        table.add_column(heading, justify="right" if heading in right.split() else "left", overflow="fold")
    return table


def _statistics_table(kinds: tuple[KindStatistics, ...], root: Path) -> Table:
    from sistasks.units import show

    right = "files bytes stored compressed"
    table = _columns(f"artifacts in {root}", f"kind {right} oldest newest", right)
    for kind in kinds:
        table.add_row(
            kind.kind, str(kind.files), show(kind.content, "bytes"), show(kind.stored, "bytes"), str(kind.packed),
            _moment(kind.oldest), _moment(kind.newest),
        )  # fmt: skip
    table.add_row(
        "all", str(sum(kind.files for kind in kinds)), show(sum(kind.content for kind in kinds), "bytes"),
        show(sum(kind.stored for kind in kinds), "bytes"), str(sum(kind.packed for kind in kinds)), "", "",
    )  # fmt: skip
    return table


def _run_table(run_id: int, found: Sequence[tuple[StoredArtifact, tuple[str, str]]]) -> Table:
    from rich.text import Text

    from sistasks.history.artifacts import name_of
    from sistasks.textlines import visible
    from sistasks.units import show

    table = _columns(f"artifacts of run {run_id}", "number node kind name bytes state", "number node bytes")
    for stored, (state, _) in found:
        row = stored.row
        words = (Text(visible(row.kind, 20)), Text(visible(name_of(row.detail))))
        table.add_row(str(stored.id), str(row.node), *words, show(row.size, "bytes"), state)
    return table


def _state(store: Store, stored: StoredArtifact) -> tuple[str, str]:
    from sistasks.errors import ArtifactError, ArtifactGone

    try:
        with store.open(stored.row):
            return "whole", str(store.path_of(stored.row))
    except ArtifactGone:
        return "gone", ""
    except ArtifactError:
        return "damaged", ""


def _moment(moment: dt.datetime | None) -> str:
    return _NOTHING if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def archive(settings: Settings, terminal: Terminal) -> None:
    """Bundle a run, and verify the bundle by reading it; or verify one that is there.

    Raises:
        UsageError: neither a run nor a bundle was named, or both, or the history has no such run.
        ArchiveError: the bundle is not whole, or some of the run's artifacts are not.
        HistoryError: the history cannot be read.
    """
    from sistasks.evidence.archive import verify
    from sistasks.units import show

    if ("run" in settings.given) == bool(settings.verify):
        raise UsageError(
            "archive needs a run or a bundle", "doit archive run=12, or doit archive verify=FILE"
        )
    if settings.verify:
        path = Path(settings.verify).expanduser()
        found = verify(path)
        terminal.result(
            f"{path} is whole: run {found.run_id}, {found.members} files, {show(found.size, 'bytes')}"
        )
        return
    bundle = make_bundle(settings, settings.run)
    stored = show(bundle.path.stat().st_size, "bytes")
    found = bundle.content
    terminal.result(
        f"{bundle.path}: run {found.run_id}, {found.members} files, {show(found.size, 'bytes')} in {stored}, verified"
    )
    bundle.require_all()


@dataclass(frozen=True, slots=True)
class Bundle:
    """A run as one file, as it was read back.

    Attributes:
        path: the file.
        content: what is in it.
        missing: artifacts of the run that are not, and why, in words.
    """

    path: Path
    content: Verified
    missing: tuple[str, ...]

    def require_all(self) -> None:
        """Raise what the bundle lacks.

        Raises:
            ArchiveError: some of the run's artifacts are gone or damaged; the bundle has the others.
        """
        if self.missing:
            raise ArchiveError(
                f"{self.path} lacks {len(self.missing)} of the run's artifacts: {'; '.join(self.missing[:3])}",
                "its manifest names them all",
            )


def make_bundle(settings: Settings, run_id: int) -> Bundle:
    """Bundle a run into the folder of archives, and verify the bundle by reading it.

    Raises:
        UsageError: the history has no such run.
        ArchiveError: the bundle is not whole.
        HistoryError: the history cannot be read.
        OSError: there is no room.
    """
    from sistasks.evidence.archive import verify, write_archive
    from sistasks.evidence.artifacts import Store
    from sistasks.verdicts.baseline import open_history

    with open_history(settings.db) as history:
        run = history.run(run_id)
    layout = Layout(settings.output)
    began = re.sub(r"[^0-9T]", "", run.started_at[:19])[:15]
    path = layout.archives / f"run-{run.id}-{began}.tar.zst"
    missing = write_archive(path, settings.db, run.id, Store(layout.artifacts))
    return Bundle(path, verify(path), tuple(missing))


def retain(settings: Settings, terminal: Terminal) -> None:
    """Apply retention, remove files that no history names, compress those that are cold, and say so.

    Raises:
        HistoryError: the history cannot be read or written.
        OSError: the store cannot be written.
    """
    from sistasks.evidence.sweep import Files, Rows

    # each is said as soon as it is done, whatever becomes of the next
    for done in retention(settings):
        if isinstance(done, Rows):
            _tell_rows(done, terminal)
        elif isinstance(done, Files):
            _tell_files(done, terminal)
        else:
            _tell_packed(done, terminal)


def retention(settings: Settings) -> Iterator[Rows | Files | Packed]:
    """Apply retention to rows, then remove files that no history names, then compress those that are cold.

    Yields:
        What each of the three did, when it has; nothing where the store holds nothing.

    Raises:
        HistoryError: the history cannot be read or written.
        OSError: the store cannot be written.
    """
    from sistasks.evidence.artifacts import Store
    from sistasks.evidence.retention import Policy
    from sistasks.evidence.sweep import drop_rows, pack_cold, remove_unnamed

    store = Store(Layout(settings.output).artifacts)
    # nothing was ever put there, or it was removed by hand
    if not store.holds_anything:
        return
    policy = Policy(days=settings.keep_days, count=settings.keep_artifacts, size=settings.keep_bytes)
    yield drop_rows(store, settings.db, policy, lambda: _baselines(settings.db), dt.datetime.now(dt.UTC))
    yield remove_unnamed(store, settings.db, days=settings.keep_days)
    yield pack_cold(store, settings.db)


def _baselines(db: Path) -> Mapping[int, str]:
    """Runs that the next verdict on the newest runs would be judged against."""
    from sistasks.history.connection import prepare
    from sistasks.verdicts.baseline import open_history

    prepare(db)  # an older history does not know all that keeps a run out of a baseline
    with open_history(db) as history:
        found = [other.id for run in history.latest(good=True) for other in history.baseline_runs(run)]
    return dict.fromkeys(found, "of a baseline")


def _tell_rows(rows: Rows, terminal: Terminal) -> None:
    for counted, words in ((rows.gone, "removed"), (rows.spared, "kept beyond their limits")):
        if counted:
            reasons = ", ".join(f"{count} {why}" for why, count in sorted(counted.items()))
            terminal.say(f"cleanup: {counted.total()} artifacts {words}: {reasons}")


def _tell_files(files: Files, terminal: Terminal) -> None:
    from sistasks.units import show

    if files.removed:
        terminal.say(f"cleanup: {files.removed} files removed, {show(files.freed, 'bytes')} free again")
    if files.fresh:
        terminal.say(
            f"cleanup: {files.fresh} files that no run names stay: they may belong to one just being written"
        )
    for db in files.missing:
        terminal.say(f"cleanup: {db} has used this store and is gone: what only it named stays for now")
    if files.kept:
        terminal.say(f"cleanup: no file was removed: {files.kept}", always=True)


def _tell_packed(packed: Packed, terminal: Terminal) -> None:
    from sistasks.units import show

    if packed.files:
        sizes = f"{show(packed.before, 'bytes')} are {show(packed.after, 'bytes')} now"
        terminal.say(f"cleanup: {packed.files} files compressed: {sizes}")
    for path in packed.damaged:
        terminal.say(f"cleanup: {path} is damaged, and stays as it is", always=True)
    if packed.stopped:
        terminal.say(f"cleanup: what is cold could not all be compressed: {packed.stopped}")
