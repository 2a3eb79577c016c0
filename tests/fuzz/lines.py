"""Bytes of a console into lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.parts import is_shown, logs, pieces
from sistasks.textlines import LINE_LIMIT, Line, Lines, after_stamp, stamp

if TYPE_CHECKING:
    from collections.abc import Iterable


def fuzz(data: bytes) -> None:
    """Lines are short and can be shown, their offsets rise, and cuts make no difference."""
    rest, cut = pieces(data)
    whole = _read([rest])
    assert whole == _read(cut), "how the bytes are cut makes a difference"
    offset = -1
    for line in whole:
        assert is_shown(line.text)
        assert len(line.text) <= LINE_LIMIT + 60
        assert offset < line.offset <= len(rest)
        assert stamp(line.text) + after_stamp(line.text) == line.text
        offset = line.offset


def _read(chunks: list[bytes]) -> list[Line]:
    lines, found = Lines(), list[Line]()
    for chunk in chunks:
        found += lines.feed(1, chunk)
        assert is_shown(lines.partial)
    return found + lines.end(1)


def seeds() -> Iterable[bytes]:
    """What real kernels said."""
    for log in logs():
        yield b"\x05" + log[:3000]
    yield b"\x01\x1b[2J\x1b[01;01Ha\r\r\nb\rc\x1b]0;title\x1b\\\xc2\x90\xc2\x9c" + b"x" * 5000
