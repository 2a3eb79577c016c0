"""Which shared libraries a program needs: its own, those of its libraries, and the loader that brings them together.

Only what the files themselves ask for is followed (DT_NEEDED, PT_INTERP: System V ABI, "Dynamic Section", "Program
Interpreter"), not what their packages depend on: those would bring whole trees that nothing here ever opens.
"""

from __future__ import annotations

import contextlib
import io
import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.errors import GuestBuildError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from elftools.elf.elffile import ELFFile

# symbolic links that lead to one another
_LINKS_MAX: Final = 40


@dataclass(frozen=True, slots=True)
class Needs:
    """What an ELF file asks the loader for.

    Attributes:
        libraries: by the names that the loader looks for, in the file's order.
        loader: the absolute path of the loader; empty: the file is a library, or linked statically.
    """

    libraries: tuple[str, ...] = ()
    loader: str = ""


@contextlib.contextmanager
def elf_file(data: bytes) -> Iterator[ELFFile]:
    """An ELF file to be read, in which whatever is wrong with it is one error.

    Raises:
        GuestBuildError: it is none, is cut off, or damaged.
    """
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    try:
        yield ELFFile(io.BytesIO(data))
    # pyelftools believes the offsets and types in a header; damaged ones fail wherever they are used
    except (
        ELFError,
        ConstructError,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        raise GuestBuildError(f"what it is linked with cannot be read: {error}", "build it again") from error


def needs(data: bytes) -> Needs:
    """What a program or a library asks the loader for.

    Args:
        data: the file's bytes.

    Raises:
        GuestBuildError: it is no ELF file, is cut off, or damaged.
    """
    from elftools.elf.dynamic import DynamicSegment
    from elftools.elf.segments import InterpSegment

    libraries: list[str] = []
    loader = ""
    with elf_file(data) as elf:
        for segment in elf.iter_segments():
            if isinstance(segment, DynamicSegment):
                # pyelftools gives a tag an attribute of the tag's own name
                libraries += [vars(tag)["needed"] for tag in segment.iter_tags("DT_NEEDED")]
            elif isinstance(segment, InterpSegment):
                loader = segment.get_interp_name()
    return Needs(tuple(libraries), loader)


@dataclass(frozen=True, slots=True)
class Library:
    """A library in a tree.

    Attributes:
        place: where the loader finds it in the guest, relative to the root.
        data: its bytes.
    """

    place: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a program's libraries.

    Attributes:
        libraries: those that are there, by name.
        missing: those that are not, in the order in which they were asked for.
        left_out: those that were asked for and were to be left out.
    """

    libraries: dict[str, Library]
    missing: tuple[str, ...]
    left_out: tuple[str, ...]


def closure(
    program: bytes, root: Path, *, more: Collection[str] = (), without: Collection[str] = ()
) -> Found:
    """All libraries that a program needs, and the loader, as far as they are in a tree.

    A library is where distributions have them: in a folder of the loader's own list, whose last part begins with
    `lib` or lies in one that does (`lib`, `lib64`, `usr/lib/x86_64-linux-gnu`). It keeps its folder, for there the
    loader of the same distribution looks.

    Args:
        program: its bytes.
        root: the tree's root; a link in it that is absolute is meant from there.
        more: names that are asked for only when the program runs.
        without: names to be left out, up to their `.so`: `libEGL` for `libEGL.so.1`.

    Raises:
        GuestBuildError: one of the files is broken.
    """
    asked = needs(program)
    loader = posixpath.basename(asked.loader)
    waiting = [name for name in (loader, *asked.libraries, *more) if name]
    libraries: dict[str, Library] = {}
    missing: list[str] = []
    left_out: list[str] = []
    while waiting:
        name = waiting.pop(0)
        if name in libraries or name in missing or name in left_out:
            continue
        if name.partition(".so")[0] in without:
            left_out.append(name)
            continue
        place, path = next(_places(root, name), ("", None))
        if path is None:
            missing.append(name)
            continue
        data = path.read_bytes()
        libraries[name] = Library(asked.loader.lstrip("/") if name == loader else place, data)
        waiting += needs(data).libraries
    return Found(libraries, tuple(missing), tuple(left_out))


def _places(root: Path, name: str) -> Iterator[tuple[str, Path]]:
    """Where a library of this name is in the tree, the nearest to the root first, and the file that is there."""
    for pattern in ("lib*", "lib*/*-linux-*", "usr/lib*", "usr/lib*/*-linux-*"):
        for folder in sorted(root.glob(pattern)):
            place = f"{folder.relative_to(root)}/{name}"
            if (path := find(root, place)) is not None:
                yield place, path


def find(root: Path, place: str) -> Path | None:
    """The file that a path in a tree leads to, its links followed without leaving the tree; None: there is none.

    Args:
        root: the tree's root; a link that is absolute is meant from there.
        place: relative to it.
    """
    left = place.split("/")
    done: list[str] = []
    links = 0
    while left:
        part = left.pop(0)
        if part == "..":
            done = done[:-1]
        elif part not in {"", "."}:
            here = root.joinpath(*done, part)
            if not here.is_symlink():
                done.append(part)
                continue
            links += 1
            if links > _LINKS_MAX:
                return None
            target = str(here.readlink())
            done = [] if target.startswith("/") else done
            left = [*target.split("/"), *left]
    path = root.joinpath(*done)
    return path if path.is_file() else None
