"""One execution of a suite on a kernel that talks on its console."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from sistasks.errors import UsageError
from sistasks.kernels import esp
from sistasks.session import SESSION_ID
from sistasks.suites.console.execute import Asked, execute, metrics_of, tests_of
from sistasks.suites.measured import Measured, measure
from sistasks.suites.watching import watched

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sistasks.cluster.nodes import NodeReport
    from sistasks.protocols.profile import ConsoleProfile
    from sistasks.suites.execution import Execution
    from sistasks.suites.metrics import Metric
    from sistasks.suites.suite import Suite

# protocols in which a kernel starts its tests by itself
_BY_ITSELF = ("ktap", "lava")


def tests_for(suite: Suite, profile: ConsoleProfile, kernel: str) -> tuple[str, ...]:
    """The profile's tests that are a suite's: those that take part in a cluster, or those that do not.

    Raises:
        UsageError: the kernel has none for this suite.
    """
    if suite.cold:
        return ()
    if suite.console:
        if profile.protocol in _BY_ITSELF:
            return ()
        raise UsageError(
            f"kernel={kernel} does not speak KTAP", f"its console says protocol = '{profile.protocol}'"
        )
    found = tuple(name for name, test in profile.tests.items() if test.of_cluster == suite.network)
    if not found:
        what = "that take part in a cluster ({node} in the command)" if suite.network else "for one node"
        raise UsageError(
            f"kernel={kernel} has no tests {what}, so the suite {suite.name} has nothing to run",
            "say which in [tool.sistasks.kernels.NAME.console.tests], or run doit boot",
        )
    return found


def run_console(
    suite: Suite, run: Execution, own: Mapping[str, Metric], first: Mapping[int, NodeReport]
) -> tuple[list[NodeReport], Measured, Suite, dict[str, Metric]]:
    """Boot the nodes, speak to them, and judge what they said.

    Args:
        suite: as it is for kernels with an agent.
        run: of a kernel that talks.
        own: metrics that the user has described.
        first: how the nodes of an execution before this one ended, which were asked the same.

    Returns:
        The nodes' reports, what they measured, the suite with the tests that this kernel has, and its metrics.

    Raises:
        UsageError: the kernel has no tests for this suite.
    """
    recipe, terminal = run.recipe, run.terminal
    profile = recipe.kernel.profile
    settings = recipe.settings
    scale = recipe.timeout / settings.timeout
    asked = Asked(
        profile=replace(
            profile, limit=min(profile.limit, settings.timeout) * scale, quiet=profile.quiet * scale
        ),
        tests=tests_for(suite, profile, recipe.kernel.name),
        boot=suite.cold,
        together=suite.network,
        own=own,
    )
    if recipe.kernel.esp is not None:
        esp.ready(recipe.kernel)
    count = recipe.node_count(suite)
    with watched(terminal, count, run.monitor) as observer:
        spoken = asyncio.run(
            execute(
                asked, machine=recipe.machine, count=count, logs=run.logs(suite.name), session=SESSION_ID,
                slots=recipe.slots, seed=settings.seed, observer=observer, examination=run.examination,
            )
        )  # fmt: skip
    reports = [one.report.behind(first) for one in spoken]
    for note in dict.fromkeys(note for one in spoken for note in one.heard.remarks):
        terminal.say(f"{recipe.kernel.name}: {note}")
    metrics = metrics_of(spoken)
    tests = tests_of(spoken) or dict.fromkeys(asked.tests or (suite.name,), ())
    suite = replace(suite, tests=tests, own_metrics=tuple(metrics))
    measured = measure(
        suite, reports, enforce=recipe.enforces_targets, confidence=settings.confidence, metrics=metrics
    )
    return reports, measured, suite, metrics
