"""Leader election: one leader a term, whatever befalls the network; simulated, and as real processes."""

from __future__ import annotations

import random
import signal
from collections import defaultdict
from typing import Final

import pytest
from replica_simulation import MILLISECOND, Network, Simulation
from replicas import Replicas

TIMEOUT: Final = 20 * MILLISECOND
PATIENCE: Final = 40 * TIMEOUT


def _leaders(simulation: Simulation) -> dict[int, set[int]]:
    """Term -> who has led it."""
    leaders: dict[int, set[int]] = defaultdict(set)
    for number, node in simulation.nodes.items():
        for fields in node.told("leader"):
            leaders[int(fields["term"])].add(number)
    return leaders


def _believed(simulation: Simulation, number: int) -> tuple[int, int] | None:
    """(term, leader) that a node knows now."""
    known = None
    for _, event, fields in simulation.nodes[number].events:
        if event == "leader":
            known = (int(fields["term"]), number)
        elif event == "follow":
            known = (int(fields["term"]), int(fields["leader"]))
        elif event in {"stepdown", "candidate"}:
            known = None
    return known


def _settled(simulation: Simulation, *nodes: int, above: int = 0) -> bool:
    """Whether these nodes, or all, know one leader of a term above, who is one of them."""
    numbers = nodes or tuple(simulation.nodes)
    beliefs = {_believed(simulation, number) for number in numbers}
    only = next(iter(beliefs))
    return len(beliefs) == 1 and only is not None and only[0] > above and only[1] in numbers


def _leader(simulation: Simulation, *nodes: int, above: int = 0) -> tuple[int, int]:
    """Run until they know one, and say (term, leader)."""
    assert simulation.run(lambda: _settled(simulation, *nodes, above=above), PATIENCE)
    known = _believed(simulation, nodes[0] if nodes else 1)
    assert known is not None
    return known


def _check_safety(simulation: Simulation) -> None:
    """Never two leaders in a term, no vote twice in a term, and every leader had a majority of votes."""
    votes: dict[tuple[int, int], int] = defaultdict(int)
    for number, node in simulation.nodes.items():
        terms = [int(fields["term"]) for fields in node.told("vote")]
        assert len(set(terms)) == len(terms), (number, terms)
        for fields in node.told("vote"):
            votes[int(fields["term"]), int(fields["candidate"])] += 1
    for term, leaders in _leaders(simulation).items():
        assert len(leaders) == 1, (term, leaders)
        assert votes[term, next(iter(leaders))] > len(simulation.nodes) // 2


@pytest.mark.parametrize("count", [2, 3, 4, 7, 10, 25])
def test_all_come_to_know_one_leader_who_stays(count: int) -> None:
    simulation = Simulation("election", count)
    known = _leader(simulation)
    simulation.run(lambda: False, PATIENCE)
    assert {_believed(simulation, number) for number in simulation.nodes} == {known}
    assert not any(node.told("stepdown") for node in simulation.loyal)
    _check_safety(simulation)


def test_a_leader_that_stops_is_followed_by_another_and_steps_down_when_it_wakes() -> None:
    simulation = Simulation("election", 5)
    term, old = _leader(simulation)
    simulation.nodes[old].stopped = True
    others = [number for number in simulation.nodes if number != old]
    later, new = _leader(simulation, *others, above=term)
    assert later > term
    assert new != old
    simulation.resume(old)
    assert simulation.run(lambda: _believed(simulation, old) == (later, new), PATIENCE)
    assert simulation.nodes[old].told("stepdown") == [{"term": str(term)}]
    assert len(_leaders(simulation)) == 2
    _check_safety(simulation)


def test_a_leader_that_is_cut_off_knows_within_two_timeouts() -> None:
    simulation = Simulation("election", 5)
    term, old = _leader(simulation)
    simulation.network.cut = lambda a, b: old in {a, b}
    at = simulation.now
    assert simulation.run(lambda: bool(simulation.nodes[old].told("stepdown")), PATIENCE)
    assert simulation.now - at <= 2 * TIMEOUT
    others = [number for number in simulation.nodes if number != old]
    known = _leader(simulation, *others, above=term)
    # alone it asks whether to stand, again and again, and its term stays as it was
    simulation.run(lambda: False, PATIENCE)
    assert simulation.nodes[old].round == term
    simulation.network.cut = lambda a, b: False  # noqa: ARG005 (nothing is cut)
    assert simulation.run(lambda: _believed(simulation, old) == known, PATIENCE)
    # and its return has deposed nobody
    simulation.run(lambda: False, PATIENCE)
    assert {_believed(simulation, number) for number in simulation.nodes} == {known}
    _check_safety(simulation)


def test_a_leader_that_is_heard_but_does_not_hear_steps_down() -> None:
    simulation = Simulation("election", 5)
    term, old = _leader(simulation)
    simulation.network.cut = lambda _, b: b == old
    others = [number for number in simulation.nodes if number != old]
    later, new = _leader(simulation, *others, above=term)
    assert (later > term, new != old) == (True, True)
    _check_safety(simulation)


def test_no_majority_no_leader() -> None:
    simulation = Simulation("election", 4)
    simulation.network.cut = lambda a, b: (a <= 2) != (b <= 2)
    simulation.run(lambda: False, PATIENCE)
    assert not _leaders(simulation)
    simulation.network.cut = lambda a, b: False  # noqa: ARG005 (nothing is cut)
    _leader(simulation)
    _check_safety(simulation)


@pytest.mark.parametrize("seed", range(1, 26))
def test_storms(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 (repeatable, not secret)
    count = dice.choice([3, 4, 5, 6, 9])
    network = Network(
        loss=dice.choice([0, 0.05, 0.3]), duplicate=0.1, corrupt=0.02,
        delay=(50_000, dice.choice([1, 5, 30]) * MILLISECOND),
    )  # fmt: skip
    treasons = {dice.randint(1, count): dice.choice(["flood", "false_view", "replay", "late", "silent"])}
    simulation = Simulation(
        "election", count, seed=seed, network=network, treasons=treasons if seed % 2 else {}
    )
    for _ in range(8):
        side = {number: dice.randint(0, 1) for number in simulation.nodes}
        one_way = dice.random() < 0.3

        def cut(a: int, b: int, side: dict[int, int] = side, one_way: bool = one_way) -> bool:
            return side[a] < side[b] if one_way else side[a] != side[b]

        if dice.random() < 0.6:
            network.cut = cut
        for number in dice.sample(sorted(simulation.nodes), dice.randint(0, count // 2)):
            simulation.nodes[number].stopped = True
        simulation.run(lambda: False, dice.randint(1, 15) * TIMEOUT)
        network.cut = lambda a, b: False  # noqa: ARG005 (nothing is cut)
        for number, node in simulation.nodes.items():
            if node.stopped:
                simulation.resume(number)
        _check_safety(simulation)
    network.loss = 0.0
    network.delay = (50_000, MILLISECOND)
    if not seed % 2:
        _leader(simulation)
    _check_safety(simulation)


def test_a_majority_that_is_none_gives_two_leaders() -> None:
    simulation = Simulation("election", 7, quorum=1)
    simulation.network.cut = lambda a, b: (a <= 3) != (b <= 3)
    simulation.run(lambda: False, 10 * TIMEOUT)
    assert any(len(leaders) > 1 for leaders in _leaders(simulation).values())
    with pytest.raises(AssertionError):
        _check_safety(simulation)


def test_votes_for_everybody_give_two_leaders() -> None:
    twice = 0
    for seed in range(1, 11):
        network = Network(delay=(MILLISECOND, 10 * MILLISECOND))
        traitors = dict.fromkeys((1, 2, 3), "equivocate")
        simulation = Simulation("election", 5, seed=seed, treasons=traitors, network=network)
        simulation.run(lambda: False, 20 * TIMEOUT)
        twice += any(len(leaders) > 1 for leaders in _leaders(simulation).values())
    assert twice > 0


def test_processes_elect_another_when_their_leader_is_stopped() -> None:
    with Replicas(4, test="election", timeout=0.1) as replicas:
        replicas.start()
        nodes = replicas.nodes
        assert replicas.wait(lambda: any(node.told("leader") for node in nodes.values()))
        old = next(number for number, node in nodes.items() if node.told("leader"))
        term = int(nodes[old].told("leader")[-1]["term"])
        replicas.signal(old, signal.SIGSTOP)

        def higher() -> list[int]:
            terms = [int(one["term"]) for node in nodes.values() for one in node.told("leader")]
            return [one for one in terms if one > term]

        assert replicas.wait(lambda: bool(higher()))
        replicas.signal(old, signal.SIGCONT)
        assert replicas.wait(lambda: bool(nodes[old].told("stepdown")))
        assert replicas.wait(lambda: bool(nodes[old].told("follow")))
        replicas.stop()
        led = [one["term"] for node in nodes.values() for one in node.told("leader")]
        assert len(set(led)) == len(led)
