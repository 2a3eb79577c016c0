"""Several architectures in one invocation: those that a kernel is not for are passed over, or are an error."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from sistasks import tools
from sistasks.kinds import host_arch
from sistasks.machine.arch import ARCHES, ARM64
from sistasks.settings import resolve

if TYPE_CHECKING:
    from pathlib import Path

    from guest_project import Project

pytestmark = pytest.mark.guest


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """What an arm64 kernel begins with (Linux, Documentation/arch/arm64/booting.rst, "Call the kernel image")."""
    for arch in ARCHES.values():
        settings = resolve({"arch": arch.name}, environ={}, pyproject=tmp_path / "none")
        for part in tools.missing(arch, settings):
            pytest.skip(part.error.problem)
    banner = b"Linux version 6.9.1-test (me@here) #1 SMP\n\0"
    header = struct.pack("<IIQQQQQQ4sI", 0, 0, 0, 0x9000, 0xA, 0, 0, 0, b"ARM\x64", 0)
    path = tmp_path / "image"
    path.write_bytes(header.ljust(0x1000, b"\0") + banner.ljust(0x1000, b"\0"))
    return path


def test_all_passes_over_what_the_kernel_is_not_for(project: Project, image: Path) -> None:
    done = project.doit("kernel", "arch=all", f"kernel={image}")
    assert done.returncode == 0, done.stdout + done.stderr
    ends = dict(line.split(": ", 1) for line in done.stdout.splitlines()[-4:])
    assert next(iter(ends)) == host_arch()
    assert ends.pop(ARM64.name) == "done"
    assert set(ends) == set(ARCHES) - {ARM64.name}
    for arch, how in ends.items():
        assert how == f"passed over: kernel: {image} is for arm64, but arch={arch} was asked"


def test_named_ones_are_an_error(project: Project, image: Path) -> None:
    done = project.doit("kernel", "arch=arm,arm64", f"kernel={image}")
    assert done.returncode == 3
    assert done.stdout.splitlines()[-2:] == [
        f"arm: failed: kernel: {image} is for arm64, but arch=arm was asked",
        "arm64: done",
    ]


def test_all_of_which_nothing_is_left(project: Project, tmp_path: Path) -> None:
    done = project.doit("kernel", "arch=all", f"kernel={tmp_path}/none")
    assert done.returncode == 3
    assert done.stdout.count("passed over: kernel: ") == len(ARCHES)
