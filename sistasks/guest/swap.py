"""What a guest needs to swap: modules for a swap space in memory, which its agent loads when it is to swap.

A kernel that has zram built in needs none, and one that does not have it cannot swap: there is no disk. They lie behind
the guest's archive as `/modules/swap` (their names, in load order) and `/modules/NAME.ko`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sistasks.guest import initramfs
from sistasks.kernels import modules

if TYPE_CHECKING:
    from pathlib import Path

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
