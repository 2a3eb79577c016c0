"""The SIS Kernel's own tree: how its cargo builds a UEFI loader and a kernel, and where they go on the partition.

Source: the tree's scripts, uefi_run.sh and uefi_run_x86_64.sh. The toolchain is the one that its rust-toolchain.toml
names; rustup brings it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sistasks.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_LOADER: Final = "crates/uefi-boot/Cargo.toml"
_KERNEL: Final = "crates/kernel/Cargo.toml"
_CARGO: Final = "cargo build --target-dir target"
VALUES: Final[dict[str, Any]] = {
    "build": (
        f"{_CARGO} --manifest-path {_LOADER} --release --target {{machine}}-unknown-uefi",
        # without `bringup` the kernel says nothing of its first steps
        f"{_CARGO} --manifest-path {_KERNEL} --target {{machine}}-unknown-none -Z build-std=core,alloc "
        "--features bringup",
    ),
    "esp": {
        "EFI/BOOT/{boot}": "target/{machine}-unknown-uefi/release/uefi-boot.efi",
        "EFI/SIS/KERNEL.ELF": "target/{machine}-unknown-none/debug/sis_kernel",
    },
    "machine": {
        "arm64": {"cpu": "cortex-a72", "memory": "512M"},
        "x86_64": {"cpu": "qemu64,+sse2,+sse3,+sse4.1,+sse4.2", "memory": "1024M"},
    },
}
"""An entry's keys for the tree; an entry that has one of them keeps its own."""


def require_tree(path: Path, name: str) -> None:
    """Refuse a folder that is not the tree.

    Raises:
        UsageError: it lacks the loader or the kernel.
    """
    for part in (_LOADER, _KERNEL):
        if not (path / part).is_file():
            raise UsageError(
                f"{name}: {path} is not the SIS Kernel's tree: no {part}",
                "set path to it, or say build and esp",
            )
