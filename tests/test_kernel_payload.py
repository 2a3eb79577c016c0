from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import zlib
from typing import TYPE_CHECKING

import lz4.block
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from sistasks.errors import KernelImageError
from sistasks.kernels import payload

if TYPE_CHECKING:
    from collections.abc import Callable

KERNEL = b"\x7fELF" + bytes(range(256)) * 40 + b"Linux version 6.9.1 (me) #1\n\0"


def lz4_legacy(data: bytes) -> bytes:
    blocks = [data[at : at + (8 << 20)] for at in range(0, len(data), 8 << 20)]
    packed = [lz4.block.compress(block, store_size=False) for block in blocks]
    return payload.LZ4 + b"".join(struct.pack("<I", len(block)) + block for block in packed)


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32),
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "lz4": lz4_legacy,
    "zstd": lambda data: zstandard.ZstdCompressor(write_content_size=False).compress(data),
    "bzip2": bz2.compress,
}


def bzimage(inner: bytes, size: int | None = None) -> bytes:
    """Setup of four sectors, code of 1000 bytes, and what it unpacks, with the size that the kernel's make appends."""
    data = bytearray(5 * 512 + 1000)
    data[0x1F1] = 4
    struct.pack_into("<H", data, 0x206, 0x020F)
    struct.pack_into("<II", data, 0x248, 1000, len(inner) + 4 if size is None else size)
    return bytes(data) + inner + struct.pack("<I", len(KERNEL)) + bytes(100)


def zboot(inner: bytes) -> bytes:
    head = bytearray(0x200)
    head[:8] = b"MZ\0\0zimg"
    struct.pack_into("<II", head, 8, len(head), len(inner))
    return bytes(head) + inner + bytes(100)


@pytest.mark.parametrize("kind", PACK)
def test_what_was_packed_is_unpacked(kind: str) -> None:
    packed = PACK[kind](KERNEL)
    assert payload.unpacked(bzimage(packed), "bzImage") == KERNEL
    assert payload.unpacked(zboot(packed), "zboot") == KERNEL
    # code in front, data behind, and a decoy
    assert payload.unpacked(b"\x1f\x8b\x08 no gzip" + bytes(50) + packed + bytes(50), "zImage") == KERNEL


def test_a_large_kernel_of_several_blocks() -> None:
    large = KERNEL * (1 + (20 << 20) // len(KERNEL))
    assert payload.unpacked(bzimage(lz4_legacy(large)), "bzImage") == large


def test_what_is_not_compressed_is_as_it_is() -> None:
    assert payload.unpacked(KERNEL, "vmlinux") == KERNEL
    assert payload.unpacked(b"MZ\0\0", "Image") == b"MZ\0\0"
    assert payload.unpacked(gzip.compress(KERNEL), "Image.gz") == KERNEL
    assert payload.unpacked(bzimage(KERNEL), "bzImage").startswith(KERNEL)


@pytest.mark.parametrize(
    ("data", "form", "why"),
    [
        (bzimage(payload.LZO + b"..."), "bzImage", "it is compressed with LZO, which cannot be read"),
        (bzimage(b"what?"), "bzImage", "its compressed data starts with 77 68 61 74, which is no known format"),
        (bzimage(b"", 0), "bzImage", "it has no compressed kernel that can be read"),
        (bzimage(gzip.compress(KERNEL), 200), "bzImage", "its gzip data is damaged"),
        (bzimage(payload.LZ4 + b"\x10\0\0\0" + b"\xff" * 16), "bzImage", "its lz4 data is damaged"),
        (bzimage(payload.ZSTD + b"\xff" * 16), "bzImage", "its zstd data is damaged"),
        (b"MZ", "zboot", "it has no compressed kernel that can be read"),
        (bytes(500), "zImage", "it has no compressed kernel that can be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_unpacked_says_why(data: bytes, form: str, why: str) -> None:
    with pytest.raises(KernelImageError) as caught:
        payload.unpacked(data, form, "it.img")
    assert caught.value.problem == f"it.img cannot be unpacked: {why}"


@pytest.mark.parametrize("kind", ["gzip", "xz", "lz4", "zstd", "bzip2"])
def test_what_unpacks_to_too_much_is_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "MAX_UNPACKED", 16 << 20)
    packed = PACK[kind](KERNEL + bytes(16 << 20))
    with pytest.raises(KernelImageError, match=f"its {kind} data holds more than 16 MiB"):
        payload.unpacked(bzimage(packed), "bzImage")


@settings(deadline=None)
@given(
    st.sampled_from(sorted(PACK)),
    st.sampled_from(["bzImage", "zboot", "zImage"]),
    st.data(),
    st.binary(max_size=20),
)
def test_whatever_comes_is_unpacked_or_refused(
    kind: str, form: str, data: st.DataObject, noise: bytes
) -> None:
    packed = PACK[kind](KERNEL)
    image = bytearray(zboot(packed) if form == "zboot" else bzimage(packed))
    at = data.draw(st.integers(0, len(image)))
    image[at : at + len(noise)] = noise
    image = image[: data.draw(st.integers(0, len(image)))]
    try:
        found = payload.unpacked(bytes(image), form)
    except KernelImageError:
        return
    assert isinstance(found, bytes)


def test_places_that_only_look_so_are_passed_over() -> None:
    data = b"\x1f\x8b\x08" * 100 + zlib.compress(KERNEL) + gzip.compress(b"one") + gzip.compress(b"two")
    assert list(payload.unpackings(data)) == []  # eight are tried
    assert list(payload.unpackings(data[len(b"\x1f\x8b\x08") * 94 :])) == [b"one", b"two"]
