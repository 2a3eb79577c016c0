"""What an unpacked kernel shows of how it was built: sections, names, a build id, relocations.

The formats: ELF, System V ABI, chapter 4 (read by pyelftools); names of exported functions, Linux
include/asm-generic/vmlinux.lds.h (`__ksymtab_strings`: each ends with NUL, and so does what is before it).
"""

from __future__ import annotations

import io
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sistasks.errors import KernelImageError

if TYPE_CHECKING:
    from pathlib import Path

    from elftools.elf.elffile import ELFFile

# flags of sections
_WRITE, _ALLOCATE, _EXECUTE = 1, 2, 4
_DEBUG: Final = (".debug_info", ".zdebug_info")


@dataclass(frozen=True, slots=True)
class Section:
    """A section that is in memory when the kernel runs."""

    name: str
    size: int
    writable: bool
    executable: bool


@dataclass(frozen=True, slots=True)
class Elf:
    """What an ELF file says.

    Attributes:
        sections: name -> section, of those that are loaded.
        segments: `RWE` and the like, of those that are loaded.
        symbols: names of its table of symbols, each between NULs; empty: it is stripped.
        debug: it has debugging information.
        build_id: hexadecimal; empty: none.
        end: bytes of the file that belong to it.
    """

    sections: dict[str, Section]
    segments: tuple[str, ...]
    symbols: bytes
    debug: bool
    build_id: str
    end: int


@dataclass(frozen=True, slots=True)
class Names:
    """Names of functions.

    Attributes:
        data: each between NULs, among other things perhaps.
        complete: a function that is not there is not in the kernel.
        origin: where they are from.
    """

    data: bytes
    complete: bool
    origin: str

    def find(self, name: str) -> str:
        """The first that is called so, where `*` stands for any letters; empty: none."""
        pattern = re.escape(name.encode()).replace(rb"\*", rb"\w+")
        found = re.search(rb"(?<=\0)%b(?=\0)" % pattern, self.data)
        return found[0].decode("ascii", "replace") if found else ""


def read(body: bytes) -> Elf | None:
    """What an unpacked kernel says if it is an ELF file; None: it is none.

    Raises:
        KernelImageError: its headers cannot be read.
    """
    if not body.startswith(b"\x7fELF"):
        return None
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        return _read(ELFFile(io.BytesIO(body)))
    except (
        ELFError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError, zlib.error, MemoryError,
    ) as error:  # fmt: skip
        # pyelftools believes the offsets and types in a header; damaged ones fail wherever they are used
        raise KernelImageError(
            "the ELF headers of the kernel in the image cannot be read", "build or fetch it again"
        ) from error


def _read(elf: ELFFile) -> Elf:
    sections = list(elf.iter_sections())
    loaded = [one for one in sections if one["sh_flags"] & _ALLOCATE and one["sh_size"]]
    table = elf.get_section_by_name(".symtab")
    names = elf.get_section(table["sh_link"]).data() if table is not None and table["sh_size"] else b""
    ends = [one["sh_offset"] + one["sh_size"] for one in sections if one["sh_type"] != "SHT_NOBITS"]
    header = elf.header
    return Elf(
        sections={
            one.name: Section(
                one.name, one["sh_size"],
                bool(one["sh_flags"] & _WRITE), bool(one["sh_flags"] & _EXECUTE),
            )
            for one in loaded
        },
        segments=tuple(_flags(one["p_flags"]) for one in elf.iter_segments() if one["p_type"] == "PT_LOAD"),
        symbols=names,
        debug=any(elf.get_section_by_name(name) is not None for name in _DEBUG),
        build_id=_build_id(sections),
        end=max([header["e_shoff"] + header["e_shnum"] * header["e_shentsize"], *ends]),
    )  # fmt: skip


def _flags(flags: int) -> str:
    return "".join(letter for bit, letter in ((4, "R"), (2, "W"), (1, "E")) if flags & bit)


def _build_id(sections: list[Any]) -> str:
    """Of the kernel: its notes are in a section of that name, whatever the kinds of the others are."""
    from elftools.elf.sections import NoteSection

    for section in sections:
        if isinstance(section, NoteSection):
            for note in section.iter_notes():
                if note["n_name"] == "GNU" and note["n_type"] == "NT_GNU_BUILD_ID":
                    return str(note["n_desc"])
    return ""


def names(body: bytes, elf: Elf | None, table: Path | None) -> Names:
    """The best list of functions that there is: the table of symbols, System.map, or what is exported to modules.

    Args:
        body: the unpacked kernel.
        elf: what it says as ELF file.
        table: its System.map; None: there is none.
    """
    if elf is not None and elf.symbols:
        return Names(elf.symbols, complete=True, origin="its table of symbols")
    if table is not None:
        try:
            text = table.read_bytes()
        except OSError:
            text = b""
        words = [line.rpartition(b" ")[2] for line in text.splitlines()]
        if len(words) > 100:
            return Names(b"\0%b\0" % b"\0".join(words), complete=True, origin=table.name)
    return Names(body, complete=False, origin="the names in the image")
