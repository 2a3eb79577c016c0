"""`kernel=PATH`, or an entry of kind `file`: an image that somebody built; it stays where it is."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.errors import KernelImageError
from sistasks.kernels import Kernel, describe_image, there

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.kernels import Log
    from sistasks.settings import Settings

# Path.stem would cut `vmlinuz-6.1.0-3` in two
_SUFFIXES: Final = frozenset({".gz", ".img", ".efi", ".elf", ".bin", ".kernel"})


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image by its path; what belongs to its release is taken from beside it if it is there.

    Attributes:
        path: the image.
        initramfs: what it boots with instead of our guest; None: our guest.
    """

    path: Path
    initramfs: Path | None = None

    def describe(self, settings: Settings) -> dict[str, str]:
        """The path and what the file system says of the file: quick even where the image is a gigabyte."""
        found = {"provider": "file", "arch": settings.arch, **_state("path", self.path)}
        return {**found, **_state("initramfs", self.initramfs)} if self.initramfs else found

    def provide(self, settings: Settings, folder: Path, log: Log) -> Kernel:  # noqa: ARG002 one signature for all
        """The record of the image; folder is not used.

        Raises:
            KernelImageError: it is no kernel, truncated, or for another architecture; or there is no initramfs.
        """
        log(f"reading {self.path}")
        if not there(self.path):
            raise KernelImageError(f"the image {self.path} is not there", "build it, or give another")
        if self.initramfs and not there(self.initramfs):
            raise KernelImageError(
                f"the initramfs {self.initramfs} is not there", "make it, or leave initramfs out"
            )
        home = self.path.absolute().parent
        kernel = describe_image(
            self.path,
            name=called(self.path),
            provider="file",
            arch=settings.arch,
            # beside /boot as in a system's tree, or where `make INSTALL_MOD_PATH=.` puts them
            modules=(home.parent / "lib/modules", home / "lib/modules"),
        )
        if self.initramfs is None:
            return kernel
        return dataclasses.replace(kernel, initramfs=self.initramfs.absolute())


def called(path: Path) -> str:
    """What an image's kernel is called: its file's name without a format's suffix."""
    return path.stem if path.suffix.lower() in _SUFFIXES else path.name


def _state(name: str, path: Path) -> dict[str, str]:
    """The path and its state under names that begin alike."""
    try:
        status = path.stat()
        state = f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"
    except OSError:
        state = "missing"
    return {name: str(path.absolute()), f"{name}_state": state}
