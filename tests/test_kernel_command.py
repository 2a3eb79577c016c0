"""Kernels that a command builds: real small builds, what they leave, and every way in which an entry can be wrong."""

from __future__ import annotations

import hashlib
import shutil
import struct
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from test_kernel_image import bzimage

from sistasks.errors import KernelFailure, KernelImageError, SistasksError, ToolMissing, UsageError
from sistasks.kernels import Kernel, esp, sis, table
from sistasks.kernels.command import recipe
from sistasks.machine.arch import ARCHES
from sistasks.protocols.profile import SIS
from sistasks.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

from efi_parts import application

BUILD = Path(__file__).parent / "guests" / "minikernel" / "build.py"
X86 = Settings(arch="x86_64")
ARM64 = Settings(arch="arm64")


class Workshop:
    """A folder with a pyproject.toml, and what an entry in it gives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []

    def entry(self, values: Mapping[str, Any]) -> table.Entry:
        entries = table.entries({"mine": {"kind": "command", **values}}, self.folder / "pyproject.toml")
        return entries["mine"]

    def provider(self, values: Mapping[str, Any]) -> table.Named:
        return table.provider(self.entry({"path": ".", **values}))

    def kernel(self, values: Mapping[str, Any], settings: Settings = X86) -> Kernel:
        return self.provider(values).provide(settings, self.folder / "out" / "mine", self.said.append)

    def write(self, name: str, data: bytes | str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def copying(workshop: Workshop, arch: str = "x86_64") -> dict[str, Any]:
    """An entry that builds by copying."""
    workshop.write("src/loader", application(arch))
    workshop.write("src/kernel", b"the kernel")
    return {
        "build": ["mkdir -p 'the output'", "cp src/loader src/kernel 'the output'"],
        "inputs": ["src/*"],
        "esp": {"EFI/BOOT/{boot}": "the output/loader", "EFI/MINE/KERNEL.BIN": "the output/kernel"},
    }


def test_commands_run_in_their_folder_and_what_they_leave_becomes_a_partition(workshop: Workshop) -> None:
    kernel = workshop.kernel(copying(workshop))
    assert kernel.esp is not None
    assert (kernel.esp / "EFI/BOOT/BOOTX64.EFI").read_bytes() == application("x86_64")
    assert (kernel.esp / "EFI/MINE/KERNEL.BIN").read_bytes() == b"the kernel"
    assert hashlib.sha256(kernel.image.read_bytes()).hexdigest() == kernel.sha256
    assert (kernel.name, kernel.arch, kernel.format, kernel.provider) == ("mine", "x86_64", "esp", "command")
    assert (kernel.release, kernel.console, kernel.size) == (None, None, kernel.image.stat().st_size)
    assert workshop.said == [
        "building mine: mkdir -p 'the output'",
        "building mine: cp src/loader src/kernel 'the output'",
    ]
    assert Kernel.from_json(kernel.to_json()) == kernel


def test_the_same_files_are_the_same_kernel_and_another_file_is_another_beside_it(workshop: Workshop) -> None:
    values = copying(workshop)
    first = workshop.kernel(values)
    assert workshop.kernel(values) == first
    workshop.write("src/kernel", b"another")
    second = workshop.kernel(values)
    assert first.sha256 != second.sha256
    assert first.esp is not None
    assert second.esp is not None
    assert (first.esp / "EFI/MINE/KERNEL.BIN").read_bytes() == b"the kernel", "its nodes may still run"
    assert (second.esp / "EFI/MINE/KERNEL.BIN").read_bytes() == b"another"


def test_a_partition_that_is_gone_comes_back(workshop: Workshop) -> None:
    kernel = workshop.kernel(copying(workshop))
    assert kernel.esp is not None
    shutil.rmtree(kernel.esp)
    assert esp.ready(kernel) == kernel.esp
    assert (kernel.esp / "EFI/MINE/KERNEL.BIN").read_bytes() == b"the kernel"


def test_only_the_last_partitions_are_kept(workshop: Workshop) -> None:
    values = copying(workshop)
    for number in range(8):
        workshop.write("src/kernel", f"kernel {number}")
        kernel = workshop.kernel(values)
    assert kernel.esp is not None
    kept = [path for path in kernel.esp.parent.iterdir() if not path.name.startswith(".")]
    assert len(kept) == 4
    assert kernel.esp in kept


def test_an_image_is_described_as_any_other(workshop: Workshop) -> None:
    workshop.write("src/image", bzimage())
    values = {
        "build": "cp src/image made",
        "image": "made",
        "machine": {"memory": "64M"},
        "arguments": "quiet",
    }
    kernel = workshop.kernel(values)
    assert (kernel.format, kernel.esp, kernel.image) == ("bzImage", None, workshop.folder / "made")
    assert (kernel.command_line, kernel.memory, kernel.cpu) == ("quiet", 64 << 20, "")


def test_what_is_built_already_needs_no_command(workshop: Workshop) -> None:
    workshop.write("x.efi", application("x86_64"))
    values = {"esp": {"EFI/BOOT/BOOTX64.EFI": "x.efi"}}
    described = workshop.provider(values).describe(X86)
    assert workshop.kernel(values).format == "esp"
    assert workshop.provider(values).describe(X86) == described
    workshop.write("x.efi", application("x86_64", b"changed"))
    assert workshop.provider(values).describe(X86) != described


def test_the_environment_is_added_to(workshop: Workshop) -> None:
    workshop.write("x.efi", application("x86_64"))
    values = {
        "build": "sh -c 'echo $PATH > path; echo $FLAGS > flags'",
        "environment": {"FLAGS": "for {machine}"},
        "esp": {"EFI/BOOT/BOOTX64.EFI": "x.efi"},
    }
    workshop.kernel(values)
    assert (workshop.folder / "flags").read_text() == "for x86_64\n"
    assert "/bin" in (workshop.folder / "path").read_text()


def test_words_in_braces_are_the_architectures(workshop: Workshop) -> None:
    entry = workshop.entry({
        "build": "make {arch} {machine} {other} ${HOME}",
        "esp": {"EFI/BOOT/{boot}": "out/{machine}/x.efi"},
    })  # fmt: skip
    made = recipe(entry, "arm64")
    assert made.build == (("make", "arm64", "aarch64", "{other}", "${HOME}"),)
    assert dict(made.esp) == {"EFI/BOOT/BOOTAA64.EFI": Path.cwd() / "out/aarch64/x.efi"}


def test_one_entry_serves_two_architectures(workshop: Workshop) -> None:
    workshop.write("arm64.efi", application("arm64"))
    values = {"esp": {"EFI/BOOT/BOOTX64.EFI": "missing.efi", "EFI/BOOT/BOOTAA64.EFI": "arm64.efi"}}
    kernel = workshop.kernel(values, ARM64)
    assert kernel.esp is not None
    assert [path.name for path in kernel.esp.rglob("*.EFI")] == ["BOOTAA64.EFI"]
    with pytest.raises(KernelImageError, match=r"mine: there is no .*missing\.efi"):
        workshop.kernel(values, X86)


def test_a_partition_needs_firmware_that_boots_it(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    mute = replace(ARCHES["arm64"], name="mute", boot_file="", without_firmware="image= boots it")
    monkeypatch.setitem(ARCHES, "mute", mute)
    with pytest.raises(UsageError, match="esp of mine cannot be with arch=mute; image= boots it"):
        recipe(workshop.entry({"esp": {"EFI/BOOT/BOOTX64.EFI": "x.efi"}}), "mute")


def test_nodes_may_need_another_machine(workshop: Workshop) -> None:
    machine = {"memory": "512M", "cpus": 1, "arm64": {"cpu": "cortex-a72", "memory": "256M"}}
    entry = workshop.entry({"esp": {"EFI/BOOT/{boot}": "x"}, "machine": machine})
    for arch, expected in (("arm64", ("cortex-a72", 256 << 20, 1)), ("x86_64", ("", 512 << 20, 1))):
        made = recipe(entry, arch)
        assert (made.cpu, made.memory, made.cpus) == expected


def test_an_unchanged_tree_is_described_alike_and_a_changed_one_is_not(workshop: Workshop) -> None:
    provider = workshop.provider(copying(workshop))
    provider.provide(X86, workshop.folder / "out", workshop.said.append)
    described = provider.describe(X86)
    assert provider.describe(X86) == described
    workshop.write("src/new", b"")
    with_more = provider.describe(X86)
    assert with_more != described
    (workshop.folder / "the output/kernel").unlink()
    assert provider.describe(X86) != with_more, "an output that is gone is made again"
    assert provider.describe(ARM64)["arch"] == "arm64"


def test_without_inputs_a_command_runs_each_time(workshop: Workshop) -> None:
    values = copying(workshop)
    del values["inputs"]
    provider = workshop.provider(values)
    assert provider.describe(X86) != provider.describe(X86)


def test_a_failing_build_is_told_with_its_first_errors_and_its_log(workshop: Workshop) -> None:
    workshop.write("bad.c", "int main(void) { return missing; }\n")
    values = {
        "build": ["true", f"{shutil.which('cc')} -c bad.c", "touch never"],
        "esp": {"EFI/BOOT/BOOTX64.EFI": "x"},
    }
    with pytest.raises(KernelFailure) as failure:
        workshop.kernel(values)
    assert str(failure.value).startswith("mine does not build: ")
    assert "ended with exit code 1; see " in str(failure.value)
    assert "missing" in failure.value.detail
    log = (workshop.folder / "out/mine/build.log").read_text()
    assert log.startswith("$ true\n$ ")
    assert "undeclared" in log
    assert failure.value.exit_code == 1
    assert not (workshop.folder / "never").exists()


def test_a_log_is_of_the_last_build_alone(workshop: Workshop) -> None:
    values = copying(workshop)
    workshop.kernel(values)
    workshop.kernel(values)
    assert (workshop.folder / "out/mine/build.log").read_text().count("mkdir") == 1


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        ({}, UsageError, "mine has neither image nor esp"),
        ({"image": "i", "esp": {"EFI/BOOT/BOOTX64.EFI": "x"}}, UsageError, "mine has both image and esp"),
        ({"esp": {}}, UsageError, "esp of mine has no EFI/BOOT/BOOTX64.EFI"),
        ({"esp": {"EFI/BOOT/BOOTAA64.EFI": "x"}}, UsageError, "esp of mine has no EFI/BOOT/BOOTX64.EFI"),
        ({"esp": {"../BOOTX64.EFI": "x"}}, UsageError, "esp of mine has no place '../BOOTX64.EFI'"),
        ({"esp": {"/EFI/BOOT/BOOTX64.EFI": "x"}}, UsageError, "esp of mine has no place"),
        ({"esp": {"EFI/BOOT/BOOTX64.EFI": "x", "efi/boot/bootx64.efi": "y"}}, UsageError, "bootx64.efi twice"),
        ({"esp": {"EFI/BOOT/BOOTX64.EFI": 3}}, UsageError, "esp.EFI/BOOT/BOOTX64.EFI = 3 of mine cannot be"),
        ({"image": "i", "build": "make 'x"}, UsageError, "cannot be split: No closing quotation"),
        ({"image": "i", "machine": {"memroy": "1G"}}, UsageError, "did you mean 'memory'"),
        ({"image": "i", "machine": {"memory": "much"}}, UsageError, "machine.memory = 'much' of mine cannot be"),
        ({"image": "i", "machine": {"cpus": 0}}, UsageError, "machine.cpus = 0 of mine cannot be"),
        ({"image": "i", "machine": {"x86_64": 3}}, UsageError, "machine.x86_64 of mine is no table"),
        ({"image": "i", "inputs": "src/*.rs"}, UsageError, "inputs = 'src/[*].rs' of mine matches no file in"),
        ({"image": "i", "inputs": "/etc/*"}, UsageError, "inputs = '/etc/[*]' of mine cannot be"),
        ({"image": "i", "build": "true"}, KernelImageError, "mine: the build left no .*/i; mend image"),
        ({"image": "i", "build": "no-such-program"}, ToolMissing, "mine: no-such-program cannot be run: No such"),
        ({"image": "i", "path": "nowhere"}, UsageError, "mine: .*/nowhere is no folder"),
    ],
)  # fmt: skip
def test_an_entry_that_cannot_be_is_one_sentence(
    workshop: Workshop, values: dict[str, Any], kind: type[SistasksError], words: str
) -> None:
    def both() -> None:
        workshop.provider(values).describe(X86)
        workshop.kernel(values)

    with pytest.raises(kind, match=words) as refusal:
        both()
    assert "\n" not in str(refusal.value)


def test_files_that_cannot_boot_are_named(workshop: Workshop) -> None:
    place = "EFI/BOOT/BOOTX64.EFI"
    for data, words in (
        (application("arm64"), "x .EFI/BOOT/BOOTX64.EFI of mine. is for arm64; arch=x86_64 was asked"),
        (b"\x7fELF", "is truncated"),
        (b"text", "x is no EFI application"),
        (b"", "x is no EFI application"),
        (application("x86_64")[:0x50], "is truncated"),
    ):
        workshop.write("x", data)
        with pytest.raises(KernelImageError, match=words):
            workshop.kernel({"esp": {place: "x"}})
    workshop.write("x", application("x86_64"))
    elf = b"\x7fELF\x02\x01".ljust(18, b"\0") + struct.pack("<H", 183).ljust(46, b"\0")
    workshop.write("kernel", elf)
    with pytest.raises(KernelImageError, match=r"kernel .EFI/SIS/KERNEL\.ELF of mine. is for arm64"):
        workshop.kernel({"esp": {place: "x", "EFI/SIS/KERNEL.ELF": "kernel"}})


def test_git_tells_the_commit(workshop: Workshop) -> None:
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed here")
    from sistasks.programs import run

    values = copying(workshop)
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for words in (("init", "-q"), ("add", "src"), (*identity, "commit", "-q", "-m", "first")):
        assert run([git, "-C", workshop.folder, *words], limit=60).code == 0
    kernel = workshop.kernel(values)
    assert len(kernel.git_commit) == 40
    assert not kernel.git_dirty
    workshop.write("src/kernel", b"changed")
    assert workshop.kernel(values).git_dirty


# -- the SIS Kernel ---------------------------------------------------------------------------------------------------


def test_the_sis_kernels_tree_needs_only_its_path(workshop: Workshop) -> None:
    for part in ("crates/uefi-boot/Cargo.toml", "crates/kernel/Cargo.toml"):
        workshop.write(part, "")
    entry = workshop.entry({"path": ".", "profile": "sis"})
    made = recipe(entry, "arm64")
    assert entry.console == SIS
    loader, kernel = made.build
    assert loader[:2] == kernel[:2] == ("cargo", "build")
    assert "aarch64-unknown-uefi" in loader
    assert "aarch64-unknown-none" in kernel
    assert dict(made.esp) == {
        "EFI/BOOT/BOOTAA64.EFI": workshop.folder / "target/aarch64-unknown-uefi/release/uefi-boot.efi",
        "EFI/SIS/KERNEL.ELF": workshop.folder / "target/aarch64-unknown-none/debug/sis_kernel",
    }
    assert (made.cpu, made.memory) == ("cortex-a72", 512 << 20)
    own = recipe(replace(entry, values={**entry.values, "build": ("make",)}), "x86_64")
    assert own.build == (("make",),)
    assert "EFI/BOOT/BOOTX64.EFI" in own.esp


def test_another_tree_is_not_taken_for_the_sis_kernels(workshop: Workshop) -> None:
    with pytest.raises(UsageError, match="is not the SIS Kernel's tree: no crates/uefi-boot"):
        workshop.kernel({"profile": "sis"})


def test_cargo_is_called_as_the_trees_own_scripts_call_it(workshop: Workshop) -> None:
    """The commands of the profile, with a program in cargo's place that makes what cargo makes."""
    for part in ("crates/uefi-boot/Cargo.toml", "crates/kernel/Cargo.toml"):
        workshop.write(part, "")
    workshop.write("loader", application("x86_64"))
    cargo = workshop.write(
        "bin/cargo",
        "#!/bin/sh\n"
        'while [ "$1" != --target ]; do shift; done\n'
        'mkdir -p "target/$2/release" "target/$2/debug"\n'
        'cp loader "target/$2/release/uefi-boot.efi"\n'
        'echo kernel > "target/$2/debug/sis_kernel"\n',
    )
    cargo.chmod(0o755)
    values = {"profile": "sis", "environment": {"PATH": f"{cargo.parent}:/usr/bin:/bin"}}
    kernel = workshop.kernel(values)
    assert kernel.console == SIS
    assert kernel.esp is not None
    assert (kernel.esp / "EFI/SIS/KERNEL.ELF").read_text() == "kernel\n"
    assert sis.VALUES["esp"].keys() == {"EFI/BOOT/{boot}", "EFI/SIS/KERNEL.ELF"}


@pytest.mark.skipif(shutil.which("x86_64-linux-gnu-gcc") is None, reason="no x86_64-linux-gnu-gcc here")
def test_the_tiny_kernel_is_such_a_kernel(workshop: Workshop) -> None:
    kernel = workshop.kernel({
        "build": f"{sys.executable} {BUILD} {{arch}} made",
        "esp": {
            "EFI/BOOT/{boot}": "made/EFI/BOOT/{boot}",
            "EFI/SIS/KERNEL.ELF": "made/EFI/SIS/KERNEL.ELF",
        },
        "profile": "sis",
    })  # fmt: skip
    assert kernel.console == SIS
    assert kernel.esp is not None
    assert {path.name for path in kernel.esp.rglob("*.*")} == {"BOOTX64.EFI", "KERNEL.ELF"}
