"""Real kernels bear what no network should send them, and one that does not is noticed, with what it was sent."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING

import pytest
from guest_project import SMALL, Project, rows

from sistasks.cluster.switch import Faults
from sistasks.cluster.switching.faults import ANY, Cut
from sistasks.errors import KernelFailure
from sistasks.evidence.monitor import ResourceMonitor
from sistasks.layout import Layout
from sistasks.machine.examination import Examination
from sistasks.settings import resolve
from sistasks.suites.execution import Execution
from sistasks.suites.penetration import assault
from sistasks.suites.penetration.execute import Penetration
from sistasks.suites.penetration.scenarios import Scenario, scenarios
from sistasks.suites.recipe import recipes
from sistasks.suites.run import ensure_template
from sistasks.suites.suite import PENETRATION
from sistasks.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from sistasks.cluster.nodes import NodeReport

pytestmark = pytest.mark.guest

BORNE = Scenario(name="udp_checksum", refused=True, frames=40, counters=("UdpInCsumErrors",))
LAST = Scenario(name="tcp_flags", frames=40)


class Watching:
    """Tells when a node is at its test."""

    def __init__(self) -> None:
        self.testing = asyncio.Event()

    def started(self, number: int, pid: int) -> None:
        pass

    def stage(self, number: int, stage: str, detail: str = "") -> None:  # noqa: ARG002 - an observer's
        if stage == "testing":
            self.testing.set()


@pytest.fixture
def here(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Execution]:
    """An execution of the suite on two nodes of the project."""
    monkeypatch.chdir(project.folder)  # its records name files from there
    variables: dict[str, object] = {**dict(item.split("=") for item in SMALL), "nodes": "2"}
    settings = resolve({**variables, "output": project.folder / "target/testing"}, {}, tmp_path / "none")
    (recipe,) = recipes(PENETRATION, settings)
    examination = Examination(tmp_path / "evidence", "no")
    with Terminal(settings, Layout(settings.output), io.StringIO()) as terminal:
        yield Execution(recipe, terminal, tmp_path / "scratch", ResourceMonitor(), examination)


def attack(
    here: Execution,
    tried: Sequence[Scenario],
    *,
    hurt: Collection[int] = (),
    relay: bool = False,
    cut_in: str = "",
) -> list[NodeReport]:
    """The reports of a penetration test; in the scenario `cut_in` the switch lets node 2 say nothing any more."""
    test = Penetration(here, ensure_template(here.recipe, here.terminal), tried, hurt, relay)

    async def cut(watching: Watching) -> None:
        await watching.testing.wait()
        ground = test.ground
        assert ground is not None
        assert await ground.wait(lambda: ground.scenario == cut_in, 30)
        await ground.switch.apply(Faults(cuts=(Cut(edges=frozenset({(2, ANY)})),)))

    async def run() -> list[NodeReport]:
        watching = Watching()
        async with asyncio.TaskGroup() as group:
            conducted = group.create_task(test.conduct(watching))
            if cut_in:
                group.create_task(cut(watching))
        return conducted.result()

    return asyncio.run(run())


def outcomes(report: NodeReport) -> dict[str, str]:
    return {item.rule: item.outcome for item in report.results.findings}


def test_kernels_bear_every_scenario(project: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    done = project.doit("penetration", *SMALL, "nodes=3", f"db={db}", limit=180)
    assert done.returncode == 0, done.stdout + done.stderr
    assert rows(db, "select node, status from results") == [(node, "pass") for node in range(4)]
    seen = rows(db, "select rule, outcome, evidence from findings")
    found = {rule: (outcome, evidence) for rule, outcome, evidence in seen}
    assert set(found) == {scenario.rule for scenario in scenarios()}
    assert {outcome for outcome, _ in found.values()} == {"pass", "fail"}
    # what Linux does by its defaults: ARP, routers and the broadcast address as a sender are believed
    for rule in ("arp_poison", "router_advertisement", "ip_addresses"):
        assert found[f"network.{rule}"][0] == "fail", found[f"network.{rule}"]
    for rule in ("ip_checksum", "ip_version", "teardrop", "udp_length", "udp_checksum", "land", "smurf"):
        assert found[f"network.{rule}"][0] == "pass", found[f"network.{rule}"]
    # they did arrive: the victim's own kernel has counted each one
    for rule, counter in (
        ("ip_version", "IpInHdrErrors"), ("ip_options", "IpInHdrErrors"), ("udp_length", "UdpInErrors"),
        ("udp_checksum", "UdpInCsumErrors"), ("tcp_checksum", "TcpInCsumErrors"), ("teardrop", "IpReasmReqds"),
    ):  # fmt: skip
        assert f"{counter} +160" in found[f"network.{rule}"][1]
    means = dict(rows(db, "select metric, mean from summaries where node = 0"))
    assert set(means) == set(PENETRATION.tests["penetration"])
    assert 0 < means["penetration.answered"] <= 1e6
    alone = project.doit("penetration", *SMALL, "nodes=1", f"db={db}")
    assert alone.returncode == 3
    assert "nodes=1 cannot attack each other" in alone.stderr


def test_a_victim_that_dies_of_a_packet_is_told_with_the_packet(here: Execution) -> None:
    whole, _, victim = attack(here, [BORNE, Scenario(name="hurting", frames=1), LAST], hurt={2})
    assert outcomes(whole) == {"network.udp_checksum": "pass"}
    assert isinstance(whole.error, KernelFailure)
    assert "node 2 fell in network.hurting" in whole.error.problem
    assert whole.results.tests[0].status == "fail"
    assert isinstance(victim.error, KernelFailure)
    assert victim.error.kind == "panic"
    assert any("sysrq" in crash.title.lower() for crash in victim.crashes)


def test_a_victim_that_no_longer_answers_is_told_with_the_packet(
    here: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assault, "_BACK_LIMIT", 2.0)
    whole, *_ = attack(here, [BORNE, LAST, BORNE], cut_in=LAST.rule)
    assert outcomes(whole) == {"network.udp_checksum": "pass"}
    assert isinstance(whole.error, KernelFailure)
    assert "node 2 does not answer any more after network.tcp_flags (UDP, ICMP, TCP)" in whole.error.problem
    assert whole.results.tests[0].status == "fail"


def test_a_kernel_without_packet_sockets_attacks_by_way_of_the_host(here: Execution) -> None:
    tried = [BORNE, next(one for one in scenarios() if one.name == "broadcast_storm")]
    whole, *nodes = attack(here, tried, relay=True)
    assert [report.error for report in (whole, *nodes)] == [None] * 3
    assert outcomes(whole) == {"network.udp_checksum": "pass", "network.broadcast_storm": "pass"}
    assert "UdpInCsumErrors +40" in whole.results.findings[0].evidence
    assert "by way of the host" in whole.results.tests[0].message
