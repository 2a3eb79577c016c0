"""What a program is linked with: read from small real ELF files, and looked for in trees as packages leave them."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from pathlib import Path

import pytest
from elf_parts import compiled, library, needs_gcc
from hypothesis import given
from hypothesis import strategies as st

from sistasks.errors import GuestBuildError
from sistasks.guest.libraries import Needs, closure, find, needs

pytestmark = needs_gcc
FOLDER = "usr/lib/x86_64-linux-gnu"
LOADER = "-Wl,--dynamic-linker=/lib64/ld-own.so.2"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that needs libone.so.1, which needs libtwo.so.2, which needs the first; and a static one."""
    folder = tmp_path_factory.mktemp("made")
    first = library(folder / "libtwo.so.2", "int two(void) { return 2; }")
    one = library(
        folder / "libone.so.1",
        "int two(void); int one(void) { return two(); }",
        "-Wl,--no-as-needed",
        str(first),
    )
    library(folder / "libtwo.so.2", "int two(void) { return 2; }", "-Wl,--no-as-needed", str(one))
    library(folder / "ld-own.so.2", "int loader;")
    main = "int one(void); void _start(void) { one(); }"
    compiled(folder / "program", main, "-nostdlib", "-Wl,--allow-shlib-undefined", LOADER, str(one))
    compiled(folder / "static", "int main(void) { return 0; }", "-static")
    return folder


def tree(root: Path, made: Path) -> Path:
    """As a package leaves it: the files have versions, and links lead there."""
    (root / FOLDER).mkdir(parents=True)
    (root / "lib64").mkdir()
    for name in ("libone.so.1", "libtwo.so.2", "ld-own.so.2"):
        (root / FOLDER / f"{name}.0.7").write_bytes((made / name).read_bytes())
    (root / FOLDER / "libone.so.1").symlink_to("libone.so.1.0.7")
    (root / FOLDER / "libtwo.so.2").symlink_to(f"/{FOLDER}/libtwo.so.2.0.7")
    (root / "lib64/ld-own.so.2").symlink_to(f"../{FOLDER}/ld-own.so.2.0.7")
    return root


def test_what_files_ask_for(made: Path) -> None:
    assert needs((made / "program").read_bytes()) == Needs(("libone.so.1",), "/lib64/ld-own.so.2")
    assert needs((made / "libone.so.1").read_bytes()) == Needs(("libtwo.so.2",), "")
    assert needs((made / "static").read_bytes()) == Needs()


def test_all_that_is_needed_and_nothing_else(made: Path, tmp_path: Path) -> None:
    root = tree(tmp_path, made)
    (root / FOLDER / "libother.so.1").write_bytes((made / "libone.so.1").read_bytes())
    found = closure((made / "program").read_bytes(), root)
    assert {name: one.place for name, one in found.libraries.items()} == {
        "ld-own.so.2": "lib64/ld-own.so.2",
        "libone.so.1": f"{FOLDER}/libone.so.1",
        "libtwo.so.2": f"{FOLDER}/libtwo.so.2",
    }
    for name, one in found.libraries.items():
        assert one.data == (made / name).read_bytes()
    assert (found.missing, found.left_out) == ((), ())


def test_the_loader_lies_where_the_program_looks_for_it(made: Path, tmp_path: Path) -> None:
    """Packages of systems with one tree have it in usr/lib64 only."""
    root = tree(tmp_path, made)
    (root / "lib64").rename(root / "usr/lib64")
    (root / "usr/lib64/ld-own.so.2").unlink()
    (root / "usr/lib64/ld-own.so.2").symlink_to(f"/{FOLDER}/ld-own.so.2.0.7")
    found = closure((made / "program").read_bytes(), root)
    assert found.libraries["ld-own.so.2"].place == "lib64/ld-own.so.2"


def test_what_is_not_there_and_what_is_not_wanted(made: Path, tmp_path: Path) -> None:
    root = tree(tmp_path, made)
    program = (made / "program").read_bytes()
    (root / FOLDER / "libtwo.so.2").unlink()
    found = closure(program, root, more=("libmore.so.3",))
    assert found.missing == ("libmore.so.3", "libtwo.so.2")
    found = closure(program, root, without={"libone"})
    assert (list(found.libraries), found.missing, found.left_out) == (["ld-own.so.2"], (), ("libone.so.1",))


def test_static_programs_need_nothing(made: Path, tmp_path: Path) -> None:
    found = closure((made / "static").read_bytes(), tmp_path)
    assert (found.libraries, found.missing) == ({}, ())


@functools.cache
def real_library() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return library(Path(folder) / "liba.so", "int a(void) { return 1; }").read_bytes()


@given(st.integers(0, 4000), st.binary(min_size=1, max_size=16))
def test_damaged_files_are_read_or_refused(at: int, damage: bytes) -> None:
    data = bytearray(real_library())
    data[at : at + len(damage)] = damage
    for changed in (bytes(data), bytes(data[:at])):
        with contextlib.suppress(GuestBuildError):
            needs(changed)


def test_what_is_no_elf_file_is_refused() -> None:
    with pytest.raises(GuestBuildError, match="what it is linked with cannot be read"):
        needs(b"#!/bin/sh\n")


NAMES = st.sampled_from(["a", "b", "c", "d", "..", ".", ""])


@given(
    st.lists(NAMES, max_size=6),
    st.dictionaries(st.sampled_from("abc"), st.lists(NAMES, max_size=4), max_size=3),
    st.booleans(),
)
def test_no_link_leads_out_of_the_tree(path: list[str], links: dict[str, list[str]], absolute: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        (root / "d").mkdir(parents=True)
        for name, target in links.items():
            (root / name).symlink_to(("/" if absolute else "") + "/".join(target) or "d")
        (root.parent / "file").touch()
        (root / "d/file").touch()
        found = find(root, "/".join([*path, "file"]))
        assert found in {None, root / "d/file"}
        assert (find(root, "d/../d/./file"), find(root, "d")) == (root / "d/file", None)
