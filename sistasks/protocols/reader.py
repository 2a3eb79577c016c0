"""One reader for every protocol: bytes of a console in, what to type out, and at the end what was said.

It reads no clock: times are the caller's, in ns, and come with the bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from sistasks.errors import UsageError
from sistasks.protocols.ktap import Ktap
from sistasks.protocols.lava import Lava
from sistasks.protocols.records import Findings, Reading
from sistasks.protocols.sis import Dialogue
from sistasks.protocols.watch import Watch
from sistasks.textlines import Lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sistasks.protocols.profile import ConsoleProfile
    from sistasks.protocols.records import ConsoleResult
    from sistasks.textlines import Line

_SECOND: Final = 1_000_000_000


class _Machine(Protocol):
    """What a protocol makes of lines."""

    @property
    def since(self) -> int: ...
    @property
    def done(self) -> bool: ...
    @property
    def whole(self) -> bool: ...
    @property
    def idle(self) -> bool: ...
    @property
    def awaited(self) -> str: ...
    @property
    def commands(self) -> frozenset[str]: ...
    def line(self, line: Line) -> str: ...
    def partial(self, at: int, offset: int, text: str) -> str: ...
    def unfinished(self, line: Line) -> None: ...
    def results(self, why: str, at: int) -> list[ConsoleResult]: ...


class Reader:
    """Reads one console; made by reader_for.

    The caller feeds what comes, types what feed returns, and stops when `done`, or when `finished(now)` or
    `overdue(now)` says so; neither changes before `deadline()` unless something is fed.
    """

    def __init__(
        self, profile: ConsoleProfile, machine: _Machine, watch: Watch, findings: Findings, started: int
    ) -> None:
        self._profile = profile
        self._machine = machine
        self._watch = watch
        self._findings = findings
        self._lines = Lines()
        self._heard = started
        self._silent = True
        self._reading: Reading | None = None

    def feed(self, at: int, data: bytes) -> str:
        """Take what came.

        Args:
            at: now, in ns; never less than before.
            data: bytes of the console.

        Returns:
            What is to be typed now, with the end of its line; mostly nothing.
        """
        if not data:
            return ""
        self._heard, self._silent = at, False
        typed = ""
        for line in self._lines.feed(at, data):
            typed += self._line(line)
        if partial := self._lines.partial:
            self._watch.partial(at, self._lines.offset, partial)
            if not self._watch.panic:
                typed += self._machine.partial(at, self._lines.offset, partial)
        return typed

    @property
    def done(self) -> bool:
        """Everything that was to come has come, or the kernel fell; lines after its last words are worth a moment."""
        return self._machine.done or bool(self._watch.panic)

    @property
    def panic(self) -> str:
        """The kernel's last words; empty: it has not fallen."""
        return self._watch.panic

    def finished(self, now: int) -> bool:
        """Whether nothing more is to be awaited: all is done, or a kernel without an end word has had its time."""
        return self.done or (self._machine.idle and (self._is_quiet(now) or self._is_late(now)))

    def overdue(self, now: int) -> str:
        """What did not come in time, in words; empty: there is time left, or nothing is awaited."""
        if self.finished(now):
            return ""
        awaited = self._machine.awaited
        if self._silent:
            state = "the console has said nothing"
        else:
            state = self._watch.last_mark if self._profile.marks and not self._watch.up else ""
            worst = next((crash.title for crash in self._watch.crashes if crash.kind != "warning"), "")
            state = (
                f"the kernel complained: {worst}"
                if worst
                else state or f"the last line is: {self._watch.tail}"
            )
        if self._is_late(now):
            return f"{awaited} did not come within {self._profile.limit:g} s; {state}"
        if self._is_quiet(now):
            return f"{awaited} did not come, and nothing was said for {self._profile.quiet:g} s; {state}"
        return ""

    def deadline(self) -> int:
        """When finished or overdue may next say something else, in ns."""
        limit = self._machine.since + round(self._profile.limit * _SECOND)
        if not self._profile.quiet:
            return limit
        return min(limit, self._heard + round(self._profile.quiet * _SECOND))

    def result(self, why: str = "") -> Reading:
        """All that was said; nothing can be fed afterwards, and asked again the answer is the same.

        Args:
            why: what ended the reading before its time, in words (what overdue said, how the node ended).
        """
        if self._reading is not None:
            return self._reading
        for line in self._lines.end(self._heard):
            if not (self._machine.done and self._machine.whole):
                self._watch.line(line, self._machine.commands)
            if not self._watch.panic:
                self._machine.unfinished(line)
        panic = self._watch.panic
        complete = (self._machine.done or (self._machine.idle and not why)) and not panic
        results = self._machine.results(panic or why, self._heard)
        self._watch.finish()
        self._reading = Reading(
            results=tuple(results),
            marks=dict(self._watch.marks),
            ready=self._watch.ready,
            complete=complete,
            panic=panic,
            report=self._watch.report,
            crashes=self._watch.crashes,
            findings=self._findings.all(),
        )
        return self._reading

    def _line(self, line: Line) -> str:
        machine = self._machine
        if (
            machine.done and machine.whole
        ):  # a kernel that was asked for its tests alone may fall at their end
            return ""
        fallen = bool(self._watch.panic)
        typed = "" if fallen else machine.line(line)
        if not (machine.done and machine.whole):
            self._watch.line(line, machine.commands)
        # nothing is typed once a kernel has fallen
        return "" if self._watch.panic else typed

    def _is_late(self, now: int) -> bool:
        return now - self._machine.since >= self._profile.limit * _SECOND

    def _is_quiet(self, now: int) -> bool:
        return bool(self._profile.quiet) and now - self._heard >= self._profile.quiet * _SECOND


def reader_for(
    profile: ConsoleProfile,
    *,
    tests: Sequence[str] | None = None,
    node: int = 1,
    nodes: int = 1,
    started: int = 0,
) -> Reader:
    """The reader of a console.

    Args:
        profile: how the kernel talks; its limits are taken as they are (scale them for emulation before).
        tests: which of the profile's tests to run, in this order; None: all of them.
        node: this node's number, from 1.
        nodes: how many there are.
        started: when the node was started, in the ns of feed.

    Raises:
        UsageError: a test that the profile does not have.
    """
    wanted = tuple(profile.tests) if tests is None else tuple(tests)
    for name in wanted:
        if name not in profile.tests:
            raise UsageError(
                f"the console has no test '{name}'", f"it has {', '.join(profile.tests) or 'none'}"
            )
    findings = Findings()
    watch = Watch(profile, findings)
    machine: _Machine
    if profile.protocol == "ktap":
        machine = Ktap(findings, started)
    elif profile.protocol == "lava":
        machine = Lava(findings, started)
    else:
        machine = Dialogue(
            profile, tests=wanted, node=node, nodes=nodes, watch=watch, findings=findings, started=started
        )
    return Reader(profile, machine, watch, findings, started)
