"""Bytes of a serial console, as they come, into lines of plain text; whatever comes, memory stays bounded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

LINE_LIMIT: Final = 4096
"""Bytes of a line that are kept; the beginning, because only there kernels say what they mean."""
_TAIL: Final = 256
_END: Final = re.compile(rb"\r*\n|\r+")
# firmware writes on a screen: what follows a jump of the cursor or a cleared screen is another line
_JUMP: Final = re.compile(rb"\x1b\[[0-9;?]*[EFHJfd]")
# ECMA-48: 5.6 control strings up to their end, 5.4 control sequences (parameters, intermediates, one final byte),
# two-character escapes, single control characters; a tab is text. A string ends before another begins, or a line of
# beginnings without an end would be read to its end for each of them
_CONTROL: Final = re.compile(
    r"(?:\x1b[PX\]^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9c-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]|[\x00-\x08\x0a-\x1f\x7f-\x9f]"
)
_UNFINISHED: Final = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|[PX\]^_][^\x07\x1b]*)?\Z")
_STAMP: Final = re.compile(r"(?:<\d{1,3}>)?\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ?|<\d{1,3}>")


def plain(data: bytes) -> str:
    """Text without control sequences and control characters; bytes that are no UTF-8 become U+FFFD."""
    return _CONTROL.sub("", data.decode("utf-8", "replace")).replace("\u2028", " ").replace("\u2029", " ")


def after_stamp(text: str) -> str:
    """The line without printk's level, time stamp and caller (`<6>[    1.234567][    T1] `)."""
    match = _STAMP.match(text)
    return text[match.end() :] if match else text


def stamp(text: str) -> str:
    """What after_stamp takes away; empty: the line has none."""
    match = _STAMP.match(text)
    return match[0] if match else ""


def shorten(text: str, limit: int = 80) -> str:
    """At most limit letters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def visible(words: str, limit: int = 60) -> str:
    """Words of anybody, on one line, without what would steer a terminal, and not too many of them."""
    kept = words if len(words) <= limit else words[: limit - 1] + "…"
    return kept if kept.isprintable() else repr(kept)[1:-1]


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        at: time of the bytes that ended it, ns, as they were fed.
        offset: of its first byte on the console.
        text: plain, without the end of the line and trailing blanks.
        cut: it was longer than LINE_LIMIT, and text ends with a mark that says so.
    """

    at: int
    offset: int
    text: str
    cut: bool = False


class Lines:
    """Makes lines; CR LF, LF, a lone CR and a jump of the cursor end one.

    How the bytes are cut into pieces makes no difference to the lines, but for their times.
    """

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = b""
        self._size = 0
        self._begin = 0
        self._count = 0
        self._returned = False

    def feed(self, at: int, data: bytes) -> list[Line]:
        """The lines that these bytes end.

        Args:
            at: now, in ns.
            data: what came.
        """
        lines: list[Line] = []
        begin = self._skip_feed(data)
        for end in _END.finditer(data, begin):
            self._add(data[begin : end.start()])
            self._count += end.end() - end.start()
            lines += self._take(at)
            begin = end.end()
        self._add(data[begin:])
        if data:
            self._returned = data.endswith(b"\r")
        return lines

    def end(self, at: int) -> list[Line]:
        """What stands on the last, unfinished line; there will be no more bytes."""
        return self._take(at) if self._size else []

    @property
    def offset(self) -> int:
        """Of the unfinished line's first byte."""
        return self._begin + self._jumped()

    @property
    def partial(self) -> str:
        """What stands on the unfinished line: a prompt comes without an end. Of a long line only its last part."""
        raw = bytes(self._head[self._jumped() :]) if self._size <= LINE_LIMIT else self._tail
        return plain(_UNFINISHED.sub(b"", raw)).rstrip()

    def _jumped(self) -> int:
        jumps = [jump.end() for jump in _JUMP.finditer(self._head)] if b"\x1b" in self._head else []
        return jumps[-1] if jumps and self._size <= LINE_LIMIT else 0

    def _skip_feed(self, data: bytes) -> int:
        """How many bytes belong to the end of a line that was a CR at the end of the piece before."""
        if not self._returned:
            return 0
        skip = len(data) - len(data.lstrip(b"\r"))
        if data[skip : skip + 1] == b"\n":
            skip += 1
        self._count += skip
        self._begin = self._count
        return skip

    def _add(self, data: bytes) -> None:
        if not data:
            return
        self._count += len(data)
        self._size += len(data)
        room = LINE_LIMIT - len(self._head)
        self._head += data[: max(room, 0)]
        self._tail = (self._tail + data[-_TAIL:])[-_TAIL:]

    def _take(self, at: int) -> list[Line]:
        raw, size, begin = bytes(self._head), self._size, self._begin
        self._head.clear()
        self._tail, self._size, self._begin = b"", 0, self._count
        ends = [(jump.start(), jump.end()) for jump in _JUMP.finditer(raw)] if b"\x1b" in raw else []
        starts = [0, *(end for _, end in ends)]
        stops = [*(start for start, _ in ends), len(raw)]
        lines = [
            Line(at, begin + start, plain(raw[start:stop]).rstrip())
            for start, stop in zip(starts, stops, strict=True)
        ]
        if size > LINE_LIMIT:
            lines[-1] = Line(
                at, lines[-1].offset, f"{lines[-1].text} […cut: the line had {size} bytes]", cut=True
            )
        # between two jumps there is often nothing; a line that is empty by itself is one
        return [line for line in lines if line.text] or lines[:1]
