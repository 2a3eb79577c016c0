"""What a console said, in one form for every protocol."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sistasks.evidence.crashes import Crash

STATUSES: Final = ("skip", "pass", "fail", "crash")
"""Of a test, what outweighs the ones before it last; `crash` is also a test that was to come and did not."""
FINDINGS_LIMIT: Final = 100
TEXT_LIMIT: Final = 32 << 20
"""Letters of all names and messages of one console: a path is told again with each test below it."""


@dataclass(frozen=True, slots=True)
class Series:
    """The samples of one metric in the order in which they came.

    Attributes:
        unit: of each value; times are in `ns` whatever the kernel said them in; empty: the kernel did not say.
        values: finite numbers.
    """

    unit: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleResult:
    """What became of one test.

    Attributes:
        name: its path, the outermost first, joined with `/`.
        status: one of STATUSES.
        message: why, in the kernel's words where it had some; may be empty.
        metrics: name -> its samples.
        started: when it began, in the ns of the feeding; None where the protocol does not tell.
        finished: when it ended.
    """

    name: str
    status: str
    message: str = ""
    metrics: dict[str, Series] = field(default_factory=dict)
    started: int | None = None
    finished: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """All that a console said.

    Attributes:
        results: of every test, in the order in which they began.
        marks: stage of booting -> when it was reached, ns as fed.
        ready: when the kernel said that it is up, None if it did not or has no word for it.
        complete: everything that was to come has come; whether well is another matter.
        panic: the kernel's last words; empty if it did not fall.
        report: lines around them.
        crashes: what the kernel complained of, warnings and all; they change no status.
        findings: what was wrong with what came, a sentence each.
    """

    results: tuple[ConsoleResult, ...] = ()
    marks: dict[str, int] = field(default_factory=dict)
    ready: int | None = None
    complete: bool = False
    panic: str = ""
    report: str = ""
    crashes: tuple[Crash, ...] = ()
    findings: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """The worst of all; `crash` for a kernel that fell, said nothing, or did not say all."""
        if self.panic or not self.complete or not self.results:
            return "crash"
        return worst(result.status for result in self.results)


def worst(statuses: Iterable[str]) -> str:
    """The worst of some statuses; a skipped test beside one that passed changes nothing.

    Raises:
        ValueError: there are none.
    """
    return max(statuses, key=STATUSES.index)


class Findings:
    """Collects sentences, each once and no more than FINDINGS_LIMIT: a console may say anything, a million times."""

    def __init__(self) -> None:
        self._said: dict[str, int] = {}
        self._more = 0

    def add(self, sentence: str) -> None:
        """One finding."""
        if sentence in self._said or len(self._said) < FINDINGS_LIMIT:
            self._said[sentence] = self._said.get(sentence, 0) + 1
        else:
            self._more += 1

    def all(self) -> tuple[str, ...]:
        """What was found, in the order in which it first was."""
        said = [f"{words} ({count} times)" if count > 1 else words for words, count in self._said.items()]
        return (*said, f"and {self._more} more findings") if self._more else tuple(said)
