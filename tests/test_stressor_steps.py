"""The step that packs stress-ng: the guest that it leaves, what it says, and when it is done again."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from typing import TYPE_CHECKING

import apt_archive
import pytest
from elf_parts import GCC, compiled, needs_gcc
from stress_packages import ARCH, Archive, names

from sistasks import build_records, setup
from sistasks.errors import UsageError
from sistasks.guest import initramfs
from sistasks.guest.build import Guest
from sistasks.guest.stress_ng import PLACE, Packed
from sistasks.kernels import Kernel
from sistasks.layout import Layout
from sistasks.machine.accelerator import Accelerator
from sistasks.protocols.profile import SIS
from sistasks.settings import Settings, resolve
from sistasks.stressor_steps import has_stressors, pack_stressors
from sistasks.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    needs_gcc,
    pytest.mark.skipif(
        any(shutil.which(name) is None for name in apt_archive.NEEDED), reason="needs a Debian-like system"
    ),
]


@pytest.fixture
def asked(tmp_path: Path) -> Callable[..., Settings]:
    """Settings below an output in which setup, kernel and guest are done."""

    def ask(**words: str) -> Settings:
        return resolve(
            {"output": str(tmp_path / "target"), "arch": ARCH, **words},
            environ={},
            pyproject=tmp_path / "none",
        )

    settings = ask()
    build = Layout(settings.output).build
    build.mkdir(parents=True)
    bare = build / "guest" / "initramfs.cpio"
    bare.parent.mkdir()
    bare.write_bytes(initramfs.pack([initramfs.file("init", b"agent", executable=True)]))
    kernel = Kernel(
        name="k", arch=ARCH, image=bare, sha256="0", release=None, format="Image", size=1, provider="file"
    )
    found = setup.SetupRecord(
        arch=ARCH, qemu_path="/bin/true", qemu_version="9", accelerator=Accelerator("tcg", "max", "", ()),
        sandbox="", hindered="", compiler=(GCC,), host_cpu="a", host_cores=1, rows=(), asked={}, holds={},
    )  # fmt: skip
    build_records.setup_record(settings).write_text(json.dumps(found.as_json()))
    build_records.kernel_record(settings).write_text(kernel.to_json())
    guest = Guest(ARCH, bare, "sha", "bare", "gcc")
    build_records.guest_record(settings).write_text(guest.to_json())
    return ask


def packed(settings: Settings) -> tuple[str, Guest, Packed]:
    """What the step says, the guest that it leaves, and its record."""
    said = io.StringIO()
    with Terminal(settings, Layout(settings.output), said) as terminal:
        pack_stressors(settings, terminal)
    return (
        said.getvalue().splitlines()[-1].partition(" ")[2],
        Guest.from_json(build_records.stressors_record(settings).read_text()),
        Packed.from_json(build_records.stress_ng_record(settings).read_text()),
    )


def bare(settings: Settings) -> Guest:
    return Guest.from_json(build_records.guest_record(settings).read_text())


def test_the_distributions(
    asked: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(tmp_path, apt_archive.make(tmp_path, monkeypatch))
    archive.fill(without="stress-ng")
    settings = asked()
    assert not has_stressors(settings)
    said, guest, made = packed(settings)
    assert said == f"stressors: the agent's own, without stress-ng: {made.why}"
    assert made.why.startswith("the package stress-ng cannot be fetched: ")
    assert guest == bare(settings)
    assert not has_stressors(settings), "it is tried again"

    archive.fill(program=archive.program + bytes(4 << 20))
    shutil.rmtree(next(Layout(settings.output).build.glob("stress-ng-*/.apt-*")))
    said, guest, made = packed(settings)
    assert said.startswith("stressors: stress-ng 1 (")
    assert made.archive
    data = guest.initramfs.read_bytes()
    assert data == bare(settings).initramfs.read_bytes() + made.archive.read_bytes()
    assert PLACE in names(made.archive.read_bytes())
    assert guest.bare_sha256 != bare(settings).bare_sha256, "other runs than those without"
    assert has_stressors(settings)
    assert not has_stressors(asked(stress_ng="none"))

    size = made.archive.stat().st_size
    small = asked(memory="16M")
    assert not has_stressors(small)
    said, guest, made = packed(small)
    assert f"its {size / (1 << 20):.1f} MiB are more than a quarter of memory=16M" in said
    assert guest == bare(small)

    packed(settings)
    build_records.guest_record(settings).write_text(dataclasses.replace(bare(settings), sha256="b").to_json())
    assert not has_stressors(settings), "of another guest"


def test_none(asked: Callable[..., Settings]) -> None:
    settings = asked(stress_ng="none")
    said, guest, made = packed(settings)
    assert said == "stressors: the agent's own, without stress-ng: stress_ng=none"
    assert (guest, made.archive) == (bare(settings), None)
    assert has_stressors(settings)


def test_ones_own(asked: Callable[..., Settings], tmp_path: Path) -> None:
    static = compiled(tmp_path / ARCH / "mine", "int main(void) { return 0; }", "-static")
    settings = asked(stress_ng=str(tmp_path / "{arch}" / "mine"))
    said, guest, made = packed(settings)
    assert said.startswith("stressors: stress-ng (")
    assert made.archive
    assert names(made.archive.read_bytes()) == {PLACE: static.read_bytes()}
    assert guest.initramfs.read_bytes().endswith(made.archive.read_bytes())
    assert has_stressors(settings)
    compiled(static, "int main(void) { return 1; }", "-static")
    assert not has_stressors(settings)
    static.unlink()
    with pytest.raises(UsageError, match=r"stress_ng=.*/mine: no such file"):
        packed(settings)


def test_a_kernel_that_talks_has_no_guest(asked: Callable[..., Settings]) -> None:
    settings = asked()
    record = build_records.kernel_record(settings)
    talking = dataclasses.replace(Kernel.from_json(record.read_text()), console=SIS)
    record.write_text(talking.to_json())
    with Terminal(settings, Layout(settings.output), io.StringIO()) as terminal:
        pack_stressors(settings, terminal)
    assert not build_records.stressors_record(settings).exists()
    assert has_stressors(settings)
