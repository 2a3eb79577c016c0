"""What `kernel=` names: one kernel, or several with commas between, each by what the history calls it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks.errors import UsageError
from sistasks.kernels import there
from sistasks.kernels.file import called as called_file
from sistasks.kernels.table import NAMES

if TYPE_CHECKING:
    from collections.abc import Collection

_KINDS: Final = "kernel is a name, the path of an image, or several of them with commas between"


def several(text: str, entries: Collection[str]) -> tuple[str, ...]:
    """The kernels that `kernel=` asks for, if they are several.

    Args:
        text: what was typed; where that is a file, it is one kernel, whatever its name holds.
        entries: names of `[tool.sistasks.kernels]`.

    Raises:
        UsageError: one is empty, or the history would call two of them the same.
    """
    if "," not in text or there(_path(text)):
        return ()
    found = tuple(part.strip() for part in text.split(","))
    if not all(found):
        raise UsageError(f"kernel={text} has an empty place", _KINDS)
    names: dict[str, str] = {}
    for one in found:
        if one in names.values():
            raise UsageError(f"kernel={text} names {one} twice", "name each kernel once")
        other = names.setdefault(called(one, entries), one)
        if other != one:
            raise UsageError(
                f"kernel={other} and kernel={one} would both be called {called(one, entries)}",
                "give them names of their own in [tool.sistasks.kernels]",
            )
    return found


def called(text: str, entries: Collection[str]) -> str:
    """What the history calls a kernel, without arguments.

    Args:
        text: one kernel, as it was typed.
        entries: names of `[tool.sistasks.kernels]`.
    """
    return text if text in NAMES or text in entries else called_file(_path(text))


def known(text: str, entries: Collection[str]) -> bool:
    """Whether `text` is a kernel's name, or there is such a file."""
    return text in NAMES or text in entries or there(_path(text))


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # ~somebody who does not exist
        return Path(text)
