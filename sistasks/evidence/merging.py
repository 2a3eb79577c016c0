"""Files of another history's runs, on their way into the store of this one."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
from typing import TYPE_CHECKING, Final

from sistasks.errors import ArtifactError
from sistasks.evidence import kernels
from sistasks.evidence.artifacts import Store
from sistasks.evidence.places import Place
from sistasks.evidence.records import Evidence
from sistasks.history.artifacts import name_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from sistasks.history.artifacts import StoredArtifact
    from sistasks.history.records import ArtifactRow

# where a store lies beside its history, by default and as a bundle of both
_PLACES: Final = ("target/testing/artifacts", "artifacts")
_HISTORY: Final = re.compile(r"[0-9a-f]{12}", re.ASCII)


def stores_beside(history: Path, output: Path, own: Path) -> list[Store]:
    """Stores that may have the files of another history.

    Args:
        history: the other one.
        output: the output folder as the person names it; relative, it is looked for beside the other history, too.
        own: the store of this history, which is none of them.
    """
    folder = history.absolute().parent
    roots = dict.fromkeys([folder / output / "artifacts", *(folder / place for place in _PLACES)])
    return [Store(root) for root in roots if root.is_dir() and root.resolve() != own.resolve()]


def gather(
    own: Store, others: Sequence[Store], rows: Iterable[StoredArtifact], scratch: Path
) -> Mapping[int, ArtifactRow]:
    """Have the files of artifacts in our store: those that are there already, and copies of the others'.

    Each was compared with its SHA-256. What no store has whole is left out.

    Args:
        own: our store.
        others: where else to look, in order.
        rows: of the other history.
        scratch: a folder for copies on their way.

    Returns:
        Number in the other history -> the row, with the path that it has here.

    Raises:
        OSError: our store cannot be written.
    """
    found: dict[int, ArtifactRow] = {}
    for stored in rows:
        for store in (own, *others):
            with contextlib.suppress(ArtifactError), store.open(stored.row) as content:
                if store is own:
                    own.register()
                    found[stored.id] = stored.row
                    break
                copy = scratch / "artifact"
                with copy.open("wb") as file:
                    shutil.copyfileobj(content, file)
                found[stored.id] = _put(own, stored.row, copy)
                break
    return found


def _put(own: Store, row: ArtifactRow, copy: Path) -> ArtifactRow:
    place = Place.read(row.path)
    suffix = place.suffix if place is not None else ""
    name = name_of(row.detail)
    name = name if name.lower().endswith(suffix) else f"{name}{suffix}"
    kept = own.put(Evidence(node=row.node, kind=row.kind, path=copy, name=name), take=True)
    return dataclasses.replace(row, path=kept.path, compressed=kept.compressed)


def take_kernels(own: Path, histories: Iterable[Path], named: Collection[str]) -> int:
    """Keep kernels that baselines name, so that the gate can boot them again.

    Args:
        own: the folder of our history's kept kernels.
        histories: the folders of others.
        named: kernels of baselines.

    Returns:
        How many came.

    Raises:
        OSError: they cannot be kept.
    """
    taken = 0
    for folder in histories:
        for record in sorted(folder.glob("*.json")):
            if record.name.partition(".")[0] not in named:
                continue
            try:
                fields = json.loads(record.read_text())
                kept = kernels.find(folder, fields["id"], fields["guest"])
                known = kernels.find(own, fields["id"], fields["guest"])
            except (OSError, ValueError, TypeError, KeyError):
                continue
            if kept is not None and known is None:
                kernels.keep(own, kept, folder / kept.image, folder / kept.initramfs)
                taken += 1
    return taken


def kernel_folders(stores: Iterable[Store]) -> list[Path]:
    """Where the stores keep kernels of histories."""
    return [
        folder
        for store in stores
        for folder in sorted((store.root / "kernels").glob("*"))
        if _HISTORY.fullmatch(folder.name) and folder.is_dir()
    ]
