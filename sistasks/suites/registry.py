"""All suites and metrics of this invocation: ours, those of pyproject.toml, of dodo.py and of installed packages."""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sistasks.errors import UsageError
from sistasks.guest.plan import Plan
from sistasks.suites.console.naming import full_name
from sistasks.suites.metrics import METRICS, Metric
from sistasks.suites.security.rules import digest
from sistasks.suites.stress.config import narrowed
from sistasks.suites.suite import PENETRATION, PERFORMANCE, SECURITY, STRESS, SUITES, Suite
from sistasks.tables import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sistasks.guest.programs import Program
    from sistasks.settings import Settings

GROUP: Final = "sistasks.suites"
"""The entry point group by which an installed package brings a suite."""
PROGRAMS: Final = Suite(name="programs", title="user_programs", tests={})
# kaslr: of boots that are compared, and of no suite's nodes
AGENT_TESTS: Final = frozenset(
    ["kaslr", *(test for suite in SUITES.values() if not suite.console for test in suite.tests)]
)
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,47}")
# names that doit or we give to other tasks
_TAKEN: Final = frozenset(
    {
        *SUITES, PROGRAMS.name, "test", "setup", "firmware", "kernel", "guest", "template", "gate", "accept", "compare",
        "selfcheck", "bisect", "reproduce", "report", "browse", "cleanup", "ktap", "list", "run", "help", "info",
        "clean", "forget", "ignore", "auto", "dumpdb", "strace", "tabcompletion", "reset-dep",
    }
)  # fmt: skip
_registered: dict[str, Suite] = {}
# of suites that another process has registered, for which this one works
_elsewhere: list[Metric] = []


def register(suite: Suite) -> Suite:
    """Make a suite known to this invocation; a dodo.py does it through sistasks.extend.

    Raises:
        UsageError: its name is taken or cannot be one, or it has neither tests nor something to do.
    """
    where = f"suite {suite.name!r}"
    if not _NAME.fullmatch(suite.name):
        raise UsageError(f"{where}: no suite can have this name", "a name is of a-z, 0-9 and '_'")
    if suite.name in _TAKEN or suite.name in _registered:
        raise UsageError(f"{where}: there is one of this name", "give it another name")
    if not suite.tests and suite.act is None:
        raise UsageError(f"{where} has nothing to run", "give it tests, or a function that acts on its nodes")
    if suite.measures and suite.act is None:
        raise UsageError(f"{where} has measures but no function", "measures are what the function gives")
    for metric in suite.metrics:
        if metric.name in METRICS:
            raise UsageError(
                f"{where} brings the metric {metric.name}, which is one of sistasks",
                f'its target can be set in pyproject.toml: [tool.sistasks.metrics."{metric.name}"]',
            )
    _registered[suite.name] = suite
    return suite


@functools.cache
def _installed() -> None:
    """Register the suites of installed packages.

    Raises:
        UsageError: one cannot be loaded, or is no suite.
    """
    from importlib.metadata import entry_points

    for point in entry_points(group=GROUP):
        where = f"the suite {point.name} of {point.dist.name if point.dist else point.value}"
        try:
            suite = point.load()
        except (ImportError, AttributeError, SyntaxError) as error:
            raise UsageError(f"{where} cannot be loaded: {error}", "mend or uninstall the package") from error
        if not isinstance(suite, Suite):
            raise UsageError(
                f"{where} is a {type(suite).__name__}", "an entry point names a sistasks.extend.Suite"
            )
        if _registered.get(suite.name) is not suite:  # its module may have registered it already
            register(suite)


def registered() -> list[Suite]:
    """Suites of this dodo.py and of installed packages.

    Raises:
        UsageError: an installed one cannot be loaded.
    """
    _installed()
    return list(_registered.values())


def suites(settings: Settings) -> dict[str, Suite]:
    """Every suite by name, with the user's programs among its tests.

    Raises:
        UsageError: a program, a suite or `stressors=` names what is not there, or an installed suite cannot be loaded.
    """
    _installed()
    found = {**SUITES, PROGRAMS.name: PROGRAMS, **_registered}
    found[STRESS.name] = narrowed(STRESS, settings)
    for judged in (SECURITY, PENETRATION):  # other rules find other things
        found[judged.name] = replace(judged, rules=digest())
    homes = (PROGRAMS.name, PERFORMANCE.name, *_registered)
    for program in settings.programs.values():
        if program.name in AGENT_TESTS:
            raise UsageError(f"programs.{program.name}: the name is taken", "it is a test of the agent")
        if program.suite not in homes:
            raise UsageError(
                f"suite = {program.suite!r} of programs.{program.name} is unknown",
                nearest(program.suite, homes, "suite is one of " + ", ".join(homes)),
            )
        home = found[program.suite]
        found[program.suite] = replace(
            home, tests={**home.tests, program.name: home.tests.get(program.name, ())}
        )
    if not found[PROGRAMS.name].tests:
        del found[PROGRAMS.name]
    return {name: _with_programs(suite, settings.programs) for name, suite in found.items()}


def find(name: str, settings: Settings) -> Suite:
    """The suite of that name.

    Raises:
        UsageError: there is none.
    """
    found = suites(settings)
    if name == PROGRAMS.name and name not in found:
        raise UsageError("there are no programs to run", "describe one: [tool.sistasks.programs.NAME]")
    if name not in found:
        raise UsageError(f"there is no suite {name}", nearest(name, found, "suites are " + ", ".join(found)))
    return found[name]


def metrics(settings: Settings) -> Mapping[str, Metric]:
    """Every metric that is described: ours, the suites' own, and the user's, who has the last word."""
    return {**METRICS, **{metric.name: metric for metric in (*_elsewhere, *brought())}, **settings.metrics}


def brought() -> tuple[Metric, ...]:
    """What suites of this dodo.py and of installed packages have described."""
    return tuple(metric for suite in registered() for metric in suite.metrics)


def know(metrics: Iterable[Metric]) -> None:
    """Have these described, too; those of an earlier call are forgotten."""
    _elsewhere[:] = metrics


def _with_programs(suite: Suite, programs: Mapping[str, Program]) -> Suite:
    """The suite with the programs that its tests name, and what these must measure."""
    tests = {}
    mine = []
    for test, needed in suite.tests.items():
        if test in programs:
            mine.append(programs[test])
            needed = (*needed, *(full_name(test, name) for name in programs[test].metrics))  # noqa: PLW2901
        elif test not in AGENT_TESTS:
            names = (*programs, *AGENT_TESTS)
            raise UsageError(
                f"the suite {suite.name} has a test {test!r}, and there is none",
                nearest(test, names, "tests are the agent's and programs: " + ", ".join(names)),
            )
        tests[test] = tuple(dict.fromkeys(full_name(test, name) for name in needed))
    if not mine and suite.name not in _registered:
        return suite
    try:
        Plan(node=1, seed=2**31, tests=tuple(tests), iterations=10**6, programs=tuple(mine)).page()
    except ValueError as error:
        raise UsageError(
            f"the suite {suite.name} has too many tests or arguments: {error}", "make two suites of it"
        ) from error
    name = suite.act.__name__ if suite.act is not None else ""
    measures = tuple(full_name(name, metric) for metric in suite.measures)
    return replace(suite, tests=tests, programs=tuple(mine), measures=measures)
