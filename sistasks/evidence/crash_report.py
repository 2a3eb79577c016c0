"""One crash: the lines of its report as they come, when the report ends, and the title that all like it share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.evidence.crash_patterns import (
    END,
    FRAME,
    LOCK,
    NOWHERE,
    POINTER,
    RULE,
    RULED,
    TRACE_END,
    is_helper,
    is_report,
)  # fmt: skip
from sistasks.textlines import after_stamp, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sistasks.evidence.crash_patterns import Pattern

REPORT_LINES: Final = 300
REPORT_BYTES: Final = 48 << 10
"""Characters of a report that are kept."""
TITLE_LIMIT: Final = 160
_SHOWN: Final = 400
_STARTED_LINES: Final = 20
# lines of others in a row after which a report has ended
_PATIENCE: Final = 25

_POINTER: Final = re.compile(
    r"RIP: 00[01][08]:(?:\[<\w+>\] *){0,2}([A-Za-z_$][\w.$]*)\+0x|(?:EIP: |PC is at |pc : |epc : "
    r"|EIP is at )([A-Za-z_$][\w.$]*)\+0x"
)
_FRAME: Final = re.compile(
    r"\s*(?:\[<[0-9a-f]+>\] *)?(?:\(?([A-Za-z_$][\w.$]*)\)? from "
    r"|\(?([A-Za-z_$][\w.$]*)\+0x[0-9a-f]+/0x[0-9a-f]+)"
)
_LOCK: Final = re.compile(r".* at: (?:\[<\w+>\] *)?([A-Za-z_$][\w.$]*)\+0x")
_ACCESS: Final = re.compile(r"(Read|Write) (?:of size|at addr)")
_TRACE: Final = re.compile(r"(?:Call [Tt]race|Backtrace|stack backtrace)")
# the stacks of others: who allocated, who freed
_OTHERS: Final = re.compile(
    r"(?:rcu: RCU grace-period|Allocated|Freed|Last potentially|Uninit was|allocated by|freed by)"
)
_SUFFIX: Final = re.compile(r"(?:\.(?:constprop|isra|part|cold|llvm|lto_priv)(?:\.\d+)?)+$")
_OFFSET: Final = re.compile(r"([A-Za-z_$][\w.$]*)\+0x[0-9a-f]+(?:/0x[0-9a-f]+)?(?: \[\w+\])?")
_NUMBERS: Final = (
    (re.compile(r"CPU ?#?\d+"), "CPU"),
    (re.compile(r" exitcode=0x[0-9a-f]+"), ""),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "ADDR"),
    (re.compile(r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{8,}\b"), "ADDR"),
    (
        re.compile(r"(?<![\w.])(?<![A-Za-z]-)\d+(?:\.\d+)?(?=s\b|ms\b|us\b|KiB\b|MiB\b|kB\b|MB\b|$|[^\w])"),
        "N",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """One complaint of a kernel's, or of what should have started it.

    Attributes:
        kind: one of `crash_patterns.KINDS`.
        title: in words, the same for every crash like it: without addresses, numbers and names of processes.
        report: the lines around it, as far as they have come; plain text.
        offset: of the first line's first byte on the console.
        line: the first line, whole, without control characters and its end.
        fatal: nothing ran after it.
        at: when the first line was complete, ns as fed.
    """

    kind: str
    title: str
    report: str = ""
    offset: int = 0
    line: str = ""
    fatal: bool = False
    at: int = 0


def function_name(name: str) -> str:
    """A function without what the compiler added to its name."""
    return _SUFFIX.sub("", name)


def normalised(words: str) -> str:
    """Words without what differs from one crash to the next: addresses, offsets, numbers, processors."""
    words = words[: 2 * TITLE_LIMIT]
    words = _OFFSET.sub(lambda match: function_name(match[1]), words)
    for pattern, stands in _NUMBERS:
        words = pattern.sub(stands, words)
    return " ".join(words.split()).strip(" :!-,.")


class Draft:
    """A crash whose report still grows.

    Args:
        pattern: how it began.
        said: the groups of the pattern on the first line.
        line: the first line.
        offset, at: as of Crash.
        before: lines before it.

    Attributes:
        fatal: nothing runs after it.
        open: more lines may belong to it.
        traced: the report's own end has come; what a fault causes may still come.
    """

    def __init__(
        self,
        pattern: Pattern,
        said: dict[str, str],
        line: str,
        *,
        offset: int,
        at: int,
        before: Sequence[str],
    ) -> None:
        self.pattern = pattern
        self.fatal = pattern.fatal
        self.open = True
        self.traced = False
        self._groups = said
        self._line, self._offset, self._at = line, offset, at
        self._lines = [*before, shorten(line, _SHOWN)]
        self._head = len(before) + 1
        self._size = sum(len(text) for text in self._lines)
        self._foreign = 0
        self._pointer = self._frame = self._lock = self._access = ""
        self._own = True
        self._told: Crash | None = None

    def add(self, line: str, *, own: bool = False) -> None:
        """The next line of the console, whosever it is unless it is known to be its own."""
        body = after_stamp(line)
        self._told = None
        self._lines.append(shorten(line, _SHOWN))
        self._size += len(self._lines[-1])
        self._foreign = 0 if own or is_report(body) else self._foreign + 1
        if not self.traced:
            self._look(body)
        if TRACE_END.match(body):
            self.traced = True
        ruled = self.pattern.kind in RULED and RULE.match(body) and len(self._lines) > self._head + 1
        limit = _STARTED_LINES if self.pattern.kind == "reboot" else REPORT_LINES
        full = len(self._lines) >= limit or self._size >= REPORT_BYTES
        if END.match(body) or self._foreign >= _PATIENCE or full:
            self.close()
        elif ruled:
            self.traced = True

    def end(self) -> None:
        """It was the end of the kernel."""
        self.fatal = True
        self._told = None

    def close(self) -> None:
        """Nothing more belongs to it: what others said last does not."""
        self.open = False
        if self._foreign:
            del self._lines[max(self._head, len(self._lines) - self._foreign) :]
        self._foreign = 0
        self._told = None

    def _look(self, body: str) -> None:
        if not self._pointer and (match := _POINTER.match(body)):
            self._pointer = match[1] or match[2]
        if _OTHERS.match(body):
            self._own = False
        if not self._access and (match := _ACCESS.match(body)):
            self._access = match[1]
        if not self._lock and (match := _LOCK.match(body)) and not is_helper(match[1]):
            self._lock = match[1]
        if self._own and not self._frame and (match := _FRAME.match(body)):
            function = match[1] or match[2]
            if not is_helper(function):
                self._frame = function

    def _function(self) -> str:
        where = self.pattern.function
        said = self._groups.get("where", "")
        # a file is no function
        said = (
            said
            if where != NOWHERE and "/" not in said and not said.endswith((".c", ".h", ".rs", ".S"))
            else ""
        )
        if said and not is_helper(said):
            return said
        if where == LOCK:
            return self._lock or self._frame
        if where == POINTER and self._pointer and not is_helper(self._pointer):
            return self._pointer
        return self._frame if where in {FRAME, POINTER} else ""

    def _title(self) -> str:
        groups = {"what": "", "where": "", **self._groups}
        groups = {key: normalised(value) for key, value in groups.items()}
        if self.pattern.kind == "kcsan":
            groups["where"] = " / ".join(sorted(function_name(name) for name in groups["where"].split(" / ")))
        access = (
            f" {self._access}"
            if self._access and not groups["what"].endswith(("invalid-free", "double-free"))
            else ""
        )
        title = self.pattern.title.format(**groups, access=access).strip(" :")
        function = function_name(self._function())
        if function:
            title += f" in {function}"
        elif self.pattern.function != NOWHERE and (file := groups["where"] or groups["what"]) and "/" in file:
            title += f" at {file}"
        return shorten(title, TITLE_LIMIT)

    def crash(self) -> Crash:
        """What is known so far."""
        if self._told is None:
            self._told = Crash(
                kind=self.pattern.kind, title=self._title(), report="\n".join(self._lines), offset=self._offset,
                line=self._line, fatal=self.fatal, at=self._at,
            )  # fmt: skip
        return self._told
