"""How nodes that fail are examined in a run: where to, and how thoroughly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sistasks.errors import KernelFailure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sistasks.errors import SistasksError
    from sistasks.evidence.records import Evidence
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
    _once: bool = False

    def dump_of(self, error: SistasksError | None) -> bool:
        """Whether the memory of a node that failed so is to be kept."""
        wanted = self.dumps == "yes" or (self.dumps == "auto" and isinstance(error, KernelFailure))
        if wanted and self.dumps == "auto":
            self.dumps = "no"
            self._once = True
        return wanted

    def dumped(self, evidence: Sequence[Evidence]) -> None:
        """What came of it: where nothing was kept, another node's memory may be."""
        if self._once and not any(item.kind == "core_dumps" for item in evidence):
            self.dumps, self._once = "auto", False


async def examine(examination: Examination | None, node: Emulator, error: SistasksError | None) -> None:
    """Examine a node, once; the error carries away what was found, for who hears of it when the node is gone.

    Args:
        examination: how; None: not at all.
        node: it has failed, and may have ended.
        error: why.
    """
    if examination is None:
        return
    dump = examination.dump_of(error)
    folder = examination.folder / node.log.stem
    evidence = await node.post_mortem(folder, error=error, dumps="yes" if dump else "no")
    if dump:
        examination.dumped(evidence)
    if error is not None:
        error.take_from(node.crashes, evidence)
