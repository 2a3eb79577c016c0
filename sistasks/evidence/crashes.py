"""What a console says of a kernel's end, recognised as it comes: bytes in, crashes out.

A crash begins with a line of `crash_patterns`, which stand at the beginning of a line, after printk's level, time stamp
and caller; a line that merely mentions the words is silent. What follows belongs to its report until the report ends,
and so does the panic that a fault causes: one crash is told once. How the bytes are cut into pieces makes no
difference. Memory is bounded whatever comes: LINE_LIMIT, CRASHES, and the limits of a report.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Final

from sistasks.evidence import crash_patterns as known
from sistasks.evidence.crash_report import Crash, Draft
from sistasks.textlines import after_stamp, plain, shorten, stamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sistasks.evidence.crash_patterns import Pattern

__all__ = ["CRASHES", "LINE_LIMIT", "Crash", "Recogniser"]

LINE_LIMIT: Final = 4096
"""Bytes of a line that are looked at; kernels say at the beginning what they mean."""
CRASHES: Final = 100
"""More are not kept, but for the first that is fatal."""
_BEFORE: Final = 1024
_BEFORE_LINES: Final = 6
_SHOWN: Final = 400
# what may be an escape sequence that the end of a piece has cut
_ESCAPE: Final = 32
# firmware writes on a screen: what follows a jump of the cursor or a cleared screen is another line
_JUMP: Final = rb"\x1b\[[0-9;?]{0,16}+[EFHJfd]"
_COLOUR: Final = rb"(?:\x1b\[[0-?]{0,16}+[ -/]?+[@-~])*+"
_STAMP: Final = rb"(?:<\d{1,3}+>)?+(?:\[ {0,8}+\d{1,9}+\.\d{1,9}+\](?:\[ {0,8}+[TC]\d{1,9}+\])?+ ?+)?+"
# one look at each beginning of a line: nearly all of a console is passed over by this
_LINE: Final = rb"(\n)" + _STAMP
_RETURN: Final = rb"([\n\r])" + _STAMP
_SCREEN: Final = rb"(\n|\r|" + _JUMP + rb")" + _COLOUR + _STAMP + _COLOUR


@functools.cache
def _first_look(begins: bytes, *, fatal: bool) -> re.Pattern[bytes]:
    """What one look at each beginning of a line finds; nearly all of a console is passed over by it.

    Args:
        begins: how lines begin.
        fatal: only with what a kernel may end.
    """
    heads = known.FATAL_HEADS if fatal else known.HEADS
    return re.compile(begins + rb"(?=[ -~])(?:" + rb"|".join(heads) + rb")")


_END: Final = re.compile(rb"[\n\r]")
_SCREEN_END: Final = re.compile(rb"\n|\r|" + _JUMP)


class Recogniser:
    """Watches one console from its first byte.

    `crashes` and `fatal` tell at any time what is known; a report and, with it, the function in a title may still grow.
    """

    def __init__(self) -> None:
        self._rest = b"\n"  # the last end of a line and what stands behind it
        self._offset = -1  # of its first byte
        self._skips = False  # the unfinished line is longer than the limit: its beginning has been seen
        self._before = b""
        self._drafts: list[Draft] = []
        self._fatal: Draft | None = None
        self._panic = ""
        self._started = False
        self._linux = False  # it spoke since the machine started
        self._ever = False  # it ever spoke
        self._last = 0

    @property
    def crashes(self) -> tuple[Crash, ...]:
        """All, in the order in which they began."""
        return tuple(draft.crash() for draft in self._drafts)

    @property
    def fatal(self) -> Crash | None:
        """The first that ended the kernel, from the end of the line on that says so."""
        return None if self._fatal is None else self._fatal.crash()

    @property
    def panic(self) -> str:
        """The line with which Linux ended itself, without its stamp; empty: it has not."""
        return self._panic

    def feed(self, data: bytes, at: int = 0) -> None:
        """Take what came.

        Args:
            data: bytes of the console.
            at: now, in ns.
        """
        self._last = at
        data = self._rest + data
        stop = max(data.rfind(b"\n"), data.rfind(b"\r"), 0)
        if len(data) - stop > LINE_LIMIT and b"\x1b" in data:
            for jump in _SCREEN_END.finditer(data, stop):
                stop = jump.start()
        if stop:
            self._lines(data, stop, at)
            self._keep(data[:stop])
        self._offset += stop
        self._rest = data[stop:]
        if len(self._rest) > LINE_LIMIT + _ESCAPE:
            self._cut(at)

    def line(self, text: str, at: int = 0, offset: int = 0) -> None:
        """Take one whole line, for who has lines already; not to be mixed with feed.

        Args:
            text: plain, with its stamp if it has one.
            at: now, in ns.
            offset: of its first byte on the console.
        """
        raw = b"\n" + text[:LINE_LIMIT].encode()
        self._last = at
        if self._is_open() or self._look(_LINE).match(raw):
            self._see(text[:LINE_LIMIT], offset, at, self._before)
        self._keep(raw)

    def finish(self) -> None:
        """Nothing more will come."""
        self._lines(self._rest + b"\n", len(self._rest), self._last)
        self._rest = b"\n"
        if self._is_open():
            self._drafts[-1].close()

    def _cut(self, at: int) -> None:
        """The unfinished line is too long: its beginning is all that counts, and the rest goes as it comes."""
        if not self._skips:
            self._lines(self._rest, len(self._rest), at)
            self._keep(self._rest[:LINE_LIMIT])
        self._skips = True
        self._offset += len(self._rest) - _ESCAPE
        self._rest = self._rest[-_ESCAPE:]

    def _keep(self, data: bytes) -> None:
        self._before = (self._before + data[-_BEFORE:])[-_BEFORE:]

    def _is_open(self) -> bool:
        return bool(self._drafts) and self._drafts[-1].open

    def _lines(self, data: bytes, stop: int, at: int) -> None:
        """Whole lines: each stands behind the end of the one before it, and the last ends at stop."""
        begins, end = _LINE, _END
        if b"\x1b" in data:
            begins, end = _SCREEN, _SCREEN_END
        elif data.count(b"\r") != data.count(b"\r\n"):
            begins = _RETURN
        begin = 0
        if self._skips:
            begin = _found(end, data, 0, stop)
            self._skips = begin == stop
        while begin < stop:
            if self._is_open():
                start = end.match(data, begin)
                text = start.end() if start else begin
            else:
                if self._is_full() or not (match := self._look(begins).search(data, begin, stop)):
                    return
                begin, text = match.start(), match.end(1)
            after = _found(end, data, text, stop)
            if raw := data[text : min(after, text + LINE_LIMIT)]:
                before = (self._before + data[max(0, begin - _BEFORE) : begin])[-_BEFORE:]
                self._see(plain(raw).rstrip(), self._offset + text, at, before)
            begin = after

    def _look(self, begins: bytes) -> re.Pattern[bytes]:
        return _first_look(begins, fatal=len(self._drafts) >= CRASHES)

    def _is_full(self) -> bool:
        return len(self._drafts) >= CRASHES and self._fatal is not None and bool(self._panic)

    def _see(self, text: str, offset: int, at: int, before: bytes) -> None:
        body = after_stamp(text)
        last = self._drafts[-1] if self._drafts else None
        is_linux = bool(known.LINUX.match(body))
        if is_linux or known.STARTS.match(body):
            if last is not None:
                last.close()
            # what a panic does at its end is no crash of its own
            if self._starts(is_linux=is_linux) and self._fatal is None:
                self._begin(Draft(known.REBOOT, {}, text, offset=offset, at=at, before=_lines_of(before)))
            return
        found = _recognised(body, stamped=bool(stamp(text)), linux=self._ever)
        if found is None:
            if last is not None and last.open:
                last.add(text)
            return
        pattern, match = found
        if pattern.fatal and pattern.kind in known.LAST and not self._panic:
            self._panic = body
        if last is not None and last.open:
            if self._belongs(last, pattern, match):
                self._deepen(last, pattern)
                last.add(text, own=True)
                return
            last.close()
        self._begin(Draft(pattern, match.groupdict(""), text, offset=offset, at=at, before=_lines_of(before)))

    def _begin(self, draft: Draft) -> None:
        if len(self._drafts) >= CRASHES:
            if not draft.fatal or self._fatal is not None:
                return
            self._drafts.pop()
        self._drafts.append(draft)
        if draft.fatal and self._fatal is None:
            self._fatal = draft

    def _deepen(self, draft: Draft, pattern: Pattern) -> None:
        """What a fault leads to may be the end."""
        if pattern.fatal:
            draft.end()
            if self._fatal is None:
                self._fatal = draft

    @staticmethod
    def _belongs(draft: Draft, pattern: Pattern, match: re.Match[str]) -> bool:
        """Whether a line that could begin a crash is part of the one whose report is open."""
        kind = draft.pattern.kind
        if kind == "reboot":
            return False
        if kind in known.BEFORE:
            return pattern.kind in known.BEFORE
        if pattern.kind == "panic" and pattern.fatal:
            words = match.groupdict().get("what") or ""
            if draft.fatal or known.CONSEQUENCE.match(words):
                return True
            return kind in known.FAULTS and bool(known.KILLED_INIT.match(words))
        if draft.fatal:  # a kernel that falls says many things
            return True
        return pattern.follows and not draft.traced and kind in known.FAULTS | known.FOLLOWED

    def _starts(self, *, is_linux: bool) -> bool:
        """The machine, or Linux in it, starts; whether that is a second time."""
        if self._drafts and self._drafts[-1].pattern in known.WITHDRAWN and not self._drafts[-1].fatal:
            self._drafts.pop()  # another of the boot options did
        again = self._linux
        self._linux = is_linux
        self._ever = self._ever or is_linux
        return again


def _found(pattern: re.Pattern[bytes], data: bytes, begin: int, stop: int) -> int:
    """Where it next is; stop: it is not."""
    match = pattern.search(data, begin, stop)
    return match.start() if match else stop


# a console that says the same for ever is looked up
@functools.lru_cache(maxsize=64)
def _recognised(body: str, *, stamped: bool, linux: bool) -> tuple[Pattern, re.Match[str]] | None:
    """How a line begins a crash, if it does.

    Args:
        body: without its stamp.
        stamped: it had one.
        linux: Linux ever spoke here.
    """
    if known.BENIGN.match(body):
        return None
    for pattern in known.PATTERNS:
        if pattern.linux in {None, linux} and (stamped or not pattern.stamped):
            match = pattern.match(body)
            if match:
                return pattern, match
    return None


def _lines_of(before: bytes) -> Sequence[str]:
    lines = [plain(line).rstrip() for line in _SCREEN_END.split(before)[1:]]
    return [shorten(line, _SHOWN) for line in lines if line][-_BEFORE_LINES:]
