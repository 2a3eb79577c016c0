"""Images, descriptors and places that the tests of firmware make."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from sistasks import firmware_image
from sistasks.errors import FirmwareError
from sistasks.firmware import Places, find
from sistasks.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

CODE_GUID = bytes(range(16))
AUTO = Settings(arch="x86_64")


def volume(guid: bytes, size: int = 8192, filling: bytes = b"\x5a") -> bytes:
    """The head of a firmware volume and something behind it."""
    head = bytes(16) + guid + size.to_bytes(8, "little") + b"_FVH"
    return head + filling * (size - len(head))


CODE, VARS = volume(CODE_GUID), volume(firmware_image.VARIABLES, 4096)


def images(folder: Path, code: str = "CODE.fd", variables: str = "VARS.fd") -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / code).write_bytes(CODE)
    (folder / variables).write_bytes(VARS)
    return folder / code, folder / variables


def descriptor(folder: Path, name: str, code: Path, variables: Path, **changed: Any) -> Path:
    tree = {
        "description": "made by a test",
        "interface-types": ["uefi"],
        "mapping": {
            "device": "flash",
            "executable": {"filename": str(code), "format": "raw"},
            "nvram-template": {"filename": str(variables), "format": "raw"},
        },
        "targets": [{"architecture": "x86_64", "machines": ["pc-i440fx-*", "pc-q35-*"]}],
        "features": ["acpi-s3", "verbose-dynamic"],
        "tags": [],
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(tree | changed))
    return path


def nowhere(tmp_path: Path, **changed: Any) -> Places:
    return dataclasses.replace(Places((), (), tmp_path / "no-manifest.toml"), **changed)


def refusal(*arguments: Any, **keywords: Any) -> str:
    with pytest.raises(FirmwareError) as caught:
        find(*arguments, **keywords)
    assert caught.value.remedy
    return caught.value.problem
