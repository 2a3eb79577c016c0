"""Modules for a swap space: behind the guest where the kernel has them, and no other guest for it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sistasks.guest import initramfs, programs, swap
from sistasks.guest.build import Guest

if TYPE_CHECKING:
    from pathlib import Path


def modules(root: Path) -> Path:
    """The folder of a kernel that has nothing of it."""
    root.mkdir(parents=True)
    (root / "modules.builtin").write_text("kernel/lib/lzo/lzo_compress.ko\n")
    return root


def test_a_kernel_without_zram_adds_nothing(tmp_path: Path) -> None:
    assert swap.archive(None) == b""
    assert swap.archive(modules(tmp_path / "none")) == b""


def test_a_kernel_that_has_it_built_in_needs_nothing(tmp_path: Path) -> None:
    root = modules(tmp_path / "builtin")
    (root / "modules.builtin").write_text("kernel/drivers/block/zram/zram.ko\nkernel/crypto/lzo-rle.ko\n")
    assert swap.archive(root) == b""


def test_modules_behind_a_guest_make_no_other_guest(tmp_path: Path) -> None:
    path = tmp_path / "initramfs.cpio"
    path.write_bytes(initramfs.pack([initramfs.file("init", b"agent", executable=True)]))
    guest = Guest("x86_64", path, hashlib.sha256(path.read_bytes()).hexdigest(), "bare", "gcc")
    assert programs.behind(guest, b"", tmp_path / "more") == guest
    more = initramfs.pack([initramfs.file("modules/swap", b"zram.ko\n")])
    made = programs.behind(guest, more, tmp_path / "more")
    assert made.initramfs.read_bytes() == path.read_bytes() + more
    assert made.sha256 == hashlib.sha256(made.initramfs.read_bytes()).hexdigest() != guest.sha256
    assert made.bare_sha256 == "bare", "kernels whose modules differ can be compared"
