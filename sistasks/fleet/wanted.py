"""What Dask wants no more of a worker is ended there; Dask itself only forgets what a thread has begun.

And what a worker begins is told: Dask's scheduler knows only whom it has given a task, which may wait there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from distributed.diagnostics.plugin import WorkerPlugin

from sistasks.fleet import crew
from sistasks.fleet.worker import BEGUN, OURS

if TYPE_CHECKING:
    from distributed import Worker

_NAME: Final = "sistasks"


class Wanted(WorkerPlugin):  # type: ignore[misc] # Dask tells no types
    """Ends runs that were cancelled or whose client has gone, and all of them with the worker."""

    def setup(self, worker: Worker) -> None:
        """Dask tells whose plugin this is."""
        self._worker = worker

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """Dask tells how a task's state changes: what is being executed is released by whoever wants it no more."""
        if not str(key).startswith(OURS):
            return
        if (start, finish) == ("executing", "released"):
            crew.end(str(key))
        if finish == "executing":
            self._worker.log_event(BEGUN, {"key": str(key), "worker": self._worker.address})

    def teardown(self, **_: Any) -> None:
        """The worker ends: nobody asks what its hands do any more."""
        crew.end_all()


async def watch(worker: Worker) -> None:
    """Have a worker end what nobody wants."""
    if _NAME not in worker.plugins:  # one that is replaced is torn down
        await worker.plugin_add(Wanted(), name=_NAME)
