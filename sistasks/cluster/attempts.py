"""What becomes of a node that failed: whose fault it was, and whether another one gets its work."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from sistasks.errors import KernelFailure, NodeError

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.cluster.nodes import NodeReport, Observer
    from sistasks.machine.emulator import Emulator

# what may be said of a run that is in order: a slow host makes stalls, a warning breaks nothing, and firmware tries
# several ways before one leads somewhere
_SOUND: Final = frozenset(
    {"warning", "leak", "rcu_stall", "soft_lockup", "hard_lockup", "hung_task", "firmware", "bootloader"}
)


def complaint(node: Emulator) -> KernelFailure | None:
    """The failure of a kernel that has done its work and corrupted itself meanwhile, if it says so."""
    for crash in node.crashes:
        if crash.kind not in _SOUND:
            return KernelFailure(f"{node.name}: {crash.title}", f"see {node.log}", crash.report)
    return None


def host_failed(name: str, failure: OSError, logs: Path) -> NodeError:
    """The host refused something: room on its disk, most often, else descriptors or processes."""
    if failure.filename or failure.errno in {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS}:
        where = failure.filename or logs
        return NodeError(
            f"{name}: {where} cannot be written: {failure.strerror}", "make room, or set output="
        )
    return NodeError(
        f"{name}: the host refuses it: {failure.strerror}", "fewer nodes=, or a higher limit (ulimit)"
    )


def worth_another(report: NodeReport, observer: Observer) -> bool:
    """Whether a fresh node is to do the work of one that the host or we failed; if so, it is said."""
    if not isinstance(report.error, NodeError):
        return False
    observer.stage(report.number, "starting", f"again: {report.reason}")
    return True
