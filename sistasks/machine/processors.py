"""What a guest's processors are doing, by two looks at them: where each one is, and whether it works or sleeps."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from sistasks.evidence.symbols import Symbols
    from sistasks.machine.monitor import Monitor

REGISTERS: Final = "info registers -a"
# the program counter, as QEMU names it on each architecture; x86_64 has another register of arm's name
_NAMES: Final = (r"\bRIP=", r"\bEIP=", r"\bPC=", r"^ ?pc +", r"\bR15=")
_COUNTERS: Final = tuple(re.compile(rf"{name}([0-9a-f]{{1,16}})\b", re.MULTILINE) for name in _NAMES)
_STACKS: Final = re.compile(r"\b(?:RSP=|SP=|x2/sp +)([0-9a-f]{1,16})\b")
_HALTED: Final = re.compile(r"\bHLT=([01])")
# a processor that works does so for most of the time between two looks
_APART: Final = 0.25
_BUSY: Final = 0.5


@dataclass(frozen=True, slots=True)
class Processor:
    """One of a guest's processors.

    Attributes:
        number: QEMU's, from 0.
        address: its program counter at the second look.
        state: `halted` (it waits for an interrupt), `busy`, or `stopped` with its whole machine.
        function: the function that it is in; empty where that is not known.
        moved: its program counter had changed between the looks.
        stack_pointer: where its stack is; 0 where QEMU does not say.
        stack: functions that it will return to, the innermost first, as far as a dump tells.
    """

    number: int
    address: int
    state: str
    function: str = ""
    moved: bool = False
    stack_pointer: int = 0
    stack: tuple[str, ...] = ()

    @property
    def in_kernel(self) -> bool:
        """Whether it is where 64-bit kernels have themselves, the highest 2^48 bytes; firmware never is, nor programs.

        That it is elsewhere tells nothing: kernels begin, and run programs, below.
        """
        return self.address >> 48 == 0xFFFF

    @property
    def doing(self) -> str:
        """In words: `processor 0 is busy in memcpy+0x10`."""
        where = f" in {self.function}" if self.function else ""
        return f"processor {self.number} is {self.state}{where}"


class Registers(NamedTuple):
    """Of one processor; halted is None where QEMU does not say."""

    address: int
    stack_pointer: int
    halted: bool | None


def read_registers(text: str) -> list[Registers]:
    """Of each processor, out of what `info registers -a` shows."""
    found = []
    for part in re.split(r"^CPU#\d+\s*$", text, flags=re.MULTILINE)[1:]:
        counter = next((match for pattern in _COUNTERS if (match := pattern.search(part))), None)
        if counter is None:
            continue
        stack, halted = _STACKS.search(part), _HALTED.search(part)
        pointer = int(stack[1], 16) if stack else 0
        found.append(Registers(int(counter[1], 16), pointer, halted[1] == "1" if halted else None))
    return found


def _busy_seconds(pid: int, thread: int) -> float | None:
    """Processor time of a thread of QEMU's (proc(5), /proc/pid/stat: utime and stime)."""
    try:
        stat = Path(f"/proc/{pid}/task/{thread}/stat").read_text(encoding="ascii", errors="replace")
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def place(symbols: Symbols | None, address: int) -> str:
    """Where an address is, `panic+0x118`; empty where that is not known."""
    found = symbols.lookup(address) if symbols is not None else None
    if found is None:
        return ""
    name, beyond = found
    return f"{name}+{beyond:#x}" if beyond else name


async def look(monitor: Monitor, pid: int, symbols: Symbols | None = None) -> tuple[list[Processor], str]:
    """Look at a guest's processors; twice, if they run.

    Args:
        monitor: of the node.
        pid: QEMU's process.
        symbols: functions of the running kernel, if they are known.

    Returns:
        The processors, and all registers as QEMU shows them.

    Raises:
        NodeError: QEMU does not answer.
    """
    running = bool((await monitor.execute("query-status"))["running"])
    threads = [int(one.get("thread-id", 0)) for one in await monitor.execute("query-cpus-fast")]
    text = await _registers(monitor)
    first = last = read_registers(text)
    before = after = [_busy_seconds(pid, thread) for thread in threads]
    if running:
        await asyncio.sleep(_APART)  # the time between the looks is what is measured
        after = [_busy_seconds(pid, thread) for thread in threads]
        text = await _registers(monitor)
        last = read_registers(text)
    found = []
    for number, seen in enumerate(last):
        state = "stopped"
        if running:
            worked = _between(before, after, number)
            halted = (
                seen.halted if seen.halted is not None else worked is not None and worked < _BUSY * _APART
            )
            state = "halted" if halted else "busy"
        moved = number < len(first) and first[number].address != seen.address
        found.append(
            Processor(number, seen.address, state, place(symbols, seen.address), moved, seen.stack_pointer)
        )
    return found, text


async def _registers(monitor: Monitor) -> str:
    return str(await monitor.execute("human-monitor-command", **{"command-line": REGISTERS}))


def _between(before: list[float | None], after: list[float | None], number: int) -> float | None:
    if number >= len(before):
        return None
    first, last = before[number], after[number]
    return None if first is None or last is None else last - first
