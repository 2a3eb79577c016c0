"""zig as the compiler where a distribution has none: it assembles the probe and builds an agent that measures."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from guest_project import SMALL, Project, rows

from sistasks import tools
from sistasks.errors import ToolMissing
from sistasks.kinds import host_arch
from sistasks.machine import payload, qemu
from sistasks.machine.arch import ARCHES
from sistasks.settings import resolve

if TYPE_CHECKING:
    from sistasks.machine.arch import Arch

# the first use for a target builds zig's libraries
pytestmark = [
    pytest.mark.guest,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not tools.zig_program(), reason="no zig: pip install 'sistasks[zig]'"),
]


def zig(arch: Arch) -> tuple[str, ...]:
    return (*tools.zig_program(), "cc", "-target", arch.zig)


@pytest.mark.parametrize("arch", ARCHES.values(), ids=lambda arch: str(arch.name))
def test_the_probe(arch: Arch, tmp_path: Path) -> None:
    try:
        program = qemu.find(arch, resolve({"arch": arch.name}, environ={}, pyproject=Path("/nonexistent")))
    except ToolMissing as error:
        pytest.skip(error.problem)
    payload.build(arch, zig(arch), tmp_path / "image")
    assert payload.boot(arch, program, tmp_path / "image", accel="tcg", cpu=arch.cpu, limit=60) == ""


@pytest.mark.parametrize("arch", ARCHES.values(), ids=lambda arch: str(arch.name))
def test_an_agent_that_measures(arch: Arch, apart: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    words = ("performance", "nodes=1", f"arch={arch.name}", f"db={db}", "clock=virtual", *SMALL)
    done = apart.doit(*words, limit=900, CC=shlex.join(zig(arch)))
    if arch.name != host_arch() and done.returncode == 2 and "setup: " in done.stderr + done.stdout:
        pytest.skip("no emulator")
    assert done.returncode == 0, done.stdout + done.stderr
    assert rows(db, "select status from runs") == [("ok",)]


def test_it_is_the_last_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    arch = ARCHES[host_arch()]
    assert tools.find_compiler(arch)[1:2] != ("-m",)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("CC", raising=False)
    assert tools.find_compiler(arch) == zig(arch)
