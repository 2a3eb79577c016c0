"""Finding QEMU: the real one is accepted, impostors are refused by name."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from sistasks.errors import ToolMissing
from sistasks.machine import qemu
from sistasks.machine.arch import ARM64, X86_64
from sistasks.settings import resolve

REAL = shutil.which(X86_64.qemu)
pytestmark = pytest.mark.skipif(REAL is None, reason="QEMU is not installed")


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def find(asked: str | Path, arch: str = "x86_64") -> qemu.Qemu:
    settings = resolve({"qemu": str(asked), "arch": arch}, environ={}, pyproject=Path("/nonexistent"))
    return qemu.find(ARM64 if arch == "arm64" else X86_64, settings)


def test_the_real_one_is_found_in_path() -> None:
    found = find("auto")
    assert REAL is not None
    assert found.path == Path(REAL).resolve()
    assert found.version >= qemu.MINIMUM
    assert found.version_text.startswith(".".join(map(str, found.version)))
    assert found.identity == [str(found.path), found.path.stat().st_size, found.path.stat().st_mtime_ns,
                              ".".join(map(str, found.version))]  # fmt: skip


def test_a_path_wins_over_path(tmp_path: Path) -> None:
    wrapper = script(tmp_path / "my-qemu", f'exec {REAL} "$@"')
    assert find(wrapper).path == wrapper
    assert find(wrapper).identity != find("auto").identity


def test_a_link_is_followed_and_a_name_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert REAL is not None
    (tmp_path / "emulator").symlink_to(REAL)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert find("emulator").path == Path(REAL).resolve()
    assert find(tmp_path / "emulator").path == Path(REAL).resolve()


def test_usual_folders_are_searched_after_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    wrapper = script(tmp_path / "elsewhere", "")
    other = tmp_path / "opt"
    other.mkdir()
    wrapper.rename(other / X86_64.qemu)
    monkeypatch.setattr(qemu, "USUAL_FOLDERS", (str(tmp_path / "none"), str(other)))
    assert qemu.locate(X86_64, "auto") == other / X86_64.qemu
    monkeypatch.setattr(qemu, "USUAL_FOLDERS", ())
    with pytest.raises(ToolMissing, match=r"qemu-system-x86_64 is not in PATH; run `doit setup`.*SIS_QEMU"):
        qemu.locate(X86_64, "auto")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("echo 'QEMU emulator version 6.2.0 (Debian 1:6.2)'", "is QEMU 6.2.0, needed is 7.2 or later"),
        ("echo 'QEMU emulator version 7.1'", "is QEMU 7.1.0, needed is 7.2 or later"),
        ("echo 'GNU bash, version 5.2.15'", "is not QEMU: --version did not say so"),
        ("exit 3", r"is not QEMU: .*exit code 3"),
        ("kill -9 $$", r"is not QEMU: .*SIGKILL"),
        ("echo 'QEMU emulator version 8.0.0'; exit 1", r"is not QEMU: .*exit code 1"),
        ("echo 'QEMU emulator version 8.0.0'", "does not answer over QMP"),
        ("printf 'QEMU emulator version 8.0.0\\n[1]\\n{\"return\": []}\\n'", "does not answer over QMP"),
        ("head -c 200 /dev/urandom", "is not QEMU"),
    ],
)
def test_impostors_are_refused(tmp_path: Path, body: str, problem: str) -> None:
    impostor = script(tmp_path / "qemu-system-x86_64", body)
    with pytest.raises(ToolMissing, match=re.escape(str(impostor)) + " " + problem):
        find(impostor)


def test_an_impostor_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "_ANSWER_SECONDS", 0.3)
    impostor = script(tmp_path / "slow", "sleep 600")
    with pytest.raises(ToolMissing, match=r"slow --version gave no answer in 0.3 s"):
        find(impostor)


def test_a_qemu_of_another_architecture_is_refused(tmp_path: Path) -> None:
    disguised = script(tmp_path / "qemu-system-aarch64", f'exec {REAL} "$@"')
    with pytest.raises(ToolMissing, match=r"emulates x86_64, not aarch64 \(arch=arm64\)"):
        find(disguised, arch="arm64")


def test_what_cannot_be_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match=r"QEMU '.*/nothing' does not exist; .*SIS_QEMU_PATH"):
        find(tmp_path / "nothing")
    with pytest.raises(ToolMissing, match=r"' is a directory; name the program, such as .*/qemu-sys"):
        find(tmp_path)
    plain = tmp_path / "plain"
    plain.write_text("text")
    with pytest.raises(ToolMissing, match=r"plain' is not executable"):
        find(plain)
    plain.chmod(0o755)
    with pytest.raises(ToolMissing, match=r"plain cannot be run: Exec format error"):
        find(plain)
    with pytest.raises(ToolMissing, match="QEMU 'no-such-emulator' is not in PATH"):
        find("no-such-emulator")
