"""LAVA's signals: results between `<LAVA_SIGNAL_` and `>`, as lava-test-case and its kin print them.

Source of the format: LAVA's documentation, "Writing a LAVA test definition" (lava-test-case, lava-test-set), and its
dispatcher, which looks for them anywhere on a line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sistasks.protocols.metrics import Metrics
from sistasks.protocols.records import TEXT_LIMIT, ConsoleResult, Series
from sistasks.textlines import shorten

if TYPE_CHECKING:
    from collections.abc import Sized

    from sistasks.protocols.records import Findings
    from sistasks.textlines import Line

RESULTS_LIMIT: Final = 100_000
_OPEN_LIMIT: Final = 100
_BEGIN: Final = "<LAVA_SIGNAL_"
_SIGNAL: Final = re.compile(r"<LAVA_SIGNAL_([A-Z]+)((?: [^<>]*)?)>")
_STATUS: Final = {"pass": "pass", "fail": "fail", "skip": "skip", "unknown": "crash"}
# signals that say nothing of a result
_OTHERS: Final = frozenset({"TESTREFERENCE", "TESTFEEDBACK", "TESTEVENT"})
_NAME: Final = re.compile(r"[\w.:+/-]{1,200}")


class Lava:
    """Reads signals.

    Args:
        findings: where to say what is wrong with them.
        started: when the node was started, ns.
    """

    def __init__(self, findings: Findings, started: int) -> None:
        self._findings = findings
        self._runs: list[str] = []
        self._set = ""
        self._open: dict[str, int] = {}
        self._results: list[ConsoleResult] = []
        self._raised = ""
        self._room = TEXT_LIMIT
        self.since = started
        self.done = False

    @property
    def commands(self) -> frozenset[str]:
        """Nothing is typed."""
        return frozenset()

    def line(self, line: Line) -> str:
        """A line is complete; there is never anything to type."""
        found = list(_SIGNAL.finditer(line.text))
        for match in found:
            self._signal(match[1], match[2].split(), line.at)
        if line.text.count(_BEGIN) > len(found):
            self._findings.add(f"a signal of LAVA is broken off: {shorten(line.text.strip())!r}")
        return ""

    def partial(self, at: int, offset: int, text: str) -> str:  # noqa: ARG002 - one form for all protocols
        """Of an unfinished line nothing can be believed."""
        return ""

    def unfinished(self, line: Line) -> None:
        """The console ended within this line: a signal that has its end is whole."""
        self.line(line)

    @property
    def whole(self) -> bool:
        """All that began has ended."""
        return not self._runs and not self._open

    @property
    def idle(self) -> bool:
        """No run is open, and something was said."""
        return not self._runs and not self._open and bool(self._results)

    @property
    def awaited(self) -> str:
        """What must come next, in words."""
        if self._open:
            return f"the result of {next(reversed(self._open))}"
        return f"the end of {self._runs[-1]}" if self._runs else "a signal of LAVA"

    def results(self, why: str, at: int) -> list[ConsoleResult]:
        """Every test case; one that began, and a run that did not end, has crashed.

        Args:
            why: what ended the reading before its time; empty if nothing did.
            at: when.
        """
        after = f": {why}" if why else ""
        results = list(self._results)
        for name, started in self._open.items():
            message = f"it began and gave no result{after}"
            results.append(
                ConsoleResult(name=name, status="crash", message=message, started=started, finished=at)
            )
        message = f"the run did not end{after}"
        results += [ConsoleResult(name=name, status="crash", message=message) for name in self._runs]
        if self._raised:
            results.append(ConsoleResult(name="lava-test-raise", status="crash", message=self._raised))
        return results

    def _signal(self, kind: str, words: list[str], at: int) -> None:
        self.since = at
        if kind == "TESTCASE":
            self._case(dict(word.partition("=")[::2] for word in words), at)
        elif kind == "STARTRUN" and words:
            if self._opens(self._runs, "runs"):
                self._runs.append(shorten(words[0], 200))
        elif kind == "ENDRUN" and words:
            self._end_run(words[0])
        elif kind == "TESTSET" and words and words[0] in {"START", "STOP"}:
            self._set = shorten(words[1], 200) if words[0] == "START" and len(words) > 1 else ""
        elif kind == "STARTTC" and words:
            if self._opens(self._open, "test cases"):
                self._open.setdefault(self._path(shorten(words[0], 200)), at)
        elif kind == "ENDTC" and words:
            self._end_case(self._path(shorten(words[0], 200)), at)
        elif kind == "TESTRAISE":
            self._raised = shorten(" ".join(words)) or "raised"
            self.done = True
        elif kind not in _OTHERS:
            self._findings.add(
                f"a signal of LAVA is not understood: {kind} {shorten(' '.join(words), 60)}".rstrip()
            )

    def _case(self, said: dict[str, str], at: int) -> None:
        name, result = said.get("TEST_CASE_ID", ""), said.get("RESULT", "").lower()
        if not _NAME.fullmatch(name):
            self._findings.add(f"a test case has no name that can be one: {shorten(name)!r}")
            return
        path = self._path(name)
        if not self._has_room(path):
            return
        message = "" if result in _STATUS else f"RESULT={shorten(result)!r} is none of {', '.join(_STATUS)}"
        if result == "unknown":
            message = "its result is 'unknown'"
        self._results.append(
            ConsoleResult(
                name=path,
                status=_STATUS.get(result, "crash"),
                message=message,
                metrics=self._measured(path, said),
                started=self._open.pop(path, None),
                finished=at,
            )
        )

    def _measured(self, path: str, said: dict[str, str]) -> dict[str, Series]:
        """The measurement of a case; LAVA has one, without a name."""
        if "MEASUREMENT" not in said:
            return {}
        metrics = Metrics(path, self._findings)
        metrics.take("measurement", said["MEASUREMENT"], said.get("UNITS", ""))
        return metrics.series()

    def _end_run(self, name: str) -> None:
        if name in self._runs:
            self._runs.remove(name)
        else:
            self._findings.add(f"the run {shorten(name)!r} ended and had not begun")

    def _end_case(self, path: str, at: int) -> None:
        started = self._open.pop(path, None)
        if started is not None and self._has_room(path):
            message = "it ended and gave no result"
            self._results.append(
                ConsoleResult(name=path, status="crash", message=message, started=started, finished=at)
            )

    def _opens(self, open_ones: Sized, what: str) -> bool:
        """Whether one more may begin within the others."""
        if len(open_ones) < _OPEN_LIMIT:
            return True
        self._findings.add(f"more than {_OPEN_LIMIT} {what} of LAVA are open at once, the rest is left out")
        return False

    def _has_room(self, path: str) -> bool:
        """Whether one more result can be kept."""
        self._room -= len(path)
        if len(self._results) < RESULTS_LIMIT and self._room >= 0:
            return True
        self._findings.add(f"more than {len(self._results)} results came, the rest is left out")
        return False

    def _path(self, name: str) -> str:
        return "/".join(filter(None, (*self._runs, self._set, name)))
