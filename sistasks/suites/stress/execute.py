"""One run of the stress suite: nodes on one switch, all under the same load at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sistasks.cluster.nodes import Cluster
from sistasks.cluster.switch import Switch
from sistasks.guest.plan import REPLICAS_MAX, Plan
from sistasks.session import SESSION_ID
from sistasks.suites.stress.config import load_of
from sistasks.suites.stress.together import Together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sistasks.cluster.nodes import NodeReport, Observer
    from sistasks.guest.load import Load
    from sistasks.machine.template import Template
    from sistasks.suites.execution import Execution
    from sistasks.suites.recipe import Recipe
    from sistasks.suites.suite import Suite

# beside the load itself: each class measures before, and takes its time to recover
_ROOM: Final = 3


async def execute(
    suite: Suite, run: Execution, template: Template | None, observer: Observer
) -> list[NodeReport]:
    """Run the suite's nodes; see suites/ways.py."""
    recipe = run.recipe
    plans = plans_of(suite, recipe)
    limit = limit_of(recipe, plans)
    if not recipe.machine.network:  # each for itself, as many at once as there are processors
        return await run.cluster(template, "stress", timeout=limit).run(plans, observer)
    together = Together([plan.node for plan in plans], observer)
    async with Switch() as switch:
        # one that came a second time would find its neighbours gone: they are tried again together
        cluster = Cluster(
            machine=recipe.machine, template=template, logs=run.logs("stress"), scratch=run.scratch,
            session=SESSION_ID, slots=len(plans), timeout=limit, examination=run.examination, tries=1,
            port=switch.port, listener=together.hear,
        )  # fmt: skip
        return [together.excused(report) for report in await cluster.run(plans, together)]


def limit_of(recipe: Recipe, plans: Sequence[Plan]) -> float:
    """Seconds that a node may take: one class that hangs, and does not come back, is told of by the guest itself."""
    loads = [plan.load for plan in plans if plan.load is not None]
    longest = max((load.patience + load.settle for load in loads), default=0.0)
    return recipe.timeout + _ROOM * recipe.settings.duration + longest


def plans_of(suite: Suite, recipe: Recipe) -> list[Plan]:
    """A plan for each node.

    Raises:
        UsageError: the settings ask for a load that cannot be.
    """
    settings = recipe.settings
    count = recipe.node_count(suite)
    load = load_of(settings, nodes=count, talking=_why_silent(recipe, count))
    return [
        Plan(
            node=number, seed=settings.seed + number, tests=tuple(suite.tests), prints=tuple(suite.tests),
            load=load, aligned=recipe.machine.clock == "virtual", beat=_beat(recipe, load),
        )
        for number in range(1, count + 1)
    ]  # fmt: skip


def _why_silent(recipe: Recipe, count: int) -> str:
    """Why nodes cannot talk to each other; empty: they can."""
    if not recipe.machine.network:
        return "nodes of the virtual clock have no network"
    if recipe.guest is not None and not recipe.guest.network:
        return "this kernel has no virtio-net"
    return f"more than {REPLICAS_MAX} nodes" if count > REPLICAS_MAX else ""


def _beat(recipe: Recipe, load: Load) -> float:
    """Seconds of a test by the guest's own clock, after which it hangs; on the wall clock the host may be slow."""
    if recipe.machine.clock != "virtual":
        return 0.0
    return max(load.seconds.values()) + 2 * load.patience + load.settle
