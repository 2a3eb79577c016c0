"""One run of the suite: the cluster brought up, its scenarios, and what they gave as reports."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sistasks.cluster.nodes import Cluster, NodeReport
from sistasks.cluster.switch import Switch
from sistasks.errors import KernelFailure, SistasksError, UsageError
from sistasks.evidence.records import Evidence
from sistasks.guest.place import Place
from sistasks.guest.plan import REPLICAS_MAX, Plan
from sistasks.machine.examination import examine
from sistasks.machine.results import GuestResults, TestOutcome
from sistasks.session import SESSION_ID
from sistasks.suites.penetration.assault import Assault
from sistasks.suites.penetration.ground import Ground
from sistasks.suites.penetration.scenarios import scenarios
from sistasks.suites.suite import PENETRATION
from sistasks.suites.talk import NETWORK, report

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sistasks.cluster.nodes import Observer
    from sistasks.machine.template import Template
    from sistasks.settings import Settings
    from sistasks.suites.execution import Execution
    from sistasks.suites.penetration.scenarios import Scenario
    from sistasks.suites.suite import Suite

_TEST = "penetration"


def check(settings: Settings) -> None:
    """Refuse what cannot be attacked.

    Raises:
        UsageError: too few nodes, or more than a network has.
    """
    least = PENETRATION.least_nodes
    if settings.nodes < least:
        raise UsageError(
            f"nodes={settings.nodes} cannot attack each other: it takes an attacker and a victim",
            f"at least nodes={least}",
        )
    if settings.nodes > REPLICAS_MAX:
        raise UsageError(
            f"nodes={settings.nodes} are too many for one network", f"at most nodes={REPLICAS_MAX}"
        )


async def execute(
    suite: Suite,  # noqa: ARG001 - the signature of every suite's own way
    run: Execution,
    template: Template | None,
    observer: Observer,
) -> list[NodeReport]:
    """Run the suite's nodes; see suites/ways.py."""
    check(run.recipe.settings)
    return await Penetration(run, template, scenarios()).conduct(observer)


@dataclass(slots=True)
class Penetration:
    """One penetration test.

    Attributes:
        run: what is at hand.
        template: what nodes are cloned from; None boots each one.
        tried: the scenarios, in order.
        hurt: nodes that die of a packet which says so: a test's.
        relay: strikes go by way of the host, as on kernels without packet sockets.
        ground: the nodes, once they are up.
    """

    run: Execution
    template: Template | None
    tried: Sequence[Scenario]
    hurt: Collection[int] = ()
    relay: bool = False
    ground: Ground | None = None

    async def conduct(self, observer: Observer) -> list[NodeReport]:
        """Bring the nodes up, run the scenarios, and end.

        Args:
            observer: told of the nodes' stages.

        Returns:
            A report of the cluster as node 0, then one of each node.

        Raises:
            SistasksError: the cluster did not come up, or the switch failed.
        """
        run, recipe = self.run, self.run.recipe
        started = time.monotonic()
        whole = GuestResults(done=True)
        async with Switch() as switch:
            ground = self.ground = Ground(switch)
            switch.on_frame = ground.relay
            logs = run.logs(_TEST)
            cluster = Cluster(
                machine=recipe.machine, template=self.template, logs=logs, scratch=run.scratch,
                session=SESSION_ID, slots=recipe.slots, timeout=recipe.timeout, examination=run.examination,
                port=switch.port, listener=ground.hear,
            )  # fmt: skip
            async with cluster.up(self._plans(), observer) as nodes:
                ground.admit(nodes)
                up = time.monotonic()
                capture = run.scratch / f"network{'.again' * run.again}.pcapng"
                if recipe.settings.capture:
                    await switch.capture(capture)
                error = await self._attack(ground, whole)
                reports = []
                for node in nodes:
                    why = await ground.failed(node, abandoned=error is not None)
                    if why is not None:
                        await examine(run.examination, node, why)
                    observer.stage(node.number, "failed" if why else "done")
                    reports.append(report(node, why, started, up).behind(cluster.given_up))
        of_cluster = NodeReport(
            number=0, seed=recipe.settings.seed, results=whole, error=error, started=started, ready=up,
            finished=time.monotonic(), console=logs,
        )  # fmt: skip
        if capture.exists():
            captured = Evidence(node=0, kind="captures", path=capture, name="network.pcapng")
            of_cluster = replace(of_cluster, evidence=(captured,))
        return [of_cluster, *reports]

    def _plans(self) -> list[Plan]:
        settings = self.run.recipe.settings
        return [
            Plan(
                node=node, seed=settings.seed + node, tests=(_TEST,),
                place=Place(count=settings.nodes, network=NETWORK, relay=self.relay, hurt=node in self.hurt),
            )
            for node in range(1, settings.nodes + 1)
        ]  # fmt: skip

    async def _attack(self, ground: Ground, whole: GuestResults) -> SistasksError | None:
        """Run the scenarios; why they were given up, if they were."""
        began = time.monotonic()
        status, message, error = "pass", "", None
        try:
            assault = Assault(ground, len(ground.nodes), whole)
            await assault.run(self.tried)
            await ground.command("stop")
            await ground.last_words()
            message = assault.message
        except SistasksError as failure:
            error = failure
            status = "fail" if isinstance(failure, KernelFailure) else "error"
            message = failure.problem
        whole.tests.append(TestOutcome(_TEST, status, message, round((time.monotonic() - began) * 1e9)))
        return error
