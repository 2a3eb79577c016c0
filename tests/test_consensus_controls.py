"""The checker and real replicas: silent about those that keep their promises, loud about those that cannot.

Each control takes away one thing that the promises rest on: enough loyal nodes, a quorum, authentication.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from replicas import NativeReplica, Replicas

from sistasks.consensus.checker import Required, check
from sistasks.consensus.events import Ended, Progress, decode_event
from sistasks.consensus.records import Claim, Fate, NodeLog, decode_decisions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sistasks.consensus.findings import Violation

DECISIONS = 12
EVERYBODY = range(1, 5)


def log_of(node: NativeReplica, treason: str) -> NodeLog:
    texts = ["".join(f"{key}={value}\n" for key, value in one.items()) for one in node.events]
    events = [decode_event(text.encode()) for text in texts]
    ended = next((event for event in events if isinstance(event, Ended)), None)
    return NodeLog(
        node=node.number,
        frames=tuple(map(decode_decisions, node.decisions)),
        claims=tuple(Claim(event.height, event.head) for event in events if isinstance(event, Progress)),
        ended=Claim(ended.height, ended.head) if ended else None,
        submitted=ended.submitted if ended else None,
        treason=treason,
        fate=Fate.ALIVE if ended else Fate.KILLED,
    )


def run(
    traitors: Mapping[int, str], *, required: int = 0, limit: float = 3, **values: Any
) -> list[Violation]:
    """Let four replicas decide for as long as it takes, and check what they told; f is 1."""
    with Replicas(4, treasons=traitors, decisions=DECISIONS, **values) as replicas:
        replicas.start()
        replicas.reached(DECISIONS, *(node for node in EVERYBODY if node not in traitors), limit=limit)
        replicas.stop()
        logs = [log_of(node, traitors.get(number, "")) for number, node in replicas.nodes.items()]
        wanted = Required(decisions=required)
        return check(logs, n=4, f=1, seed=replicas.seed, required=wanted)


@pytest.mark.parametrize("traitors", [{}, {1: "equivocate"}, {1: "forge"}, {2: "flood"}], ids=str)
@pytest.mark.parametrize("protocol", ["pbft", "hotstuff"])
def test_replicas_that_keep_their_promises(protocol: str, traitors: Mapping[int, str]) -> None:
    assert run(traitors, protocol=protocol, required=DECISIONS, limit=30) == []


def kinds(found: list[Violation]) -> set[str]:
    return {violation.kind for violation in found}


def test_more_traitors_than_a_third() -> None:
    found = run({1: "equivocate", 2: "equivocate"}, protocol="pbft")
    assert "agreement" in kinds(found)
    assert not {1, 2} & {node for violation in found for node in violation.nodes}


def test_a_quorum_that_is_none() -> None:
    found = run({1: "equivocate"}, protocol="pbft", quorums=dict.fromkeys(EVERYBODY, 1))
    assert "agreement" in kinds(found)


@pytest.mark.parametrize("protocol", ["pbft", "hotstuff"])
def test_a_forger_where_nothing_is_authenticated(protocol: str) -> None:
    assert "agreement" in kinds(run({1: "forge"}, protocol=protocol, authenticate=False))


def test_a_traitor_too_many_who_says_nothing_stops_everything() -> None:
    with Replicas(4, treasons={1: "silent", 2: "silent"}, protocol="pbft", decisions=DECISIONS) as replicas:
        replicas.start()
        assert not replicas.reached(1, 3, 4, limit=1)
        replicas.stop()
        logs = [log_of(node, "silent" if number < 3 else "") for number, node in replicas.nodes.items()]
    (found,) = check(logs, n=4, f=1, seed=replicas.seed, required=Required(decisions=1))
    assert (found.kind, found.nodes) == ("liveness", (3, 4))
