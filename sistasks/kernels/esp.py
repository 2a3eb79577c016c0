"""EFI system partitions: folders that firmware boots from, checked, and kept as one file that is their identity.

Sources: UEFI Specification 2.10, 3.5.1.1 (the names that removable media boot by) and 13.3 (the partition's format).
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import tarfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from sistasks.errors import KernelImageError, SistasksError, UsageError
from sistasks.machine.arch import ARCHES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sistasks.kernels import Kernel

FORMAT: Final = "esp"
"""The format of a kernel whose image is a packed partition."""
# QEMU makes the disk of the folder as it is read: FAT16 with 504 MiB, tables included
_LARGEST: Final = 500 << 20
_NAME: Final = re.compile(r"[A-Za-z0-9$%'_@~`!(){}^#&.+,;=\[\] -]{1,255}")
_KEPT: Final = 4


def wanted(files: Mapping[str, Path], arch: str, name: str) -> dict[str, Path]:
    """What an architecture's partition holds, by the place in it; other architectures' loaders are left out.

    Args:
        files: place in the partition -> file.
        arch: in our words.
        name: whose they are, for the sentences.

    Raises:
        UsageError: a place that cannot be, one that is there twice, or none that the firmware would boot; or nobody
            knows what it would boot.
    """
    boot_file = ARCHES[arch].boot_file
    if not boot_file:
        raise UsageError(f"esp of {name} cannot be with arch={arch}", ARCHES[arch].without_firmware)
    foreign = {one.boot_file.casefold() for one in ARCHES.values() if one.name != arch}
    chosen: dict[str, Path] = {}
    for place, path in files.items():
        parts = PurePosixPath(place).parts
        if place.startswith("/") or not parts or not all(_fits(part) for part in parts):
            raise UsageError(f"esp of {name} has no place {place!r}", f"a place is a path like {boot_file}")
        clean = "/".join(parts)
        if clean.casefold() in {known.casefold() for known in chosen}:
            raise UsageError(
                f"esp of {name} has {place} twice", "FAT takes small and capital letters as equal"
            )
        if clean.casefold() not in foreign:
            chosen[clean] = path
    if boot_file.casefold() not in {place.casefold() for place in chosen}:
        raise UsageError(f"esp of {name} has no {boot_file}", f"it is the file that firmware of {arch} boots")
    return chosen


def _fits(part: str) -> bool:
    return bool(_NAME.fullmatch(part)) and part.rstrip(". ") != ""


def pack(files: Mapping[str, Path], arch: str, name: str) -> bytes:
    """One file of a partition's files: the same bytes for the same files.

    Args:
        files: place in the partition -> file, from `wanted`.
        arch: that programs among them must be for.
        name: whose they are, for the sentences.

    Raises:
        KernelImageError: a file is missing, unreadable, for another architecture, or they are too much for a partition;
            or the loader is no EFI application.
    """
    from sistasks.kernels import image

    packed = io.BytesIO()
    # ustar would cut long names; pax writes times and owners only where they do not fit
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for place, path in sorted(files.items()):
            data = _read(path, place, name)
            found = image.program_arch(data, str(path))
            loader = place.casefold() == ARCHES[arch].boot_file.casefold()
            if loader and (found is None or not data.startswith(b"MZ")):
                raise KernelImageError(
                    f"{path} is no EFI application", f"firmware boots {place} of {name}: build it for UEFI"
                )
            if found is not None and not image.serves(found, arch):
                raise KernelImageError(f"{path} ({place} of {name}) is for {found}", f"arch={arch} was asked")
            member = tarfile.TarInfo(place)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
            if packed.tell() > _LARGEST:
                raise KernelImageError(
                    f"the files of {name} are more than 500 MB", "strip what is not booted"
                )
    return packed.getvalue()


def _read(path: Path, place: str, name: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise KernelImageError(
            f"{path} is not there, which is to be {place} of {name}", "build it, or mend esp"
        ) from error
    except OSError as error:
        raise KernelImageError(
            f"{path}, which is to be {place} of {name}, cannot be read: {error.strerror}", "make it readable"
        ) from error


def unpack(packed: Path, sha256: str, folder: Path) -> Path:
    """The partition of a packed file, in a folder of its own that nobody changes; the oldest others are removed.

    Args:
        packed: what `pack` gave.
        sha256: its identity.
        folder: where unpacked partitions are kept.

    Raises:
        SistasksError: it is no packed partition, or there is no room for it.
    """
    target = folder / sha256[:16]
    if target.is_dir():
        with contextlib.suppress(OSError):
            os.utime(target)  # used now: removed last
        return target
    scratch = folder / f".{target.name}.{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        scratch.mkdir(parents=True)
        _extract(packed, scratch)
        try:
            scratch.rename(target)
        except OSError:
            if not target.is_dir():  # else another session was faster
                raise
    except (tarfile.TarError, EOFError) as error:
        raise SistasksError(f"{packed} is no packed partition: {error}", "doit -a kernel") from error
    except OSError as error:
        raise SistasksError(
            f"{target} cannot be made: {error.strerror}", "make room, or set output"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _prune(folder)
    return target


def ready(kernel: Kernel) -> Path:
    """The folder that a kernel's nodes boot from, made again if it is gone.

    Raises:
        SistasksError: see unpack.
    """
    if kernel.esp is None:
        raise SistasksError(f"{kernel.name} has no EFI partition", "doit -a kernel")
    return unpack(kernel.image, kernel.sha256, kernel.esp.parent)


def _extract(packed: Path, folder: Path) -> None:
    with tarfile.open(packed, mode="r:") as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            parts = PurePosixPath(member.name).parts
            if file is None or not all(_fits(part) for part in parts):
                raise tarfile.ReadError(f"{member.name!r} is no file of a partition")
            path = folder.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            with file, path.open("xb") as out:
                shutil.copyfileobj(file, out)


def _prune(folder: Path) -> None:
    made = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    for path in sorted(made, key=lambda path: path.stat().st_mtime, reverse=True)[_KEPT:]:
        shutil.rmtree(path, ignore_errors=True)
