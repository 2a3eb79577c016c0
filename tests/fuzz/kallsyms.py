"""The table of symbols in a kernel's memory, all of it the guest's word."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Final

from dump_parts import BASE, MOVE, RAM, listing

from fuzz.parts import is_shown, scratch
from sistasks.machine import vmcore
from sistasks.machine.kallsyms import Memory, read, rows, stack

if TYPE_CHECKING:
    from collections.abc import Iterable

# count, base, bytes of: tokens, their index, offsets; what is left are names
_HEAD: Final = struct.Struct("<IQHHH")
_INDEX: Final = 512
_LONGEST: Final = 512


def fuzz(data: bytes) -> None:
    """Names and addresses such as a kernel has, or none."""
    if len(data) < _HEAD.size:
        return
    count, base, text, index, offsets = _HEAD.unpack_from(data)
    at = _HEAD.size
    parts = []
    for size in (text, index, offsets, len(data)):
        parts.append(data[at : at + size])
        at += size
    dump = listing(
        names=parts[3], num_syms=struct.pack("<I", count), token_table=parts[0] + b"\0",
        token_index=(parts[1] or b"\0").ljust(_INDEX, parts[1][-1:] or b"\0")[:_INDEX],
        offsets=parts[2], relative_base=struct.pack("<Q", base),
    )  # fmt: skip
    path = scratch() / "core"
    core = vmcore.write(io.BytesIO(dump), path)
    with Memory(path) as memory:
        found = rows(memory, core)
        symbols = read(memory, core)
        calls = stack(memory, symbols, RAM + MOVE & (1 << 64) - 1)
    assert len(found) in {0, count}
    assert all(0 <= address < 1 << 64 and len(name) <= _LONGEST for address, name in found)
    assert [*symbols.addresses] == sorted(set(symbols.addresses) & {address for address, _ in found})
    assert len(symbols.names) == len(symbols.addresses)
    assert all(map(is_shown, (*symbols.names, *calls)))


def seeds() -> Iterable[bytes]:
    """A sound table, longer names, and symbols of processors' own."""
    tokens = [b"T", b"pan", b"ic", b"d", b"x" * 100]
    starts = [sum(len(token) + 1 for token in tokens[:number]) for number in range(len(tokens))]
    index = struct.pack(f"<{len(starts)}H", *starts)
    text = b"\0".join(tokens) + b"\0"
    for offsets in ((16, 32, 48), (-1, -16, 48), (1, 2, 1 << 30)):
        places = struct.pack("<3i", *offsets)
        head = _HEAD.pack(3, BASE, len(text), len(index), len(places))
        yield head + text + index + places + b"\3\0\1\2" + b"\2\3\1" + b"\x84\0\0\4\4\4"
    yield _HEAD.pack(1, 0, 2, 0, 4) + b"T\0" + bytes(4) + b"\1\0"
