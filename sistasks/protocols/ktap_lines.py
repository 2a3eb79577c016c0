"""The lines of KTAP: where the results begin on a console, and what each line is.

Source of the format: the kernel's Documentation/dev-tools/ktap.rst (KTAP 1; TAP 13 and 14 are taken, too), and what its
tools/testing/kunit accepts beside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.textlines import stamp

if TYPE_CHECKING:
    from sistasks.textlines import Line

_VERSION: Final = re.compile(r"(K?)TAP version ([0-9]{1,9})\Z")
_HEADER: Final = re.compile(r"\s*# Subtest: (.*)\Z")
_PLAN: Final = re.compile(r"\s*1\.\.([0-9]{1,9})(?![0-9])")
_RESULT: Final = re.compile(r"\s*(not ok|ok) ([0-9]{1,9})(?: |\Z)(?:- |-\Z)?(.*)\Z")
# what follows a name: a sign with a blank on either side
_REST: Final = re.compile(r"(?:^| )# ")
_BAIL: Final = re.compile(r"\s*Bail out!\s*(.*)\Z")
# the kernel gives up or ends: its own parser reads no further
_LAST: Final = re.compile(r"List of all partitions:|Kernel panic - not syncing: VFS:|reboot: System halted")
_VERSIONS: Final = {"KTAP": (1,), "TAP": (13, 14)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One line of KTAP.

    Attributes:
        kind: version, header, plan, result, bail or other.
        text: the line without what stands before KTAP on each line.
        indent: its leading blanks.
        name: of the test (header, result), reason (bail), what is wrong (version).
        number: of the plan or the result.
        status: of a result: pass, fail or skip.
        message: what a result says after its name.
    """

    kind: str
    text: str
    indent: int = 0
    name: str = ""
    number: int = 0
    status: str = ""
    message: str = ""


class Isolation:
    """Takes away what stands before KTAP on each line, and what comes before its first line.

    The first version line shows what it is: a time stamp, a logger's words. Where it has a stamp, lines without one
    are none of KTAP's.
    """

    def __init__(self) -> None:
        self.begun = False
        self.ended = False
        self._stamped = False
        self._more = 0

    def take(self, line: Line) -> Said | None:
        """What a line says; None: it is none of KTAP's."""
        if self.ended:
            return None
        if not self.begun:
            match = _VERSION.search(line.text)
            if match is None or line.cut:
                return None
            self.begun = True
            before = line.text[: match.start()]
            self._stamped = bool(stamp(before))
            self._more = len(before) - len(stamp(before))
        elif _LAST.search(line.text):
            self.ended = True
            return None
        text = line.text
        if self._stamped:
            if not (found := stamp(text)):
                return None
            text = text[len(found) :]
        text = text[self._more :]
        return Said(kind="other", text=text) if line.cut else classify(text)


def classify(text: str) -> Said:
    """What a line is, without what stood before it."""
    indent = len(text) - len(text.lstrip())
    if match := _RESULT.match(text):
        return _result(match, text, indent)
    if match := _VERSION.fullmatch(text.lstrip()):
        word = match[1] + "TAP"
        wrong = "" if int(match[2]) in _VERSIONS[word] else f"{word} version {match[2]} is unknown"
        return Said(kind="version", text=text, indent=indent, name=wrong)
    if match := _HEADER.match(text):
        return Said(kind="header", text=text, indent=indent, name=match[1])
    if match := _PLAN.match(text):
        return Said(kind="plan", text=text, indent=indent, number=int(match[1]))
    if match := _BAIL.match(text):
        return Said(kind="bail", text=text, indent=indent, name=match[1])
    return Said(kind="other", text=text, indent=indent)


def _result(match: re.Match[str], text: str, indent: int) -> Said:
    name, *rest = _REST.split(match[3], maxsplit=1)
    if "#" in name:  # glued to a word: the line means something else
        return Said(kind="other", text=text, indent=indent)
    message = rest[0] if rest else ""
    status = "pass" if match[1] == "ok" else "fail"
    # of all directives only SKIP changes the status: a test with TODO or XFAIL counts as it says
    before, skip, reason = f" # {message}".rpartition(" # SKIP")
    if skip:
        status, message = "skip", reason or before.removeprefix(" # ")
    return Said(
        kind="result",
        text=text,
        indent=indent,
        name=name,
        number=int(match[2]),
        status=status,
        message=message.strip(),
    )
