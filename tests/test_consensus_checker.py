"""The checker is silent on every correct run, and cries by name when one thing is wrong."""

from __future__ import annotations

import dataclasses
import struct
from itertools import combinations
from typing import TYPE_CHECKING

import pytest
from consensus_runs import Run, head_of, plain, runs, submitted
from hypothesis import given, settings
from hypothesis import strategies as st

from sistasks.consensus.checker import agreement, check, loyal_logs
from sistasks.consensus.records import Claim, Decisions, Fate, chain

if TYPE_CHECKING:
    from random import Random

COMMANDS = st.sampled_from([bytes([i]) * 32 for i in range(3)])
LOGS = st.dictionaries(st.integers(1, 9), st.dictionaries(st.integers(0, 6), COMMANDS), max_size=6)
dull = settings(deadline=None)


@dull
@given(runs())
def test_a_correct_run_has_no_violation(run: Run) -> None:
    assert run.check() == []


@dull
@given(runs(), st.randoms(use_true_random=False))
def test_the_order_of_the_nodes_does_not_matter(run: Run, dice: Random) -> None:
    run.tell(1, [submitted(run.seed, 1, 99), *run.commands[1:]])
    found = run.check()
    dice.shuffle(logs := list(run.logs.items()))
    run.logs = dict(logs)
    assert run.check() == found


@dull
@given(runs(least=1), st.data())
def test_one_swapped_value_breaks_agreement_alone(run: Run, data: st.DataObject) -> None:
    run.require(before={}, cuts=(), commands=0)
    both = [run.entries(node) for node in (1, 2)]
    height = min(map(len, both))
    if height == 0:
        return
    index = data.draw(st.integers(0, height - 1))
    commands = [entry.command for entry in both[0]]
    commands[index] = submitted(run.seed, 1, 99)
    run.tell(1, commands)
    assert run.kinds() == {"agreement"}
    (found, *told) = [violation for violation in run.check() if violation.kind == "agreement"]
    assert found.index == index
    assert {1, 2} <= set(found.nodes)
    assert "node 1 decided command 99 of client 1" in found.words
    assert all(run.logs[node].fate is Fate.KILLED for violation in told for node in violation.nodes)


def oracle(logs: dict[int, dict[int, bytes]]) -> dict[tuple[int, int], int]:
    """Each pair that differs, and where first."""
    pairs = {}
    for a, b in combinations(sorted(logs), 2):
        differ = [index for index in logs[a].keys() & logs[b].keys() if logs[a][index] != logs[b][index]]
        if differ:
            pairs[a, b] = min(differ)
    return pairs


@dull
@given(LOGS)
def test_agreement_against_every_pair_by_hand(logs: dict[int, dict[int, bytes]]) -> None:
    pairs = oracle(logs)
    found = agreement(logs)
    assert [violation.index for violation in found] == sorted(set(pairs.values()))
    for violation in found:
        here = {pair for pair, index in pairs.items() if index == violation.index}
        assert set(violation.nodes) == {node for pair in here for node in pair}


def test_agreement_is_told_compactly() -> None:
    run = plain(n=7)
    run.tell(3, [*run.commands[:2], submitted(7, 1, 50), *run.commands[3:]])
    run.tell(6, [*run.commands[:2], submitted(7, 1, 51), *run.commands[3:]])
    (found,) = run.check()
    assert found.nodes == (1, 2, 3, 4, 5, 6, 7)
    assert found.words == (
        "at index 2 nodes 1, 2, 4, 5, 7 decided command 1 of client 3, "
        "node 3 decided command 50 of client 1, node 6 decided command 51 of client 1"
    )


def test_many_who_differ_are_told_in_few_words() -> None:
    run = plain(n=7, length=1)
    for node in range(2, 6):
        run.tell(node, [submitted(7, 1, node)])
    (found,) = run.check()
    assert found.words == (
        "at index 0 nodes 1, 6, 7 decided command 1 of client 1, node 2 decided command 2 of client 1, "
        "node 3 decided command 3 of client 1, node 4 decided command 4 of client 1, and 1 more"
    )
    run.tell(5, run.commands)
    assert run.check()[0].words.endswith("node 4 decided command 4 of client 1")


def test_commands_that_differ_in_their_value_alone_are_told_apart() -> None:
    run = plain(length=1)
    other = run.commands[0][:-1] + b"\0"
    run.tell(2, [other])
    words = next(found.words for found in run.check() if found.kind == "agreement")
    assert other.hex() in words
    assert run.commands[0].hex() in words


def test_traitors_are_not_held_to_agreement_nor_believed() -> None:
    run = plain()
    run.tell(4, [submitted(7, 4, 9)], treason="equivocate")
    assert run.check() == []
    assert 4 not in loyal_logs(list(run.logs.values()))


def test_more_traitors_than_borne_are_no_excuse() -> None:
    run = plain()
    run.change(3, treason="equivocate")
    run.change(4, treason="equivocate")
    run.tell(2, [submitted(7, 4, 9), *run.commands[1:]])
    assert run.kinds() == {"agreement"}


def test_the_heads_of_the_dead_bear_witness() -> None:
    run = plain()
    run.change(4, frames=(), ended=None, fate=Fate.KILLED)
    other = [*run.commands[:3], submitted(7, 1, 50)]
    run.change(4, claims=(run.claim(2), run.claim(3), run.claim(4, other)))
    (found,) = run.check()
    assert (found.kind, found.nodes, found.index) == ("agreement", (4,), 3)
    assert found.words == "node 4: its head at height 4 was not that of nodes 1-3"


def test_the_first_head_that_is_another_is_told() -> None:
    run = plain()
    run.tell(4, [], fate=Fate.KILLED, ended=None)
    other = [*run.commands[:4], submitted(7, 1, 50), run.commands[5]]
    run.change(4, claims=(run.claim(4, other), run.claim(5, other), run.claim(6, other)))
    assert [(found.kind, found.index) for found in run.check()] == [("agreement", 4)]
    run.change(4, claims=(run.claim(6, other),))
    assert [(found.kind, found.index) for found in run.check()] == [("agreement", 5)]


def test_the_dead_are_compared_with_each_other() -> None:
    run = plain(n=7, length=3)
    for node in (6, 7):
        run.tell(node, [], fate=Fate.KILLED, ended=None)
    other = [*run.commands, submitted(7, 1, 50)]
    run.change(6, claims=(run.claim(4, other),))
    run.change(7, claims=(run.claim(4, [*run.commands, submitted(7, 1, 51)]),))
    assert [(found.kind, found.nodes) for found in run.check()] == [("agreement", (6,)), ("agreement", (7,))]
    run.change(7, claims=(run.claim(4, other, 32),))
    assert run.check() == []


def test_two_heads_of_one_height() -> None:
    run = plain()
    run.tell(4, [], fate=Fate.KILLED, ended=None)
    run.change(4, claims=(Claim(9, bytes(8)), Claim(9, bytes(9))))
    assert run.check() == []
    run.change(4, claims=(Claim(9, bytes(8)), Claim(9, b"\1" * 8)))
    assert run.kinds() == {"agreement"}


def test_beyond_a_gap_the_heads_that_were_told_are_compared() -> None:
    run = plain()
    run.tell(1, run.commands, [2, 3])
    a, _, c = run.logs[1].frames
    run.change(1, frames=(a, c), claims=(run.claim(5),))
    assert run.kinds() == {"order"}
    run.change(1, ended=run.claim(6, [*run.commands[:5], submitted(7, 1, 50)], 32))
    assert run.kinds() == {"order", "agreement"}


@dull
@given(runs(least=1), st.integers(0, 255), st.data())
def test_a_value_that_nobody_submits(run: Run, bit: int, data: st.DataObject) -> None:
    run.require(before={}, cuts=(), commands=0, decisions=0)
    index = data.draw(st.integers(0, len(run.commands) - 1))
    damaged = bytearray(run.commands[index])
    damaged[bit // 8] ^= 1 << bit % 8
    if run.commands[index] == bytes(32) and bit // 8 >= 4:
        assert damaged[:4] == bytes(4)  # no client, and yet not empty
    commands = [*run.commands[:index], bytes(damaged), *run.commands[index + 1 :]]
    for node, log in run.logs.items():
        if log.loyal:
            run.tell(node, commands)
    found = [violation for violation in run.check() if violation.kind != "duplicate"]
    assert [violation.kind for violation in found] == ["validity"]
    assert found[0].index == index
    assert found[0].nodes == tuple(node for node, log in run.logs.items() if log.loyal)


@pytest.mark.parametrize("command", [
    submitted(8, 1, 9),  # of another run
    submitted(7, 5, 1),  # of a client that is not there
    submitted(7, 0, 1), submitted(7, 1, 0), b"\xff" * 32, bytes(31) + b"\1",
])  # fmt: skip
def test_values_that_are_refused(command: bytes) -> None:
    run = plain()
    for node in range(1, 5):
        run.tell(node, [*run.commands, command])
    (found,) = run.check()
    assert (found.kind, found.nodes, found.index) == ("validity", (1, 2, 3, 4), 6)


@pytest.mark.parametrize(("told", "kinds"), [
    ({1: 2, 2: 2, 3: 2, 4: 2}, []),
    ({1: 2, 2: 1, 3: 2, 4: 2}, ["validity"]),  # command 2 of client 2 is at index 5, and nobody submitted it
    ({1: 2, 2: None, 3: 2, 4: 2}, []),
    ({1: 2, 2: 0, 3: None, 4: None}, ["validity"]),
])  # fmt: skip
def test_what_its_client_did_not_submit(told: dict[int, int | None], kinds: list[str]) -> None:
    run = plain()
    assert [command[:8] for command in run.commands] == [
        struct.pack("<II", client, number)
        for client, number in ((1, 1), (2, 1), (3, 1), (4, 1), (1, 2), (2, 2))
    ]
    for node, count in told.items():
        run.change(node, submitted=count)
    found = run.check()
    assert [violation.kind for violation in found] == kinds
    assert all("which no client submitted" in violation.words for violation in found)


def test_what_a_traitor_says_of_its_commands_is_no_evidence() -> None:
    run = plain()
    run.change(2, submitted=0, treason="silent")
    assert run.check() == []


@dull
@given(runs(least=2), st.data())
def test_a_command_decided_twice(run: Run, data: st.DataObject) -> None:
    run.require(before={}, cuts=(), decisions=0, commands=0)
    first, second = sorted(data.draw(st.sets(st.integers(0, len(run.commands) - 1), min_size=2, max_size=2)))
    again = submitted(run.seed, 1, 99)
    commands = list(run.commands)
    commands[first] = commands[second] = again
    loyal = tuple(node for node, log in run.logs.items() if log.loyal)
    for node in loyal:
        run.tell(node, commands)
    (found,) = run.check()
    assert (found.kind, found.nodes, found.index) == ("duplicate", loyal, second)
    assert f"is decided at index {first} and again at {second}" in found.words


def test_a_number_is_decided_once_whatever_its_value() -> None:
    run = plain()
    for node in range(1, 5):
        run.tell(node, [*run.commands, run.commands[2][:8] + bytes(24)])
    assert {(found.kind, found.index) for found in run.check()} == {("validity", 6), ("duplicate", 6)}


def test_nothing_is_required_unless_it_is_said() -> None:
    assert plain(length=0).check() == []


def test_a_gap_may_be_empty_as_often_as_it_likes() -> None:
    run = plain(length=0)
    for node in range(1, 5):
        run.tell(node, [bytes(32)] * 3)
    assert run.check() == []


@dull
@given(runs(least=3), st.data())
def test_a_dropped_decision_breaks_the_order_alone(run: Run, data: st.DataObject) -> None:
    run.require(before={}, cuts=(), decisions=0, commands=0)
    index = data.draw(st.integers(0, len(run.commands) - 2))
    run.tell(1, run.commands, [index, index + 1])
    run.change(1, frames=tuple(frame for frame in run.logs[1].frames if frame.first != index))
    (found,) = run.check()
    assert (found.kind, found.nodes, found.index) == ("order", (1,), index)
    assert found.words == f"node 1: index {index} is due, {index + 1} came"


def test_a_decision_dropped_from_within_moves_all_after_it() -> None:
    run = plain()
    ended = run.logs[1].ended
    run.tell(1, [*run.commands[:2], *run.commands[3:]], ended=ended)
    assert run.kinds() == {"agreement", "chain"}


def test_a_frame_twice_or_out_of_turn() -> None:
    run = plain()
    run.tell(1, run.commands, [2, 4])
    a, b, c = run.logs[1].frames
    for frames in ((a, b, b, c), (a, c, b), (b, a, c)):
        run.change(1, frames=frames)
        assert run.kinds() == {"order"}
    run.change(1, frames=(b, c))  # the beginning is missing
    assert run.kinds() == {"order"}


def test_what_was_told_first_counts() -> None:
    run = plain()
    whole = run.logs[1].frames[0]
    other = dataclasses.replace(whole.entries[5], command=submitted(7, 1, 50))
    run.change(1, frames=(whole, Decisions(5, (other,))))
    assert run.kinds() == {"order"}


@dull
@given(runs(), st.integers(0, 255), st.booleans(), st.data())
def test_a_forged_head(run: Run, bit: int, at_the_end: bool, data: st.DataObject) -> None:
    height = len(run.entries(1)) if at_the_end else data.draw(st.integers(0, len(run.entries(1))))
    head = bytearray(head_of(run.seed, run.commands[:height]))
    head[bit // 8] ^= 1 << bit % 8
    forged = Claim(height, bytes(head))
    run.change(1, **({"ended": forged} if at_the_end else {"claims": (run.claim(height), forged)}))
    (found,) = run.check()
    assert (found.kind, found.nodes, found.index) == ("chain", (1,), height)


@pytest.mark.parametrize(("height", "words"), [
    (5, "ended with 5 decisions and sent 6"),
    (7, "claims 7 decisions and sent 6"),
    (None, "has not told the head of its log"),
])  # fmt: skip
def test_heights_that_are_not_those_of_what_was_sent(height: int | None, words: str) -> None:
    run = plain()
    longer = [*run.commands, submitted(7, 1, 9)]
    run.change(2, ended=None if height is None else run.claim(height, longer, 32))
    (found,) = run.check()
    assert (found.kind, found.words) == ("chain", f"node 2: {words}")
    run.change(2, fate=Fate.CUT_OFF)
    assert run.kinds() == {"chain"}


def test_what_a_killed_node_did_not_come_to_tell_is_no_fault() -> None:
    run = plain()
    longer = [*run.commands, submitted(7, 1, 9)]
    run.change(2, claims=(run.claim(7, longer),), ended=None, fate=Fate.KILLED)
    assert run.check() == []
    run.change(2, claims=(run.claim(3, longer[1:]),))  # but what it sent is
    assert run.kinds() == {"chain"}


def test_every_node_must_be_there_once() -> None:
    run = plain()
    logs = list(run.logs.values())
    for wrong in (logs[:3], [*logs, logs[0]], [*logs[:3], dataclasses.replace(logs[3], node=5)]):
        with pytest.raises(ValueError, match="one each"):
            check(wrong, n=4, f=1, seed=7)
    assert check(logs, n=4, f=1, seed=7) == []


def test_another_seed_makes_everything_wrong() -> None:
    run = plain()
    run.seed = 8
    assert run.kinds() == {"validity", "chain"}


def test_a_hundred_nodes_and_a_thousand_decisions_hash_each_log_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from sistasks.consensus import checker

    run = plain(length=1000, n=100)
    hashed = []

    def counted(seed: int, commands: tuple[bytes, ...]) -> list[bytes]:
        hashed.append(len(commands))
        return chain(seed, commands)

    monkeypatch.setattr(checker, "chain", counted)
    run.tell(5, run.commands[:900])
    assert run.check() == []
    assert sorted(hashed) == [900, 1000]
