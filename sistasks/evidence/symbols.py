"""Which function an address of a kernel is in: tables of symbols, and traces with the functions put in.

Tables come from System.map (the output of nm), /proc/kallsyms (the same with modules' names; Linux,
Documentation/admin-guide/sysctl/kernel.rst, `kptr_restrict`: without the right every address is 0) and vmlinux (ELF,
System V ABI "Symbol Table").
"""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Final

from sistasks.evidence.crash_report import function_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# a function that a report names is not further from its begin than this
_REACH: Final = 1 << 20
_ROW: Final = re.compile(r"([0-9a-fA-F]{8,16}) ([A-Za-z]) ([^\s]+)(?:\s+\[(\w+)\])?\s*$")
_CODE: Final = frozenset("tTwWiV")
# what kernels say of where they lie: `Kernel Offset: 0x1a000000 from 0xffffffff81000000`
_OFFSET: Final = re.compile(r"Kernel Offset: (?:disabled|(0x[0-9a-f]+)(?: from (0x[0-9a-f]+))?)")
# an address with its function: `[<ffffffff810cd41b>] foo+0x1b/0x40`
_BOTH: Final = re.compile(r"\[<([0-9a-f]{8,16})>\] \(?([A-Za-z_$][\w.$]*)\+0x([0-9a-f]+)/0x[0-9a-f]+")
# an address without: in the brackets of a trace, as a whole frame of it, or where the processor was
_BARE: Final = re.compile(
    r"(?P<before>\[<(?=[0-9a-f]{8,16}>\](?! *[\[(]?[A-Za-z_<]))|RIP: 00[01][08]:0x|(?:PC|LR) is at 0x"
    r"|\b(?:pc|lr|epc|ra|EIP) ?: (?:0x|\[<)?"
    r"|^(?:\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? )? +(?:\? )?(?:0x|(?=[cf][0-9a-f]{7})))"
    r"(?P<address>[0-9a-f]{8,16})(?P<after>>\]|\b)(?!\+)"
)


@dataclass(frozen=True, slots=True)
class Symbols:
    """Functions by address.

    Attributes:
        addresses: ascending.
        names: one for each.
        moved: what is to be taken from an address of a running kernel (KASLR), bytes.
    """

    addresses: Sequence[int]
    names: Sequence[str]
    moved: int = 0
    _of: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    def lookup(self, address: int) -> tuple[str, int] | None:
        """The function and the offset in it, or None: the address is in no function of the table."""
        address -= self.moved
        index = bisect.bisect_right(self.addresses, address) - 1
        if index < 0 or index == len(self.addresses) - 1:  # where the last one ends is not known
            return None
        begin = self.addresses[index]
        return (self.names[index], address - begin) if address - begin < _REACH else None

    def address(self, name: str) -> int | None:
        """Where a function begins in the running kernel; None: it is unknown, or there are more of that name."""
        begin = self._of.get(name)
        return None if begin is None or begin < 0 else begin + self.moved

    def at(self, moved: int) -> Symbols:
        """The same functions of a kernel that was moved by so many bytes."""
        return Symbols(self.addresses, self.names, moved, self._of)


def _table(rows: Iterable[tuple[int, str]]) -> Symbols:
    by_address: dict[int, str] = {}
    of: dict[str, int] = {}
    for address, name in rows:
        if address:
            # of several names for one address the first is as good as any, but for what marks a begin
            known = by_address.get(address, "")
            if not known or (
                known.startswith(("_text", "_stext", "$", ".")) and not name.startswith(("$", "."))
            ):
                by_address[address] = name
            of[name] = address if of.get(name, address) == address else -1
    addresses = sorted(by_address)
    return Symbols(tuple(addresses), tuple(by_address[address] for address in addresses), 0, of)


def from_text(text: str) -> Symbols:
    """Of System.map or /proc/kallsyms; lines of another form, data and hidden addresses (0) are passed over."""
    matches = filter(None, map(_ROW.match, text.splitlines()))
    return from_rows(
        (int(match[1], 16), match[2], f"{match[3]} [{match[4]}]" if match[4] else match[3])
        for match in matches
    )


def from_rows(rows: Iterable[tuple[int, str, str]]) -> Symbols:
    """Of (address, type as nm writes it, name); data, hidden addresses (0) and what cannot be shown are passed over."""
    return _table(
        (address, name)
        for address, kind, name in rows
        if kind in _CODE
        and name.isascii()
        and name.isprintable()
        and name
        and not name.startswith(("$", "__pfx_"))
    )


def from_vmlinux(file: IO[bytes]) -> Symbols:
    """Of an ELF file with a symbol table; empty if it was stripped.

    Raises:
        ValueError: it is no ELF file, or a broken one.
    """
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    rows = []
    try:
        elf = ELFFile(file)
        # where a function of Arm's is in Thumb, its address says so in its lowest bit
        thumb = 1 if elf["e_machine"] == "EM_ARM" else 0
        for section in elf.iter_sections():
            if not isinstance(section, SymbolTableSection):
                continue
            for symbol in section.iter_symbols():
                if symbol["st_info"]["type"] in {"STT_FUNC", "STT_NOTYPE"} and symbol.name:
                    name = symbol.name
                    if not name.startswith(("$", "__pfx_", ".L")) and isinstance(symbol["st_shndx"], int):
                        marked = thumb if symbol["st_info"]["type"] == "STT_FUNC" else 0
                        rows.append((symbol["st_value"] & ~marked, name))
    except (
        ELFError,
        ConstructError,
        LookupError,
        AttributeError,
        TypeError,
        ArithmeticError,
        AssertionError,
        OSError,
    ) as error:
        raise ValueError(f"it is no sound ELF file: {error}") from error
    return _table(rows)


def offset_of(report: str, table: Symbols) -> int:
    """By how many bytes the kernel of a report lies beside the table's; 0 where nothing tells.

    The kernel says so itself at a panic's end; else a line that has an address and its function does. A table that was
    read in the running kernel lies where it lies.
    """
    if match := _OFFSET.search(report):
        moved, linked = int(match[1] or "0", 16), int(match[2] or "0", 16)
        begin = next((at for name in ("_text", "_stext") if (at := table.at(0).address(name))), None)
        if begin is None or not linked or abs(begin - linked) < abs(begin - linked - moved):
            return moved
        return 0
    for match in _BOTH.finditer(report):
        begin = table.at(0).address(match[2])
        if begin is not None:
            return int(match[1], 16) - int(match[3], 16) - begin
    return 0


def symbolise(report: str, table: Symbols) -> str:
    """The report with ` function+0xoffset` behind addresses of code that stand alone; all else as it is."""
    if not table.addresses:
        return report
    table = table if table.moved else table.at(offset_of(report, table))

    def named(match: re.Match[str]) -> str:
        found = table.lookup(int(match["address"], 16))
        if found is None:
            return match[0]
        function, _, module = found[0].partition(" ")
        place = f"{function_name(function)}+{found[1]:#x}"
        return f"{match[0]} {place}{' ' + module if module else ''}"

    return "\n".join(_BARE.sub(named, line) for line in report.split("\n"))
