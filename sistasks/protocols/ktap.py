"""KTAP, line by line, into a tree of tests; a test that was planned and did not come has crashed.

Which line belongs to which test is decided by headers, plans, counts and names as the kernel's own parser decides it
(tools/testing/kunit/kunit_parser.py), so that both say the same of the same log; blanks at the beginning of a line
decide only where it gives up: the end of subtests that have neither a name nor a plan. It is stricter where a log ends
too early: a suite whose result did not come has crashed, however well its tests went.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sistasks.protocols.ktap_lines import Isolation
from sistasks.protocols.ktap_tree import LOG_LINES, MISSING_LIMIT, Test, collect
from sistasks.protocols.metrics import Metrics, is_metric
from sistasks.protocols.records import TEXT_LIMIT
from sistasks.textlines import shorten

if TYPE_CHECKING:
    from sistasks.protocols.ktap_lines import Said
    from sistasks.protocols.records import ConsoleResult, Findings
    from sistasks.textlines import Line

DEPTH_LIMIT: Final = 64
"""Levels of subtests; deeper ones are no KTAP."""
_SAMPLE: Final = 40  # bytes, beside letters that are counted
TESTS_LIMIT: Final = 100_000
"""Tests of one console; what comes beyond counts as missing."""


class Ktap:
    """Reads KTAP.

    Args:
        findings: where to say what is wrong with it.
        started: when the node was started, ns.
    """

    def __init__(self, findings: Findings, started: int) -> None:
        self._findings = findings
        self._isolation = Isolation()
        self._stack: list[Test] = []
        self._main = Test(name="main", parent=True, phase="plan")
        self._log: list[str] = []
        self._metrics: Metrics | None = None
        self._count = 0
        self._room = TEXT_LIMIT
        self.since = started
        self.done = False

    @property
    def commands(self) -> frozenset[str]:
        """Nothing is typed."""
        return frozenset()

    def line(self, line: Line) -> str:
        """A line is complete; there is never anything to type."""
        said = None if self.done else self._isolation.take(line)
        if said is not None:
            self._take(said, line.at)
        if self._isolation.ended:
            self.done = True
        return ""

    def partial(self, at: int, offset: int, text: str) -> str:  # noqa: ARG002 - one form for all protocols
        """Of an unfinished line nothing can be believed."""
        return ""

    @property
    def whole(self) -> bool:
        """Nothing that was planned or begun is missing."""
        return self._isolation.begun and (not self._stack or self._at_rest) and not self._main.missing

    @property
    def idle(self) -> bool:
        """Without a plan silence is the only end."""
        return self._isolation.begun and self._at_rest

    @property
    def awaited(self) -> str:
        """What must come next, in words."""
        if not self._isolation.begun:
            return "the first line of KTAP"
        if not self._stack:
            return "nothing more"
        top = self._stack[-1]
        of = f" of {top.expected}" if top.expected is not None else ""
        if top.phase == "tail":
            return f"the result of {top.label}"
        return f"test {len(top.subtests) + 1}{of} of {self._path(self._stack)}"

    def tree(self) -> Test:
        """The tree as it is known now; `main` is around all."""
        return self._main

    def results(self, why: str, at: int) -> list[ConsoleResult]:
        """Every test that has no subtests, and those with subtests whose own result says more than they do.

        Args:
            why: what ended the reading before its time; empty if nothing did.
            at: when.
        """
        if not self._isolation.begun:
            self._findings.add("no KTAP was said")
            return []
        while self._stack:
            self._close(at, cut=True)
        return collect(self._main, why)

    def unfinished(self, line: Line) -> None:
        """The console ended within this line: only the result of an open suite shows by its name that it is whole."""
        top = self._stack[-1] if self._stack else None
        if (
            self.done
            or top is None
            or top is self._main
            or not top.name
            or not (top.full or top.expected is None)
        ):
            return
        said = self._isolation.take(line)
        if said is not None and said.kind == "result" and said.name == top.name:
            self._take(said, line.at)

    @property
    def _at_rest(self) -> bool:
        """Nobody knows how many tests will come, and none has begun."""
        return len(self._stack) == 1 and self._main.expected is None and bool(self._main.subtests)

    def _take(self, said: Said, at: int) -> None:
        if not self._stack and self._main.phase == "plan":  # the first version line opens the whole
            self._stack.append(self._main)
            self._unknown_version(said)
            self.since = at
            return
        if said.kind == "bail":
            self._bail(said)
        # a line that ends a test may belong to the one around it
        while self._stack and not self._step(self._stack[-1], said, at):
            pass
        self.done = self.done or not self._stack

    def _step(self, top: Test, said: Said, at: int) -> bool:
        """Let the innermost test have the line; False: it was closed, and the line is for the one around it."""
        if top.phase == "head":
            top.phase = "plan"
            if said.kind == "header":
                top.name = said.name
                return True
        if top.phase == "plan":
            if said.kind in {"other", "bail"}:
                self._note(said, top)
                return True
            top.phase = "body"
            if said.kind == "plan":
                top.expected = said.number
                self._filled(top, at)
                return True
        if said.kind in {"other", "bail", "plan"}:
            self._note(said, top)
            return True
        if top.phase == "body" and not self._ends(top, said):
            self._begin(top, said, at)
            return True
        return self._end(top, said, at)

    def _ends(self, top: Test, said: Said) -> bool:
        """Whether a line is the result of the innermost test, or of one around it, instead of one more subtest."""
        if top is self._main or said.kind != "result":
            return False
        if top.name:
            return said.name == top.name
        return top.expected is None and said.indent < top.indent

    def _begin(self, top: Test, said: Said, at: int) -> None:
        """One more subtest: a result alone, or one with subtests."""
        told = 1 if said.kind == "result" else MISSING_LIMIT  # each of its missing tests will have its path
        self._room -= told * len(self._path(self._stack)) + len(said.text) + sum(map(len, self._log))
        if self._count >= TESTS_LIMIT or self._room < 0:
            self._findings.add(f"more than {self._count} tests came, the rest is left out")
            return
        self._count += 1
        test = Test(number=len(top.subtests) + 1, indent=said.indent)
        if said.kind == "result":
            self._result(test, said, at)
            self._append(top, test, at)
            return
        if len(self._stack) > DEPTH_LIMIT:
            self._findings.add(f"KTAP is nested deeper than {DEPTH_LIMIT} levels, the rest is left out")
            return
        test.parent = True
        test.log.extend(self._log)
        self._log.clear()
        if said.kind == "header":
            test.name, test.phase = said.name, "plan"
        else:
            self._unknown_version(said)
        self._stack.append(test)

    def _end(self, top: Test, said: Said, at: int) -> bool:
        """The innermost test ends; True if the line was its own result."""
        if top is self._main:
            self._close(at)
            return True
        own = said.kind == "result" and (not top.name or said.name == top.name)
        if own:
            self._result(top, said, at)
        self._close(at)
        return own

    def _close(self, at: int, *, cut: bool = False) -> None:
        """The innermost test gets no more lines.

        Args:
            at: now.
            cut: because there are no more.
        """
        test = self._stack.pop()
        if test.expected is not None:
            test.missing = max(0, test.expected - len(test.subtests))
        if test.missing:
            test.tail = tuple(self._log)
            self._log.clear()
            self._findings.add(
                f"{self._path([*self._stack, test])}: {test.missing} of {test.expected} planned tests did not come"
            )
        if test is self._main:
            return
        if test.status is None:
            self._findings.add(f"{self._path([*self._stack, test])}: its result did not come")
        if not test.subtests and not test.missing and test.status in {None, "pass"} and not cut:
            test.status = "none"
            self._findings.add(f"{self._path([*self._stack, test])}: no tests were run in it")
        if test.status is None:
            test.status = "crash"
            test.message = test.message or "its result did not come"
            test.log.extend(self._log)
            self._log.clear()
        self._append(self._stack[-1], test, at)

    def _append(self, top: Test, test: Test, at: int) -> None:
        top.subtests.append(test)
        self.since = at
        self._filled(top, at)

    def _filled(self, top: Test, at: int) -> None:
        if not top.full:
            return
        top.phase = "tail"
        if top is self._main:
            self._close(at)

    def _result(self, test: Test, said: Said, at: int) -> None:
        test.name, test.status, test.message, test.at = said.name, said.status, said.message, at
        if said.number != test.number:
            path = self._path([*(item for item in self._stack if item is not test), test])
            self._findings.add(f"{path}: test {test.number} was expected, and came as {said.number}")
        test.log.extend(self._log)
        self._log.clear()
        if self._metrics is not None:
            self._room -= _SAMPLE * self._metrics.count
            if self._room >= 0:
                test.metrics = self._metrics.series()
            else:
                self._findings.add(f"{self._path(self._stack)}: too many samples came, the rest is left out")
            self._metrics = None

    def _note(self, said: Said, top: Test) -> None:
        if is_metric(said.text):
            if self._metrics is None:
                self._metrics = Metrics(self._path(self._stack), self._findings)
            self._metrics.line(said.text)
        elif said.text.strip():
            log = top.log if top.phase == "tail" else self._log
            if len(log) < LOG_LINES:
                log.append(shorten(said.text.strip(), 200))

    def _bail(self, said: Said) -> None:
        top = self._stack[-1]
        top.bail = shorten(said.name, 200)
        self._findings.add(f"{self._path(self._stack)}: bailed out: {top.bail or 'no reason was said'}")
        if top is self._main:
            self._close(self.since)

    def _unknown_version(self, said: Said) -> None:
        if said.name:
            self._findings.add(f"{said.name}, read as if it were known")

    def _path(self, stack: list[Test]) -> str:
        return "/".join(test.label for test in stack[1:]) or "main"
