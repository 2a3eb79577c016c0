"""Zstandard (RFC 8878) as streams, so that no file needs to fit into memory."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, BinaryIO, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIX: Final = ".zst"
CHUNK: Final = 1 << 20
# what a reader may be made to keep in memory; level 10 uses 4 MiB
_WINDOW: Final = 1 << 27


@contextlib.contextmanager
def compressing(target: BinaryIO, *, level: int = 3, size: int = -1) -> Iterator[BinaryIO]:
    """Compress into `target`, which stays open; the frame is complete at the end of the block.

    Args:
        target: where the frame goes.
        level: of compression; the bytes depend on nothing but it, the content and the library's version.
        size: of the content; it is then written into the frame, where `content_size` finds it. -1: not known.

    Raises:
        zstandard.ZstdError: more or less than `size` was written.
    """
    import zstandard

    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True)
    writer = cast("BinaryIO", compressor.stream_writer(target, size=size, closefd=False))
    yield writer
    # not after a failure: that the frame is too short then would hide why
    writer.close()


def decompressed(source: BinaryIO) -> BinaryIO:
    """The content of the frame that begins where `source` stands.

    What is no frame, or a damaged one, raises `zstandard.ZstdError` as it is read; one that is cut off just ends.
    """
    import zstandard

    reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(source, closefd=False)
    return cast("BinaryIO", io.BufferedReader(cast("io.RawIOBase", reader), CHUNK))


def content_size(head: bytes) -> int | None:
    """How long the content of a frame is, by its first 18 bytes; None where they do not tell."""
    import zstandard

    try:
        size = zstandard.frame_content_size(head)
    except zstandard.ZstdError:
        return None
    return size if size >= 0 else None
