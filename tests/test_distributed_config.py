"""What the settings make of a cluster, and the host's words to it."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks.cluster.switching.ethernet import HOST_MAC, mac_of
from sistasks.errors import UsageError
from sistasks.guest.plan import PAGE_SIZE, REPLICAS_MAX
from sistasks.settings import resolve
from sistasks.suites.distributed.config import LARGE, LEAST, TESTS, Config, configure
from sistasks.suites.distributed.orders import CONTROL_PORT, datagram, order
from sistasks.suites.distributed.partition import scenarios
from sistasks.suites.talk import NETWORK


def config(**variables: Any) -> Config:
    texts = {name: str(value) for name, value in variables.items()}
    return configure(resolve(texts, {}, Path("/nonexistent")), limit=900)


@pytest.mark.parametrize("count", [4, 5, 7, 10, 100, REPLICAS_MAX])
def test_every_pair_shares_a_secret_and_no_third_has_it(count: int) -> None:
    plans = config(nodes=count).plans()
    secrets = [plan.replica.secrets for plan in plans if plan.replica is not None]
    assert len(secrets) == count
    for one in range(count):
        for other in range(count):
            assert secrets[one][other] == secrets[other][one]
    pairs = {secrets[one][other] for one in range(count) for other in range(one, count)}
    assert len(pairs) == count * (count + 1) // 2
    assert all(len(plan.page()) == PAGE_SIZE for plan in plans)
    assert all(plan.tests == TESTS for plan in plans)


def test_another_seed_is_another_cluster() -> None:
    first, again, other = (config(nodes=10, byzantine=3, seed=seed) for seed in (1, 1, 2))
    assert first.plans() == again.plans()
    assert first.treasons == again.treasons
    assert len(first.treasons) == 3
    mine, theirs = first.plans()[0].replica, other.plans()[0].replica
    assert mine is not None
    assert theirs is not None
    assert not set(mine.secrets) & set(theirs.secrets)
    chosen = {tuple(sorted(config(nodes=10, byzantine=3, seed=seed).treasons)) for seed in range(20)}
    assert len(chosen) > 10


def test_traitors_are_what_was_asked_and_only_in_the_consensus_test() -> None:
    mixed = config(nodes=22, byzantine=7)
    assert len(set(mixed.treasons.values())) == 7
    assert set(config(nodes=7, byzantine=2, traitors="flood").treasons.values()) == {"flood"}
    for plan in mixed.plans():
        assert plan.replica is not None
        expected = {"consensus": mixed.treasons[plan.node]} if plan.node in mixed.treasons else {}
        assert plan.replica.treasons == expected


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"nodes": 3}, "nodes=3 cannot agree"),
        ({"nodes": REPLICAS_MAX + 1}, "too many for one cluster"),
        ({"nodes": 10, "byzantine": 4}, "byzantine=4 is more than 10 nodes can bear, which is 3"),
        ({"nodes": 4, "byzantine": 5, "force": "yes"}, "byzantine=5 is more than there are nodes"),
        ({"nodes": 4, "faults": "loss=200%"}, "200%"),
    ],
)
def test_what_cannot_be_is_refused(variables: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as refused:
        config(**variables)
    assert words in refused.value.problem
    assert refused.value.remedy
    if "byzantine" in variables and variables["byzantine"] <= variables["nodes"]:
        config(**variables, force="yes")


def test_patience_follows_the_machine_and_the_cluster() -> None:
    small, large = config(nodes=4), config(nodes=100)
    fast, slow = {"rate": 1e6, "pace": 1e-4}, {"rate": 100.0, "pace": 5.0}
    for test in ("consensus", "partition", "election"):
        assert small.timeout(test, **fast) == LEAST[test]
        assert small.timeout(test, **slow) > LEAST[test]
        assert large.timeout(test, rate=1000, pace=0) > small.timeout(test, rate=1000, pace=0)
    # four heartbeats of a leader to all others and back take at most a fifth of what the cluster can do
    heartbeats = 4 * 2 * large.count / large.timeout("election", rate=1000, pace=0)
    assert heartbeats <= 1000 / 5


@pytest.mark.parametrize("count", [4, 5, 6, 7, 10, LARGE, 100])
def test_scenarios_are_what_they_say(count: int) -> None:
    cluster = config(nodes=count)
    everyone = frozenset(range(1, count + 1))
    for scenario in scenarios(cluster):
        assert not scenario.going_on or len(scenario.going_on) >= cluster.quorum
        assert scenario.cut_off | scenario.going_on == everyone
        for side in scenario.sides:
            heard = [
                sum(all(not cut.holds(other, node) for cut in scenario.cuts) for other in everyone)
                for node in side
            ]
            assert max(heard) < cluster.quorum or len(side) == 1
        for node in scenario.going_on:
            heard_from = [n for n in everyone if all(not cut.holds(n, node) for cut in scenario.cuts)]
            assert len(heard_from) >= cluster.quorum
    assert any(1 in scenario.cut_off and scenario.going_on for scenario in scenarios(cluster))


@pytest.mark.parametrize(("node", "number", "word"), [(1, 1, "start 500"), (128, 70000, "stop")])
def test_an_order_is_a_whole_datagram(node: int, number: int, word: str) -> None:
    frame = order(NETWORK, node, number, word)
    assert frame[:14] == mac_of(node) + HOST_MAC + b"\x08\x00"
    head, udp = frame[14:34], frame[34:]
    words = struct.unpack("!10H", head)
    total = sum(words)
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF, "RFC 1071: the sum with its checksum is all ones"
    assert head[0] == 0x45
    assert words[1] == len(head) + len(udp)
    assert head[9] == 17
    assert int.from_bytes(head[16:20], "big") == NETWORK + node
    assert struct.unpack("!HHHH", udp[:8]) == (CONTROL_PORT, CONTROL_PORT, len(udp), 0)
    assert udp[8:] == f"SISCTL {number} {word}\n".encode()


@given(st.binary(max_size=2000))
def test_a_datagram_is_read_and_anything_else_is_none(frame: bytes) -> None:
    whole = order(NETWORK, 1, 7, "start 5")
    assert datagram(whole, CONTROL_PORT) == b"SISCTL 7 start 5\n"
    assert datagram(whole, CONTROL_PORT + 1) == b""
    assert datagram(whole[:40], CONTROL_PORT) == b""
    assert len(datagram(frame, CONTROL_PORT)) <= len(frame)
    assert len(datagram(whole[:38] + frame, CONTROL_PORT)) <= len(frame)
