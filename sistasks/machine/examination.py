"""How nodes that fail are examined in a run: where to, and how thoroughly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sistasks.errors import KernelFailure

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.errors import SistasksError
    from sistasks.machine.emulator import Emulator


@dataclass(slots=True)
class Examination:
    """What every failed node of a run gets before it is ended.

    Attributes:
        folder: gets a folder for each node; it lives until the store has taken what is in it.
        dumps: `yes`, `no`, or `auto`: the memory of the first node whose kernel failed, for those after it mostly fail
            alike.
    """

    folder: Path
    dumps: str = "auto"

    def dump_of(self, error: SistasksError | None) -> bool:
        """Whether the memory of a node that failed so is kept."""
        if self.dumps == "auto":
            if not isinstance(error, KernelFailure):
                return False
            self.dumps = "no"
            return True
        return self.dumps == "yes"


async def examine(examination: Examination | None, node: Emulator, error: SistasksError | None) -> None:
    """Examine a node, once; the error carries away what was found, for who hears of it when the node is gone.

    Args:
        examination: how; None: not at all.
        node: it has failed, and may have ended.
        error: why.
    """
    if examination is None:
        return
    await node.post_mortem(
        examination.folder / node.log.stem, error=error, dumps="yes" if examination.dump_of(error) else "no"
    )
    if error is not None:
        error.take_from(node.crashes, node.evidence)
