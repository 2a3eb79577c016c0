"""Which module files a guest needs, in the order to load them; read from the modules themselves.

A package that was unpacked but not installed has no modules.dep (depmod makes it), so the dependencies come
from each module's `.modinfo` section: NUL-terminated `key=value`, among them `depends=` with a list between
commas (Linux include/linux/module.h, MODULE_INFO; scripts/mod/modpost.c). `modules.builtin` names one file a
line (Linux Documentation/kbuild/kbuild.rst).
"""

from __future__ import annotations

import gzip
import importlib
import io
import lzma
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks.errors import KernelImageError, ToolMissing

if TYPE_CHECKING:
    from collections.abc import Sequence

_SUFFIXES: Final = (".ko", ".ko.gz", ".ko.xz", ".ko.zst")
# the first that is there: the standard library's since Python 3.14, else the usual packages
_ZSTD: Final = ("compression.zstd", "backports.zstd", "zstandard")


@dataclass(frozen=True, slots=True)
class Closure:
    """The answer to "what must be loaded".

    Attributes:
        files: module files in load order, each after all that it depends on.
        missing: names (with `_`) that are neither a file nor built in, wanted or depended on.
    """

    files: tuple[Path, ...]
    missing: tuple[str, ...]


def closure(modules_root: Path, names: Sequence[str]) -> Closure:
    """The files of the named modules with all their dependencies.

    Args:
        modules_root: `lib/modules/<release>`.
        names: modules as modprobe takes them, `-` and `_` equal; what is built in needs no file.

    Raises:
        KernelImageError: a needed module file cannot be read or is damaged.
        ToolMissing: a needed module is compressed with zstd and Python has no decompressor.
    """
    index = _index(modules_root)
    builtin = _builtin(modules_root)
    files: dict[str, Path] = {}
    missing: dict[str, None] = {}
    seen: set[str] = set()

    def visit(name: str) -> None:
        # a name is seen before its dependencies are, so that a circle ends
        if name in seen or name in builtin:
            return
        seen.add(name)
        path = index.get(name)
        if path is None:
            missing[name] = None
            return
        for dependency in depends(path):
            visit(dependency)
        files[name] = path

    for name in names:
        visit(_canonical(name))
    return Closure(tuple(files.values()), tuple(missing))


def depends(path: Path) -> list[str]:
    """The modules that the module at path names in its `depends=`, in its order, with `_`.

    Raises:
        KernelImageError: it cannot be read, or is no module.
        ToolMissing: see read.
    """
    for entry in _modinfo(path).split(b"\0"):
        key, _, value = entry.partition(b"=")
        if key == b"depends":
            return [_canonical(name) for name in value.decode("ascii", "replace").split(",") if name]
    return []


def read(path: Path) -> bytes:
    """The module's bytes as the kernel loads them: unpacked.

    Raises:
        KernelImageError: it cannot be read, or its compressed data is damaged.
        ToolMissing: it is compressed with zstd and Python has no decompressor.
    """
    try:
        data = path.read_bytes()
        match path.suffix:
            case ".gz":
                return gzip.decompress(data)
            case ".xz":
                return lzma.decompress(data)
            case ".zst":
                return _unzstd(data, path)
            case _:
                return data
    except (zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile) as error:
        raise KernelImageError(
            f"{path} is damaged: it cannot be unpacked", "fetch or build it again"
        ) from error
    except OSError as error:
        raise KernelImageError(f"{path} cannot be read: {error.strerror}", "make it readable") from error


def _unzstd(data: bytes, path: Path) -> bytes:
    for name in _ZSTD:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        failed: type[Exception] = module.ZstdError
        try:
            if name == "zstandard":  # its one-call form wants the size in the frame; the kernel's has none
                return bytes(module.ZstdDecompressor().decompressobj().decompress(data))
            return bytes(module.decompress(data))
        except failed as error:
            raise KernelImageError(
                f"{path} is damaged: it cannot be unpacked", "fetch or build it again"
            ) from error
    raise ToolMissing(
        f"{path} is compressed with zstd, which this Python cannot unpack", "pip install zstandard"
    )


def _canonical(name: str) -> str:
    return name.replace("-", "_")


def _module_name(file: str) -> str | None:
    """The module's name of a file's name; None if it is no module."""
    for suffix in _SUFFIXES:
        if file.endswith(suffix):
            return _canonical(file.removesuffix(suffix))
    return None


def _index(root: Path) -> dict[str, Path]:
    """Name -> file. As for depmod, `updates/` goes before the rest where a module is there twice."""
    found: dict[str, Path] = {}
    for folder, folders, names in os.walk(root):
        folders.sort(key=lambda name: (Path(folder) == root and name != "updates", name))
        for file in sorted(names):
            name = _module_name(file)
            if name:
                found.setdefault(name, Path(folder, file))
    return found


def _builtin(root: Path) -> set[str]:
    try:
        text = (root / "modules.builtin").read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise KernelImageError(
            f"{root / 'modules.builtin'} cannot be read: {error.strerror}", "make it readable"
        ) from error
    return {name for line in text.splitlines() if (name := _module_name(line.strip().rpartition("/")[2]))}


def _modinfo(path: Path) -> bytes:
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    data = read(path)
    try:
        section = ELFFile(io.BytesIO(data)).get_section_by_name(".modinfo")
        content = section.data() if section else None
    except (
        ELFError,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        zlib.error,
    ) as error:
        # pyelftools believes the offsets and types in a header; damaged ones fail wherever they are used
        raise KernelImageError(
            f"{path} is not a kernel module: its ELF headers cannot be read", "fetch or build it again"
        ) from error
    if content is None:
        raise KernelImageError(
            f"{path} is not a kernel module: it has no .modinfo section", "fetch or build it again"
        )
    return bytes(content)
