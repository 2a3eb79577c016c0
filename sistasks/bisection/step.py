"""One step of a bisection, as `git bisect run` starts it: the commit is built, booted, measured and judged.

Ends with 0 (good), 1 (bad), 125 (it cannot be tested: it does not build, boot or measure) or 128 (nothing was found
out; git stops and the bisection can go on later).
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks.bisection.repository import SKIP
from sistasks.bisection.search import Search
from sistasks.errors import HistoryError, KernelFailure, SistasksError
from sistasks.layout import Layout
from sistasks.terminal import Terminal

if TYPE_CHECKING:
    from sistasks.settings import Settings
    from sistasks.verdicts.records import Verdict

GOOD: Final = 0
BAD: Final = 1
_STOP: Final = 128


@dataclass(frozen=True, slots=True)
class Tested:
    """What testing a commit came to.

    Attributes:
        run: its number in the history; 0: it came to none.
        problem: why it cannot be told good from bad; empty: it ran.
    """

    run: int
    problem: str = ""


def main(path: str) -> int:
    """Test the commit that is checked out.

    Args:
        path: of the search.
    """
    search = Search.read(Path(path))
    if search is None:
        print(f"{path} is no bisection", file=sys.stderr)
        return _STOP
    os.chdir(search.project)
    settings = search.settings()
    with Terminal(settings, Layout(settings.output), sys.stdout) as terminal:
        try:
            if not search.holds(settings.db):
                raise HistoryError(
                    f"{settings.db} no longer has runs {search.good_run} and {search.bad_run} of the ends",
                    "the same `doit bisect` begins anew",
                )
            tested = test(search, settings, terminal)
            if search.crash:
                return _by_crash(search, settings, tested, terminal)
            if tested.problem:
                terminal.say(f"skipped: {tested.problem}", always=True)
                return SKIP
            return by_metric(search, settings, tested, terminal)
        except SistasksError as error:
            terminal.say(str(error), always=True)
            return _STOP


def test(search: Search, settings: Settings, terminal: Terminal) -> Tested:
    """Build what is checked out and run the suite; the run is in the history like any other.

    Raises:
        SistasksError: the tool or the machine failed.
    """
    from sistasks import steps
    from sistasks.history.cases import newest_run, runs_of_session
    from sistasks.session import SESSION_ID
    from sistasks.suite_steps import run

    before = newest_run(settings.db)
    steps.require_output(settings)
    try:
        for is_fresh, make in (
            (steps.is_set_up, steps.set_up),
            (steps.has_kernel, steps.provide_kernel),
            (steps.has_guest, steps.build_guest),
        ):
            if not is_fresh(settings):
                make(settings, terminal)
        # another session may write to the same history: its newest run need not be ours
        return Tested(run(search.suite, settings, terminal)[-1])
    except KernelFailure as failure:
        made = runs_of_session(settings.db, SESSION_ID, before)
        return Tested(made[-1].id if made else 0, failure.problem)


def verdict_on(search: Search, settings: Settings, run: int, statistic: str = "") -> Verdict | None:
    """The verdict on the metric in a run against the good commit's; None: it is not in both.

    Args:
        search: what is searched.
        settings: of its steps.
        run: the run.
        statistic: the one to judge; empty: the worst.

    Raises:
        HistoryError: a run is not there, or the two were not measured alike.
    """
    from sistasks.compare_steps import compare_runs
    from sistasks.verdicts.baseline import open_history
    from sistasks.verdicts.references import find

    with open_history(settings.db) as history:
        (base,) = find(history, str(search.good_run))
        (head,) = find(history, str(run))
        if (base.environment_id, base.iterations) != (head.environment_id, head.iterations):
            raise HistoryError(
                f"run {head.id} was not measured as run {base.id} of the good end was",
                "measure as then, or begin anew with other ends",
            )
        found = [
            one
            for one in compare_runs(history, base, head)
            if one.metric == search.metric and statistic in {"", one.statistic}
        ]
    return max(found, key=lambda one: (one.outcome == "worse", abs(one.effect or 0.0)), default=None)


def by_metric(search: Search, settings: Settings, tested: Tested, terminal: Terminal) -> int:
    """Whether a commit that ran is good or bad, as an exit code.

    Raises:
        HistoryError: as `verdict_on`.
    """
    end = verdict_on(search, settings, search.bad_run)
    # of the same statistic: another one may have got worse by more, or for another reason
    now = verdict_on(search, settings, tested.run, end.statistic) if end is not None else None
    if now is None or end is None or now.effect is None or end.effect is None:
        terminal.say(f"skipped: run {tested.run} did not measure {search.metric}", always=True)
        return SKIP
    # a commit that moved it a little is not the one that is searched: nearer to bad than to good
    bad = now.outcome == "worse" and abs(now.effect) >= abs(end.effect) / 2
    terminal.say(
        f"run {tested.run}: {search.metric} {now.effect:+.2%}, {end.effect:+.2%} at the bad end:"
        f" {'bad' if bad else 'good'}",
        always=True,
    )
    return BAD if bad else GOOD


def _by_crash(search: Search, settings: Settings, tested: Tested, terminal: Terminal) -> int:
    from sistasks.history.cases import crashes_of

    titles = {crash.title for crash in crashes_of(settings.db, tested.run)} if tested.run else set()
    if search.crash in titles:
        terminal.say(f"run {tested.run}: {search.crash}: bad", always=True)
        return BAD
    if tested.problem:
        terminal.say(f"skipped: {tested.problem}", always=True)
        return SKIP
    terminal.say(f"run {tested.run}: no {search.crash}: good", always=True)
    return GOOD


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
