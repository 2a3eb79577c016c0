"""What every console is watched for: the marks of booting, the word that the kernel is up, and its last words."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Final

from sistasks.evidence.crashes import Recogniser
from sistasks.textlines import after_stamp, shorten

if TYPE_CHECKING:
    from sistasks.evidence.crashes import Crash
    from sistasks.protocols.profile import ConsoleProfile
    from sistasks.protocols.records import Findings
    from sistasks.textlines import Line

_BEFORE: Final = 20
_AFTER: Final = 60
# a kernel that talks garbage does so without ends of lines
_SHOWN: Final = 400
# kernels decorate: `!!!   KERNEL PANIC   !!!`, `[core 1] PANIC at ...`; a quoted word is only mentioned
_DECORATION: Final = r"(?:[^\w\[\"'`]|\[[^\]]{0,40}\])*(?:KERNEL\s+)?"
_LINUX: Final = re.compile(r"Linux version [0-9]")
# of profiles of Linux: it has more last words than these
_KERNEL: Final = "Kernel panic"
_DECORATED: Final = frozenset({"sis", "metric"})


class Watch:
    """Sees every line.

    Args:
        profile: marks, ready, failure, and the commands whose echo is nobody's last word.
        findings: where to say that a mark is missing.

    Attributes:
        marks: name -> when it was reached.
        ready: when the kernel said that it is up.
        panic: its last words.
        up: booting is over (set by whoever knows).
    """

    def __init__(self, profile: ConsoleProfile, findings: Findings) -> None:
        self._profile = profile
        self._findings = findings
        decoration = _DECORATION if profile.protocol in _DECORATED else ""
        texts = "|".join(re.escape(text) for text in profile.failure)
        self._failure = re.compile(rf"{decoration}(?:{texts})(?!\w)") if texts else None
        self._first: dict[str, int] = {}
        self._context: deque[str] = deque(maxlen=_BEFORE)
        self._report: list[str] = []
        self.marks: dict[str, int] = {}
        self.ready: int | None = None
        self.panic = ""
        self._recogniser = Recogniser()
        self.up = False

    def line(self, line: Line, commands: frozenset[str] = frozenset()) -> None:
        """A line is complete.

        Args:
            line: it.
            commands: what has been typed; its echo means nothing.
        """
        body = self._body(line.text)
        if body not in commands:
            said = body if self._profile.prompt else line.text
            self._recogniser.line(said, line.at, line.offset)
        if self._report:
            if len(self._report) < _BEFORE + _AFTER:
                self._report.append(shorten(line.text, _SHOWN))
            return
        self._context.append(shorten(line.text, _SHOWN))
        if body in commands:
            return
        self._stages(line.at, line.offset, line.text)
        if self._failure and self._failure.match(body):
            self._fall(body.strip())
        elif self._again(line):
            self._fall(f"the kernel started again: {shorten(body)}")
        elif self._recogniser.panic and _KERNEL in self._profile.failure:
            self._fall(self._recogniser.panic)

    @property
    def crashes(self) -> tuple[Crash, ...]:
        """What the kernel complained of, warnings and all, in order."""
        return self._recogniser.crashes

    def partial(self, at: int, offset: int, text: str) -> None:
        """What stands on the unfinished line; a mark may come without an end."""
        if not self.panic:
            self._stages(at, offset, text)

    @property
    def report(self) -> str:
        """The lines around the last words."""
        return "\n".join(self._report)

    @property
    def last_mark(self) -> str:
        """The last stage that was reached, in words."""
        reached = [name for name in self._profile.marks if name in self.marks]
        return f"the last mark was '{reached[-1]}'" if reached else "no mark of booting came"

    @property
    def tail(self) -> str:
        """The last line that says something."""
        return next((text for text in reversed(self._context) if text.strip()), "")

    @property
    def all_marks(self) -> bool:
        """Every mark has come."""
        return all(name in self.marks for name in self._profile.marks)

    def finish(self) -> None:
        """Nothing more will come: say which marks were passed over."""
        self._recogniser.finish()
        names = list(self._profile.marks)
        reached = [number for number, name in enumerate(names) if name in self.marks]
        for number, name in enumerate(names):
            if reached and number < reached[-1] and name not in self.marks:
                self._findings.add(
                    f"the mark '{name}' ({self._profile.marks[name]}) never came, though later ones did"
                )
        came = [name for name in self.marks if name in self._profile.marks]
        if came != [name for name in names if name in self.marks]:
            self._findings.add(f"the marks of booting came out of order: {', '.join(came)}")
        if self._profile.ready and self.ready is None and self.up and not self.panic:
            self._findings.add(f"'{self._profile.ready}' never came, though the kernel is up")

    def _body(self, text: str) -> str:
        """The line without stamp and prompt: a kernel may fall while its prompt waits."""
        body = after_stamp(text)
        prompt = self._profile.prompt
        while prompt and body.lstrip().startswith(prompt):
            body = body.lstrip()[len(prompt) :].strip()
        return body

    def _stages(self, at: int, offset: int, text: str) -> None:
        for name, mark in self._profile.marks.items():
            if name not in self.marks and mark in text:
                self.marks[name] = at
                self._first[name] = offset
        if self._profile.ready and self.ready is None and self._profile.ready in text:
            self.ready = at

    def _again(self, line: Line) -> bool:
        """Whether the kernel starts a second time."""
        if _LINUX.match(after_stamp(line.text)):
            if "Linux version" in self._first:
                return True
            self._first["Linux version"] = line.offset
        name = next(iter(self._profile.marks), "")
        if not name or name not in self.marks or self._profile.marks[name] not in line.text:
            return False
        return line.offset > self._first[name] and (len(self.marks) > 1 or self.ready is not None or self.up)

    def _fall(self, words: str) -> None:
        self.panic = shorten(words, 200)
        self._report = list(self._context)
