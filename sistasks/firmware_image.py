"""What two files must be to fill a node's two flash chips.

A UEFI flash image begins with a firmware volume: `_FVH` at byte 40 of its header, the GUID of what it
holds at byte 16 (UEFI Platform Initialization specification, volume 3, "Firmware Volume"); some arm64
images have one page before it.
"""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.machine.arch import Arch

MIB: Final = 1 << 20
_HEAD: Final = 64 << 10
_SIGNATURE: Final = b"_FVH"
# EFI_SYSTEM_NV_DATA_FV_GUID: a volume of variables
VARIABLES: Final = uuid.UUID("fff12b8d-7696-4c8b-a985-2747075b4f50").bytes_le
# what QEMU's PC demands: its two chips share 8 MiB
_TOGETHER: Final = 8 * MIB
_PAGE: Final = 4096


def problem_of(arch: Arch, code: Path, variables: Path) -> str:
    """Why a node of this architecture cannot use the two images; '' if it can.

    Args:
        arch: the record; its `firmware_size` counts.
        code: the image that should be the firmware.
        variables: the image that should be the template of its variables.
    """
    sizes = []
    for path, variable in ((code, False), (variables, True)):
        try:
            with path.open("rb") as file:
                head = file.read(_HEAD)
                size = file.seek(0, os.SEEK_END)
        except (OSError, ValueError) as error:
            # ValueError: a path with a null byte
            return f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
        problem = _head_problem(head, variable=variable) or _size_problem(arch, size)
        if problem:
            return f"{path} {problem}"
        sizes.append(size)
    if not arch.firmware_size and sum(sizes) > _TOGETHER:
        return f"{code} and {variables} have {sum(sizes)} bytes, QEMU's machine for {arch.name} takes {_TOGETHER}"
    return ""


def _size_problem(arch: Arch, size: int) -> str:
    if arch.firmware_size and size != arch.firmware_size:
        return f"has {size} bytes, QEMU's machine for {arch.name} takes exactly {arch.firmware_size}"
    if size % _PAGE:
        return f"has {size} bytes, which are no whole pages of {_PAGE}: it was cut off"
    return ""


def _head_problem(head: bytes, *, variable: bool) -> str:
    if head.startswith(b"QFI\xfb"):
        return "is a qcow2 image, not a raw one"
    at = head.find(_SIGNATURE)
    if variable:
        # some packages have an empty template, which the firmware formats itself
        blank = head.count(0) == len(head) or head.count(0xFF) == len(head)
        if (blank and head) or (at >= 40 and head[at - 24 : at - 8] == VARIABLES):
            return ""
        return "holds no UEFI variables"
    if at < 40:
        return "is no UEFI firmware"
    if head[at - 24 : at - 8] == VARIABLES:
        return "begins with UEFI variables: it is no separate code image"
    return ""
