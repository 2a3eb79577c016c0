"""Kernels that a baseline names are kept, content-addressed, so that they can be booted again for a confirmation.

`artifacts/kernels/<sha256>` are images and initramfs; `artifacts/kernels/<kernel id>.<guest>.json` says what belongs
together: a kernel may have been measured with more guests than one, for programs of the user's are part of a guest.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from sistasks.files import sha256_of, write_atomically

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


_FRESH: Final = 600.0
# of one kernel the newest: a program that is built anew makes another guest each time
_GUESTS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptKernel:
    """What it takes to boot a kernel again.

    Attributes:
        id: the kernel's identity in the history.
        image, initramfs: SHA-256 of the files.
        guest: identity of the guest without modules: it must still be that of the environment.
        arguments: the kernel's own command line.
        results_line: `virtio` or `serial`.
    """

    id: str
    image: str
    initramfs: str
    guest: str
    arguments: tuple[str, ...]
    results_line: str


def keep(folder: Path, kernel: KeptKernel, image: Path, initramfs: Path) -> bool:
    """Keep a kernel's files; those that are there already cost nothing.

    Returns:
        Whether it was not kept before: then others may have to go.

    Raises:
        OSError: they cannot be kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for sha256, path in ((kernel.image, image), (kernel.initramfs, initramfs)):
        target = folder / sha256
        if target.exists() and sha256_of(target) == sha256:
            continue
        scratch = folder / f".{sha256}.{os.getpid()}"
        try:
            shutil.copyfile(path, scratch)
            scratch.replace(target)
        finally:
            scratch.unlink(missing_ok=True)
    record = _record(folder, kernel.id, kernel.guest)
    is_new = not record.exists()
    write_atomically(record, json.dumps(asdict(kernel), indent=2) + "\n")
    return is_new


def _record(folder: Path, kernel_id: str, guest: str) -> Path:
    return folder / f"{kernel_id}.{guest[:16]}.json"


def find(folder: Path, kernel_id: str, guest: str) -> KeptKernel | None:
    """The kept kernel with that guest, if it is there and its files are what their names say."""
    try:
        fields = json.loads(_record(folder, kernel_id, guest).read_text())
        kernel = KeptKernel(**{**fields, "arguments": tuple(fields["arguments"])})
        whole = all(sha256_of(folder / name) == name for name in (kernel.image, kernel.initramfs))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return kernel if whole and (kernel.id, kernel.guest) == (kernel_id, guest) else None


def prune(folder: Path, named: Collection[str]) -> None:
    """Remove kernels that are not named, old guests of those that are, and files that no kept kernel names."""
    used: set[str] = set()
    guests: Counter[str] = Counter()
    for record in sorted(folder.glob("*.json"), key=lambda path: -path.stat().st_mtime):
        kernel_id = record.name.partition(".")[0]
        guests[kernel_id] += 1
        wanted = kernel_id in named and guests[kernel_id] <= _GUESTS
        # what was kept a moment ago belongs to a run that is just being written
        if not wanted and record.stat().st_mtime < time.time() - _FRESH:
            record.unlink(missing_ok=True)
            continue
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            fields = json.loads(record.read_text())
            used |= {fields["image"], fields["initramfs"]}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.suffix != ".json" and not path.name.startswith(".") and path.name not in used:
            path.unlink(missing_ok=True)
