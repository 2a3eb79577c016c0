"""The tree of tests that KTAP tells of, and the records that it becomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from sistasks.protocols.records import ConsoleResult, Series
from sistasks.textlines import shorten

LOG_LINES: Final = 40
"""Lines kept before a result; the first, since a failure comes before what it brings about."""
_MESSAGE: Final = 500
MISSING_LIMIT: Final = 100
"""One by one, missing tests of one parent are told up to here; a plan can be of any size."""
_BAD: Final = frozenset({"fail", "crash"})


@dataclass(slots=True)
class Test:
    """One test, with what it consists of.

    Attributes:
        name: as its result or its header says; may be empty.
        number: its place among its siblings, from 1.
        parent: it was begun by a version line or a header.
        indent: blanks before the line that began it.
        expected: how many subtests were planned; None: unknown.
        subtests: that came.
        missing: how many of the planned did not.
        status: pass, fail, skip or crash; None while it has not said; `none`: a parent in which nothing was run.
        message: what its result line says more.
        log: the lines before its result.
        tail: the lines before it was cut off.
        bail: why the rest of it was called off.
        metrics: that came before its result.
        at: when its result came.
    """

    name: str = ""
    number: int = 0
    parent: bool = False
    indent: int = 0
    expected: int | None = None
    subtests: list[Test] = field(default_factory=list)
    missing: int = 0
    status: str | None = None
    message: str = ""
    log: list[str] = field(default_factory=list)
    tail: tuple[str, ...] = ()
    bail: str | None = None
    metrics: dict[str, Series] = field(default_factory=dict)
    at: int | None = None
    # what may come next: head (a header), plan, body (subtests), tail (its own result)
    phase: str = "head"

    @property
    def full(self) -> bool:
        """All planned subtests have come."""
        return self.expected is not None and len(self.subtests) >= self.expected

    @property
    def label(self) -> str:
        """Its name, or its number where it has none."""
        return self.name or str(self.number)


def collect(main: Test, why: str) -> list[ConsoleResult]:
    """The records of all tests within one.

    Args:
        main: what is around them; it has a record only if it was called off.
        why: what ended the reading before its time; empty if nothing did.
    """
    results: list[ConsoleResult] = []
    counted = [_collect(test, (), results, why) for test in main.subtests]
    results += _missing(main, (), why)
    if main.bail is not None:
        results.append(ConsoleResult(name="main", status="crash", message=f"bailed out: {main.bail}"))
    elif counted and not any(counted) and not main.missing:
        results.append(ConsoleResult(name="main", status="crash", message="no tests were run at all"))
    return results


def _collect(test: Test, around: tuple[str, ...], results: list[ConsoleResult], why: str) -> bool:
    """A test has a record if it has no subtests, or if its own result says more than theirs do.

    Returns:
        Whether anything was run.
    """
    path = (*around, test.label)
    first = len(results)
    ran = [_collect(subtest, path, results, why) for subtest in test.subtests]
    counted = any(ran) or test.missing > 0
    results += _missing(test, path, why)
    bad = any(result.status in _BAD for result in results[first:])
    if not counted or (not bad and (test.status in _BAD or test.bail is not None)):
        results.append(_record(test, "/".join(path), why))
    return counted or test.status != "none" or test.bail is not None


def _record(test: Test, name: str, why: str) -> ConsoleResult:
    status = test.status or "crash"
    words = [test.message] if test.message else []
    if status == "none":
        status, words = "skip", ["no tests were run in it"]
    if test.bail is not None:
        status = status if status in _BAD else "crash"
        words.append(f"bailed out: {test.bail}")
    if status == "crash" and why:
        words.append(why)
    if status == "fail" and test.subtests and not words:
        words.append("it failed, though none of its tests did")
    if status in _BAD:
        words += test.log
    message = shorten("\n".join(words), _MESSAGE)
    return ConsoleResult(name=name, status=status, message=message, metrics=test.metrics, finished=test.at)


def _missing(test: Test, path: tuple[str, ...], why: str) -> list[ConsoleResult]:
    """The tests that were planned and did not come."""
    begin = len(test.subtests) + 1
    told = min(test.missing, MISSING_LIMIT)
    names = [str(number) for number in range(begin, begin + told)]
    if test.missing > told:
        names.append(f"{begin + told}-{begin + test.missing - 1}")
    message = "planned, and did not come" + (f": {why}" if why else "")
    # the first of them was running, if any was
    first = shorten("\n".join((message, *test.tail)), _MESSAGE)
    return [
        ConsoleResult(name="/".join((*path, name)), status="crash", message=message if number else first)
        for number, name in enumerate(names)
    ]
