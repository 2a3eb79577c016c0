"""Libraries that are left out of the guest: what has their name there is empty, and each of its functions gives 0.

A program of a distribution is linked with all that any part of it uses, and the loader does not start it before every
library and every function is there. Empty ones let it start as it is, where nobody uses that part. The names and
versions that it asks for are in its dynamic symbols and version needs (Linux Standard Base, "Symbol Versioning").
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sistasks.errors import GuestBuildError
from sistasks.guest import build
from sistasks.guest.libraries import elf_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

# version of a library -> its functions; what has no version is below ""
Functions = dict[str, list[str]]

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FLAGS: Final = (
    *("-std=gnu11", "-O2", "-ffreestanding", "-fno-builtin", "-fPIC", "-g0", "-fno-ident", "-w"),
    *("-shared", "-nostdlib", "-Wl,--build-id=none", "-Wl,-s"),
)


def asked_of(program: bytes, left_out: Sequence[str], libraries: Iterable[bytes]) -> dict[str, Functions]:
    """What a program wants of the libraries that are left out.

    A function without a version is anybody's: if none of the others has it, the first that is left out gets it.

    Args:
        program: its bytes.
        left_out: names of libraries.
        libraries: the bytes of those that are there.

    Raises:
        GuestBuildError: one of them has no dynamic symbols.
    """
    wanted: dict[str, Functions] = {name: {} for name in left_out}
    if not wanted:
        return wanted
    there = {name for data in libraries for name, _, _ in _symbols(data, defined=True)}
    for function, owner, version in _symbols(program, defined=False):
        if owner in wanted:
            wanted[owner].setdefault(version, []).append(function)
        elif not owner and function not in there:
            wanted[left_out[0]].setdefault("", []).append(function)
    return wanted


def _symbols(data: bytes, *, defined: bool) -> list[tuple[str, str, str]]:
    """(name, library, version) of what a file defines, or of what it must find; no library where it names none."""
    from elftools.elf.gnuversions import GNUVerNeedSection, GNUVerSymSection
    from elftools.elf.sections import SymbolTableSection

    owners: dict[int, tuple[str, str]] = {}
    found = []
    with elf_file(data) as elf:
        symbols = elf.get_section_by_name(".dynsym")
        if not isinstance(symbols, SymbolTableSection):
            raise GuestBuildError("a program or a library has no dynamic symbols", "build it again")
        versions = elf.get_section_by_name(".gnu.version")
        needs = elf.get_section_by_name(".gnu.version_r")
        if isinstance(needs, GNUVerNeedSection):
            for need, parts in needs.iter_versions():
                owners |= {part["vna_other"]: (need.name, part.name) for part in parts}
        for number, symbol in enumerate(symbols.iter_symbols()):
            # what is weak may be missing
            must = symbol["st_info"]["bind"] == "STB_GLOBAL"
            if not symbol.name or (symbol["st_shndx"] != "SHN_UNDEF") != defined or not (defined or must):
                continue
            index = versions.get_symbol(number)["ndx"] if isinstance(versions, GNUVerSymSection) else 0
            found.append((symbol.name, *owners.get(index, ("", ""))))
    return found


def make(name: str, functions: Mapping[str, Sequence[str]], compiler: Sequence[str], work: Path) -> bytes:
    """A library of this name whose functions give 0, or nothing where a pointer is asked for.

    Args:
        name: what the loader looks for.
        functions: as in `asked_of`.
        compiler: the command.
        work: a folder for what is made on the way.

    Raises:
        GuestBuildError: the compiler refuses, or a name is none in C.
    """
    every = [function for some in functions.values() for function in some]
    if strange := [one for one in every if not _IDENTIFIER.fullmatch(one)]:
        raise GuestBuildError(f"{strange[0]} of {name} cannot be left out", "build the program without it")
    source, script, target = work / "stub.c", work / "stub.map", work / "stub.so"
    source.write_text(
        "".join(f"long {one}(void) {{ return 0; }}\n" for one in sorted(every)) or "int stub;\n"
    )
    nodes = (
        f"{version} {{ global: {' '.join(f'{one};' for one in sorted(some))} }};\n"
        for version, some in sorted(functions.items())
        if version
    )
    script.write_text("".join(nodes))
    told = [f"-Wl,-soname,{name}", *([f"-Wl,--version-script,{script}"] if script.stat().st_size else [])]
    build.compile_in(work, [*compiler, *_FLAGS, *told, "-o", str(target), source.name], f"a stub of {name}")
    return target.read_bytes()
