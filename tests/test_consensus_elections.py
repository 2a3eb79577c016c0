"""Elections: silent on correct ones, and each broken promise by its name; and how an election went."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sistasks.consensus.elections import check_election, election, known_at
from sistasks.consensus.events import Candidate, Event, Follow, Leader, Progress, Round, Stepdown, Vote

Told = dict[int, list[Event]]
dull = settings(deadline=None)


@st.composite
def elections(draw: st.DrawFn) -> tuple[int, int, Told]:
    """(n, f, what was told): terms with none, one or more candidates, split votes, leaders with a majority.

    The last term has a leader whom everybody follows, elected by all.
    """
    n = draw(st.integers(3, 9))
    dice = Random(draw(st.integers(0, 2**32 - 1)))  # noqa: S311 - quicker than a draw for each
    f = (n - 1) // 2
    told: Told = {node: [] for node in range(1, n + 1)}
    at = dict.fromkeys(told, 0)

    def tell(node: int, event: type[Event], *values: int) -> None:
        at[node] += dice.randint(1, 9)
        told[node].append(event(at[node], *values))

    term = 0
    for last in [False] * dice.randrange(4) + [True]:
        term += dice.randint(1, 3)
        candidates = [dice.randint(1, n)] if last else dice.sample(range(1, n + 1), dice.randint(1, 2))
        for candidate in candidates:
            tell(candidate, Candidate, term)
        votes = dict.fromkeys(candidates, 1)
        for node in set(told) - set(candidates):
            if last or dice.random() < 0.8:
                chosen = dice.choice(candidates)
                votes[chosen] += 1
                tell(node, Vote, term, chosen)
        for leader in [candidate for candidate, count in votes.items() if count >= n - f]:
            tell(leader, Leader, term)
            for node in set(told) - {leader}:
                if last or dice.random() < 0.8:
                    tell(node, Follow, term, leader)
            if not last:
                tell(leader, Stepdown, term)
        told[1].append(Progress(at[1], 0, term, bytes(8)))
        told[2].append(Round(at[2], 0, 1))
    return n, f, told


def kinds(
    told: Told, n: int, f: int, unheard: tuple[int, ...] = ()
) -> list[tuple[str, tuple[int, ...], int]]:
    return [
        (found.kind, found.nodes, found.index) for found in check_election(told, n=n, f=f, unheard=unheard)
    ]


def last_term(told: Told) -> tuple[int, int]:
    """The term and its leader, by a second hand."""
    return max(
        (event.term, node) for node, events in told.items() for event in events if type(event) is Leader
    )


@dull
@given(elections())
def test_a_correct_election_has_no_violation(made: tuple[int, int, Told]) -> None:
    n, f, told = made
    assert kinds(told, n, f) == []


@dull
@given(elections(), st.data())
def test_a_second_leader(made: tuple[int, int, Told], data: st.DataObject) -> None:
    n, f, told = made
    term, leader = last_term(told)
    other = data.draw(st.sampled_from(sorted(set(told) - {leader})))
    believer = data.draw(st.sampled_from(sorted(set(told) - {leader, other})))
    told[believer].append(Follow(10**6, term, other))
    assert kinds(told, n, f) == [("two leaders", tuple(sorted((leader, other))), term)]
    told[believer].pop()
    told[other].append(Leader(10**6, term))
    assert kinds(told, n, f) == [
        ("two leaders", tuple(sorted((leader, other))), term),
        ("votes", (other,), term),
    ]


@dull
@given(elections(), st.data())
def test_a_vote_for_two(made: tuple[int, int, Told], data: st.DataObject) -> None:
    n, f, told = made
    term, leader = last_term(told)
    node = data.draw(st.sampled_from(sorted(told)))
    other = data.draw(st.integers(1, n).filter(lambda other: other != leader))
    told[node].append(Vote(10**6, term, other))
    assert kinds(told, n, f) == [("double vote", (node,), term)]


def test_a_candidate_has_voted_for_itself() -> None:
    told: Told = {1: [Candidate(1, 5), Vote(2, 5, 1)], 2: [], 3: []}
    assert kinds(told, 3, 1) == []
    told[1].append(Vote(3, 5, 2))
    (found,) = check_election(told, n=3, f=1)
    assert found.words == "node 1: voted for node 1 and for node 2 in term 5"


@dull
@given(elections(), st.data())
def test_a_term_that_goes_back(made: tuple[int, int, Told], data: st.DataObject) -> None:
    n, f, told = made
    term, _ = last_term(told)
    node = data.draw(st.sampled_from(sorted(told)))
    told[node].append(Stepdown(10**6, term - 1))
    assert kinds(told, n, f) == [("term", (node,), term - 1)]


@pytest.mark.parametrize(
    "event", [Candidate(2, 4), Vote(2, 4, 2), Leader(2, 4), Follow(2, 4, 2), Stepdown(2, 4)]
)
def test_every_event_of_a_term_counts(event: Event) -> None:
    told: Told = {1: [Follow(1, 5, 3), event], 2: [], 3: []}
    assert ("term", (1,), 4) in kinds(told, 3, 1)


@dull
@given(elections(), st.data())
def test_a_leader_without_a_majority(made: tuple[int, int, Told], data: st.DataObject) -> None:
    n, f, told = made
    term, leader = last_term(told)
    voters = sorted(set(told) - {leader})
    silent = data.draw(st.lists(st.sampled_from(voters), unique=True))
    for node in silent:
        told[node] = [event for event in told[node] if not (isinstance(event, Vote) and event.term == term)]
    expected = [] if n - len(silent) >= n - f else [("votes", (leader,), term)]
    assert kinds(told, n, f) == expected


def test_those_who_are_unheard_may_have_voted() -> None:
    told: Told = {1: [Candidate(1, 1), Leader(2, 1)], 2: [], 3: []}
    (found,) = check_election(told, n=5, f=2)
    assert found.words == "node 1: leads term 1 with 1 votes at most where 3 are needed"
    assert check_election(told, n=5, f=2, unheard=[4]) != []
    assert check_election(told, n=5, f=2, unheard=[4, 5]) == []
    with pytest.raises(ValueError, match="nodes 1, 3 told, and unheard"):
        check_election(told, n=5, f=2, unheard=[1, 3, 4])


def test_votes_of_another_term_or_for_another_do_not_count() -> None:
    told: Told = {1: [Candidate(1, 2), Leader(2, 2)], 2: [Vote(1, 1, 1)], 3: [Vote(1, 2, 2)]}
    assert kinds(told, 3, 1) == [("votes", (1,), 2)]


def test_two_leaders_are_told_with_those_who_say_so() -> None:
    told: Told = {1: [Follow(1, 3, 2)], 2: [], 3: [Follow(1, 3, 4)], 4: [], 5: [Follow(1, 3, 2)]}
    (found,) = check_election(told, n=5, f=2)
    assert (
        found.words
        == "term 3 is led by node 2 (nodes 1, 5), node 4 (node 3), by the word of those in brackets"
    )


@dull
@given(elections())
def test_how_it_went(made: tuple[int, int, Told]) -> None:
    _, _, told = made
    term, leader = last_term(told)
    went = election(told)
    assert (went.term, went.leader) == (term, leader)
    assert went.terms == len(
        {event.term for events in told.values() for event in events if type(event) is Candidate}
    )
    assert went.learnt == {
        node: next(e.at_ns for e in events if (type(e) is Leader or type(e) is Follow) and e.term == term)
        for node, events in told.items()
    }


def test_learnt_is_the_first_time_and_of_the_last_leader() -> None:
    told: Told = {
        1: [Candidate(1, 1), Leader(2, 1), Stepdown(3, 1), Follow(4, 2, 2), Follow(9, 2, 2)],
        2: [Follow(2, 1, 1), Candidate(3, 2), Leader(5, 2)],
        3: [Follow(2, 1, 1)],
    }
    went = election(told)
    assert (went.terms, went.term, went.leader, went.learnt) == (2, 2, 2, {1: 4, 2: 5})


def test_nobody_led() -> None:
    went = election({1: [Candidate(1, 1), Candidate(2, 2)], 2: [Candidate(1, 1)]})
    assert (went.terms, went.term, went.leader, went.learnt) == (2, None, None, {})


def test_known_when_the_last_of_a_quorum_knows() -> None:
    assert [known_at([9, 2, 5], quorum) for quorum in (1, 2, 3, 4)] == [2, 5, 9, None]
