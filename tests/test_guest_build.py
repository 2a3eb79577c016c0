"""The guest: the same sources give the same bytes, and a compiler that fails leaves one sentence and no half file."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from sistasks.errors import GuestBuildError
from sistasks.files import sha256_of
from sistasks.guest import build as guest_build
from sistasks.guest.build import Guest, build, compile_agent, sources
from sistasks.guest.initramfs import character_device, directory, file, pack
from sistasks.kinds import host_arch
from sistasks.machine.arch import ARCHES
from sistasks.tools import find_compiler

HOST = ARCHES[host_arch()]
MODULES = (("virtio.ko", b"\x7fELF one"), ("virtio_ring.ko", b"\x7fELF two"))


@pytest.fixture(scope="module")
def compiler() -> tuple[str, ...]:
    return find_compiler(HOST)


@pytest.fixture(scope="module")
def guest(compiler: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Guest:
    return build(HOST.name, compiler, tmp_path_factory.mktemp("guest") / "new" / "folder", MODULES)


@pytest.fixture(scope="module")
def agent(compiler: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent, compiled once more and somewhere else than that of the guest."""
    program = tmp_path_factory.mktemp("agent") / "agent"
    compile_agent(compiler, program)
    return program


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sources in the agent's place that take no time to compile."""
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "words.h").write_text('#define WORDS "one"\n')
    (folder / "main.c").write_text(
        '#include "words.h"\n#ifdef CYCLES\nint count(void) { return CYCLES; }\n#endif\n'
        "int main(void) { return sizeof WORDS; }\n"
    )
    monkeypatch.setattr(guest_build, "AGENT", folder)
    return folder


def failing(folder: Path, body: str) -> str:
    program = folder / "their-cc"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return str(program)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_record_is_about_the_file(guest: Guest, compiler: tuple[str, ...]) -> None:
    assert guest.sha256 == sha256_of(guest.initramfs)
    assert files(guest.initramfs.parent) == ["initramfs.cpio"]
    assert (guest.arch, guest.compiler) == (HOST.name, compiler[0])
    assert guest.modules == ("virtio.ko", "virtio_ring.ko")
    assert Guest.from_json(guest.to_json()) == guest


def test_what_is_in_it(guest: Guest, agent: Path) -> None:
    entries = [
        file("init", agent.read_bytes(), executable=True),
        character_device("dev/console", 5, 1),
        *(directory(name) for name in ("proc", "sys", "tmp")),
        file("modules/list", b"virtio.ko\nvirtio_ring.ko\n"),
        *(file(f"modules/{name}", data) for name, data in MODULES),
    ]
    assert guest.initramfs.read_bytes() == pack(entries)


def test_the_agent_is_static_and_has_no_trace_of_where_it_was_built(agent: Path) -> None:
    data = agent.read_bytes()
    assert str(agent.parent).encode() not in data
    assert str(guest_build.AGENT).encode() not in data
    if shutil.which("readelf"):
        headers = subprocess.run(["readelf", "-lS", agent], capture_output=True, text=True, check=True).stdout
        assert "INTERP" not in headers
        assert ".symtab" not in headers
        assert ".note.gnu.build-id" not in headers


def test_the_same_sources_elsewhere_give_the_same_bytes(
    guest: Guest, compiler: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = tmp_path / "another" / "checkout"
    shutil.copytree(guest_build.AGENT, copied)
    monkeypatch.setattr(guest_build, "AGENT", copied)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", "C")
    again = build(HOST.name, compiler, Path("relative/out"), MODULES)
    assert again.initramfs == Path("relative/out/initramfs.cpio")
    assert again.sha256 == guest.sha256


def test_other_sources_give_other_bytes(compiler: tuple[str, ...], tmp_path: Path, small: Path) -> None:
    one, same = (build(HOST.name, compiler, tmp_path / name, MODULES) for name in ("one", "same"))
    (small / "words.h").write_text('#define WORDS "three"\n')
    other = build(HOST.name, compiler, tmp_path / "other", MODULES)
    assert one.sha256 == same.sha256 != other.sha256


def test_a_record_may_bring_a_counter(
    compiler: tuple[str, ...], tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert guest_build.flags(HOST.name) == guest_build.FLAGS
    without = build(HOST.name, compiler, tmp_path / "without", MODULES)
    monkeypatch.setitem(ARCHES, HOST.name, replace(HOST, cycles="0"))
    assert build(HOST.name, compiler, tmp_path / "out", MODULES).sha256 != without.sha256
    monkeypatch.setitem(ARCHES, HOST.name, replace(HOST, cycles="no such word"))
    with pytest.raises(GuestBuildError, match="cannot build the agent"):
        build(HOST.name, compiler, tmp_path / "out", MODULES)


def test_the_guest_depends_on_every_source() -> None:
    names = {path.name for path in sources()}
    assert {"main.c", "sis.h", "channel.c", "inference_digests.h"} <= names
    assert sources() == sorted(sources())


def test_a_compiler_that_refuses(tmp_path: Path) -> None:
    theirs = failing(tmp_path, "for n in 1 2 3 4 5 6 7 8 9 10; do echo main.c:$n: error >&2; done; exit 1")
    with pytest.raises(GuestBuildError) as caught:
        build(HOST.name, [theirs], tmp_path / "out")
    assert caught.value.problem == f"{theirs} cannot build the agent (exit 1)"
    assert caught.value.detail.splitlines() == [f"main.c:{number}: error" for number in range(1, 9)]
    assert caught.value.exit_code == 2
    assert files(tmp_path / "out") == []


def test_a_compiler_that_speaks_on_standard_output_only(tmp_path: Path) -> None:
    theirs = failing(tmp_path, "printf 'no licence \\344\\n'; exit 3")
    with pytest.raises(GuestBuildError, match=r"exit 3.*\n    no licence \ufffd"):
        build(HOST.name, [theirs], tmp_path / "out")


def test_a_compiler_that_dies_in_the_middle_leaves_the_old_guest(tmp_path: Path) -> None:
    theirs = failing(tmp_path, 'while [ "$1" != -o ]; do shift; done; echo half > "$2"; kill -9 $$')
    out = tmp_path / "out"
    out.mkdir()
    (out / "initramfs.cpio").write_text("the old one")
    with pytest.raises(GuestBuildError, match="exit -9"):
        build(HOST.name, [theirs], out)
    assert files(out) == ["initramfs.cpio"]
    assert (out / "initramfs.cpio").read_text() == "the old one"


def test_a_compiler_that_lies(tmp_path: Path) -> None:
    theirs = failing(tmp_path, "exit 0")
    with pytest.raises(GuestBuildError, match="says that it built the agent, and did not"):
        build(HOST.name, [theirs], tmp_path / "out")
    assert files(tmp_path / "out") == []


def test_a_compiler_that_is_not_there_or_not_a_program(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    for theirs in (tmp_path / "none", tmp_path / "text", tmp_path):
        with pytest.raises(GuestBuildError, match=str(theirs)) as caught:
            build(HOST.name, [str(theirs)], tmp_path / "out")
        assert caught.value.problem.startswith("the compiler of the agent cannot be run: ")
        assert files(tmp_path / "out") == []


def test_a_compiler_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest_build, "COMPILE_LIMIT", 0.2)
    theirs = failing(tmp_path, "exec sleep 1000")
    with pytest.raises(GuestBuildError) as caught:
        build(HOST.name, [theirs], tmp_path / "out")
    assert caught.value.problem == f"{theirs} did not build the agent within 0.2 s"
    assert caught.value.remedy == "try again when the host is less busy, or set CC to another compiler"
    assert files(tmp_path / "out") == []


def test_a_mistake_in_the_agent_is_shown(
    compiler: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "main.c").write_text("int main(void) { return nothing; }\n")
    monkeypatch.setattr(guest_build, "AGENT", tmp_path / "agent")
    with pytest.raises(GuestBuildError, match=r"main\.c.*nothing"):
        build(HOST.name, compiler, tmp_path / "out")
