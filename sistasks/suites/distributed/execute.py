"""One distributed run: the cluster brought up, its three tests, and what they gave as reports."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from sistasks.cluster.nodes import Cluster, NodeReport
from sistasks.cluster.switch import Switch
from sistasks.errors import SistasksError
from sistasks.evidence.records import Evidence
from sistasks.machine.examination import examine
from sistasks.machine.results import GuestResults, TestOutcome
from sistasks.session import SESSION_ID
from sistasks.suites.distributed.arena import Arena
from sistasks.suites.distributed.config import configure
from sistasks.suites.distributed.consensus import consensus
from sistasks.suites.distributed.election import election
from sistasks.suites.distributed.network import network
from sistasks.suites.distributed.outcome import Outcome
from sistasks.suites.distributed.partition import partition
from sistasks.suites.talk import report

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.cluster.nodes import Observer
    from sistasks.machine.examination import Examination
    from sistasks.machine.node import Node
    from sistasks.machine.spec import Machine
    from sistasks.machine.template import Template
    from sistasks.suites.distributed.config import Config
    from sistasks.suites.execution import Execution
    from sistasks.suites.suite import Suite


async def execute(
    suite: Suite,  # noqa: ARG001 - the signature of every suite's own way
    run: Execution,
    template: Template | None,
    observer: Observer,
) -> list[NodeReport]:
    """Run the suite's nodes; see suites/ways.py."""
    recipe = run.recipe
    capture = None
    if recipe.settings.capture and run.examination is not None:
        capture = run.scratch / f"network{'.again' * run.again}.pcapng"
    whole, *nodes = await conduct(
        configure(recipe.settings, limit=recipe.timeout), machine=recipe.machine, template=template,
        logs=run.logs("distributed"), scratch=run.scratch, session=SESSION_ID, slots=recipe.slots,
        cores=recipe.found.host_cores, observer=observer, capture=capture, examination=run.examination,
    )  # fmt: skip
    if capture is not None and capture.exists():
        captured = Evidence(node=0, kind="captures", path=capture, name="network.pcapng")
        whole = replace(whole, evidence=(*whole.evidence, captured))
    return [whole, *nodes]


async def conduct(
    config: Config,
    *,
    machine: Machine,
    template: Template | None,
    logs: Path,
    scratch: Path,
    session: str,
    slots: int,
    cores: int,
    observer: Observer,
    capture: Path | None = None,
    examination: Examination | None = None,
) -> list[NodeReport]:
    """Bring the cluster up and run its tests.

    Args:
        config: what is asked of it.
        machine: what each node is made of.
        template: what they are cloned from; None boots each one.
        logs: the folder of console logs.
        scratch: the folder of what lives only while they run.
        session: the mark of this session.
        slots: nodes that come up at once.
        cores: processors that all share.
        observer: told of the nodes' stages.
        examination: what a node gets that fails.
        capture: where a capture of the network goes, if anywhere.

    Returns:
        A report of the cluster as node 0, then one of each node.

    Raises:
        SistasksError: the cluster did not come up, or the switch failed.
    """
    started = time.monotonic()
    async with Switch() as switch:
        arena = Arena(config, switch)
        switch.on_event = arena.hear_switch
        cluster = Cluster(
            machine=machine, template=template, logs=logs, scratch=scratch, session=session, slots=slots,
            timeout=config.limit, examination=examination, port=switch.port, listener=arena.hear,
        )  # fmt: skip
        async with cluster.up(config.plans(), observer) as nodes:
            arena.admit(nodes)
            up = time.monotonic()
            if capture is not None:
                await switch.capture(capture)
            whole = GuestResults(done=True)
            error: SistasksError | None = None
            for name in config.tests:
                outcome = Outcome(name)
                try:
                    outcome = await _run(name, arena, cores)
                except SistasksError as failure:
                    error = failure
                outcome.remarks += arena.said_by_switch()
                _take(whole, outcome, error)
                if error is not None:
                    break
                await switch.heal()
            if error is None:  # else nobody tells the nodes to come to an end
                await arena.last_words()
            reports = []
            for node in nodes:
                why = await arena.failed(node, abandoned=error is not None)
                if why is not None:
                    await examine(examination, node, why)
                observer.stage(node.number, "failed" if why else "done")
                reports.append(_report(arena, node, why, started, up).behind(cluster.given_up))
        end = time.monotonic()
    cluster_report = NodeReport(
        number=0, seed=config.seed, results=whole, error=error, started=started, ready=up, finished=end,
        console=logs,
    )  # fmt: skip
    return [cluster_report, *reports]


async def _run(name: str, arena: Arena, cores: int) -> Outcome:
    if name == "consensus":
        return await consensus(arena, cores=cores)
    return await {"network": network, "partition": partition, "election": election}[name](arena)


def _take(whole: GuestResults, outcome: Outcome, error: SistasksError | None) -> None:
    status = "error" if error is not None else "fail" if outcome.violations else "pass"
    message = error.problem if error is not None else outcome.message
    whole.tests.append(TestOutcome(outcome.test, status, message, round(outcome.seconds * 1e9)))
    whole.samples |= {metric: values for metric, values in outcome.samples.items() if values}


def _report(arena: Arena, node: Node, error: SistasksError | None, started: float, up: float) -> NodeReport:
    results = node.results
    if node.number in arena.killed:
        for test in results.tests:
            if test.status == "error":
                test.status, test.message = "pass", "killed, as the test needs it"
    treason = arena.config.treasons.get(node.number)
    for test in results.tests:
        if test.name == "consensus" and treason and test.status == "pass":
            test.message = f"a traitor: {treason}"
    return report(node, error, started, up)
