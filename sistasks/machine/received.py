"""Files that a guest sends: only those that it was asked for, no longer than asked, in places that we name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sistasks.guest.frames import FrameError, decode_part
from sistasks.guest.plan import SYMBOLS, VMCOREINFO
from sistasks.textlines import shorten

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(slots=True)
class ReceivedFiles:
    """Where the files of one guest go, as they come.

    Attributes:
        folder: gets them.
        prefix: what their names begin with.
        room: name -> most bytes: what the guest was asked for.
        paths: name -> file, of those of which something has come.
    """

    folder: Path
    prefix: str
    room: Mapping[str, int]
    paths: dict[str, Path] = field(default_factory=dict)
    _sizes: dict[str, int] = field(default_factory=dict)

    def take(self, payload: bytes) -> None:
        """Take the payload of a FILE frame.

        Raises:
            FrameError: nobody asked for it, a part is missing, or it is longer than asked.
            OSError: it cannot be written.
        """
        part = decode_part(payload)
        size = self._sizes.get(part.name, 0)
        if part.name not in self.room:
            raise FrameError(f"the file {shorten(part.name)} came, and nobody asked for it")
        if part.offset != size:
            raise FrameError(f"{part.name}: byte {size} is missing")
        if size + len(part.data) > self.room[part.name]:
            raise FrameError(f"{part.name}: more than {self.room[part.name]} bytes came")
        path = self.paths.get(part.name)
        if path is None:
            # the name is one of ours by now; it need not be one that a folder can have
            kind = "txt" if part.name in {SYMBOLS, VMCOREINFO} else "trace.txt"
            path = self.folder / f"{self.prefix}{_NOT_IN_NAMES.sub('_', part.name)}.{kind}"
            path.unlink(missing_ok=True)
            self.paths[part.name] = path
        with path.open("ab") as file:
            file.write(part.data)
        self._sizes[part.name] = size + len(part.data)
