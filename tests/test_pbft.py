"""PBFT: replicas in a simulated network, where every case repeats."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import pytest
from replica_simulation import MILLISECOND, TREASONS, Network, Node, Simulation

if TYPE_CHECKING:
    from collections.abc import Callable

    # from, to, type
    Drop = Callable[[int, int, int], bool]

EMPTY = bytes(32)
CHECKPOINT_EVERY = 16
HEADER = 12  # of a datagram
PART_HEADER = 8


class Type(IntEnum):
    """Message types (pbft.h)."""

    REQUEST = 1
    PRE_PREPARE = 2
    PREPARE = 3
    COMMIT = 4
    CHECKPOINT = 5
    VIEW_CHANGE = 6
    VIEW_CHANGE_ACK = 7
    NEW_VIEW = 8
    STATUS = 9
    VOTES = 10
    FETCH = 11


class Cluster(Simulation):
    """A simulation that counts messages by type, and may lose some of them by choice."""

    def __init__(self, count: int, drop: Drop | None = None, **rest: Any) -> None:
        self.counts: Counter[int] = Counter()
        self.drop = drop or nothing
        super().__init__("pbft", count, **rest)

    def post(self, number: int, to: int, data: bytes) -> None:
        self.counts[data[3]] += 1
        if not self.drop(number, to, data[3]):
            super().post(number, to, data)

    def others(self, *numbers: int) -> list[Node]:
        """The loyal nodes without these."""
        return [node for node in self.loyal if node.number not in numbers]

    def decided(self, height: int, nodes: list[Node], limit: int = 20_000 * MILLISECOND) -> bool:
        """Whether these get so far."""
        return self.run(lambda: all(node.height >= height for node in nodes), limit)


def is_valid(command: bytes, seed: int, count: int) -> bool:
    """Whether a command is what its client would submit (replica.h)."""
    client = int.from_bytes(command[:4], "little")
    right = hashlib.sha256(b"sistasks command" + seed.to_bytes(8, "little") + command[:8]).digest()[:24]
    return command == EMPTY or (1 <= client <= count and command[8:] == right)


def check(cluster: Cluster, height: int, seed: int = 1) -> None:
    """Agreement, validity, no command twice, on what the loyal have decided."""
    assert cluster.agreed()
    for node in cluster.loyal:
        assert node.height >= height
    commands = [command for command in cluster.loyal[0].commands if command != EMPTY]
    assert len(set(commands)) == len(commands)
    assert all(is_valid(command, seed, len(cluster.nodes)) for command in commands)


def nothing(*_: int) -> bool:
    return False


# --- the normal case


@pytest.mark.parametrize("pipeline", [1, 16])
@pytest.mark.parametrize("count", [4, 7, 10])
def test_a_decision_costs_the_messages_of_the_paper(count: int, pipeline: int) -> None:
    decisions = 2 * CHECKPOINT_EVERY
    cluster = Cluster(count, decisions=decisions, pipeline=pipeline)
    assert cluster.reached(decisions)
    # let what is under way arrive, and nothing else happen
    cluster.run(lambda: False, 2 * MILLISECOND)
    check(cluster, decisions)
    # the primary's own need no message; of those under way at the end some came for nothing
    own = sum(command[0] == 1 for command in cluster.nodes[1].commands)
    assert 0 <= cluster.counts.pop(Type.REQUEST) - (decisions - own) < pipeline
    assert cluster.counts == {
        Type.PRE_PREPARE: decisions * (count - 1),
        Type.PREPARE: decisions * (count - 1) ** 2,
        Type.COMMIT: decisions * count * (count - 1),
        Type.CHECKPOINT: decisions // CHECKPOINT_EVERY * count * (count - 1),
    }


def test_all_clients_have_their_turn() -> None:
    cluster = Cluster(4, decisions=40)
    assert cluster.reached(40)
    clients = [int.from_bytes(command[:4], "little") for command in cluster.nodes[3].commands]
    assert clients == [1, 2, 3, 4] * 10


def test_nobody_goes_beyond_the_last_decision() -> None:
    cluster = Cluster(4, decisions=21, pipeline=8)
    assert cluster.reached(21)
    cluster.run(lambda: False, 1000 * MILLISECOND)
    assert [node.height for node in cluster.loyal] == [21] * 4
    assert [node.round for node in cluster.loyal] == [0] * 4


# n that is not 3f + 1: 2f + 1 would not be a quorum there
@pytest.mark.parametrize("count", [5, 6, 8, 9])
def test_any_number_of_nodes(count: int) -> None:
    faulty = (count - 1) // 3
    cluster = Cluster(count, treasons=dict.fromkeys(range(1, faulty + 1), "silent"))
    assert cluster.reached(30)
    check(cluster, 30)


# --- faults of nodes


@pytest.mark.parametrize(("count", "traitors"), [(4, (1,)), (4, (3,)), (7, (1, 2)), (7, (2, 5))])
@pytest.mark.parametrize("treason", TREASONS[1:])
def test_f_traitors_change_nothing(count: int, traitors: tuple[int, ...], treason: str) -> None:
    cluster = Cluster(count, treasons=dict.fromkeys(traitors, treason), pipeline=2)
    assert cluster.reached(30)
    check(cluster, 30)


def test_every_dead_primary_costs_one_view() -> None:
    cluster = Cluster(10, treasons=dict.fromkeys((1, 2, 3), "silent"))
    assert cluster.reached(20)
    check(cluster, 20)
    assert {node.round for node in cluster.loyal} == {3}
    for node in cluster.loyal:
        assert node.told("round")[-1] == {"view": "3", "leader": "4"}


def test_a_stopped_primary_is_replaced_and_comes_back() -> None:
    cluster = Cluster(4)
    assert cluster.reached(10)
    cluster.nodes[1].stopped = True
    rest = cluster.others(1)
    assert cluster.decided(60, rest)
    assert min(node.round for node in rest) >= 1
    assert cluster.nodes[1].height < 60
    cluster.resume(1)
    assert cluster.decided(200, cluster.loyal)
    check(cluster, 200)
    # it is one of them again, not only one that is told
    assert cluster.nodes[1].round == cluster.nodes[2].round
    cluster.nodes[3].stopped = True
    height = cluster.nodes[2].height
    assert cluster.decided(height + 50, cluster.others(3))


def test_a_replica_cut_off_alone_follows_again() -> None:
    cluster = Cluster(4, network=Network(cut=lambda a, b: 4 in {a, b}))
    assert cluster.decided(100, cluster.others(4))
    # it has given up the view alone, and cannot come back to it
    assert cluster.nodes[4].height == 0
    cluster.network = Network()
    assert cluster.decided(200, cluster.loyal)
    check(cluster, 200)


def test_without_a_quorum_nothing_is_decided() -> None:
    cluster = Cluster(4, network=Network(cut=lambda a, b: (a <= 2) != (b <= 2)))
    cluster.run(lambda: False, 500 * MILLISECOND)
    assert [node.height for node in cluster.loyal] == [0] * 4
    cluster.network = Network()
    assert cluster.reached(20)
    check(cluster, 20)


# --- faults of the network


@pytest.mark.parametrize("seed", range(6))
def test_a_bad_network(seed: int) -> None:
    network = Network(loss=0.15, duplicate=0.1, corrupt=0.02, delay=(MILLISECOND // 50, 3 * MILLISECOND))
    cluster = Cluster(4 if seed % 2 else 7, seed=seed, network=network, pipeline=1 + 3 * (seed % 3))
    assert cluster.reached(60)
    check(cluster, 60, seed)


# delays longer than the patience: views change all the time
@pytest.mark.parametrize("seed", range(4))
def test_a_network_slower_than_the_patience(seed: int) -> None:
    network = Network(loss=0.05, delay=(MILLISECOND, 15 * MILLISECOND))
    cluster = Cluster(4, seed=seed, network=network, treasons={1 + seed: "equivocate"})
    assert cluster.reached(15)
    check(cluster, 15, seed)
    assert max(node.round for node in cluster.loyal) > 0


def disturb(cluster: Cluster, dice: random.Random) -> None:
    """Another of the things that happen to a cluster; what was before is over."""
    for number, node in cluster.nodes.items():
        if node.stopped:
            cluster.resume(number)
    some, one = (
        set(dice.sample(sorted(cluster.nodes), len(cluster.nodes) // 2)),
        dice.choice(sorted(cluster.nodes)),
    )
    cluster.network.cut = nothing
    match dice.randrange(5):
        case 0:
            cluster.network.cut = lambda a, b: (a in some) != (b in some)
        case 1:
            cluster.network.cut = lambda a, _: a == one
        case 2:
            cluster.network.cut = lambda _, b: b == one
        case 3:
            cluster.nodes[one].stopped = True
        case _:
            primary = max(node.round for node in cluster.loyal) % len(cluster.nodes) + 1
            cluster.nodes[primary].stopped = True


@pytest.mark.parametrize("treason", ["", "silent", "equivocate", "false_view"])
@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_they_agree_and_go_on_when_it_is_over(seed: int, treason: str) -> None:
    dice = random.Random(seed)  # noqa: S311 (a test case of its seed)
    count = 4 if seed % 2 else 7
    treasons = {dice.randint(1, count): treason} if treason else {}
    cluster = Cluster(
        count, seed=seed, treasons=treasons, pipeline=3,
        network=Network(loss=0.05, duplicate=0.05, delay=(MILLISECOND // 20, MILLISECOND)),
    )  # fmt: skip
    for _ in range(8):
        disturb(cluster, dice)
        cluster.run(lambda: False, dice.randint(5, 100) * MILLISECOND)
        assert cluster.agreed()
    for number, node in cluster.nodes.items():
        if node.stopped:
            cluster.resume(number)
    cluster.network.cut = nothing
    height = max(node.height for node in cluster.loyal) + 20
    assert cluster.reached(height)
    check(cluster, height, seed)


# --- one thing at a time


def test_what_one_replica_alone_has_decided_is_kept_in_the_next_view() -> None:
    # only node 3 hears commits; then the primary is gone
    cluster = Cluster(4, lambda _, to, kind: kind in {Type.COMMIT, Type.VOTES} and to != 3)
    assert cluster.decided(1, [cluster.nodes[3]])
    first = cluster.nodes[3].commands[0]
    assert [cluster.nodes[number].height for number in (2, 4)] == [0, 0]
    cluster.nodes[1].stopped = True
    cluster.drop = nothing
    rest = cluster.others(1)
    assert cluster.decided(10, rest)
    assert {node.commands[0] for node in rest} == {first}
    assert min(node.round for node in rest) >= 1


def test_a_quorum_of_commits_decides_where_the_pre_prepare_was_lost() -> None:
    cluster = Cluster(4, lambda _, to, kind: kind == Type.PRE_PREPARE and to == 4, decisions=1)
    assert cluster.decided(1, cluster.loyal, limit=2 * MILLISECOND)
    check(cluster, 1)


def test_a_gap_is_filled_with_an_empty_command() -> None:
    lost: list[int] = []

    # the first proposal that reaches anybody is the second one: so nothing was prepared at number 1
    def drop(number: int, to: int, kind: int) -> bool:
        if number == 1 and kind == Type.PRE_PREPARE and len(lost) < 3:
            lost.append(to)
            return True
        return number == 1 and kind in {Type.VOTES, Type.VIEW_CHANGE}

    cluster = Cluster(4, drop, pipeline=4)
    assert cluster.decided(8, cluster.others(1))
    assert cluster.agreed()
    assert cluster.nodes[2].commands[0] == EMPTY
    assert cluster.nodes[2].commands[1] != EMPTY


def test_a_view_change_that_one_backup_has_missed_is_fetched() -> None:
    # node 4 says nothing of its view-change to node 3; and the primary must take it, for it lacks another
    def drop(number: int, to: int, kind: int) -> bool:
        return (number, to) in {(4, 3), (5, 2)} and kind == Type.VIEW_CHANGE

    cluster = Cluster(7, drop, treasons={1: "silent"})
    assert cluster.reached(10)
    check(cluster, 10)
    assert {node.round for node in cluster.loyal} == {1}
    assert cluster.counts[Type.FETCH] > 0


@pytest.mark.parametrize("seed", range(3))
def test_who_tells_each_another_view_change_is_left_out(seed: int) -> None:
    class Liar(Cluster):
        def post(self, number: int, to: int, data: bytes) -> None:
            if number == 4 and data[3] == Type.VIEW_CHANGE:
                # the digest of its checkpoint; without authentication the node that gets it cannot tell
                at = HEADER + PART_HEADER + 15
                data = data[:at] + bytes([to]) + data[at + 1 :]
            super().post(number, to, data)

    cluster = Liar(7, seed=seed, treasons={1: "silent"}, authenticate=False)
    assert cluster.reached(10)
    check(cluster, 10, seed)
    assert {node.round for node in cluster.loyal} == {1}


def test_a_new_view_that_was_lost_is_sent_again() -> None:
    lost: list[int] = []

    def drop(number: int, to: int, kind: int) -> bool:
        if kind == Type.NEW_VIEW and len(lost) < 2:
            lost.append(to)
            return True
        return False

    cluster = Cluster(4, drop, treasons={1: "silent"})
    assert cluster.reached(10)
    check(cluster, 10)
    assert {node.round for node in cluster.loyal} == {1}


def test_lies_about_views_move_nobody() -> None:
    cluster = Cluster(4, treasons={3: "false_view"})
    assert cluster.reached(100)
    assert [node.round for node in cluster.loyal] == [0, 0, 0]


# --- controls: what must go wrong does


@pytest.mark.parametrize(("count", "traitors"), [(4, 2), (7, 3), (10, 4)])
def test_more_than_f_equivocating_traitors_break_it(count: int, traitors: int) -> None:
    treasons = dict.fromkeys(range(1, traitors + 1), "equivocate")
    cluster = Cluster(count, treasons=treasons)
    assert not (cluster.reached(30, limit=2000 * MILLISECOND) and cluster.agreed())
    assert not cluster.agreed()


def test_hasty_replicas_break_it() -> None:
    cluster = Cluster(4, treasons={1: "equivocate"}, quorum=1)
    cluster.reached(30, limit=2000 * MILLISECOND)
    assert not cluster.agreed()


def test_a_forger_breaks_it_only_without_authentication() -> None:
    for authenticate in (False, True):
        cluster = Cluster(4, treasons={4: "forge"}, authenticate=authenticate)
        assert cluster.reached(200)
        assert cluster.agreed() == authenticate
        forged = sum(node.counter("forged") for node in cluster.loyal)
        assert (forged > 0) == authenticate
