"""What the plugin wrote: executions of blocks of instructions, by test and phase."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_HEADER: Final = Path(__file__).parent.parent / "guest" / "agent" / "profile.h"
_PHASE: Final = re.compile(r'PHASE\((\d+), (\w+), "([^"]*)"\)')
_PART: Final = b"SISPROF1"
_END: Final = b"SISPROF0"
_HEAD: Final = struct.Struct("=8sIIQ")
_COLUMNS: Final = ("address", "instructions", "executed", "accesses")
# blocks of one phase; a guest's whole kernel has fewer
_BLOCKS_MAX: Final = 1 << 24


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a test that is counted apart.

    Attributes:
        number: in the plugin's file.
        name: of the agent's constant, in small letters.
        metrics: that are measured in it; none: the whole of a program.
    """

    number: int
    name: str
    metrics: tuple[str, ...]


@cache
def phases() -> dict[int, Phase]:
    """The phases of the agent (guest/agent/profile.h), by number."""
    found = _PHASE.findall(_HEADER.read_text(encoding="utf-8"))
    return {
        int(number): Phase(int(number), name.lower(), tuple(metrics.split()))
        for number, name, metrics in found
    }


@dataclass(frozen=True, slots=True)
class Part:
    """What was executed in one phase of one test.

    Attributes:
        test: its number in the plan, from 1.
        phase: the phase's number.
        blocks: a structured array: address, instructions (of the block), executed, accesses; all u64.
    """

    test: int
    phase: int
    blocks: npt.NDArray[np.void]


def read(data: bytes) -> list[Part]:
    """Read a plugin's file (its form: guest/plugin/profile.c).

    Raises:
        ValueError: it is cut off, or no such file.
    """
    import numpy as np

    kind: Any = np.dtype([(name, "=u8") for name in _COLUMNS])
    parts, at = [], 0
    while data[at:] != _END:
        if len(data) - at < _HEAD.size:
            raise ValueError("it is cut off")
        mark, test, phase, count = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        if mark != _PART or count > _BLOCKS_MAX:
            raise ValueError("it has no counts where they should be")
        if len(data) - at < count * kind.itemsize:
            raise ValueError("it is cut off")
        parts.append(Part(test, phase, np.frombuffer(data, kind, count, at)))
        at += count * kind.itemsize
    return parts
