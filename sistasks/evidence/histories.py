"""Which histories name files of a store: what one of them no longer names, another one may still."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sistasks.errors import HistoryError
from sistasks.evidence.places import Place

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What histories name.

    Attributes:
        places: as they are without compression.
        missing: histories that are not where they were.
        unreadable: why one could not be asked, in words; empty: all were.
    """

    places: frozenset[Place]
    missing: tuple[Path, ...]
    unreadable: str


def record(db: Path) -> Path:
    """Where the store notes that a history uses it, below its folder."""
    digest = hashlib.sha256(str(db.resolve()).encode(errors="surrogateescape")).hexdigest()
    return Path("metadata", "histories", f"{digest[:12]}.json")


def known(root: Path) -> list[Path]:
    """Every history that has put something into the store.

    Raises:
        OSError, ValueError: a note of the store's cannot be read: then nobody can tell.
    """
    found = []
    for path in sorted((root / "metadata" / "histories").glob("*.json")):
        text = json.loads(path.read_text())["db"]
        if not isinstance(text, str):
            raise TypeError(f"{path} names no file")
        found.append(Path(text))
    return found


def forget(root: Path, missing: Iterable[Path], age: float) -> None:
    """Forget histories that are not there, when nothing was put for them for `age` seconds."""
    for db in missing:
        path = root / record(db)
        try:
            if path.stat().st_mtime < time.time() - age:
                path.unlink(missing_ok=True)
        except OSError:
            continue


def named(root: Path, also: Path) -> Named:
    """What every history names that has ever put something into the store.

    Args:
        root: the store's folder.
        also: a history that is asked as well, whether or not it has put anything.
    """
    from sistasks.history.artifacts import paths

    places: set[Place] = set()
    missing = []
    try:
        histories = {path.resolve() for path in known(root)}
        for db in sorted(histories | {also.resolve()}):
            if not db.exists():
                if db in histories:
                    missing.append(db)
                continue
            for path in paths(db):
                place = Place.read(path)
                if place is not None:
                    places.add(place.plain)
    except (OSError, ValueError, KeyError, TypeError, HistoryError) as error:
        return Named(places=frozenset(places), missing=tuple(missing), unreadable=f"{error}")
    return Named(places=frozenset(places), missing=tuple(missing), unreadable="")
