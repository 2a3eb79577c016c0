"""stress-ng from an archive of packages: a small program of its name, linked as the real one is, and the real apt."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import apt_archive
import pytest
from elf_parts import GCC, compiled, needs_gcc
from stress_packages import ARCH, FOLDER, Archive, names

from sistasks.errors import FetchError, GuestBuildError, SistasksError, ToolMissing, UsageError
from sistasks.guest import stress_ng
from sistasks.guest.libraries import Found, Library
from sistasks.guest.stress_ng import PLACE, Packed, choose, fetch, own, pack
from sistasks.machine.arch import ARCHES

pytestmark = [
    needs_gcc,
    pytest.mark.skipif(
        any(shutil.which(name) is None for name in apt_archive.NEEDED), reason="needs a Debian-like system"
    ),
]


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    return Archive(tmp_path, apt_archive.make(tmp_path, monkeypatch))


def test_the_program_its_libraries_and_an_empty_one(archive: Archive) -> None:
    archive.fill()
    told: list[str] = []
    made = archive.fetch(told)
    assert told[-1] == "downloading stress-ng and the libraries that it is linked with"
    assert made.archive
    data = made.archive.read_bytes()
    assert (made.arch, made.version, made.why) == (ARCH, "1", "")
    assert made.sha256 == hashlib.sha256(data).hexdigest()
    assert {file.partition("_")[0] for file in made.packages} == {
        "libc6", "libgcc-s1", "libownthing1debian", "stress-ng",
    }  # fmt: skip
    files = names(data)
    assert files[PLACE] == archive.program
    libraries = {Path(name).name for name in files if name != PLACE}
    assert libraries > {"libc.so.6", "libgcc_s.so.1", "libOwn_thing.so.1", "libEGL.so.1"}
    assert len(libraries) == 5
    assert files[f"{FOLDER}/libOwn_thing.so.1"] == archive.owned(0).read_bytes()
    assert Packed.from_json(made.to_json()) == made
    assert sorted(path.name for path in archive.out.iterdir() if path.name[0] != ".") == [
        made.archive.name, "stress-ng.json",
    ]  # fmt: skip
    assert not list(archive.out.glob(".unpacking-*"))


def test_only_what_has_changed_is_made_again(archive: Archive) -> None:
    archive.fill()
    made = archive.fetch()
    assert made.archive
    before = made.archive.stat().st_ino
    told: list[str] = []
    assert archive.fetch(told) == made
    assert told == ["stress-ng 1 is already here"]
    assert made.archive.stat().st_ino == before

    made.archive.write_bytes(b"half")
    again = archive.fetch()
    assert again == made
    assert hashlib.sha256(made.archive.read_bytes()).hexdigest() == made.sha256

    (archive.out / "stress-ng.json").write_text("{}")
    assert archive.fetch() == made

    # a library that is mended, and the same stress-ng
    archive.fill(mended=5)
    archive.forget()
    newer = archive.fetch()
    assert newer.archive
    assert newer.sha256 != made.sha256
    assert not made.archive.exists()
    assert newer.version == made.version
    assert names(newer.archive.read_bytes())[PLACE] == archive.program


def test_without_what_it_is_linked_with(archive: Archive) -> None:
    archive.fill(without="libownthing1debian")
    with pytest.raises(FetchError) as caught:
        archive.fetch()
    assert str(caught.value) == (
        "no package of stress-ng brings libOwn_thing.so.1; stress_ng=PATH of a static one"
    )
    assert {path.name for path in archive.out.iterdir()} <= {".lock", f".apt-{ARCHES[ARCH].debian}"}


def test_a_package_with_something_else(archive: Archive) -> None:
    archive.fill(program=b"#!/bin/sh\n")
    with pytest.raises(GuestBuildError, match="what it is linked with cannot be read"):
        archive.fetch()


def test_a_release_without_it(archive: Archive) -> None:
    archive.fill(without="stress-ng")
    with pytest.raises(FetchError, match="the package stress-ng cannot be fetched: ") as caught:
        archive.fetch()
    assert "\n" not in str(caught.value)


def test_a_compiler_that_refuses(archive: Archive, tmp_path: Path) -> None:
    here = {"libOwn_thing.so.1": Library("lib/libOwn_thing.so.1", archive.owned(0).read_bytes())}
    found = Found(here, (), ("libEGL.so.1",))
    with pytest.raises(GuestBuildError, match=r"false cannot build a stub of libEGL\.so\.1 \(exit 1\)"):
        pack(archive.program, found, ("false",), tmp_path)


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apt_archive.no_network(tmp_path, monkeypatch)
    with pytest.raises(FetchError, match=r"the package stress-ng cannot be fetched: .*127\.0\.0\.1"):
        fetch(ARCH, tmp_path / "out", (GCC,), print, tmp_path / "no-lists")


def test_no_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="stress-ng needs apt-get, which is not there; stress_ng=PATH"):
        fetch(ARCH, tmp_path / "out", (GCC,), print)
    assert not (tmp_path / "out").exists()


def test_no_room(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.fill()
    # stands for a full disk: no package leaves this much room
    monkeypatch.setattr(stress_ng, "_ROOM_FACTOR", 1 << 50)
    with pytest.raises(SistasksError, match=r"has \d+ MiB free, the package needs \d+; make room"):
        archive.fetch()


def test_a_folder_that_cannot_be_written(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    archive.out = tmp_path / "file" / "below"
    with pytest.raises(SistasksError, match=r"stress-ng cannot be kept in .*file/below: Not a directory"):
        archive.fetch()


def test_one_of_the_users_own(tmp_path: Path) -> None:
    static = compiled(tmp_path / "mine", "int main(void) { return 0; }", "-static")
    made = own(static, ARCH, tmp_path / "out", 64 << 20)
    assert made.archive
    assert made.is_whole()
    assert names(made.archive.read_bytes()) == {PLACE: static.read_bytes()}
    assert (made.version, made.packages, made.why) == ("", {}, "")
    with pytest.raises(
        UsageError, match=r"stress_ng=.*mine is too large for its node: .*; strip it, or raise"
    ):
        own(static, ARCH, tmp_path / "out", 1 << 10)
    dynamic = compiled(tmp_path / "mine", "int main(void) { return 0; }")
    with pytest.raises(UsageError, match=r"is linked dynamically, .*; link it with -static"):
        own(dynamic, ARCH, tmp_path / "out", 64 << 20)
    with pytest.raises(UsageError, match=r"stress_ng=.*gone: no such file; build it, or mend stress_ng="):
        own(tmp_path / "gone", ARCH, tmp_path / "out", 64 << 20)
    (tmp_path / "file").touch()
    static = compiled(tmp_path / "mine", "int main(void) { return 0; }", "-static")
    with pytest.raises(GuestBuildError, match=r"cannot be made: .*; make room, or set output="):
        own(static, ARCH, tmp_path / "file", 64 << 20)


@pytest.mark.parametrize(
    ("missing", "offered", "chosen"),
    [
        (("libc.so.6", "libm.so.6", "libbsd.so.0"), {"libc6", "libbsd0", "libz"}, ["libbsd0", "libc6"]),
        (("libgcc_s.so.1",), {"gcc-12-base", "libgcc-s1"}, ["libgcc-s1"]),
        (("libcrypt.so.1",), {"libcrypt1", "libcrypto3"}, ["libcrypt1"]),
        (("libapt-pkg6.0.so.3",), {"libapt-pkg6.0-3", "libapt"}, ["libapt-pkg6.0-3"]),
        (("libssl.so.3",), {"libssl3t64", "libssl-dev"}, ["libssl3t64"]),
        (("libjpeg.so.62", "libJudy.so.1", "libz.so.1"),
         {"libegl1", "libgbm1", "libjpeg62-turbo", "libjudydebian1", "zlib1g"},
         ["libjpeg62-turbo", "libjudydebian1", "zlib1g"]),
        (("libjpeg.so.62",), {"libjpeg-of-another-name", "libpeg62"}, ["libjpeg-of-another-name"]),
        (("libstrange.so",), {"b", "a"}, ["b"]),
        (("libz.so.1",), set(), []),
    ],
)  # fmt: skip
def test_which_packages_are_tried(missing: tuple[str, ...], offered: set[str], chosen: list[str]) -> None:
    assert choose(missing, offered) == chosen


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"form": 0}', '{"form": 1, "archive": null, "other": 1}'])
def test_records_of_something_else(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Packed.from_json(text)


def test_none_at_all() -> None:
    none = Packed(arch=ARCH, why="stress_ng=none")
    assert Packed.from_json(none.to_json()) == none
    assert not none.is_whole()
