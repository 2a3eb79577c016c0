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
    "guest-reset": ("rebooted", "reboot"),
    "guest-shutdown": ("powered off", "power_off"),
    "guest-panic": ("told its machine of a panic", "panic"),
}
_ENDED: Final = ("ended its machine", "reboot")
_FAULTS: Final = {-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGILL, -signal.SIGFPE}
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


def of_guest(where: Where, reason: str, memory: int, *, stage: str) -> KernelFailure:
    """A guest of ours ended its machine before its work was done.

    Args:
        where: who.
        reason: QEMU's word for it, as in its event SHUTDOWN.
        memory: bytes that it had.
        stage: what it was at; empty before the agent has said anything.
    """
    log = f"see {where.console}"
    what, kind = _ENDS.get(reason, _ENDED)
    if stage:
        return KernelFailure(f"{where.name}: the guest {what} {stage}", log, where.tail, kind=kind)
    problem = f"{where.name}: the kernel {what} before it reached the agent"
    if memory < _SMALL_MEMORY:
        size = show_size(memory)
        log = f"memory={size} may be too little for it, try memory={show_size(_SMALL_MEMORY)}, or {log}"
    return KernelFailure(problem, log, where.tail, kind=kind)


def of_foreign(where: Where, reason: str) -> KernelFailure:
    """A guest that is not ours ended its machine.

    Args:
        where: who.
        reason: QEMU's word for it, as in its event SHUTDOWN.
    """
    what, kind = _ENDS.get(reason, _ENDED)
    error = PoweredOff if reason == "guest-shutdown" else KernelFailure
    return error(f"{where.name}: the kernel {what}", f"see {where.console}", where.tail, kind=kind)


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
    elif code in _FAULTS:
        remedy = f"that is a fault of QEMU's own: {remedy}, or try another QEMU"
    return NodeError(f"{where.name}: QEMU ended ({how})", remedy, said, kind="emulator")
