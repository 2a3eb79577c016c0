"""Templates, which all hands of a machine share: frozen by one of them, whole, and as they were frozen."""

from __future__ import annotations

import contextlib
import json
import shutil
import zlib
from typing import TYPE_CHECKING, Final

from sistasks.errors import FleetError, NodeError
from sistasks.files import locked, write_atomically
from sistasks.fleet import cache
from sistasks.layout import Layout
from sistasks.machine import template

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sistasks.suites.recipe import Recipe

_SUMS: Final = "sums.json"
_FILES: Final = ("ram", "state")
_PART: Final = 1 << 20
# folders of templates that this process has read, by their inode: once is enough, they are never written to
_read: Final[set[tuple[str, int]]] = set()


@contextlib.contextmanager
def templates(recipe: Recipe) -> Iterator[None]:
    """Of the hands of this machine that need a template, one freezes it while the others wait for it.

    One that is not as it was frozen is removed before.

    Raises:
        FleetError: there is no room for it.
        OSError: the folder cannot be used.
    """
    folder, key = Layout(recipe.settings.output).templates, recipe.template_key()
    if not folder.is_symlink():
        cache.templates().mkdir(parents=True, exist_ok=True)
        folder.symlink_to(cache.templates())
    with contextlib.ExitStack() as held:
        if not _is_sound(folder, key):
            # few names, or there would be more and more of them
            held.enter_context(locked(cache.root() / "locks" / key[:2]))
            if _is_sound(folder, key):
                held.close()
            else:
                shutil.rmtree(folder / key, ignore_errors=True)
                try:
                    template.refuse_full_disk(cache.templates() / key, recipe.machine.memory)
                except NodeError as error:
                    raise FleetError(error.problem, f"make room, or set {cache.VARIABLE}") from error
        yield
        _note(folder, key)


def _is_sound(folder: Path, key: str) -> bool:
    """Whether a template is there, and as it was frozen."""
    if template.load(folder, key) is None:
        return False
    place = folder / key
    with contextlib.suppress(OSError, ValueError):
        this = key, place.stat().st_ino
        if this in _read:
            return True
        if json.loads((place / _SUMS).read_text()) == _sums(place):
            _read.add(this)
            return True
    return False


def _note(folder: Path, key: str) -> None:
    """Write down what a template is, if nobody has; what has no room for it is frozen again."""
    place = folder / key
    if template.load(folder, key) is not None and not (place / _SUMS).exists():
        with contextlib.suppress(OSError):
            write_atomically(place / _SUMS, json.dumps(_sums(place)), durable=False)


def _sums(folder: Path) -> dict[str, int]:
    """CRC-32 of its files: against what happens to disks, not against people."""
    return {name: _sum(folder / name) for name in _FILES}


def _sum(path: Path) -> int:
    found = 0
    with path.open("rb") as file:
        while part := file.read(_PART):
            found = zlib.crc32(part, found)
    return found
