"""What is missing and how it is installed: real compilers; package managers are scripts in a private PATH."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sistasks import tools
from sistasks.errors import ToolMissing
from sistasks.kinds import host_arch
from sistasks.machine.arch import ARCHES, ARM64, RISCV64, X86_64
from sistasks.settings import resolve

HOST = ARCHES[host_arch()]
FOREIGN = RISCV64 if HOST is not RISCV64 else ARM64
WANTED = {"apt": ("one", "two"), "dnf": ("uno",), "pacman": ("eins", "zwei"), "brew": ("un",)}


class Bin:
    """A private PATH whose programs note how they are called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "bin"
        self.folder.mkdir()
        self.notes = folder / "notes"
        self.notes.touch()
        for name in ("sh", "env", "true"):
            found = shutil.which(name)
            assert found is not None
            (self.folder / name).symlink_to(found)

    def add(self, name: str, body: str = "exit 0") -> None:
        program = self.folder / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.notes}\n{body}\n')
        program.chmod(0o755)

    def calls(self) -> list[str]:
        return [line for line in self.notes.read_text().splitlines() if " -s install" not in line]


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bin:
    made = Bin(tmp_path)
    monkeypatch.setenv("PATH", str(made.folder))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    # the wheel is found beside this Python, whatever PATH says
    monkeypatch.setattr(tools, "zig_program", lambda: ())
    return made


def test_nothing_is_missing_here_after_setup() -> None:
    assert tools.missing(HOST, resolve({}, environ={}, pyproject=Path("/nonexistent"))) == []


def test_every_part_has_packages_everywhere() -> None:
    for arch in ARCHES.values():
        parts = [tools.packages(arch, part) for part in ("emulator", "firmware", "compiler")]
        for manager, names in arch.packages.items():
            assert [name for part in parts for name in part[manager]] == list(names)
            assert parts[0][manager]
            assert parts[2][manager]
    assert tools.packages(X86_64, "firmware")["apt"] == ("ovmf",)


def test_what_is_missing_is_named_with_its_packages(private: Bin) -> None:
    settings = resolve({"arch": "x86_64"}, environ={}, pyproject=Path("/nonexistent"))
    private_missing = tools.missing(X86_64, settings)
    # QEMU may lie in one of the usual folders, which are searched behind PATH
    assert private_missing[-1].part == "compiler"
    assert private_missing[-1].packages["apt"] == ("gcc", "libc6-dev")
    explicit = resolve({"arch": "x86_64", "qemu": "/none"}, environ={}, pyproject=Path("/nonexistent"))
    emulator = tools.missing(X86_64, explicit)[0]
    assert emulator.part == "emulator"
    assert "'/none' does not exist" in str(emulator.error)
    assert emulator.packages == {}


def test_a_compiler_links_or_is_refused_with_its_own_words(private: Bin) -> None:
    private.add("gcc", "echo 'trial.c:1:10: fatal error: stdio.h: No such file' >&2; exit 1")
    with pytest.raises(ToolMissing, match="no C compiler here builds static programs for x86_64") as caught:
        tools.find_compiler(X86_64)
    assert "gcc: trial.c:1:10: fatal error: stdio.h" in caught.value.detail
    assert "x86_64-linux-gnu-gcc: not found" in caught.value.detail
    assert "doit setup" in caught.value.remedy


def test_a_compiler_that_makes_nothing_is_refused(private: Bin) -> None:
    private.add("gcc")
    with pytest.raises(ToolMissing) as caught:
        tools.find_compiler(X86_64)
    assert "gcc: builds for another architecture" in caught.value.detail


def test_cc_comes_first_if_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    usual = tools.find_compiler(HOST)
    wrapper = tmp_path / "my cc"
    wrapper.write_text(f'#!/bin/sh\nexec {usual[0]} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("CC", f"'{wrapper}' -O1")
    assert tools.find_compiler(HOST) == (str(wrapper), "-O1")
    for useless in ("no-such-compiler", "'unbalanced", " ", "''", shutil.which("false") or ""):
        monkeypatch.setenv("CC", useless)
        assert tools.find_compiler(HOST) == usual


def test_the_hosts_compiler_is_none_for_another_architecture(
    private: Bin, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("PATH", os.defpath)
        real = tools.find_compiler(HOST)[0]
    private.add("gcc", f'PATH={os.defpath} exec {real} "$@"')
    monkeypatch.setenv("CC", "gcc")
    with pytest.raises(ToolMissing) as caught:
        tools.find_compiler(FOREIGN)
    assert "gcc: builds for another architecture" in caught.value.detail


@pytest.mark.parametrize(
    ("program", "name"), [("apt-get", "apt"), ("dnf", "dnf"), ("pacman", "pacman"), ("brew", "brew")]
)
def test_the_package_manager_is_told_by_its_program(private: Bin, program: str, name: str) -> None:
    assert tools.package_manager() == ""
    private.add(program)
    assert tools.package_manager() == name


def test_root_installs_at_once(private: Bin, tmp_path: Path) -> None:
    private.add("apt-get", 'echo "frontend $DEBIAN_FRONTEND"; echo a complaint >&2')
    tools.install(WANTED, tmp_path / "new" / "log")
    assert private.calls() == [
        "apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends one two"
    ]
    log = (tmp_path / "new" / "log").read_text()
    assert "frontend noninteractive\n" in log
    assert "a complaint\n" in log
    assert log.startswith("$ apt-get ")


def test_unknown_packages_make_the_lists_new(private: Bin, tmp_path: Path) -> None:
    private.add("apt-get", 'case "$*" in "-s "*) exit 100;; esac')
    tools.install(WANTED, tmp_path / "log")
    assert [call.split()[3] for call in private.calls()] == ["update", "install"]


def test_an_install_from_old_lists_is_tried_once_more(private: Bin, tmp_path: Path) -> None:
    updated = tmp_path / "updated"
    private.add(
        "apt-get",
        f'case "$*" in "-s "*) exit 0;; *update*) : > {updated};; *) test -e {updated};; esac',
    )
    tools.install(WANTED, tmp_path / "log")
    assert [call.split()[3] for call in private.calls()] == ["install", "update", "install"]


def test_a_failing_install_shows_the_logs_end(private: Bin, tmp_path: Path) -> None:
    private.add("apt-get", 'case "$*" in "-s "*) exit 0;; esac; echo "E: no space left"; exit 100')
    with pytest.raises(ToolMissing, match=r"apt-get could not install one two; see .*/log") as caught:
        tools.install(WANTED, tmp_path / "log")
    assert "E: no space left" in caught.value.detail


def test_sudo_without_a_password_is_used(
    private: Bin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    private.add("apt-get", 'echo "frontend $DEBIAN_FRONTEND"')
    # as sudo does, it takes the environment away
    private.add("sudo", 'shift; exec env -i PATH="$PATH" "$@"')
    tools.install(WANTED, tmp_path / "log")
    assert private.calls()[0] == "sudo -n true"
    assert private.calls()[1].startswith("sudo -n env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg")
    assert private.calls()[2].endswith("install -y --no-install-recommends one two")
    assert "frontend noninteractive\n" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("case", ["sudo asks", "no sudo", "no apt-get"])
def test_otherwise_every_command_is_shown_and_nothing_done(
    private: Bin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    if case == "no apt-get":
        private.add("dnf")
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        private.add("apt-get")
    if case == "sudo asks":
        private.add("sudo", "echo 'sudo: a password is required' >&2; exit 1")
    with pytest.raises(ToolMissing, match="cannot be installed without asking you") as caught:
        tools.install(WANTED, tmp_path / "log")
    assert caught.value.problem.startswith("uno " if case == "no apt-get" else "one two ")
    assert caught.value.detail.splitlines() == [
        "apt:    sudo apt-get install -y --no-install-recommends one two",
        "dnf:    sudo dnf install -y uno",
        "pacman: sudo pacman -S --needed --noconfirm eins zwei",
        "brew:   brew install un",
    ]
    assert private.calls() == (["sudo -n true"] if case == "sudo asks" else [])
    assert not (tmp_path / "log").exists()
