"""The linear protocol: agreement, progress and cost, on a simulated network and as real processes."""

from __future__ import annotations

import random
import signal
import socket
import struct
from collections import defaultdict
from typing import Final

import pytest
from replica_simulation import MILLISECOND, TREASONS, Network, Simulation
from replicas import Replicas, agree

TIMEOUT: Final = 20 * MILLISECOND
PORT: Final = 7700
MAGIC: Final = 0x5253


def _numbers(commands: list[bytes]) -> dict[int, list[int]]:
    """Client -> numbers of its commands, in the log's order."""
    numbers: dict[int, list[int]] = defaultdict(list)
    for command in commands:
        client, number = struct.unpack_from("<II", command)
        numbers[client].append(number)
    return numbers


def _traitors(count: int, seed: int, treason: str) -> dict[int, str]:
    dice = random.Random(seed)  # noqa: S311 (repeatable, not secret)
    chosen = dice.sample(range(1, count + 1), (count - 1) // 3)
    return dict.fromkeys(chosen, treason)


@pytest.mark.parametrize("count", [4, 7, 10])
def test_all_decide_the_same_and_then_rest(count: int) -> None:
    simulation = Simulation("hotstuff", count, decisions=100)
    assert simulation.reached(100)
    simulation.run(lambda: False, TIMEOUT // 2)
    rounds = [node.round for node in simulation.nodes.values()]
    simulation.run(lambda: False, 4 * TIMEOUT)
    assert [node.height for node in simulation.nodes.values()] == [100] * count
    assert [node.round for node in simulation.nodes.values()] == rounds
    assert simulation.agreed()
    numbers = _numbers(simulation.nodes[1].commands)
    assert set(numbers) == set(range(1, count + 1))
    assert all(of_one == list(range(1, len(of_one) + 1)) for of_one in numbers.values())


def test_messages_grow_linearly_with_the_nodes() -> None:
    for count in (4, 10, 25):
        simulation = Simulation("hotstuff", count, decisions=60, timeout=1000 * MILLISECOND)
        assert simulation.reached(60)
        assert 2 * (count - 1) <= simulation.sent / 60 <= 2 * (count - 1) * 1.1


@pytest.mark.parametrize("treason", TREASONS[1:])
@pytest.mark.parametrize("count", [4, 7])
def test_as_many_traitors_as_it_bears(count: int, treason: str) -> None:
    for seed in (1, 2):
        network = Network(
            loss=0.02 * (seed - 1), duplicate=0.02, corrupt=0.01, delay=(50_000, 2 * MILLISECOND)
        )
        traitors = _traitors(count, seed, treason)
        simulation = Simulation(
            "hotstuff", count, seed=seed, decisions=30, treasons=traitors, network=network
        )
        assert simulation.reached(30, limit=400 * TIMEOUT), seed
        assert simulation.agreed()
        for client, numbers in _numbers(simulation.loyal[0].commands).items():
            assert len(set(numbers)) == len(numbers)
            # an abandoned command is proposed again: of a loyal client none is lost but what is under way
            assert client in traitors or max(numbers) - len(numbers) <= 2


@pytest.mark.parametrize("treason", ["silent", "equivocate", "corrupt"])
def test_one_traitor_too_many_ends_progress(treason: str) -> None:
    simulation = Simulation("hotstuff", 4, decisions=30, treasons={1: treason, 2: treason})
    assert not simulation.reached(1, limit=100 * TIMEOUT)


def test_a_quorum_that_is_none_breaks_agreement() -> None:
    for quorum, agreed in ((0, True), (3, False)):
        simulation = Simulation("hotstuff", 7, quorum=quorum)
        simulation.network.cut = lambda a, b: (a <= 3) != (b <= 3)
        simulation.run(lambda: False, 40 * TIMEOUT)
        assert simulation.agreed() is agreed


@pytest.mark.parametrize("count", [4, 7])
def test_a_forger_needs_that_nobody_authenticates(count: int) -> None:
    for authenticate in (True, False):
        simulation = Simulation(
            "hotstuff", count, decisions=100, treasons={2: "forge"}, authenticate=authenticate
        )
        simulation.reached(100, limit=60 * TIMEOUT)
        assert simulation.agreed() is authenticate
        if authenticate:
            assert min(node.height for node in simulation.loyal) == 100
            assert sum(node.counter("forged") for node in simulation.loyal) > 0


def test_one_who_was_stopped_comes_after() -> None:
    simulation = Simulation("hotstuff", 4)
    assert simulation.reached(20)
    simulation.nodes[3].stopped = True
    stopped_at = simulation.nodes[3].height
    assert simulation.reached(stopped_at + 30, 1, 2, 4)
    assert simulation.nodes[3].height == stopped_at
    # what was sent to it meanwhile is lost, as when a buffer runs over
    simulation.nodes[3].waiting.clear()
    simulation.resume(3)
    assert simulation.reached(max(node.height for node in simulation.loyal) + 30)
    assert simulation.agreed()


def test_only_a_majority_decides_and_all_agree_when_the_cut_has_healed() -> None:
    simulation = Simulation("hotstuff", 7)
    assert simulation.reached(10)
    simulation.network.cut = lambda a, b: (a <= 2) != (b <= 2)
    simulation.run(lambda: False, TIMEOUT)
    before = [simulation.nodes[number].height for number in (1, 2)]
    assert simulation.reached(max(before) + 20, *range(3, 8))
    assert [simulation.nodes[number].height for number in (1, 2)] == before
    simulation.network.cut = lambda a, b: False  # noqa: ARG005 (nothing is cut)
    healed = simulation.now
    assert simulation.reached(max(node.height for node in simulation.loyal) + 10)
    assert simulation.now - healed < 20 * TIMEOUT
    assert simulation.agreed()


def test_halves_stand_still_and_go_on_soon_after() -> None:
    simulation = Simulation("hotstuff", 4)
    assert simulation.reached(10)
    simulation.network.cut = lambda a, b: (a <= 2) != (b <= 2)
    simulation.run(lambda: False, TIMEOUT)
    before = [node.height for node in simulation.loyal]
    simulation.run(lambda: False, 100 * TIMEOUT)
    assert [node.height for node in simulation.loyal] == before
    simulation.network.cut = lambda a, b: False  # noqa: ARG005 (nothing is cut)
    healed = simulation.now
    assert simulation.reached(max(before) + 1)
    # patience has not grown with the time that it took
    assert simulation.now - healed < 6 * TIMEOUT


def _storm(seed: int) -> None:
    """Traitors, loss, stops and cuts by chance; then peace, in which all must go on."""
    dice = random.Random(seed)  # noqa: S311 (repeatable, not secret)
    count = dice.choice([4, 5, 6, 7])
    chosen = dice.sample(range(1, count + 1), dice.randint(0, (count - 1) // 3))
    network = Network(
        loss=dice.choice([0, 0.02, 0.2]), duplicate=0.05, corrupt=0.02,
        delay=(50_000, dice.choice([2, 5, 20]) * MILLISECOND),
    )  # fmt: skip
    treasons = {number: dice.choice(TREASONS[1:]) for number in chosen}
    simulation = Simulation("hotstuff", count, seed=seed, treasons=treasons, network=network)
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
        assert simulation.agreed(), seed
    network.loss = 0.0
    network.delay = (50_000, MILLISECOND)
    goal = max(node.height for node in simulation.loyal) + 10
    assert simulation.reached(goal, limit=200 * TIMEOUT), (seed, treasons)
    assert simulation.agreed(), seed


@pytest.mark.parametrize("seed", range(1, 9))
def test_storms(seed: int) -> None:
    _storm(seed)


def test_processes_go_on_without_one_that_is_stopped_and_one_that_was_away_catches_up() -> None:
    with Replicas(4, protocol="hotstuff", timeout=0.1) as replicas:
        replicas.start()
        assert replicas.reached(20)
        replicas.signal(3, signal.SIGSTOP)
        gone = replicas.nodes[3].height
        assert replicas.reached(gone + 60, 1, 2, 4)
        replicas.signal(3, signal.SIGCONT)
        assert replicas.reached(gone + 60, 3)
        replicas.signal(2, signal.SIGKILL)
        left = max(node.height for node in replicas.nodes.values())
        assert replicas.reached(left + 20, 1, 3, 4)
        replicas.stop()
        assert agree([replicas.nodes[number] for number in (1, 3, 4)])


def _garbage(dice: random.Random, count: int) -> bytes:
    """A message of somebody to somebody, in form or nearly so."""
    kind, sender, to = dice.randint(0, 9), dice.randint(0, count + 1), dice.randint(1, count)
    sizes = (0, 4, 5, 36, 38, 76, 92, 36 + 10 * count, 92 + 10 * count, dice.randint(0, 1408))
    payload = bytearray(dice.randbytes(dice.choice(sizes)))
    if len(payload) >= 12:
        # a view that is near, with a parent that is nearer
        struct.pack_into(
            "<III", payload, 0, dice.randint(0, 3000), dice.randint(0, 50), dice.randint(0, 3000)
        )
    return struct.pack("<HBBHHHH", MAGIC, 1, kind, sender, to, len(payload), 0) + payload + bytes(16)


def test_garbage_in_the_names_of_others_breaks_no_process() -> None:
    dice = random.Random(7)  # noqa: S311 (repeatable, not secret)
    with (
        Replicas(4, protocol="hotstuff", timeout=0.1, authenticate=False) as replicas,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        replicas.start()
        assert replicas.reached(5)
        for _ in range(4000):
            data = _garbage(dice, 4)
            address = socket.inet_ntoa(
                (replicas.network + struct.unpack_from("<H", data, 6)[0]).to_bytes(4, "big")
            )
            sender.sendto(data, (address, PORT))
        replicas.wait(lambda: False, 0.3)
        # a sanitizer's report would end the process with another status
        replicas.stop()
        taken = [int(node.told("counters")[-1]["received"]) for node in replicas.nodes.values()]
        assert min(taken) > 500
