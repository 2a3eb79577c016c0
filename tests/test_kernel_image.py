from __future__ import annotations

import contextlib
import dataclasses
import gzip
import lzma
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sistasks.errors import KernelImageError
from sistasks.kernels import image
from sistasks.kernels.image import ImageInfo, inspect, parse, require_arch
from sistasks.machine.arch import ARCHES, ARM64, X86_64

if TYPE_CHECKING:
    from collections.abc import Callable

BANNER = b"\0\x01Linux version %s (%s)\0Linux version 6.9.1-test+ (me@here) (gcc) #1 SMP\n\0"
PE_AT = 0x80


def _put(data: bytearray, offset: int, layout: str, *values: int) -> None:
    struct.pack_into(layout, data, offset, *values)


def _pe(data: bytearray, machine: int, *, section_end: int, signature: int = 0) -> None:
    data[:2] = b"MZ"
    _put(data, 0x3C, "<I", PE_AT)
    data[PE_AT : PE_AT + 4] = b"PE\0\0"
    optional = PE_AT + 24
    _put(data, PE_AT + 4, "<HH", machine, 2)
    _put(data, PE_AT + 20, "<H", 112 + 6 * 8)
    _put(data, optional, "<H", 0x20B)
    _put(data, optional + 108, "<I", 6)
    if signature:
        _put(data, optional + 112 + 4 * 8, "<II", section_end, signature)
    sections = optional + 112 + 6 * 8
    _put(data, sections + 16, "<II", section_end - 0x400, 0x400)
    # .bss: a size and an offset that take nothing of the file
    _put(data, sections + 40 + 16, "<II", 0, 0xFFFFFFFF)


def bzimage(*, wide: bool = True, signature: int = 0) -> bytes:
    data = bytearray(5 * 512 + 256 * 16 + signature)
    _put(data, 0x1F1, "B", 0)  # 0 stands for 4 sectors
    _put(data, 0x1F4, "<I", 256)
    data[0x1FE:0x200] = b"\x55\xaa"
    data[0x202:0x206] = b"HdrS"
    _put(data, 0x206, "<H", 0x020F)
    _put(data, 0x20E, "<H", 0x300)
    _put(data, 0x236, "<H", 0x7F if wide else 0x7E)
    text = b"6.9.1-x86 (me@here) #1 SMP\0"
    data[0x500 : 0x500 + len(text)] = text
    _pe(data, 0x8664, section_end=5 * 512 + 256 * 16, signature=signature)
    return bytes(data)


def arm64_image(*, efi: bool = True, signature: int = 0, flags: int = 0xA) -> bytes:
    data = bytearray(0x2000 + signature)
    _put(data, 8, "<QQQ", 0, 0x9000, flags)
    data[0x38:0x3C] = b"ARM\x64"
    data[0x1000 : 0x1000 + len(BANNER)] = BANNER
    if efi:
        _pe(data, 0xAA64, section_end=0x2000, signature=signature)
    return bytes(data)


def riscv_image(*, new: bool = True, old: bool = True, text_offset: int = 2 << 20) -> bytes:
    data = bytearray(0x2000)
    _put(data, 8, "<QQQ", text_offset, 0x9000, 0)
    if old:
        data[0x30:0x38] = b"RISCV\0\0\0"
    if new:
        data[0x38:0x3C] = b"RSC\x05"
    data[0x1000 : 0x1000 + len(BANNER)] = BANNER
    return bytes(data)


def zimage(payload: bytes, start: int = 0x8000) -> bytes:
    data = bytearray(0x400) + payload + bytes(64)
    _put(data, 0x24, "<III", 0x016F2818, start, start + len(data))
    return bytes(data)


def zboot(payload: bytes, kind: bytes = b"gzip", machine: int = 0xAA64) -> bytes:
    data = bytearray(0x400) + payload
    data += bytes(-len(data) % 512)
    _pe(data, machine, section_end=len(data))
    data[4:8] = b"zimg"
    _put(data, 8, "<II", 0x400, len(payload))
    data[0x18 : 0x18 + len(kind)] = kind
    return bytes(data)


def vmlinux(machine: int, *, wide: bool = True, kind: int = 2, segment: int = 1, order: str = "<") -> bytes:
    """One PT_LOAD with the banner, one section with data and one .bss far beyond the end."""
    header, entry, line = (64, 56, 64) if wide else (52, 32, 40)
    text = header + entry
    lines = text + len(BANNER)
    word = "Q" if wide else "I"
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    data = bytearray(ident + bytes(header - 16))
    _put(data, 16, order + "HHI", kind, machine, 1)
    _put(data, 24, order + word * 3, 0, header, lines)
    _put(data, header - 12, order + "HHHHHH", header, entry, 1, line, 2, 0)
    program = (
        struct.pack(order + "IIQQQQQQ", segment, 5, text, 0, 0, len(BANNER), 1 << 30, 4096)
        if wide
        else struct.pack(order + "IIIIIIII", segment, text, 0, 0, len(BANNER), 1 << 30, 5, 4096)
    )
    table = b"".join(
        struct.pack(order + "II" + word * 6, 0, form, 0, 0, text, size, 0, 0)[: line - 8].ljust(line, b"\0")
        for form, size in ((1, len(BANNER)), (8, 1 << 40 if wide else 1 << 31))
    )
    return bytes(data + program + BANNER + table)


REAL: dict[str, tuple[bytes, str, str, str | None]] = {
    "bzImage": (bzimage(), "bzImage", "x86_64", "6.9.1-x86"),
    "bzImage signed": (bzimage(signature=1000), "bzImage", "x86_64", "6.9.1-x86"),
    "bzImage 32 bit": (bzimage(wide=False), "bzImage", "i386", "6.9.1-x86"),
    "arm64": (arm64_image(), "Image", "arm64", "6.9.1-test+"),
    "arm64 signed": (arm64_image(signature=777), "Image", "arm64", "6.9.1-test+"),
    "arm64 without EFI": (arm64_image(efi=False), "Image", "arm64", "6.9.1-test+"),
    "arm64 big-endian": (arm64_image(flags=0xB), "Image", "arm64_be", "6.9.1-test+"),
    "arm64 gzip": (gzip.compress(arm64_image()), "Image.gz", "arm64", "6.9.1-test+"),
    "riscv64": (riscv_image(), "Image", "riscv64", "6.9.1-test+"),
    "riscv64 before 5.x": (riscv_image(new=False), "Image", "riscv64", "6.9.1-test+"),
    "riscv64 after": (riscv_image(old=False), "Image", "riscv64", "6.9.1-test+"),
    "riscv32": (riscv_image(text_offset=4 << 20), "Image", "riscv32", "6.9.1-test+"),
    "riscv64 gzip": (gzip.compress(riscv_image()), "Image.gz", "riscv64", "6.9.1-test+"),
    "zImage gzip": (zimage(gzip.compress(BANNER)), "zImage", "arm", "6.9.1-test+"),
    "zImage xz": (zimage(lzma.compress(BANNER)), "zImage", "arm", "6.9.1-test+"),
    "zImage lzma": (zimage(lzma.compress(BANNER, lzma.FORMAT_ALONE)), "zImage", "arm", "6.9.1-test+"),
    "zImage lz4": (zimage(b"\x04\x22\x4d\x18 what python cannot unpack"), "zImage", "arm", None),
    "zImage decoy": (zimage(b"\x1f\x8b\x08 no gzip" + gzip.compress(BANNER)), "zImage", "arm", "6.9.1-test+"),
    "zboot arm64": (zboot(gzip.compress(BANNER)), "zboot", "arm64", "6.9.1-test+"),
    "zboot riscv64": (zboot(b"\x28\xb5\x2f\xfd..", b"zstd22", 0x5064), "zboot", "riscv64", None),
    "zboot other": (zboot(gzip.compress(BANNER), machine=0x6264), "zboot", "loongarch64", "6.9.1-test+"),
    "vmlinux x86_64": (vmlinux(62), "vmlinux", "x86_64", "6.9.1-test+"),
    "vmlinux i386": (vmlinux(3, wide=False), "vmlinux", "i386", "6.9.1-test+"),
    "vmlinux arm": (vmlinux(40, wide=False), "vmlinux", "arm", "6.9.1-test+"),
    "vmlinux arm64": (vmlinux(183, kind=3), "vmlinux", "arm64", "6.9.1-test+"),
    "vmlinux riscv64": (vmlinux(243), "vmlinux", "riscv64", "6.9.1-test+"),
    "vmlinux s390": (vmlinux(22, order=">"), "vmlinux", "ELF machine 22_be", "6.9.1-test+"),
}
# without an EFI stub the header says only how much memory the kernel takes, not how long the file is
UNPROMISED = {"arm64 without EFI", "riscv64", "riscv64 before 5.x", "riscv64 after", "riscv32"}
PROMISED = sorted(REAL.keys() - UNPROMISED)


@pytest.mark.parametrize("name", REAL)
def test_every_format_is_read(name: str) -> None:
    data, form, arch, release = REAL[name]
    assert parse(data) == ImageInfo(form, arch, release, len(data))


@pytest.mark.parametrize("wrap", [bytearray, memoryview])
def test_any_buffer_is_read(wrap: Callable[[bytes], bytearray | memoryview]) -> None:
    for data, *_ in REAL.values():
        assert parse(wrap(data)) == parse(data)


def test_inspect_reads_files_as_parse_does(tmp_path: Path) -> None:
    for name, (data, *_) in REAL.items():
        path = tmp_path / name
        path.write_bytes(data)
        assert inspect(path) == parse(data)


@pytest.mark.parametrize("name", PROMISED)
def test_one_byte_less_than_promised_is_truncated(name: str) -> None:
    data = REAL[name][0]
    with pytest.raises(KernelImageError, match=rf"^K is truncated: it has {len(data) - 1} bytes, its "):
        parse(data[:-1], "K")


@given(st.sampled_from(PROMISED), st.data())
def test_every_truncation_is_refused(name: str, draw: st.DataObject) -> None:
    data = REAL[name][0]
    with pytest.raises(KernelImageError):
        parse(data[: draw.draw(st.integers(0, len(data) - 1))])


@given(st.binary(max_size=2048))
@example(b"\x1f\x8b\x08")
@example(b"\x7fELF\x02\x01")
@example(b"MZ\0\0zimg")
@example(b"MZ\0\0zimg" + b"\xff" * 100)
def test_arbitrary_bytes_are_never_another_error(data: bytes) -> None:
    with pytest.raises(KernelImageError):
        parse(data)


@given(
    st.sampled_from(sorted(REAL)),
    st.lists(st.tuples(st.integers(0, 1023), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6),
    st.integers(0, 1 << 16),
)
def test_mutated_headers_are_read_or_refused(name: str, changes: list[tuple[int, bytes]], cut: int) -> None:
    data = bytearray(REAL[name][0])
    for offset, new in changes:
        data[offset : offset + len(new)] = new
    data = data[:-cut] if cut < len(data) // 2 and cut else data
    with contextlib.suppress(KernelImageError):
        assert parse(data).size == len(data)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "K is empty"),
        (b"hello world\n", "it starts with 'hello world'"),
        (b"\x01\x02\x03", "it starts with 01 02 03"),
        (b"#!/bin/sh\n", "it starts with 23 21 2f 62 (a script)"),
        (b"MZ" + bytes(600), "it starts with 4d 5a 00 00 (a program for EFI, DOS or Windows)"),
        (gzip.compress(b"070701 initramfs"), "its gzip data starts with 30 37 30 37 (a cpio archive)"),
        (gzip.compress(b""), "its gzip data starts with nothing"),
        (b"\x1f\x8b\x08" + b"\xff" * 40, "K is damaged: its gzip data cannot be read"),
        (vmlinux(62, kind=1), "it is an ELF object or module"),
        (vmlinux(62, kind=4), "it is an ELF core dump"),
        (vmlinux(62, segment=3), "it starts with 7f 45 4c 46 (an ELF program)"),
    ],
)
def test_what_is_no_kernel_is_named(data: bytes, says: str) -> None:
    with pytest.raises(KernelImageError) as caught:
        parse(data, "K")
    assert says in caught.value.problem
    assert caught.value.problem.startswith("K ")
    assert caught.value.exit_code == 3


def test_gzip_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "MAX_UNPACKED", 1 << 20)
    with pytest.raises(KernelImageError, match="holds more than 1 MiB"):
        parse(gzip.compress(bytes(2 << 20)))


def test_this_python_is_no_kernel() -> None:
    with pytest.raises(KernelImageError, match="an ELF program"):
        inspect(Path("/proc/self/exe").resolve())


def test_header_of_a_protocol_before_sizes_is_not_called_truncated() -> None:
    data = bytearray(bzimage())
    _put(data, 0x206, "<H", 0x0203)
    data[:2] = b"\xea\x05"
    assert parse(data[:0x900]).format == "bzImage"


@pytest.mark.parametrize(
    ("arch", "asked", "says"),
    [
        ("arm64", "x86_64", "K is for arm64, but arch=x86_64 was asked; arch=arm64"),
        ("i386", "x86_64", "K is for i386, but arch=x86_64 was asked; an image for x86_64"),
    ],
)
def test_other_architecture_is_refused_with_the_right_one(arch: str, asked: str, says: str) -> None:
    with pytest.raises(KernelImageError) as caught:
        require_arch(ImageInfo("Image", arch, None, 1), asked, "K")
    assert str(caught.value) == says


def test_an_added_record_names_its_images(monkeypatch: pytest.MonkeyPatch) -> None:
    power = dataclasses.replace(ARM64, name="power", elf_machine=21, pe_machine=0x1F2)
    monkeypatch.setitem(ARCHES, "power", power)
    monkeypatch.setitem(ARCHES, "x86", dataclasses.replace(X86_64, name="x86", elf_machine=3, bits=32))
    monkeypatch.setitem(ARCHES, "board", dataclasses.replace(ARM64, name="board"))
    assert parse(vmlinux(21)).arch == "power"
    assert parse(vmlinux(21, wide=False)).arch == "ELF machine 21", "the same number, other addresses"
    assert parse(vmlinux(21, order=">")).arch == "power_be"
    assert parse(zboot(gzip.compress(BANNER), machine=0x1F2)).arch == "power"
    assert parse(bzimage(wide=False)).arch == parse(vmlinux(3, wide=False)).arch == "x86"
    # another machine of the same kind takes its images, and only those
    require_arch(parse(arm64_image()), "board", "K")
    with pytest.raises(KernelImageError, match="K is for arm64, but arch=power was asked; arch=arm64"):
        require_arch(parse(arm64_image()), "power", "K")


def test_places_that_are_no_file_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "empty").touch()
    for name, says in (
        ("none", "no such file: "),
        ("", " is a directory"),
        ("fifo", " is not a regular file"),
        ("empty", " is empty"),
        ("empty/below", " cannot be read: Not a directory"),
        ("x" * 300, " cannot be read: File name too long"),
    ):
        with pytest.raises(KernelImageError) as caught:
            inspect(tmp_path / name)
        assert says in caught.value.problem
        assert "\n" not in str(caught.value)


def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vmlinuz"
    path.write_bytes(bzimage())
    path.chmod(0)
    user = os.geteuid()
    if user == 0:  # who may read everything
        os.seteuid(65534)
    try:
        with pytest.raises(KernelImageError, match="cannot be read: Permission denied"):
            inspect(path)
    finally:
        os.seteuid(user)
