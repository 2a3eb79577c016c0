"""A kernel with a prompt: a command is typed, METRIC lines and a word of success come, the prompt comes again.

A state machine that is fed with lines and gives back what to type; it reads no clock and no file. Without a prompt it
only collects what comes (protocol `metric`).
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sistasks.protocols.metrics import Metrics
from sistasks.protocols.records import ConsoleResult
from sistasks.textlines import Line, shorten

if TYPE_CHECKING:
    from sistasks.protocols.profile import ConsoleProfile, ConsoleTest
    from sistasks.protocols.records import Findings
    from sistasks.protocols.watch import Watch


@dataclass(slots=True)
class _Running:
    """A test whose command was typed."""

    name: str
    test: ConsoleTest
    command: str
    started: int
    metrics: Metrics
    passed: int | None = None
    echoed: bool = False
    answered: str = ""


class Dialogue:
    """What is typed, what comes back.

    Args:
        profile: prompt and tests.
        tests: of the profile's, in the order in which they are run.
        node: this node's number; `nodes`: how many there are.
        nodes: see node.
        watch: knows marks and the word that the kernel is up.
        findings: where to say what could not be taken.
        started: when the node was started, ns.
    """

    def __init__(
        self,
        profile: ConsoleProfile,
        *,
        tests: tuple[str, ...],
        node: int,
        nodes: int,
        watch: Watch,
        findings: Findings,
        started: int,
    ) -> None:
        self._profile = profile
        self._queue = deque(
            (name, profile.tests[name], profile.tests[name].typed(node, nodes)) for name in tests
        )
        self._watch = watch
        self._findings = findings
        self._started = started
        self._boot = Metrics("boot", findings)
        self._booted: int | None = None
        self._running: _Running | None = None
        self._results: list[ConsoleResult] = []
        self._prompt_offset = -1
        self.commands: frozenset[str] = frozenset()
        self.since = started
        self.done = False

    def line(self, line: Line) -> str:
        """A line is complete; what to type now, with its end, or nothing."""
        rest = self._after_prompt(line.text)
        typed = "" if rest is None else self._prompted(line.at, line.offset, rest)
        self._read(line.at, line.text if rest is None else rest)
        if not self._profile.prompt:
            self._boot_without_prompt(line.at)
        return typed

    def partial(self, at: int, offset: int, text: str) -> str:
        """What stands on the unfinished line, where prompts stand; what to type now, or nothing."""
        rest = self._after_prompt(text)
        if rest is None and self._profile.prompt and text.endswith(self._profile.prompt.rstrip()):
            rest = ""
        return "" if rest is None else self._prompted(at, offset, rest)

    def unfinished(self, line: Line) -> None:
        """The console ended within this line; a number or a word may be cut, so that it counts for nothing."""

    @property
    def whole(self) -> bool:
        """Every test has ended, well or not."""
        return self.done

    @property
    def idle(self) -> bool:
        """Nothing is awaited that must come: silence may be the end."""
        return not self._profile.prompt and self._booted is not None

    @property
    def awaited(self) -> str:
        """What must come next, in words."""
        if self._running is not None:
            return f"the end of {self._running.name} ('{self._running.command}')"
        if self._profile.prompt:
            return f"the prompt '{self._profile.prompt}'"
        if self._profile.ready:
            return f"'{self._profile.ready}'"
        return "the last mark of booting" if self._profile.marks else "a word of the kernel"

    def results(self, why: str, at: int) -> list[ConsoleResult]:
        """What became of every test.

        Args:
            why: what ended the reading before its time; empty if nothing did.
            at: when.
        """
        booted = self._booted is not None
        boot = ConsoleResult(
            name="boot",
            status="pass" if booted else "crash",
            message="" if booted else why or f"{self.awaited} did not come",
            metrics=self._boot.series(),
            started=self._started,
            finished=self._booted if booted else at,
        )
        results = [boot, *self._results]
        if self._running is not None:
            lost = why or f"{self.awaited} did not come"
            results.append(self._judged(self._running, at, lost))
        for name, _, command in self._queue:
            message = f"'{command}' was not typed: {why or 'the prompt did not come'}"
            results.append(ConsoleResult(name=name, status="crash", message=message))
        return results

    def _after_prompt(self, text: str) -> str | None:
        """What follows the prompt on its line; None: the line does not begin with it."""
        prompt, text = self._profile.prompt.strip(), text.strip()
        if not prompt or not text.startswith(prompt):
            return None
        while text.startswith(prompt):
            text = text[len(prompt) :].strip()
        return text

    def _prompted(self, at: int, offset: int, rest: str) -> str:
        """The prompt stands there."""
        running = self._running
        if offset == self._prompt_offset or self.done:
            return ""
        if running is not None:
            if rest and running.command.startswith(rest):  # a shell that draws its line again at each letter
                return ""
            if not (running.echoed or running.answered or running.passed is not None):
                return ""  # the prompt of before, once more: nothing of what was typed has arrived
            self._results.append(self._judged(running, at, ""))
            self._running = None
        self._prompt_offset = offset
        if self._booted is None:
            self._booted, self._watch.up = at, True
        self.since = at
        if not self._queue:
            self.done = True
            return ""
        name, test, command = self._queue.popleft()
        self._running = _Running(name, test, command, at, Metrics(name, self._findings))
        self.commands |= {command}
        return command + self._profile.enter

    def _read(self, at: int, text: str) -> None:
        """A line's text without the prompt."""
        running = self._running
        if self.done or not text.strip():
            return
        if running is None:
            self._boot.line(text)
            return
        if not running.echoed and running.command in text:
            running.echoed = True
            text = text.replace(running.command, "", 1)
            if not text.strip():
                return
        if running.metrics.line(text):
            running.answered = running.answered or text
            return
        running.answered = text
        if running.passed is None and any(_says(text, word) for word in running.test.success):
            running.passed = at

    def _judged(self, running: _Running, at: int, lost: str) -> ConsoleResult:
        missing = [name for name in running.test.metrics if name not in running.metrics]
        words = " or ".join(f"'{word}'" for word in running.test.success)
        if running.passed is None:
            status = "crash" if lost else "fail"
            message = (
                lost
                or f"the prompt came again without {words}; before it: {shorten(running.answered or 'nothing')}"
            )
        elif missing:
            status, message = "fail", f"passed, but did not measure {', '.join(missing)}"
        else:
            status, message = "pass", ""
        return ConsoleResult(
            name=running.name,
            status=status,
            message=message,
            metrics=running.metrics.series(),
            started=running.started,
            finished=running.passed if running.passed is not None else at,
        )

    def _boot_without_prompt(self, at: int) -> None:
        if self._booted is None:
            up = self._watch.ready is not None if self._profile.ready else self._watch.all_marks
            if up:
                self._booted, self._watch.up = at, True


def _says(text: str, word: str) -> bool:
    """Whether a text has a word, not as a part of another one."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None
