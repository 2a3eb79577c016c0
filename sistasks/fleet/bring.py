"""Evidence that stayed on the worker where it arose is brought when somebody wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sistasks.errors import ArtifactError, ArtifactGone
from sistasks.evidence.places import Place
from sistasks.files import write_atomically
from sistasks.fleet import worker
from sistasks.fleet.fleet import connect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sistasks.evidence.artifacts import Store
    from sistasks.history.records import ArtifactRow
    from sistasks.settings import Settings
    from sistasks.terminal import Terminal


def bring(rows: Iterable[ArtifactRow], store: Store, settings: Settings, terminal: Terminal) -> None:
    """Get what the store lacks from the workers that have it; it is verified when it is read.

    Raises:
        FleetError: the scheduler does not answer.
        OSError: there is no room.
    """
    lacking = []
    for row in rows:
        try:
            with store.open(row):
                pass
        except ArtifactGone:
            lacking.append(row)
        except ArtifactError:
            continue  # it is there, and will be called what it is
    for row in lacking:
        place = Place.read(row.path)
        found = connect(settings.cluster).first(worker.fetch, row.path) if place is not None else None
        if found is None:
            terminal.say(f"{row.path} is on no worker of {settings.cluster}")
        else:
            write_atomically(store.root / row.path, found)
