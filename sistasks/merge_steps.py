"""Bringing the runs of another history into this one, and saying what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sistasks.errors import UsageError
from sistasks.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sistasks.evidence.artifacts import Store
    from sistasks.history.artifacts import StoredArtifact
    from sistasks.history.merge import Merged
    from sistasks.history.other import Other
    from sistasks.settings import Settings
    from sistasks.terminal import Terminal

# conflicts that are told one by one
_TOLD: Final = 8
_SAID: Final = {
    "annotations": ("remark", "remarks"),
    "verdicts": ("verdict", "verdicts"),
    "finding_verdicts": ("verdict on findings", "verdicts on findings"),
    "profiles": ("profile", "profiles"),
    "artifacts": ("artifact", "artifacts"),
}


def merge(settings: Settings, terminal: Terminal) -> None:
    """Bring the runs of `from=` into `db=`, each once, with all that belongs to them.

    Raises:
        UsageError: no other history was named, or what was named is none.
        HistoryError: one cannot be read, the other not written; nothing is changed then.
        OSError: the store cannot be written; nothing is changed but files that no run names.
    """
    from sistasks.evidence.artifacts import Store
    from sistasks.evidence.merging import gather, stores_beside
    from sistasks.history.connection import prepare
    from sistasks.history.merge import merge as write
    from sistasks.history.other import opened
    from sistasks.scratch import scratch_folder
    from sistasks.session import SESSION_ID

    if "from" not in settings.given:
        raise UsageError("merge needs the other history", "doit merge from=other.db")
    layout = Layout(settings.output)
    own = Store(layout.artifacts, settings.db)
    others = stores_beside(settings.other, settings.output, own.root)
    with (
        scratch_folder(layout.scratch / SESSION_ID) as scratch,
        opened(settings.other, settings.db, scratch) as other,
    ):
        prepare(settings.db)
        rows = _artifacts_to_come(settings.db, other)
        files = gather(own, others, rows, scratch) if rows else {}
        merged = write(settings.db, other, files)
        _take_kernels(settings, [own, *others])
    _tell(merged, settings, terminal)


def _artifacts_to_come(db: Path, other: Other) -> list[StoredArtifact]:
    """Artifacts of the other history that this one does not name yet."""
    from sistasks.history.artifacts import stored_artifact
    from sistasks.history.connection import reading
    from sistasks.history.merge import artifact_key, numbering

    rows = [dict(row) for row in other.rows("SELECT * FROM artifacts ORDER BY id")]
    if not rows:
        return []
    with reading(db) as connection:
        if connection is None:
            return [stored_artifact(row) for row in rows]
        numbers = numbering(lambda query: connection.execute(query).fetchall(), other.rows)
        now = {new: old for old, new in numbers.ours.items()}
        here = {
            (row["run_id"], *artifact_key(dict(row))) for row in connection.execute("SELECT * FROM artifacts")
        }
    return [
        stored_artifact(row)
        for row in rows
        if (now.get(numbers.theirs[row["run_id"]]), *artifact_key(row)) not in here
    ]


def _take_kernels(settings: Settings, stores: Sequence[Store]) -> None:
    """Kernels of baselines, which the gate boots again on the wall clock."""
    from sistasks.evidence.merging import kernel_folders, take_kernels
    from sistasks.history.read import recent_kernels
    from sistasks.verdicts.baseline import MOST_RUNS

    own = Layout(settings.output).kept_kernels(settings.db)
    folders = [folder for folder in kernel_folders(stores) if folder.resolve() != own.resolve()]
    if folders:
        take_kernels(own, folders, recent_kernels(settings.db, MOST_RUNS))


def _tell(merged: Merged, settings: Settings, terminal: Terminal) -> None:
    from sistasks.textlines import visible

    ours, theirs = settings.db, settings.other
    words: list[str] = []
    if merged.numbers.moved:
        words.append(_moved(merged.numbers.moved, ours))
    differing = [
        f"run {old} of {theirs} is run {new} of {ours}, and differs in {', '.join(tables)}: it stays as it is here"
        for (old, new), tables in merged.conflicts.items()
    ]
    words += differing[:_TOLD]
    if len(differing) > _TOLD:
        words.append(f"{len(differing) - _TOLD} more runs differ, and stay as they are here")
    words += [
        f"{visible(name)} is defined otherwise in {theirs}: the definition of {theirs if taken else ours} counts, "
        "where it was measured last"
        for name, taken in merged.redefined.items()
    ]
    if merged.missing:
        what = "1 artifact is" if merged.missing == 1 else f"{merged.missing} artifacts are"
        words.append(f"{what} left out: no store at hand has the file whole")
    for one in words:
        terminal.say(f"merge: {one}", always=True)
    terminal.result(f"merge: {_result(merged, settings)}")


def _moved(moved: Mapping[int, int], db: Path) -> str:
    """Which runs have other numbers now; they are neighbours, and all go up by about as much."""
    first, last = min(moved), max(moved)
    ends = f"run {first} of {db} is run {moved[first]} now"
    return f"earlier runs came, so {ends}" + (
        f", and so on to run {last}, now {moved[last]}" if last > first else ""
    )


def _result(merged: Merged, settings: Settings) -> str:
    from sistasks.history.numbers import spans

    numbers = [merged.numbers.theirs[old] for old in merged.numbers.new]
    known = len(merged.numbers.known)
    words = [f"{len(numbers)} run{'s' * (len(numbers) != 1)} came from {settings.other}"]
    if numbers:
        words[0] += f", now {spans(numbers)} of {settings.db}"
    words.append(f"{known} {'was' if known == 1 else 'were'} there already")
    for name, count in (*merged.said.items(), ("artifacts", merged.artifacts)):
        if count:
            words.append(f"{count} {_SAID[name][count > 1]} came")
    return "; ".join(words)
