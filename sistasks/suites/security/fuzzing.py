"""Crashes in episodes of fuzzing: which episode it was, as the console tells, and what plays it again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.errors import KernelFailure
from sistasks.machine.logs import LOG_LIMIT
from sistasks.protocols.findings import Seen
from sistasks.textlines import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sistasks.cluster.nodes import NodeReport
    from sistasks.evidence.crashes import Crash

TEST: Final = "fuzzing"
CRASH: Final = "fuzz.crash"
PRIVILEGE: Final = "fuzz.privilege"
# written by guest/agent/test_fuzzing.c; what stands before it is printk's stamp
_LINE: Final = re.compile(
    rb"^[^\n]{0,48}?sistasks: fuzzing: (?:(seed=\d{1,20} first=\d{1,10} episode=\d{1,10} calls=\d{1,8})|done)[ \r]*$",
    re.MULTILINE,
)
_WORDS: Final = re.compile(r"seed=(\d{1,20}) first=(\d{1,10}) episode=(\d{1,10}) calls=(\d{1,8})", re.ASCII)
# letters of a crash's first line by which it is found again where its offset says that it is
_KNOWN_BY: Final = 60
_SHOWN: Final = 5
# a host that is busy is enough for these
_OF_TIME: Final = frozenset({"rcu_stall", "soft_lockup", "hard_lockup", "hung_task"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproducer:
    """What plays a crash again.

    Attributes:
        seed: of the node's plan.
        first: the first episode that the node played.
        episode: the one in which it fell.
        calls: system calls of each.
    """

    seed: int
    first: int
    episode: int
    calls: int

    def __str__(self) -> str:
        """As the history keeps it, and as the agent writes it: `seed=5 first=1 episode=7 calls=1000`."""
        return f"seed={self.seed} first={self.first} episode={self.episode} calls={self.calls}"

    @classmethod
    def parse(cls, text: str) -> Reproducer:
        """Read what was kept.

        Raises:
            ValueError: it is none, or no agent can have told it.
        """
        match = _WORDS.fullmatch(text)
        if match is None:
            raise ValueError(f"{text[:80]!r} is no reproducer")
        seed, first, episode, calls = map(int, match.groups())
        if not 1 <= first <= episode < 1 << 32 or not calls or seed >= 1 << 64:
            raise ValueError(f"{text!r} names no episode")
        return cls(seed=seed, first=first, episode=episode, calls=calls)


class Episodes:
    """The episodes that a console tells of.

    Args:
        log: what the console said, from its first byte; the end of a long one may be missing.
    """

    def __init__(self, log: bytes) -> None:
        self._log = log
        self._begins = [(match.start(), (match[1] or b"").decode()) for match in _LINE.finditer(log)]

    @classmethod
    def of(cls, path: Path) -> Episodes:
        """Those of a node's log; none where it cannot be read."""
        try:
            with path.open("rb") as file:
                return cls(file.read(LOG_LIMIT + 1))
        except OSError:
            return cls(b"")

    def under_way(self, crash: Crash | None = None) -> str:
        """What plays again the episode in which a crash came; empty where it came in none.

        Args:
            crash: of this console; None: the node's end, of which its kernel said nothing.
        """
        if not self._begins:
            return ""
        if crash is None:
            # what came last is missing
            return "" if len(self._log) > LOG_LIMIT else _valid(self._begins[-1][1])
        line = self._log[crash.offset : crash.offset + 4 * _KNOWN_BY]
        # another console's, of a node before this one
        if not crash.line[:_KNOWN_BY] or not plain(line).startswith(crash.line[:_KNOWN_BY]):
            return ""
        return _valid(next((told for at, told in reversed(self._begins) if at <= crash.offset), ""))


def _valid(text: str) -> str:
    try:
        return str(Reproducer.parse(text))
    except ValueError:
        return ""


def _fallen(report: NodeReport) -> Iterator[str]:
    """What came of a node's episodes, in words."""
    error = report.error
    episodes = Episodes.of(report.console) if error is not None or report.crashes else Episodes(b"")
    ended = isinstance(error, KernelFailure)
    found = [
        (crash.title, episodes.under_way(crash))
        for crash in report.crashes
        if ended or crash.kind not in _OF_TIME
    ]
    found = [(title, told) for title, told in found if told]
    # an end of which the kernel has said nothing; of a console that is too long the episode is not known
    if error is not None and ended and error.kind and not any(crash.fatal for crash in report.crashes):
        told = episodes.under_way()
        if told or report.at == TEST:
            found.append((report.reason, told))
    for title, told in found:
        where = f", episode {Reproducer.parse(told).episode}" if told else ""
        yield f"node {report.number}{where}: {title}"
    if not found:
        yield from _stuck(report)


def _stuck(report: NodeReport) -> Iterator[str]:
    """A call that could not be ended: the agent has failed its test for that, and not for who was let in."""
    if any(item.rule == PRIVILEGE and item.outcome == "fail" for item in report.results.findings):
        return
    for test in report.results.tests:
        if test.name == TEST and test.status == "fail":
            yield f"node {report.number}, {test.message}"


def seen(reports: Sequence[NodeReport]) -> list[Seen]:
    """What the episodes came to, as node 0's finding; nothing where no node began any.

    A kernel that falls in an episode fails, and so does one that only complains, unless of time that it did not get.
    Only who came to the end of its episodes has outlived them: of a node that the host ended nothing is known.

    Args:
        reports: how the nodes ended.
    """
    fallen = [words for report in reports for words in _fallen(report)]
    if fallen:
        more = f"; {len(fallen) - _SHOWN} more" if len(fallen) > _SHOWN else ""
        return [Seen(CRASH, "fail", "; ".join(fallen[:_SHOWN]) + more)]
    began = [
        (report, test)
        for report in reports
        for test in [next((one for one in report.results.tests if one.name == TEST), None)]
        if test is not None or report.at == TEST
    ]
    if not began:
        return []
    outlived = sum(test is not None and test.status in {"pass", "fail"} for _, test in began)
    if outlived == len(began):
        return [Seen(CRASH, "pass", "every kernel outlived its episodes")]
    report, test = next(one for one in began if one[1] is None or one[1].status not in {"pass", "fail"})
    why = report.reason or (test.message if test is not None else "")
    lost = f"node {report.number} came to no end of them: {why}"
    if outlived:
        return [Seen(CRASH, "pass", f"{outlived} of {len(began)} kernels outlived their episodes; {lost}")]
    skipped = all(test is not None and test.status == "skip" for _, test in began)
    return [Seen(CRASH, "skip" if skipped else "error", lost)]
