"""How a node ended before its work was done, in words: the guest by itself, or its emulator."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.errors import KernelFailure, NodeError, PoweredOff
from sistasks.kinds import show_size

if TYPE_CHECKING:
    from pathlib import Path

# the distribution's kernels need more than 64M
_SMALL_MEMORY: Final = 128 << 20
# QEMU, qapi/run-state.json: ShutdownCause
_ENDS: Final = {
    "guest-reset": "rebooted",
    "guest-shutdown": "powered off",
    "guest-panic": "told its machine of a panic",
}
_TOLD: Final = "terminating on signal"


@dataclass(frozen=True, slots=True)
class Where:
    """Who ended, and where more is to be read.

    Attributes:
        name: of the node.
        console: its log.
        stderr: what QEMU said.
        tail: the console's last lines.
    """

    name: str
    console: Path
    stderr: Path
    tail: str


def was_told(said: str) -> bool:
    """Whether QEMU was told to go: it ends then as well as one whose guest powered off, and only its words differ."""
    return _TOLD in said


def of_guest(where: Where, memory: int, *, reached_agent: bool) -> KernelFailure:
    """The guest powered off or reset.

    Args:
        where: who.
        memory: bytes that it had.
        reached_agent: whether the agent has said anything.
    """
    log = f"see {where.console}"
    if reached_agent:
        return KernelFailure(
            f"{where.name}: the guest ended by itself before its work was done", log, where.tail
        )
    problem = f"{where.name}: the kernel ended before it reached the agent"
    if memory < _SMALL_MEMORY:
        size = show_size(memory)
        log = f"memory={size} may be too little for it, try memory={show_size(_SMALL_MEMORY)}, or {log}"
    return KernelFailure(problem, log, where.tail)


def of_foreign(where: Where, reason: str) -> KernelFailure:
    """A guest that is not ours ended its machine.

    Args:
        where: who.
        reason: QEMU's word for it, as in its event SHUTDOWN.
    """
    what = _ENDS.get(reason, "ended its machine")
    kind = PoweredOff if reason == "guest-shutdown" else KernelFailure
    return kind(f"{where.name}: the kernel {what}", f"see {where.console}", where.tail)


def of_qemu(where: Where, code: int, said: str) -> NodeError:
    """QEMU ended.

    Args:
        where: who.
        code: its exit code; negative: the signal that ended it.
        said: its words.
    """
    how = f"exit {code}" if code >= 0 else f"signal {-code}"
    remedy = f"see {where.stderr if said else where.console}"
    if code == -signal.SIGKILL:
        remedy = "somebody ended it, or the host ran out of memory: fewer nodes=, or less memory="
    elif was_told(said):
        how, remedy = "it was told to", "let nodes run to their end"
    return NodeError(f"{where.name}: QEMU ended ({how})", remedy, said)
