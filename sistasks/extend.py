"""For a dodo.py or a package that brings suites of its own: `from sistasks.extend import suite`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from doit.exceptions import InvalidDodoFile

from sistasks.errors import KernelFailure, SistasksError
from sistasks.suites import registry
from sistasks.suites.acted import Act, Nodes
from sistasks.suites.metrics import Metric
from sistasks.suites.suite import SUITES, Suite

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Act", "KernelFailure", "Metric", "Nodes", "Suite", "suite"]


def suite(
    name: str,
    *,
    tests: Iterable[str] | Mapping[str, Iterable[str]] = (),
    act: Act | None = None,
    measures: Iterable[str] = (),
    metrics: Iterable[Metric] = (),
    title: str = "",
    iterations: int | None = None,
    version: int = 1,
) -> Suite:
    """Make a suite known; it gets a task of its own name.

    Args:
        name: as a person types it: `doit NAME`.
        tests: tests of the agent and programs of `[tool.sistasks.programs]`, which every node runs; as a mapping each
            with the metrics that it must give, else with those that it gives anyway.
        act: what is done with the nodes while they are up; its name is that of a test of node 0.
        measures: the metrics that `act` must give, by the names that it gives them.
        metrics: what is described here and not in pyproject.toml.
        title: the name in JSON files; the name if empty.
        iterations: samples of each test; None: what the settings say.
        version: raised when the meaning of a number changes, so that old runs do not count any more.

    Returns:
        The suite, for an entry point of the group `sistasks.suites` to name.

    Raises:
        InvalidDodoFile: the name is taken, or there is nothing to run.
    """
    known = {test: needed for one in SUITES.values() for test, needed in one.tests.items()}
    pairs = tests.items() if hasattr(tests, "items") else ((test, known.get(test, ())) for test in tests)
    made = Suite(
        name=name, title=title or name, tests={test: tuple(needed) for test, needed in pairs}, act=act,
        measures=tuple(measures), metrics=tuple(metrics), iterations=iterations, version=version,
    )  # fmt: skip
    try:
        return registry.register(made)
    except SistasksError as error:  # one sentence instead of a trace; doit exits 3 on this exception
        raise InvalidDodoFile(str(error)) from error
