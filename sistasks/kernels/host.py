"""`kernel=host`: the kernel that this machine runs."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sistasks.errors import KernelImageError
from sistasks.kernels import Kernel, describe_image, there

if TYPE_CHECKING:
    from sistasks.kernels import Log
    from sistasks.settings import Settings


@dataclass(frozen=True, slots=True)
class Host:
    """The running kernel's image, as its distribution installed it.

    Attributes:
        root: where the machine's files begin.
        release: as `uname -r` prints it.
    """

    root: Path = Path("/")
    release: str = field(default_factory=platform.release)

    def _places(self) -> list[Path]:
        return [
            self.root / "boot" / f"vmlinuz-{self.release}",
            self.root / "lib/modules" / self.release / "vmlinuz",
        ]

    def describe(self, settings: Settings) -> dict[str, str]:
        """The release and the image that is there for it."""
        found = {"provider": "host", "arch": settings.arch, "release": self.release}
        for place in self._places():
            if there(place):
                status = place.stat()
                found |= {"path": str(place), "state": f"{status.st_size} {status.st_mtime_ns}"}
                break
        return found

    def provide(self, settings: Settings, folder: Path, log: Log) -> Kernel:  # noqa: ARG002 one signature for all
        """The record of the image; folder is not used.

        Raises:
            KernelImageError: there is no image of the running kernel, or it may not be read.
        """
        places = self._places()
        image = next(filter(there, places), None)
        if image is None:
            raise KernelImageError(
                f"the running kernel {self.release} has no image: no {places[0]}, no {places[1]}",
                "kernel=debian or kernel=PATH",
            )
        log(f"reading {image}")
        return describe_image(
            image,
            name="host",
            provider="host",
            arch=settings.arch,
            modules=(self.root / "lib/modules",),
            beside=self.root / "boot",
        )
