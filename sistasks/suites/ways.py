"""How a suite's nodes are run: each suite that does more than hand out plans has a way of its own."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

from sistasks.suites.acted import plans, run_acted

if TYPE_CHECKING:
    from sistasks.cluster.nodes import NodeReport, Observer
    from sistasks.machine.template import Template
    from sistasks.suites.execution import Execution
    from sistasks.suites.suite import Suite

# suites whose module has `execute`, with run_nodes' arguments
_OWN: Final = {
    name: f"sistasks.suites.{name}.execute" for name in ("distributed", "stress", "security", "penetration")
}


async def run_nodes(
    suite: Suite, run: Execution, template: Template | None, observer: Observer
) -> list[NodeReport]:
    """Run a suite's nodes to their end.

    Args:
        suite: what is run.
        run: what is at hand.
        template: what nodes are cloned from; None boots each one.
        observer: told of the nodes' stages.

    Returns:
        How each node ended; that of node 0 first, where the suite has something that it answers for.

    Raises:
        SistasksError: the nodes did not come up.
    """
    if suite.name in _OWN:
        reports: list[NodeReport] = await importlib.import_module(_OWN[suite.name]).execute(
            suite, run, template, observer
        )
        return reports
    recipe = run.recipe
    cluster = run.cluster(template, f"boot-{recipe.machine.boot}" if suite.cold else "")
    if suite.act is not None:
        return await run_acted(suite, suite.act, cluster, plans(suite, recipe), observer)
    return await cluster.run(plans(suite, recipe), observer)
