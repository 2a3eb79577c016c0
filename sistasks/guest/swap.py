"""What a guest needs to swap: modules for a swap space in memory, which its agent loads when it is to swap.

A kernel that has zram built in needs none, and one that does not have it cannot swap: there is no disk. They lie behind
the guest's archive as `/modules/swap` (their names, in load order) and `/modules/NAME.ko`.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sistasks.errors import GuestBuildError
from sistasks.files import write_atomically
from sistasks.guest import initramfs
from sistasks.kernels import modules

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.guest.build import Guest

# what zram compresses with unless it is told otherwise (Linux drivers/block/zram/Kconfig), which no depends= names
_COMPRESSION: Final = "lzo_rle"
_ZRAM: Final = "zram"


def archive(modules_root: Path | None) -> bytes:
    """The modules as an archive; empty where the kernel has none, or needs none.

    Args:
        modules_root: `lib/modules/<release>` of the kernel; None: nothing is known of its modules.

    Raises:
        KernelImageError: one is damaged.
        ToolMissing: one is compressed with zstd and Python has no decompressor.
    """
    if modules_root is None:
        return b""
    found = modules.closure(modules_root, (_COMPRESSION, _ZRAM))
    if _ZRAM in found.missing or not found.files:
        return b""
    files = {f"{path.name.split('.ko')[0]}.ko": modules.read(path) for path in found.files}
    entries = [initramfs.file("modules/swap", "".join(f"{name}\n" for name in files).encode())]
    return initramfs.pack(
        [*entries, *(initramfs.file(f"modules/{name}", data) for name, data in files.items())]
    )


def behind(guest: Guest, swap: bytes, folder: Path) -> Guest:
    """The guest with the archive behind it; as other modules, it makes no other guest of it (`bare_sha256`).

    Args:
        guest: with whatever it has.
        swap: the archive; the guest stays as it is if it is empty.
        folder: gets `initramfs.cpio`; made if missing.

    Raises:
        GuestBuildError: the folder cannot be written.
    """
    if not swap:
        return guest
    target = folder / "initramfs.cpio"
    try:
        data = guest.initramfs.read_bytes() + swap
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(target, data)
    except OSError as error:
        raise GuestBuildError(
            f"{target} cannot be made: {error.strerror}", "make room, or set output="
        ) from error
    return replace(guest, initramfs=target, sha256=hashlib.sha256(data).hexdigest())
