"""What Dask runs on a worker."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from sistasks.fleet import cache, crew, identity, pruning

if TYPE_CHECKING:
    from sistasks.fleet.job import Job

# how keys of our tasks begin
OURS: Final = "sistasks-"
# events that tell of one that a worker begins with: {"key": its key, "worker": that one's address}
BEGUN: Final = "sistasks-begun"


def version() -> str:
    """Which sistasks is here."""
    return identity.version()


async def missing(wanted: list[str]) -> list[str]:
    """Those of the files, by SHA-256, that are not here; what nobody has used for long goes first.

    Raises:
        FleetError: the size that the cache may have is none.
    """
    await asyncio.to_thread(pruning.prune)
    return await asyncio.to_thread(cache.missing, wanted)


async def keep(sha256: str, data: bytes) -> None:
    """Take a file.

    Raises:
        FleetError: there is no room for it.
    """
    await asyncio.to_thread(cache.keep, sha256, data)


async def survey(job: Job, limit: float) -> Any:
    """What this machine makes of a job, or a SistasksError; the loop goes on meanwhile."""
    return await asyncio.to_thread(crew.ask, "survey", job, limit=limit)


async def advertise(resources: dict[str, float], dask_worker: Any) -> None:
    """Tell the scheduler what this worker has; from now on it ends what nobody wants."""
    from sistasks.fleet.wanted import watch

    await watch(dask_worker)
    await dask_worker.set_resources(**resources)


def perform(job: Job, index: int, limit: float) -> tuple[str, Any]:
    """Run one of a job's recipes.

    Returns:
        This worker's address, and a hand.Returned, or a SistasksError where nothing could be started.
    """
    from distributed import get_worker

    task = str(get_worker().get_current_task())
    return get_worker().address, crew.ask("run", job, index, limit=limit, task=task)


def confirm(job: Job, index: int, limit: float, number: int) -> tuple[str, Any, float]:
    """Measure one pair of fresh boots of a job's two kernels, both here.

    Returns:
        This worker's address, (baseline, candidate) or a SistasksError, and how many seconds it took.
    """
    from distributed import get_worker

    task = str(get_worker().get_current_task())
    started = time.monotonic()
    answer = crew.ask("pair", job, index, number, limit=limit, task=task)
    return get_worker().address, answer, time.monotonic() - started


async def fetch(path: str) -> bytes | None:
    """What a worker keeps under this path of its store; None: nothing."""
    from sistasks.evidence.places import Place

    place = cache.artifacts() / path
    if Place.read(path) is None or not place.is_file():
        return None
    return await asyncio.to_thread(place.read_bytes)
