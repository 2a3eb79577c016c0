"""Partitions that are packed into one file come out as they were; what others packed leaves its folder alone."""

from __future__ import annotations

import hashlib
import io
import tarfile
from typing import TYPE_CHECKING

import pytest
from efi_parts import application
from hypothesis import given
from hypothesis import strategies as st

from sistasks.errors import SistasksError
from sistasks.kernels import esp

if TYPE_CHECKING:
    from pathlib import Path

NAMES = st.from_regex(r"[A-Z0-9][A-Za-z0-9_]{0,7}(\.[A-Z]{1,3})?", fullmatch=True)


@given(st.dictionaries(NAMES, st.binary(max_size=50), max_size=5))
def test_what_is_packed_comes_out_again(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("esp")
    paths = {"EFI/BOOT/BOOTX64.EFI": folder / "loader"}
    paths["EFI/BOOT/BOOTX64.EFI"].write_bytes(application("x86_64"))
    for number, (name, data) in enumerate(files.items()):
        path = folder / str(number)
        path.write_bytes(b"-" + data)  # no program by chance
        paths[f"DIR/{number}-{name}"] = path
    packed = esp.pack(esp.wanted(paths, "x86_64", "mine"), "x86_64", "mine")
    assert packed == esp.pack(dict(reversed(paths.items())), "x86_64", "mine")
    (folder / "packed").write_bytes(packed)
    out = esp.unpack(folder / "packed", hashlib.sha256(packed).hexdigest(), folder / "unpacked")
    for place, path in paths.items():
        assert (out / place).read_bytes() == path.read_bytes()


def test_a_packed_file_from_elsewhere_leaves_its_folder_alone(tmp_path: Path) -> None:
    names = ("../out", str(tmp_path / "out"), "link")
    for number, member in enumerate(map(tarfile.TarInfo, names)):
        if member.name == "link":
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.addfile(member)
        path = tmp_path / f"{number}.tar"
        path.write_bytes(packed.getvalue())
        with pytest.raises(SistasksError, match="is no packed partition"):
            esp.unpack(path, f"{number}" * 64, tmp_path / "unpacked")
    path.write_bytes(b"no archive")
    with pytest.raises(SistasksError, match="is no packed partition"):
        esp.unpack(path, "a" * 64, tmp_path / "unpacked")
    assert list((tmp_path / "unpacked").iterdir()) == []
