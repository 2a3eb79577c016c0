"""The kernel inside a compressed image: what the boot code would unpack.

The sources of the formats:
    x86 bzImage: Linux Documentation/arch/x86/boot.rst, `payload_offset` and `payload_length` (protocol 2.08).
    EFI zboot: Linux drivers/firmware/efi/libstub/zboot-header.S.
    The compressors, and the four bytes of size behind all but gzip: Linux scripts/Makefile.lib, `size_append`.
    LZ4, the legacy frame: lz4 doc/lz4_Frame_format.md.
"""

from __future__ import annotations

import bz2
import lzma
import re
import struct
import zlib
from typing import TYPE_CHECKING, Final, Protocol

from sistasks.errors import KernelImageError

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable, Iterator

    Buffer = bytes | bytearray | memoryview | mmap.mmap

GZIP: Final = b"\x1f\x8b\x08"
XZ: Final = b"\xfd7zXZ\0"
LZMA: Final = b"\x5d\0\0"
BZIP2: Final = b"BZh"
LZ4: Final = b"\x02\x21\x4c\x18"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
LZO: Final = b"\x89LZO\0\r\n\x1a\n"
# four times the largest distribution kernel; what gives more is no kernel but an attack on the memory
MAX_UNPACKED: Final = 256 << 20
BANNER: Final = b"Linux version "
_LZ4_BLOCK: Final = 8 << 20
# bytes of a header in front of what a bzImage unpacks
_PROTOCOL, _SETUP_SECTORS, _PAYLOAD = 0x206, 0x1F1, 0x248


class DamagedError(ValueError):
    """Data that no compressor wrote, or not all of it."""


class _Stream(Protocol):
    def __call__(self, data: memoryview, limit: int) -> bytes: ...


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    def decompress(self, data: memoryview, limit: int, /) -> bytes: ...


def _whole(stream: _Decompressor, data: memoryview, limit: int) -> bytes:
    found = stream.decompress(data, limit)
    if not stream.eof and len(found) < limit:
        raise DamagedError("it ends too early")
    return found


def _gzip(data: memoryview, limit: int) -> bytes:
    return _whole(zlib.decompressobj(wbits=31), data, limit)


def _lzma(data: memoryview, limit: int) -> bytes:
    # either container, with a limit on the memory that a header may ask for
    return _whole(lzma.LZMADecompressor(memlimit=MAX_UNPACKED), data, limit)


def _bzip2(data: memoryview, limit: int) -> bytes:
    return _whole(bz2.BZ2Decompressor(), data, limit)


def _zstd(data: memoryview, limit: int) -> bytes:
    import zstandard

    try:
        with zstandard.ZstdDecompressor(max_window_size=MAX_UNPACKED >> 1).stream_reader(data) as reader:
            return reader.read(limit)
    except zstandard.ZstdError as error:
        raise DamagedError(str(error)) from error


def _lz4(data: memoryview, limit: int) -> bytes:
    """Blocks of their length and their data, each of 8 MiB unpacked but the last."""
    from lz4.block import LZ4BlockError, decompress

    found = bytearray()
    at = 0
    while at + 4 <= len(data) and len(found) < limit:
        (size,) = struct.unpack_from("<I", data, at)
        at += 4
        if struct.pack("<I", size) == LZ4:
            continue  # a frame behind another
        if not 0 < size <= len(data) - at:
            break  # the size of all that stands behind the data, or more that is no part of it
        try:
            found += decompress(data[at : at + size], uncompressed_size=min(_LZ4_BLOCK, limit))
        except LZ4BlockError as error:
            if not found:
                raise DamagedError(str(error)) from error
            break
        at += size
    if not found:
        raise DamagedError("it holds no block")
    return bytes(found[:limit])


_STREAMS: Final[tuple[tuple[bytes, str, _Stream], ...]] = (
    (GZIP, "gzip", _gzip),
    (XZ, "xz", _lzma),
    (LZMA, "lzma", _lzma),
    (LZ4, "lz4", _lz4),
    (ZSTD, "zstd", _zstd),
    (BZIP2, "bzip2", _bzip2),
)
_FAILURES: Final = (DamagedError, zlib.error, lzma.LZMAError, EOFError, OSError)


def unpackings(data: Buffer, limit: int = MAX_UNPACKED) -> Iterator[bytes]:
    """What each place gives that may be a compressed stream.

    Code and data hold such bytes by chance, so a few are tried.

    Args:
        data: of any kind.
        limit: bytes of each that are unpacked.
    """
    for magic, _, unpack in _STREAMS:
        for tried, found in enumerate(re.finditer(re.escape(magic), data)):
            if tried == 8:
                break
            try:
                yield unpack(memoryview(data)[found.start() :], limit)
            except _FAILURES:
                continue


def unpacked(data: Buffer, form: str, name: str = "the image") -> bytes:
    """The kernel itself: the ELF file of an x86 kernel, else the flat image that runs.

    Args:
        data: the whole file.
        form: as in `image.ImageInfo`.
        name: what a refusal calls it.

    Raises:
        KernelImageError: it cannot be unpacked, and why.
    """
    places: dict[str, Callable[[Buffer], memoryview | None]] = {
        "bzImage": _inside_bzimage,
        "zboot": _inside_zboot,
        "Image.gz": memoryview,
    }
    if form not in places and form != "zImage":
        return bytes(data)
    inner = places[form](data) if form in places else None
    if inner is not None:
        return _of_one(inner, name)
    found = next((one for one in unpackings(data) if BANNER in one), None)
    if found is None:
        raise _refusal(name, "it has no compressed kernel that can be read")
    return found


def _of_one(data: memoryview, name: str) -> bytes:
    start = bytes(data[: len(LZO)])
    for magic, what, unpack in _STREAMS:
        if start.startswith(magic):
            try:
                found = unpack(data, MAX_UNPACKED + 1)
            except _FAILURES as error:
                raise _refusal(name, f"its {what} data is damaged") from error
            if len(found) > MAX_UNPACKED:
                raise _refusal(name, f"its {what} data holds more than {MAX_UNPACKED >> 20} MiB")
            return found
    if start.startswith(LZO):
        raise _refusal(name, "it is compressed with LZO, which cannot be read")
    if start.startswith(b"\x7fELF"):
        return bytes(data)  # the boot protocol allows it
    raise _refusal(name, f"its compressed data starts with {start[:4].hex(' ')}, which is no known format")


def _inside_bzimage(data: Buffer) -> memoryview | None:
    if len(data) < _PAYLOAD + 8:
        return None
    (protocol,) = struct.unpack_from("<H", data, _PROTOCOL)
    offset, size = struct.unpack_from("<II", data, _PAYLOAD)
    if protocol < 0x0208 or not size:
        return None
    start = ((data[_SETUP_SECTORS] or 4) + 1) * 512 + offset
    return memoryview(data)[start : start + size]


def _inside_zboot(data: Buffer) -> memoryview | None:
    if len(data) < 16:
        return None
    offset, size = struct.unpack_from("<II", data, 8)
    return memoryview(data)[offset : offset + size]


def _refusal(name: str, why: str) -> KernelImageError:
    return KernelImageError(f"{name} cannot be unpacked: {why}")
