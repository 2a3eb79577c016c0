"""Dumps of memory as QEMU writes them, with what a kernel, or one that means us harm, has in its memory."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PAGE: Final = 4096
X86_64, ARM64, RISCV = 62, 183, 243
RAM: Final = 0x4000_0000
MOVE: Final = 0xFFFF_7FFF_C800_0000
BASE: Final = 0xFFFF_8000_0800_0000


def core(memory: Iterable[tuple[int, bytes]], notes: bytes = b"", machine: int = ARM64) -> bytes:
    """A core as QEMU writes it: section headers first, no room between."""
    runs = list(memory)
    at = 64 + 128 + 56 * (len(runs) + 1)
    rows = [struct.pack("<IIQQQQQQ", 4, 0, at, 0, 0, len(notes), len(notes), 0)]
    at += len(notes)
    for physical, data in runs:
        rows.append(struct.pack("<IIQQQQQQ", 1, 0, at, 0, physical, len(data), len(data), 0))
        at += len(data)
    head = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 4, machine, 1, 0, 192, 64, 0, 64, 56, len(rows), 64, 2, 1
    )
    return head + bytes(128) + b"".join(rows) + notes + b"".join(data for _, data in runs)


def info(*lines: str) -> bytes:
    """The kernel's note, on a page of its own."""
    text = "\n".join(["OSRELEASE=6.1.0", *lines, ""]).encode()
    return (struct.pack("<III", 11, len(text), 0) + b"VMCOREINFO\0\0" + text).ljust(PAGE, b"\0")


def table(tokens: Sequence[bytes], names: Sequence[bytes]) -> bytes:
    """A dump of an arm64 whose kernel has a table of symbols.

    Args:
        tokens: at most 256.
        names: indices of tokens.
    """
    index, text = [], b""
    for token in tokens:
        index.append(len(text))
        text += token + b"\0"
    index += [index[0]] * (256 - len(index))
    long = b"".join(
        (bytes([len(name)]) if len(name) < 128 else bytes([len(name) & 0x7F | 0x80, len(name) >> 7])) + name
        for name in names
    )
    return listing(
        names=long,
        num_syms=struct.pack("<I", len(names)),
        token_table=text,
        token_index=struct.pack("<256H", *index),
        offsets=struct.pack(f"<{len(names)}i", *(16 * number for number in range(1, len(names) + 1))),
        relative_base=struct.pack("<Q", BASE),
    )


def listing(**parts: bytes) -> bytes:
    """A dump of an arm64 in whose memory are the parts of a table, whatever they are."""
    memory, lines = b"", []
    for name, data in parts.items():
        lines.append(f"SYMBOL(kallsyms_{name})={RAM + PAGE + len(memory) + MOVE & (1 << 64) - 1:x}")
        memory += data.ljust(-(-len(data) // 8) * 8, b"\0")
    return core([(RAM, info(*lines, f"NUMBER(kimage_voffset)={MOVE:#x}", "NUMBER(VA_BITS)=48") + memory)])
