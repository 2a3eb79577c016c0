"""Libraries that are left out: a real program starts with the empty ones, by the real loader."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from elf_parts import GCC, compiled, library, needs_gcc

from sistasks.errors import GuestBuildError
from sistasks.guest import stubs

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_gcc

MAIN = """
#include <stdio.h>
int left(void); void *versioned(int); int here(void); int plain(void);
int maybe(void) __attribute__((weak));
int main(void) { printf("%d %p %d %d %d\\n", left(), versioned(1), here(), plain(), maybe != 0); return 0; }
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Linked with three libraries that give 7: one has versions, one has none, and one stays."""
    script = tmp_path / "map"
    script.write_text("OWN_1 { global: left; };\nOWN_2 { global: versioned; } OWN_1;\n")
    old = tmp_path / "old"
    made = [
        library(
            old / "libversions.so.1",
            "int left(void) { return 7; } void *versioned(int a) { return (char *)0 + a + 7; }",
            f"-Wl,--version-script,{script}",
        ),
        library(old / "libplain.so.2", "int plain(void) { return 7; }"),
        library(old / "libhere.so.3", "int here(void) { return 7; }"),
    ]  # fmt: skip
    return compiled(tmp_path / "program", MAIN, *map(str, made), "-Wl,-z,now")


def said(program: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program], env={"LD_LIBRARY_PATH": str(folder)}, capture_output=True, text=True, check=False
    )


def test_the_loader_is_content_and_each_function_gives_nothing(program: Path, tmp_path: Path) -> None:
    assert said(program, tmp_path / "old").stdout == "7 0x8 7 7 0\n"
    here = (tmp_path / "old/libhere.so.3").read_bytes()
    wanted = stubs.asked_of(program.read_bytes(), ("libplain.so.2", "libversions.so.1"), [here])
    assert wanted == {
        "libplain.so.2": {"": ["plain"]}, "libversions.so.1": {"OWN_1": ["left"], "OWN_2": ["versioned"]},
    }  # fmt: skip
    new = tmp_path / "new"
    new.mkdir()
    (new / "libhere.so.3").write_bytes(here)
    assert "cannot open shared object file" in said(program, new).stderr
    for name, functions in wanted.items():
        (new / name).write_bytes(stubs.make(name, functions, [GCC], tmp_path))
    done = said(program, new)
    assert (done.stdout, done.stderr) == ("0 (nil) 7 0 0\n", "")


def test_the_same_bytes_in_another_folder(tmp_path: Path) -> None:
    made = []
    for name in ("one", "another"):
        (tmp_path / name).mkdir()
        made.append(stubs.make("liba.so.1", {"": ["b", "a"], "V": ["c"]}, [GCC], tmp_path / name))
    assert made[0] == made[1]
    assert made[0] != stubs.make("liba.so.1", {"": ["a"]}, [GCC], tmp_path / "one")


def test_a_library_that_nothing_is_asked_of(tmp_path: Path) -> None:
    assert stubs.make("liba.so.1", {}, [GCC], tmp_path)[:4] == b"\x7fELF"


def test_what_cannot_be_left_out(tmp_path: Path) -> None:
    with pytest.raises(GuestBuildError, match=r"_ZN1a;b of liba\.so\.1 cannot be left out"):
        stubs.make("liba.so.1", {"": ["_ZN1a;b"]}, [GCC], tmp_path)
    static = compiled(tmp_path / "static", "int main(void) { return 0; }", "-static")
    with pytest.raises(GuestBuildError, match="has no dynamic symbols"):
        stubs.asked_of(static.read_bytes(), ("liba.so.1",), [])
    assert stubs.asked_of(b"", (), []) == {}
