from __future__ import annotations

import contextlib
import gzip
import importlib
import lzma
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sistasks.errors import KernelImageError, ToolMissing
from sistasks.kernels.modules import closure, depends, read

if TYPE_CHECKING:
    from pathlib import Path


def module(*depends_on: str, name: str = "m") -> bytes:
    """The smallest relocatable ELF file with a .modinfo section."""
    info = f"license=GPL\0depends={','.join(depends_on)}\0name={name}\0".encode()
    strings = b"\0.modinfo\0.shstrtab\0"
    table = 64 + len(info) + len(strings)

    def section(label: int, form: int, offset: int, size: int) -> bytes:
        return struct.pack("<IIQQQQIIQQ", label, form, 0, 0, offset, size, 0, 0, 1, 0)

    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 1, 62, 1, 0, 0, table, 0, 64, 0, 0, 64, 3, 2
    )
    sections = bytes(64) + section(1, 1, 64, len(info)) + section(10, 3, 64 + len(info), len(strings))
    return header + info + strings + sections


def tree(root: Path, **files: bytes) -> Path:
    folder = root / "kernel" / "drivers"
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / f"{name}.ko").write_bytes(data)
    return root


def names(files: tuple[Path, ...]) -> list[str]:
    return [file.name for file in files]


def test_dependencies_come_first_and_once(tmp_path: Path) -> None:
    root = tree(
        tmp_path, net=module("failover", "ring"), failover=module(), ring=module("bus"), bus=module(),
        console=module("bus", "ring"), unwanted=b"not even ELF",
    )  # fmt: skip
    found = closure(root, ["console", "net", "console"])
    assert names(found.files) == ["bus.ko", "ring.ko", "console.ko", "failover.ko", "net.ko"]
    assert found.missing == ()


def test_dash_and_underscore_are_equal(tmp_path: Path) -> None:
    root = tree(tmp_path, **{"virtio-rng": module("hw_ring"), "hw-ring": module(name="hw_ring")})
    assert names(closure(root, ["virtio_rng"]).files) == ["hw-ring.ko", "virtio-rng.ko"]
    assert closure(root, ["virtio-rng"]) == closure(root, ["virtio_rng"])


def test_missing_is_told_not_raised(tmp_path: Path) -> None:
    root = tree(tmp_path, net=module("gone"))
    found = closure(root, ["nowhere", "net"])
    assert names(found.files) == ["net.ko"]
    assert found.missing == ("nowhere", "gone")


def test_built_in_needs_no_file(tmp_path: Path) -> None:
    root = tree(tmp_path, net=module("virtio-ring"), serial=module())
    (root / "modules.builtin").write_text(
        "kernel/drivers/tty/serial.ko\nkernel/drivers/virtio/virtio_ring.ko\n"
    )
    found = closure(root, ["net", "serial"])
    assert names(found.files) == ["net.ko"]
    assert found.missing == ()


def test_circle_ends(tmp_path: Path) -> None:
    root = tree(tmp_path, a=module("b"), b=module("a"))
    assert sorted(names(closure(root, ["a"]).files)) == ["a.ko", "b.ko"]


def test_update_goes_before_the_kernels_own(tmp_path: Path) -> None:
    root = tree(tmp_path, net=module("old"), old=module(), new=module())
    (root / "updates").mkdir()
    (root / "updates" / "net.ko").write_bytes(module("new"))
    assert [file.relative_to(root).as_posix() for file in closure(root, ["net"]).files] == [
        "kernel/drivers/new.ko",
        "updates/net.ko",
    ]


def test_no_folder_means_all_missing(tmp_path: Path) -> None:
    assert closure(tmp_path / "none", ["net"]).missing == ("net",)


def test_compressed_modules_are_read(tmp_path: Path) -> None:
    root = tree(tmp_path)
    plain = module("b")
    (root / "kernel" / "a.ko.xz").write_bytes(lzma.compress(plain))
    (root / "kernel" / "b.ko.gz").write_bytes(gzip.compress(module()))
    found = closure(root, ["a"])
    assert names(found.files) == ["b.ko.gz", "a.ko.xz"]
    assert read(found.files[1]) == plain


def _python_has_zstd() -> bool:
    for name in ("compression.zstd", "backports.zstd", "zstandard"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
            return True
    return False


@pytest.mark.skipif(shutil.which("zstd") is None, reason="needs zstd to make the file")
def test_zstd_is_read_or_the_file_named(tmp_path: Path) -> None:
    (tmp_path / "a.ko").write_bytes(module("b"))
    subprocess.run(["zstd", "-q", "--no-content-size", tmp_path / "a.ko"], check=True)
    packed = tmp_path / "a.ko.zst"
    if _python_has_zstd():
        assert read(packed) == module("b")
    else:
        with pytest.raises(ToolMissing) as caught:
            read(packed)
        assert str(packed) in caught.value.problem
        assert "zstandard" in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.ko", b"hello", "is not a kernel module: its ELF headers cannot be read"),
        ("a.ko", module().replace(b".modinfo", b".madinfo"), "it has no .modinfo section"),
        ("a.ko.xz", lzma.compress(module())[:-9], "is damaged: it cannot be unpacked"),
        ("a.ko.xz", b"hello", "is damaged: it cannot be unpacked"),
        ("a.ko.gz", gzip.compress(module())[:-9], "is damaged: it cannot be unpacked"),
        ("a.ko.gz", b"hello", "is damaged: it cannot be unpacked"),
    ],
)
def test_damaged_module_is_named(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(KernelImageError) as caught:
        depends(path)
    assert str(path) in caught.value.problem
    assert says in caught.value.problem
    assert "\n" not in str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, len(module()) - 1), st.integers(0, 255)), max_size=8),
    st.integers(0, len(module())),
    st.sampled_from([".ko", ".ko.gz", ".ko.xz"]),
)
def test_foreign_bytes_are_never_another_error(
    tmp_path: Path, changes: list[tuple[int, int]], keep: int, suffix: str
) -> None:
    data = bytearray(module("a", "b"))
    for offset, value in changes:
        data[offset] = value
    path = tmp_path / f"m{suffix}"
    path.write_bytes(data if len(changes) % 2 else data[:keep])
    with contextlib.suppress(KernelImageError):
        assert all("-" not in name for name in depends(path))
