"""A dump of a guest's memory as debuggers want it: QEMU's stream read once, written sparse, with what it lacks.

`dump-guest-memory` writes an ELF core (System V ABI, "Program Header"; QEMU docs/interop and dump/dump.c) of physical
memory. Two things are added that are found in that memory itself, so that no guest has to help: the note VMCOREINFO
(Linux, Documentation/admin-guide/kdump/vmcoreinfo.rst), which `crash` and makedumpfile ask for, and segments at the
kernel's own addresses, by which gdb finds what symbols name. QEMU could walk the guest's page tables, too
(`paging=true`), but tables that a guest has broken on purpose keep it busy for ever: here each is looked at once.

ELF and not kdump-zlib: gdb opens it, it can be written as it comes, and pages of zeros take no room.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Final

from sistasks.errors import NodeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_EHDR: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_PHDR: Final = struct.Struct("<IIQQQQQQ")
_NOTE: Final = struct.Struct("<III")
_PT_LOAD, _PT_NOTE = 1, 4
_ELF64: Final = b"\x7fELF\x02\x01"
_X86_64: Final = 62
_TOLD: Final = frozenset({183, 243})  # arm64, riscv
_BLOCK: Final = 1 << 14
_ZEROS: Final = bytes(_BLOCK)
_PAGE: Final = 1 << 12
# room for all segments and notes before the first page
_DATA: Final = 1 << 20
_MOST_SEGMENTS: Final = 4096
# a guest may have filled its memory with tables
_MOST_TABLES: Final = 1 << 13
_MOST_PAGES: Final = 1 << 17
_MOST_NOTES: Final = 1 << 19
_MARK: Final = b"VMCOREINFO\0\0OSRELEASE="
_MOST_INFO: Final = 1 << 14
# QEMU target/i386/arch_dump.c: x86_64 QEMUCPUState; CR3 stands after 18 registers and 10 segments
_QEMU_STATE: Final = 0x1B8
_CR3: Final = 416
_CR4_LA57: Final = 1 << 12


@dataclass(frozen=True, slots=True)
class Vmcore:
    """A dump that was written.

    Attributes:
        size: bytes, holes included.
        stored: bytes that take room.
        info: the kernel's VMCOREINFO, key -> value; empty where none was found.
        mapped: ranges of the kernel's own addresses that are in it.
    """

    size: int
    stored: int
    info: dict[str, str] = field(default_factory=dict)
    mapped: int = 0

    @property
    def kernel_offset(self) -> int | None:
        """By how much the kernel was moved from where its symbols say; None if it does not tell."""
        try:
            return int(self.info["KERNELOFFSET"], 16)
        except (KeyError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class _Segment:
    """A run of memory; offset is in the file."""

    offset: int
    physical: int
    size: int
    virtual: int = 0


def write(source: IO[bytes], target: Path) -> Vmcore:
    """Read QEMU's dump from a stream and write it.

    Args:
        source: gives what QEMU writes; `read` gives less than asked only at the end.
        target: the file, made anew.

    Raises:
        NodeError: the stream ends early or is no ELF core.
        OSError: it cannot be written.
    """
    head = _exactly(source, _EHDR.size)
    with target.open("w+b", buffering=0) as file:
        if not head.startswith(_ELF64):
            return _as_it_is(head, source, file)
        fields = _EHDR.unpack(head)
        program_headers, machine, count = fields[5], fields[2], fields[10]
        if not _EHDR.size <= program_headers < _DATA or not 0 < count <= _MOST_SEGMENTS:
            raise NodeError("QEMU's dump has headers that cannot be")
        _exactly(source, program_headers - _EHDR.size)
        table = _exactly(source, count * _PHDR.size)
        at = program_headers + len(table)
        notes, loads, info = b"", [], b""
        end = _DATA
        for kind, _, offset, _, physical, size, _, _ in sorted(
            _PHDR.iter_unpack(table), key=lambda row: row[2]
        ):
            if kind not in {_PT_LOAD, _PT_NOTE} or size == 0:
                continue
            if not 0 <= offset - at < _DATA:
                raise NodeError("QEMU's dump has segments out of order")
            _exactly(source, offset - at)
            at = offset + size
            if kind == _PT_NOTE:
                if size > _MOST_NOTES:
                    raise NodeError("QEMU's dump has notes that cannot be")
                notes = _exactly(source, size)
                continue
            info = _copy(source, file, end, size) or info
            loads.append(_Segment(end, physical, size))
            end += -(-size // _PAGE) * _PAGE
        file.truncate(end)
        ranges = _kernel_ranges(file, loads, notes) if machine == _X86_64 else []
        text = _describe(info)
        if machine in _TOLD:
            ranges = _told_ranges(text, loads)
        _put_headers(file, fields, notes + info, [*loads, *ranges])
        return Vmcore(end, os.fstat(file.fileno()).st_blocks * 512, text, len(ranges))


def _exactly(source: IO[bytes], size: int) -> bytes:
    data = source.read(size)
    if len(data) != size:
        raise NodeError("QEMU's dump ends early")
    return data


def _as_it_is(head: bytes, source: IO[bytes], file: IO[bytes]) -> Vmcore:
    """A core of 32 bits."""
    if not head.startswith(b"\x7fELF"):
        raise NodeError("QEMU's dump is no ELF core")
    os.pwrite(file.fileno(), head, 0)
    end = len(head)
    while block := source.read(_BLOCK):
        if block != _ZEROS:
            os.pwrite(file.fileno(), block, end)
        end += len(block)
    file.truncate(end)
    return Vmcore(end, os.fstat(file.fileno()).st_blocks * 512)


def _copy(source: IO[bytes], file: IO[bytes], to: int, size: int) -> bytes:
    """Copy a run of memory without its zeros; returns the note VMCOREINFO if it is in there."""
    found = -1
    for at in range(0, size, _BLOCK):
        block = _exactly(source, min(_BLOCK, size - at))
        if block == _ZEROS:
            continue
        _write(file, block, to + at)
        # the kernel has the note at the beginning of a page
        place = block.find(_MARK)
        if found < 0 and place >= _NOTE.size and (place - _NOTE.size) % _PAGE == 0:
            found = to + at + place - _NOTE.size
    return _note(file, found) if found >= 0 else b""


def _write(file: IO[bytes], data: bytes, at: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(file.fileno(), data[done:], at + done)


def _note(file: IO[bytes], at: int) -> bytes:
    header = os.pread(file.fileno(), _NOTE.size, at)
    name, size, _ = _NOTE.unpack(header)
    if name != len(b"VMCOREINFO\0") or not 0 < size <= _MOST_INFO:
        return b""
    return header + os.pread(file.fileno(), 12 + -(-size // 4) * 4, at + _NOTE.size)


def _describe(note: bytes) -> dict[str, str]:
    """The note's lines; what a guest wrote there is only text."""
    text = note[_NOTE.size + 12 :].rstrip(b"\0").decode("ascii", "replace")
    pairs = (line.partition("=") for line in text.splitlines())
    return {key: value for key, mark, value in pairs if mark}


def _put_headers(file: IO[bytes], fields: tuple[int, ...], notes: bytes, segments: list[_Segment]) -> None:
    """The ELF header, then the segments, then the notes: the order that `crash` needs."""
    del segments[_MOST_SEGMENTS:]
    at = _EHDR.size + (len(segments) + 1) * _PHDR.size
    rows = [_PHDR.pack(_PT_NOTE, 0, at, 0, 0, len(notes), len(notes), 4)]
    rows += [
        _PHDR.pack(_PT_LOAD, 7, one.offset, one.virtual or one.physical, one.physical, one.size, one.size, 0)
        for one in segments
    ]
    header = _EHDR.pack(*fields[:5], _EHDR.size, 0, fields[7], _EHDR.size, _PHDR.size, len(rows), 0, 0, 0)
    _write(file, header + b"".join(rows) + notes, 0)


def _kernel_ranges(file: IO[bytes], loads: list[_Segment], notes: bytes) -> list[_Segment]:
    """What x86_64's page tables map for the kernel; of several processors' tables those that map the most."""
    best: list[_Segment] = []
    roots: set[int] = set()
    for state in _states(notes):
        cr3, cr4 = struct.unpack_from("<QQ", state, _CR3)
        if not cr4 & _CR4_LA57:
            root = cr3 & 0x000FFFFFFFFFF000
            roots |= {root, root & ~_PAGE}  # with page table isolation the kernel's lies before the program's
    for root in sorted(roots):
        found = _merge(_Tables(file, loads).walk(root))
        best = max(best, found, key=lambda ranges: sum(one.size for one in ranges))
    return [part for one in best for part in _present(one, loads)]


def _states(notes: bytes) -> Iterator[bytes]:
    """QEMU's own notes, one of each processor."""
    at = 0
    while at + _NOTE.size <= len(notes):
        name, size, _ = _NOTE.unpack_from(notes, at)
        begin = at + _NOTE.size
        body = begin + -(-name // 4) * 4
        if notes[begin : begin + name] == b"QEMU\0" and size >= _QEMU_STATE <= len(notes) - body:
            yield notes[body : body + size]
        at = body + -(-size // 4) * 4


class _Tables:
    """Page tables (Intel SDM volume 3, "4-Level Paging"); each page of them is looked at once a level."""

    def __init__(self, file: IO[bytes], loads: list[_Segment]) -> None:
        self._file = file
        self._loads = loads
        self._seen: set[tuple[int, int]] = set()
        self._left = _MOST_PAGES

    def walk(self, table: int, shift: int = 39, base: int = 0) -> Iterator[tuple[int, int, int]]:
        """(virtual, physical, size) of the kernel's half, in order of virtual addresses."""
        if (table, shift) in self._seen or len(self._seen) == _MOST_TABLES:
            return
        self._seen.add((table, shift))
        entries = self._read(table)
        for index, entry in enumerate(entries):
            if not entry & 1 or (shift == 39 and index < 256) or self._left == 0:
                continue
            virtual = base + (index << shift) + (0xFFFF << 48 if shift == 39 else 0)
            physical = entry & 0x000FFFFFFFFFF000
            if shift == 12 or (shift < 39 and entry & 0x80):
                self._left -= 1
                yield virtual, physical & -(1 << shift), 1 << shift
            else:
                yield from self.walk(physical, shift - 9, virtual)

    def _read(self, physical: int) -> tuple[int, ...]:
        for load in self._loads:
            if load.physical <= physical <= load.physical + load.size - _PAGE:
                page = os.pread(self._file.fileno(), _PAGE, load.offset + physical - load.physical)
                return struct.unpack("<512Q", page)
        return ()


def _merge(pages: Iterator[tuple[int, int, int]]) -> list[_Segment]:
    found: list[_Segment] = []
    for virtual, physical, size in pages:
        last = found[-1] if found else None
        if last and (last.virtual + last.size, last.physical + last.size) == (virtual, physical):
            found[-1] = _Segment(0, last.physical, last.size + size, last.virtual)
        else:
            found.append(_Segment(0, physical, size, virtual))
    return found


def _present(one: _Segment, loads: list[_Segment]) -> Iterator[_Segment]:
    """The parts of a mapped range that are in the dump."""
    for load in loads:
        first = max(one.physical, load.physical)
        end = min(one.physical + one.size, load.physical + load.size)
        if first < end:
            offset = load.offset + first - load.physical
            yield _Segment(offset, first, end - first, one.virtual + first - one.physical)


def _told_ranges(info: dict[str, str], loads: list[_Segment]) -> list[_Segment]:
    """Where arm64 and riscv64 have the kernel's image and all memory, as VMCOREINFO says."""

    def told(name: str, least: int = 0, most: int = (1 << 64) - 1) -> int:
        """A number that can be; 0 else."""
        try:
            number = int(info.get(f"NUMBER({name})", ""), 0)
        except ValueError:
            return 0
        return number if least <= number <= most else 0

    moves = []
    if (image := told("kimage_voffset")) and (bits := told("VA_BITS", 30, 64)):  # arm64
        moves = [image, (1 << 64) - (1 << bits) - told("PHYS_OFFSET")]
    elif (offset := told("PAGE_OFFSET")) and (ram := told("phys_ram_base")):  # riscv64
        moves = [told("va_kernel_pa_offset"), offset - ram]
    found = []
    for move in filter(None, moves):
        for load in loads:
            virtual = load.physical + move & (1 << 64) - 1
            if virtual >> 63 and virtual + load.size <= 1 << 64:
                found.append(_Segment(load.offset, load.physical, load.size, virtual))
    return found
