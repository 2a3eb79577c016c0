"""Faults: what is required of whom after them, and what a side that is cut off must not do."""

from __future__ import annotations

import dataclasses

import pytest
from consensus_runs import STEP, Run, plain, runs, submitted
from hypothesis import given, settings
from hypothesis import strategies as st

from sistasks.consensus.checker import Cut
from sistasks.consensus.records import Decisions, Fate

dull = settings(deadline=None)


@dull
@given(runs(), st.integers(1, 5))
def test_too_few_decisions(run: Run, more: int) -> None:
    run.require(decisions=0, commands=0)
    least = min(len(run.entries(node)) for node in run.alive())
    short = tuple(node for node in run.alive() if len(run.entries(node)) < least + more)
    run.require(decisions=least)
    assert run.check() == []
    run.require(decisions=least + more)
    found = run.check()
    assert {violation.kind for violation in found} == {"liveness"}
    assert sorted(node for violation in found for node in violation.nodes) == list(short)
    assert found[0].words.endswith(f"{found[0].index} decisions where {least + more} are required")


def test_gaps_alone_are_no_progress() -> None:
    run = plain(length=0)
    for node in range(1, 5):
        run.tell(node, [bytes(32)] * 3)
    run.require(decisions=3, commands=1)
    (found,) = run.check()
    assert found.words == "nodes 1-4: 0 commands decided where 1 are required"


@pytest.mark.parametrize("fate", [Fate.CUT_OFF, Fate.KILLED])
def test_who_could_not_owes_nothing(fate: Fate) -> None:
    run = plain()
    run.tell(4, run.commands[:2], fate=fate)
    run.require(decisions=6, before={1: run.claim(4)})
    assert run.check() == []


@dull
@given(runs(least=1), st.data())
def test_lost_decisions(run: Run, data: st.DataObject) -> None:
    """Node 1 had it before the fault; the others never heard of it."""
    longest = max(len(run.entries(node)) for node in run.alive())
    ahead = data.draw(st.integers(longest + 1, longest + 3))
    commands = [*run.commands[:longest], *(submitted(run.seed, 1, 90 + i) for i in range(3))]
    run.require(before={1: run.claim(ahead, commands)})
    found = run.check()
    assert {violation.kind for violation in found} == {"lost"}
    assert sorted(node for violation in found for node in violation.nodes) == run.alive()
    assert f"node 1 had {ahead} before the fault" in found[0].words


def test_decisions_that_are_others_after_the_fault() -> None:
    run = plain()
    run.require(before={2: run.claim(3, [*run.commands[:2], submitted(7, 1, 50)]), 3: run.claim(6)})
    (found,) = run.check()
    assert (found.kind, found.nodes, found.index) == ("lost", (1, 2, 3, 4), 3)
    assert found.words == "nodes 1-4: the first 3 decisions are not those that node 2 had before the fault"


def test_what_a_dead_node_had_decided_must_live_and_what_a_traitor_claims_need_not() -> None:
    run = plain()
    run.tell(4, [], fate=Fate.KILLED, ended=None)
    other = [*run.commands[:5], submitted(7, 1, 50), submitted(7, 1, 51)]
    run.require(before={4: run.claim(7, other)})
    assert run.kinds() == {"lost"}
    run.change(4, treason="corrupt")
    assert run.check() == []


@pytest.mark.parametrize(("span", "certified", "cries"), [
    ((2 * STEP, 4 * STEP), 0, True),
    ((3 * STEP, 3 * STEP + 1), 0, True),
    ((2 * STEP + 1, 3 * STEP), 0, False),  # between two decisions
    ((3 * STEP, 3 * STEP + 1), 3, True),
    ((3 * STEP, 3 * STEP + 1), 4, False),
])  # fmt: skip
def test_a_side_without_a_quorum_must_not_decide(span: tuple[int, int], certified: int, cries: bool) -> None:
    run = plain(n=10)
    for size in (6, 7):  # of 10 nodes 7 make a quorum
        run.require(cuts=[Cut(dict.fromkeys(range(1, size + 1), span), certified)])
        assert run.kinds() == ({"minority"} if cries and size == 6 else set())


def test_the_side_is_named_and_may_take_what_others_decided() -> None:
    run = plain()
    run.require(cuts=[Cut({1: (2500, 4500), 2: (2500, 2600)}), Cut({3: (0, 1)})])
    assert [(found.nodes, found.index, found.words) for found in run.check()] == [
        (
            (1,),
            3,
            "node 1: decided index 3 while 2 were cut off, and 3 make a quorum (and 1 more)",
        ),
        ((3,), 0, "node 3: decided index 0 while 1 were cut off, and 3 make a quorum"),
    ]
    for node in (1, 3):
        entries = tuple(dataclasses.replace(entry, taken=True) for entry in run.entries(node))
        run.change(node, frames=(Decisions(0, entries),))
    assert run.check() == []


def test_a_crash_protocol_has_a_majority_for_a_quorum() -> None:
    run = plain(n=5)
    run.f = 2
    run.require(cuts=[Cut(dict.fromkeys((1, 2, 3), (0, 10**9)))])
    assert run.check() == []
    run.require(cuts=[Cut(dict.fromkeys((1, 2), (0, 10**9)))])
    assert run.kinds() == {"minority"}


def test_a_fault_of_nodes_that_are_not_there_is_refused() -> None:
    run = plain()
    run.require(before={5: run.claim(1)})
    with pytest.raises(ValueError, match="a fault of node 5 in a cluster of 4"):
        run.check()
    run.require(before={}, cuts=[Cut({1: (0, 1), 9: (0, 1)})])
    with pytest.raises(ValueError, match="a fault of nodes 1, 9 in a cluster of 4"):
        run.check()
