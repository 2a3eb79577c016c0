"""`kernel=PATH`: an image that somebody built; it stays where it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.kernels import Kernel, describe_image

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.kernels import Log
    from sistasks.settings import Settings

# Path.stem would cut `vmlinuz-6.1.0-3` in two
_SUFFIXES: Final = frozenset({".gz", ".img", ".efi", ".elf", ".bin", ".kernel"})


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image by its path; what belongs to its release is taken from beside it if it is there."""

    path: Path

    def describe(self, settings: Settings) -> dict[str, str]:
        """The path and what the file system says of the file: quick even where the image is a gigabyte."""
        try:
            status = self.path.stat()
            state = f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"
        except OSError:
            state = "missing"
        return {"provider": "file", "arch": settings.arch, "path": str(self.path.absolute()), "state": state}

    def provide(self, settings: Settings, folder: Path, log: Log) -> Kernel:  # noqa: ARG002 one signature for all
        """The record of the image; folder is not used.

        Raises:
            KernelImageError: it is no kernel, truncated, or for another architecture.
        """
        log(f"reading {self.path}")
        home = self.path.absolute().parent
        return describe_image(
            self.path,
            name=self.path.stem if self.path.suffix.lower() in _SUFFIXES else self.path.name,
            provider="file",
            arch=settings.arch,
            # beside /boot as in a system's tree, or where `make INSTALL_MOD_PATH=.` puts them
            modules=(home.parent / "lib/modules", home / "lib/modules"),
        )
