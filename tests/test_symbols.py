"""Addresses of a kernel's traces get the functions that they are in."""

from __future__ import annotations

import io
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks.evidence.symbols import Symbols, from_text, from_vmlinux, offset_of, symbolise

if TYPE_CHECKING:
    from pathlib import Path

MAP = """\
0000000000000000 D __per_cpu_start
ffffffff81000000 T _text
ffffffff81000000 T startup_64
ffffffff810374db t kthread
ffffffff81037600 T other.isra.0
ffffffff81037700 t twice
ffffffff81037800 t twice
ffffffff81037900 D data
ffffffff81038000 T _etext
"""
KALLSYMS = """\
ffffffffa1000000 T _text
ffffffffa10374db t kthread
ffffffffc0000000 t drill_init\t[drill]
ffffffffc0000100 t drill_end\t[drill]
"""
OFFSET = (
    "[    1.0] Kernel Offset: 0x20000000 from 0xffffffff81000000 (relocation range: 0xffffffff80000000-0x1)"
)


def test_functions_by_address_and_addresses_by_function() -> None:
    table = from_text(MAP)
    assert table.lookup(0xFFFFFFFF810374DB) == ("kthread", 0)
    assert table.lookup(0xFFFFFFFF810375FF) == ("kthread", 0x124)
    assert table.lookup(0xFFFFFFFF81000001) == ("startup_64", 1), "a mark is no function"
    assert table.lookup(0xFFFFFFFF80FFFFFF) is None
    assert table.lookup(0xFFFFFFFF81038000) is None, "where the last one ends is not known"
    assert table.address("kthread") == 0xFFFFFFFF810374DB
    assert (table.address("twice"), table.address("nobody")) == (None, None)
    assert table.at(0x1000).lookup(0xFFFFFFFF810384DB) == ("kthread", 0)
    assert from_text(KALLSYMS).lookup(0xFFFFFFFFC0000010) == ("drill_init [drill]", 0x10)
    assert from_text("0000000000000000 T hidden\n").addresses == ()
    assert from_text("ffffffff81000000 T a\x1b[2J\n").addresses == (), "a terminal will show it"


def test_where_a_kernel_lies_is_told_by_itself_or_by_a_known_address() -> None:
    table = from_text(MAP)
    assert offset_of(OFFSET, table) == 0x20000000
    assert offset_of(OFFSET, from_text(KALLSYMS)) == 0, "read in the running kernel it lies where it lies"
    assert offset_of("Kernel Offset: disabled", table) == 0
    assert offset_of(" [<ffffffff910374eb>] kthread+0x10/0x100", table) == 0x10000000
    assert offset_of(" [<ffffffff910374eb>] twice+0x10/0x100", table) == 0
    assert offset_of("nothing", table) == 0


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("[    1.0] RIP: 0010:0xffffffff810374eb", " kthread+0x10"),
        ("[    1.0]  ? 0xffffffff810374eb", " kthread+0x10"),
        ("  0xffffffff81037601", " other+0x1"),
        ("[    1.0] [<ffffffff810374eb>]", " kthread+0x10"),
        ("pc : [<ffffffff810374eb>]", " kthread+0x10"),
        ("pc : 0xffffffff810374eb", " kthread+0x10"),
        ("RIP: 0033:0xffffffff810374eb", ""),
        ("RAX: ffffffff810374eb RBX: ffffffff810374eb", ""),
        ("CR2: ffffffff810374eb", ""),
        (" [<ffffffff810374eb>] kthread+0x10/0x100", ""),
        (" kthread+0x10/0x100", ""),
        ("RIP: 0010:0xdead4eac00000000", ""),
        ("a sentence", ""),
        ("", ""),
    ],
)
def test_bare_addresses_get_their_function_and_all_else_stays(line: str, found: str) -> None:
    assert symbolise(f"first\n{line}", from_text(MAP)) == f"first\n{line}{found}"


def test_an_arm_trace_with_two_addresses_in_a_line() -> None:
    table = from_text("c0100000 T _text\nc0100100 T foo\nc0100200 T bar\nc0100300 T _etext\n")
    assert symbolise("pc : [<c0100110>]    lr : [<c0100204>]    psr: 60000013", table) == (
        "pc : [<c0100110>] foo+0x10    lr : [<c0100204>] bar+0x4    psr: 60000013"
    )


def test_a_moved_kernel_s_trace() -> None:
    report = f"[    1.0]  0xffffffffa10374eb\n{OFFSET}"
    assert symbolise(report, from_text(MAP)).splitlines()[0].endswith("eb kthread+0x10")
    assert symbolise(report, from_text(KALLSYMS)).splitlines()[0].endswith("eb kthread+0x10")


def test_without_symbols_nothing_changes() -> None:
    assert symbolise("RIP: 0010:0xffffffff810374eb", from_text("")) == "RIP: 0010:0xffffffff810374eb"


@given(st.text(max_size=300))
def test_any_text_is_taken(text: str) -> None:
    table = from_text(text + MAP)
    assert isinstance(table, Symbols)
    added = symbolise(text, table)
    assert len(added.split("\n")) == len(text.split("\n"))
    assert isinstance(offset_of(text, table), int)


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
def test_functions_of_an_elf_file(tmp_path: Path) -> None:
    source = tmp_path / "small.c"
    source.write_text("int data = 7; int drill(void) { return data; } int _start(void) { return drill(); }\n")
    out = tmp_path / "small"
    subprocess.run(["gcc", "-O1", "-static", "-nostdlib", "-fno-inline", "-o", out, source], check=True)
    with out.open("rb") as file:
        table = from_vmlinux(file)
    assert {"drill", "_start"} <= set(table.names)
    assert "data" not in table.names
    begin = table.address("drill")
    assert begin is not None
    assert table.lookup(begin + 1) == ("drill", 1)


@given(st.binary(max_size=200))
def test_what_is_no_elf_file_is_said(data: bytes) -> None:
    with pytest.raises(ValueError, match="no sound ELF file"):
        from_vmlinux(io.BytesIO(data))
