"""Programs of pyproject.toml: read, looked at before they go into the guest, and packed the same for the same files."""

from __future__ import annotations

import functools
import shutil
import stat
import struct
import subprocess
import tempfile
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks.errors import UsageError
from sistasks.guest import initramfs
from sistasks.guest.programs import Program, archive, elf_problem, programs, read
from sistasks.kinds import host_arch
from sistasks.machine.arch import ARCHES
from sistasks.tools import find_compiler

ROOM = 64 << 20
ARCH = host_arch()


@functools.cache
def compiled(*flags: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "a.c", Path(folder) / "a"
        source.write_text("int main(void) { return 0; }\n")
        subprocess.run([*find_compiler(ARCHES[ARCH]), *flags, str(source), "-o", str(made)], check=True)
        return made.read_bytes()


def refusal(text: str, folder: Path) -> str:
    with pytest.raises(UsageError) as caught:
        programs(tomllib.loads(text)["programs"], folder / "pyproject.toml")
    assert caught.value.remedy
    return str(caught.value)


def test_a_whole_record(tmp_path: Path) -> None:
    text = """
    [programs.mybench]
    path = "build/{arch}/mybench"
    arguments = ["--size", "4 K", ""]
    metrics = "latency"
    timeout = 5
    suite = "performance"
    """
    (found,) = programs(tomllib.loads(text)["programs"], tmp_path / "pyproject.toml").values()
    assert found == Program(
        name="mybench", path=str(tmp_path / "build/{arch}/mybench"), arguments=("--size", "4 K", ""),
        metrics=("latency",), timeout=5, suite="performance",
    )  # fmt: skip
    assert found.file("arm64") == tmp_path / "build/arm64/mybench"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("programs = 1", "programs in"),
        ("[programs]\na = 1", "is no table; write [tool.sistasks.programs.a]"),
        ("[programs.a]", "has no path"),
        ('[programs.a]\npath = "x"\nargs = []', "unknown key 'args'"),
        ('[programs.a]\npath = "x"\nargument = []', "did you mean 'arguments'?"),
        ('[programs.a]\npath = ""', "path is a text"),
        ('[programs.a]\npath = "{cpu}/x"', "path is a path; {arch} is the only word"),
        ('[programs.a]\npath = "~nobody-here/x"', "cannot be"),
        ('[programs.a]\npath = "x"\narguments = ["a\\nb"]', "arguments is a text or a list of texts"),
        ('[programs.a]\npath = "x"\narguments = [1]', "arguments is a text or a list of texts"),
        (f'[programs.a]\npath = "x"\narguments = {["a"] * 65}', "at most 64 texts"),
        (f'[programs.a]\npath = "x"\narguments = ["{"ü" * 2048}"]', "together 4096 bytes"),
        ('[programs.a]\npath = "x"\nmetrics = ["A B"]', "metrics is a list of names"),
        ('[programs.a]\npath = "x"\ntimeout = 0', "timeout is a number above 0"),
        ('[programs.a]\npath = "x"\ntimeout = "5s"', "timeout is a number above 0"),
        ('[programs."a b"]\npath = "x"', "no program can have this name"),
        ('[programs."../a"]\npath = "x"', "no program can have this name"),
        (f'[programs.{"a" * 49}]\npath = "x"', "no program can have this name"),
    ],
)
def test_what_cannot_be_is_refused(text: str, words: str, tmp_path: Path) -> None:
    assert words in refusal(text, tmp_path)


def program(tmp_path: Path, data: bytes, mode: int = 0o755) -> Program:
    path = tmp_path / "bench"
    path.write_bytes(data)
    path.chmod(mode)
    return Program(name="bench", path=str(path))


def problem(one: Program, room: int = ROOM, arch: str = ARCH) -> str:
    with pytest.raises(UsageError) as caught:
        read(one, arch, room)
    assert caught.value.remedy
    return str(caught.value)


@pytest.mark.parametrize("mode", [0o755, 0o700, 0o4755])
def test_a_static_program_is_packed_with_its_mode(tmp_path: Path, mode: int) -> None:
    data = compiled("-static")
    entry = read(program(tmp_path, data, mode), ARCH, ROOM)
    assert entry == initramfs.Entry("programs/bench", stat.S_IFREG | mode, data)


def test_the_same_files_give_the_same_archive(tmp_path: Path) -> None:
    one = program(tmp_path, compiled("-static"))
    first = archive([one], ARCH, 256 << 20)
    (tmp_path / "bench").touch()
    assert archive([one], ARCH, 256 << 20) == first
    assert len(first) % 4 == 0, "another archive, or none, may follow"
    program(tmp_path, compiled("-static", "-g"))
    assert archive([one], ARCH, 256 << 20) != first


def test_what_is_no_program_for_the_guest(tmp_path: Path) -> None:
    good = compiled("-static")
    other = "arm64" if ARCH != "arm64" else "x86_64"
    assert "no such file; build it" in problem(Program(name="a", path=str(tmp_path / "none")))
    assert "is no file" in problem(Program(name="a", path=str(tmp_path)))
    assert "is no program (no ELF file)" in problem(program(tmp_path, b"#!/bin/sh\necho METRIC a=1\n"))
    assert "is no program (no ELF file)" in problem(program(tmp_path, b""))
    assert f"is for another architecture ({ARCH}, not {other})" in problem(
        program(tmp_path, good), arch=other
    )
    assert "is linked dynamically" in problem(program(tmp_path, compiled()))
    assert "is an ELF file, but no program" in problem(program(tmp_path, compiled("-c", "-static")))
    assert "is a program that is cut off" in problem(program(tmp_path, good[:70]))
    assert "is not executable; chmod +x" in problem(program(tmp_path, good, 0o644))
    assert "is too large for its node" in problem(program(tmp_path, good), room=len(good) - 1)


def test_all_programs_share_a_quarter_of_the_memory(tmp_path: Path) -> None:
    data = compiled("-static")
    one = program(tmp_path, data)
    two = Program(name="other", path=one.path)
    assert archive([one, two], ARCH, 8 * len(data))
    with pytest.raises(UsageError, match=r"program other: .* is too large for its node"):
        archive([one, two], ARCH, 8 * len(data) - 4)


@given(st.data())
def test_a_damaged_program_is_taken_or_refused(data: st.DataObject) -> None:
    """The guest's kernel is the last judge of a program; ours must not fall over it."""
    good = bytearray(compiled("-static")[:4096])
    for _ in range(data.draw(st.integers(0, 4))):
        good[data.draw(st.integers(0, 100))] = data.draw(st.integers(0, 255))
    found = elf_problem(bytes(good[: data.draw(st.integers(0, len(good)))]), ARCHES[ARCH])
    assert found is None or all(found)


@pytest.mark.parametrize("arch", list(ARCHES))
def test_every_architecture_knows_its_programs(arch: str) -> None:
    wide = arch != "arm"
    head = struct.pack("<4sBBBB8xHHI", b"\x7fELF", 2 if wide else 1, 1, 1, 0, 2, ARCHES[arch].elf_machine, 1)
    rest = struct.pack(
        "<QQQIHHHHHH" if wide else "<IIIIHHHHHH", 0, 64, 0, 0, 64, 56 if wide else 32, 1, 0, 0, 0
    )
    data = (head + rest).ljust(64, b"\0") + struct.pack("<I", 1)
    assert elf_problem(data, ARCHES[arch]) is None
    assert elf_problem(data[:-4] + struct.pack("<I", 3), ARCHES[arch]) is not None
    for other in ARCHES.values():
        if other.name != arch:
            assert elf_problem(data, other) is not None


@pytest.mark.skipif(shutil.which("cpio") is None, reason="no cpio here")
def test_others_read_the_archive(tmp_path: Path) -> None:
    data = archive([program(tmp_path, compiled("-static"), 0o750)], ARCH, 256 << 20)
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["cpio", "-id", "--quiet"], input=data, cwd=out, check=True)
    assert (out / "programs/bench").read_bytes() == compiled("-static")
    assert stat.S_IMODE((out / "programs/bench").stat().st_mode) == 0o750
