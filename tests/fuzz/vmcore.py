"""A dump as it comes from QEMU, its page tables and notes a guest's."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Final

from dump_parts import ARM64, MOVE, PAGE, RAM, RISCV, X86_64, core, info

from fuzz.parts import scratch
from sistasks.errors import NodeError
from sistasks.machine import vmcore
from sistasks.machine.kallsyms import Memory

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_PAGES: Final = 6
_ENTRY: Final = struct.Struct("<HQ")
_MACHINES: Final = (X86_64, ARM64, RISCV, 0)
_ROOM: Final = 2 << 20


def fuzz(data: bytes) -> None:
    """What is written is a whole ELF core that begins no segment where the file has none, or it is refused."""
    dump = data[1:] if data[:1] in {b"", b"\xff"} else _made(data)
    path = scratch() / "vmcore"
    try:
        found = vmcore.write(io.BytesIO(dump), path)
    except NodeError:
        return
    size = path.stat().st_size
    assert found.size == size <= len(dump) + _ROOM
    assert isinstance(found.kernel_offset, int | None)
    if dump[4:6] != b"\x02\x01":
        return
    with path.open("rb") as file:
        head = file.read(64)
        (count,) = struct.unpack_from("<H", head, 56)
        rows = [struct.unpack("<IIQQQQQQ", file.read(56)) for _ in range(count)]
    assert all(offset + length <= size for _, _, offset, _, _, length, _, _ in rows)
    with Memory(path) as memory:
        for row in rows[:50]:
            if row[3] >> 63:
                assert memory.read(row[3], 16) == _bytes(path, row[2], min(16, row[5])) or row[5] < 16


def _bytes(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)


def _made(data: bytes) -> bytes:
    """The machine, how many entries of tables follow, where the first table is, the entries, and the note's text."""
    machine = _MACHINES[data[0] % len(_MACHINES)]
    number = data[1] if len(data) > 1 else 0
    cr3 = int.from_bytes(data[2:10], "little")
    memory, at = bytearray(_PAGES * PAGE), 10
    for _ in range(number):
        if len(data) - at < _ENTRY.size:
            break
        place, entry = _ENTRY.unpack_from(data, at)
        struct.pack_into("<Q", memory, place % (_PAGES * PAGE // 8) * 8, entry)
        at += _ENTRY.size
    note = info(data[at:].decode("utf-8", "replace")) if len(data) > at else b""
    state = struct.pack("<II", 1, 0x1B8) + bytes(408) + struct.pack("<QQQ", cr3, 0, 0)
    notes = struct.pack("<III", 5, len(state), 0) + b"QEMU\0\0\0\0" + state
    return core([(0, bytes(memory)), (RAM, note)] if note else [(0, bytes(memory))], notes, machine)


def seeds() -> Iterable[bytes]:
    """Sound ones, one whose tables point at themselves, and streams as they are."""
    told = (
        f"KERNELOFFSET=1c00000\nNUMBER(VA_BITS)=48\nNUMBER(kimage_voffset)={MOVE:#x}\n"
        "NUMBER(PAGE_OFFSET)=0xff60000000000000\nNUMBER(phys_ram_base)=0x80000000\n"
        "NUMBER(va_kernel_pa_offset)=0xffffffff00000000\nNUMBER(PHYS_OFFSET)=0x40000000"
    ).encode()
    ways = [(511, 0x1003), (512 + 511, 0x2003), (1024 + 8, 0x3003), (1536, 0x4003), (1537, 0x5003)]
    itself = [(number, 3) for number in (256, 300, 511)]
    large = [(511, 0x1003), (512 + 511, 0x2003), (1024, 0x83), (1025, 0x200083)]
    for machine in range(len(_MACHINES)):
        for entries in (ways, itself, large):
            packed = b"".join(_ENTRY.pack(*entry) for entry in entries)
            yield bytes([machine, len(entries)]) + bytes(8) + packed + told
        for bits in (b"-1", b"99999999"):
            yield bytes([machine, 0]) + bytes(8) + told.replace(b"=48", b"=" + bits)
    yield b"\xff" + core([(0, bytes(100) + b"x")])
    yield b"\xff" + core([(RAM, info("NUMBER(VA_BITS)=48"))], b"note", X86_64)
    yield b"\xff\x7fELF\x01\x01" + bytes(100)
