"""The kernel's own table of symbols, read out of a dump of its memory: names for addresses where no file has them.

Linux keeps it for its traces (kernel/kallsyms.c, scripts/kallsyms.c) and says where in VMCOREINFO (since 6.0): names
are packed as indices of tokens, addresses as offsets of 32 bits from a base. A dump is a guest's word: whatever does
not fit gives no symbols.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, Self

from sistasks.evidence.symbols import from_rows
from sistasks.machine.processors import place

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.evidence.symbols import Symbols
    from sistasks.machine.vmcore import Vmcore

_MOST: Final = 1 << 20
_PACKED: Final = 1 << 24
# Linux: KSYM_NAME_LEN, for what is packed and for what comes out of it; its own names are some 5 MB, modules not in it
_LONGEST: Final = 512
_LONGEST_TOKEN: Final = 128
_ALL_NAMES: Final = 32 << 20
_STACK: Final = 1 << 12
_DEEPEST: Final = 24
_TOKENS: Final = 1 << 12


def stack(memory: Memory, symbols: Symbols, pointer: int) -> tuple[str, ...]:
    """Functions on a stack, the innermost first: every word that points behind a call may be one of them."""
    data = memory.read(pointer, _STACK)
    found = [place(symbols, word) for (word,) in struct.iter_unpack("<Q", data[: len(data) & -8])]
    return tuple(name for name in found if "+" in name)[:_DEEPEST]


class Memory:
    """A dump that `vmcore.write` wrote, read by the kernel's addresses."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        head = self._file.read(64)
        count = struct.unpack_from("<H", head, 56)[0] if len(head) == 64 else 0
        rows = struct.iter_unpack("<IIQQQQQQ", self._file.read(56 * count))
        loads = [(row[3], row[2], row[5]) for row in rows if row[0] == 1]
        self._loads = [(virtual, offset, size) for virtual, offset, size in loads if virtual >> 63]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, address: int, size: int) -> bytes:
        """What is there of so many bytes; fewer, or none, where the kernel maps nothing."""
        found = bytearray()  # a guest may have scattered it over thousands of pages
        while len(found) < size:
            at = address + len(found)
            load = next(((v, o, s) for v, o, s in self._loads if v <= at < v + s), None)
            if load is None:
                break
            virtual, offset, length = load
            self._file.seek(offset + at - virtual)
            part = self._file.read(min(size - len(found), virtual + length - at))
            if not part:
                break
            found += part
        return bytes(found)


def read(memory: Memory, core: Vmcore) -> Symbols:
    """The table of the kernel's functions; empty if it does not say where it is, or it is not what it should be."""
    return from_rows((address, name[:1], name[1:]) for address, name in rows(memory, core))


def rows(memory: Memory, core: Vmcore) -> list[tuple[int, str]]:
    """(address, type and name) of all that is in the table."""
    try:
        at = {name: int(core.info[f"SYMBOL(kallsyms_{name})"], 16) for name in _TABLES}
        count = struct.unpack("<I", memory.read(at["num_syms"], 4))[0]
        if not 0 < count <= _MOST:
            return []
        base = struct.unpack("<Q", memory.read(at["relative_base"], 8))[0]
        offsets = struct.unpack(f"<{count}i", memory.read(at["offsets"], 4 * count))
        names = _names(memory, at, count)
    except (KeyError, ValueError, IndexError, struct.error):
        return []
    return list(zip(_addresses(base, offsets), names, strict=True))


_TABLES: Final = ("names", "num_syms", "token_table", "token_index", "offsets", "relative_base")


def _addresses(base: int, offsets: tuple[int, ...]) -> list[int]:
    """Where processors have symbols of their own (x86_64), those are as they are and the others count downwards."""
    mask = (1 << 64) - 1
    if sum(offset < 0 for offset in offsets) * 2 > len(offsets):
        return [offset if offset >= 0 else (base - 1 - offset) & mask for offset in offsets]
    return [(base + (offset & 0xFFFFFFFF)) & mask for offset in offsets]


def _names(memory: Memory, at: dict[str, int], count: int) -> list[str]:
    """Each name is its length, then indices of tokens; the first letter of all is its type.

    Raises:
        ValueError, IndexError, struct.error: they are not what Linux writes, or longer than its are.
    """
    tokens = _tokens(memory, at)
    lengths = [len(token) for token in tokens]
    packed = memory.read(at["names"], min(_PACKED, max(0, at["num_syms"] - at["names"]) or count * 32))
    place, found, room = 0, [], _ALL_NAMES
    for _ in range(count):
        length = packed[place]
        place += 1
        if length & 0x80:
            length = length & 0x7F | packed[place] << 7
            place += 1
        if not 0 < length <= _LONGEST or place + length > len(packed):
            raise ValueError("a name is cut off")
        used = packed[place : place + length]
        size = sum([lengths[token] for token in used])
        room -= size
        if size > _LONGEST or room < 0:
            raise ValueError("names that are longer than a kernel's")
        found.append(b"".join([tokens[token] for token in used]).decode("ascii", "replace"))
        place += length
    return found


def _tokens(memory: Memory, at: dict[str, int]) -> list[bytes]:
    text = memory.read(at["token_table"], _TOKENS * 4)
    index = struct.unpack("<256H", memory.read(at["token_index"], 512))
    return [text[start : text.index(0, start, start + _LONGEST_TOKEN + 1)] for start in index]
