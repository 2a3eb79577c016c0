"""Whether an election kept its promises, from what the nodes told on the way; and how it went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sistasks.consensus.events import Candidate, Event, Follow, Leader, Stepdown, Vote
from sistasks.consensus.findings import Violation, gathered, names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    Told = Mapping[int, Sequence[Event]]

_Termed = (Candidate, Follow, Leader, Stepdown, Vote)


@dataclass(frozen=True, slots=True)
class Election:
    """How an election went.

    Attributes:
        terms: terms in which somebody stood for election or led.
        term: the last that has a leader; None: none has.
        leader: of that term.
        learnt: node -> when it learnt of that leader, in ns of its own clock (the leader: when it took itself for it).
    """

    terms: int
    term: int | None
    leader: int | None
    learnt: dict[int, int]


def check_election(told: Told, *, n: int, f: int, unheard: Collection[int] = ()) -> list[Violation]:
    """Every promise of an election that the nodes did not keep.

    Args:
        told: node -> its events of one test in the order in which it told them; nodes that are trusted only.
        n: nodes of the cluster.
        f: nodes whose loss the protocol bears; it takes n - f votes to lead.
        unheard: nodes that may have voted without a word of it coming here: killed, or not trusted.

    Raises:
        ValueError: a node told, and is unheard.
    """
    return [
        *_two_leaders(told),
        *_double_votes(told),
        *_votes(told, n - f, unheard),
        *_terms(told),
    ]


def election(told: Told) -> Election:
    """How it went: terms used, and who learnt when of the last leader.

    Args:
        told: node -> its events, in the order in which it told them.
    """
    terms = {
        event.term for events in told.values() for event in events if isinstance(event, (Candidate, Leader))
    }
    leaders = _leaders(told)
    if not leaders:
        return Election(len(terms), None, None, {})
    term = max(leaders)
    leader = min(leaders[term])
    learnt: dict[int, int] = {}
    for node, events in sorted(told.items()):
        for event in events:
            if _names_leader(node, event) == (term, leader):
                learnt.setdefault(node, event.at_ns)
    return Election(len(terms), term, leader, learnt)


def known_at(times: Iterable[int], quorum: int) -> int | None:
    """When so many knew; None where fewer ever did.

    Args:
        times: when each learnt of it, all by one clock.
        quorum: how many must know, at least 1.
    """
    ordered = sorted(times)
    return ordered[quorum - 1] if len(ordered) >= quorum else None


def _names_leader(node: int, event: Event) -> tuple[int, int] | None:
    """The term and the leader that an event of a node speaks of."""
    if isinstance(event, Leader):
        return event.term, node
    return (event.term, event.leader) if isinstance(event, Follow) else None


def _leaders(told: Told) -> dict[int, dict[int, set[int]]]:
    """Term -> leader -> who says so."""
    leaders: dict[int, dict[int, set[int]]] = {}
    for node, events in told.items():
        for event in events:
            if (named := _names_leader(node, event)) is not None:
                leaders.setdefault(named[0], {}).setdefault(named[1], set()).add(node)
    return leaders


def _votes_given(node: int, event: Event) -> tuple[int, int] | None:
    """The term and the candidate of the vote that an event of a node tells of."""
    if isinstance(event, Candidate):
        return event.term, node
    return (event.term, event.candidate) if isinstance(event, Vote) else None


def _two_leaders(told: Told) -> list[Violation]:
    violations = []
    for term, leaders in sorted(_leaders(told).items()):
        if len(leaders) > 1:
            words = ", ".join(f"node {leader} ({names(by)})" for leader, by in sorted(leaders.items()))
            violations.append(
                Violation(
                    "two leaders",
                    tuple(sorted(leaders)),
                    term,
                    f"term {term} is led by {words}, by the word of those in brackets",
                )
            )
    return violations


def _double_votes(told: Told) -> list[Violation]:
    found: dict[int, list[tuple[int, str]]] = {}
    for node, events in told.items():
        given: dict[int, int] = {}
        for event in events:
            if (vote := _votes_given(node, event)) is None:
                continue
            term, candidate = vote
            before = given.setdefault(term, candidate)
            if before != candidate:
                words = f"voted for node {before} and for node {candidate} in term {term}"
                found.setdefault(node, []).append((term, words))
    return gathered("double vote", found)


def _votes(told: Told, quorum: int, unheard: Collection[int]) -> list[Violation]:
    """A leader needs the votes of a quorum; of those that nobody has heard of it may have had any."""
    if both := set(told) & set(unheard):
        raise ValueError(f"{names(both)} told, and unheard")
    voters: dict[tuple[int, int], set[int]] = {}
    for node, events in told.items():
        for event in events:
            if (vote := _votes_given(node, event)) is not None:
                voters.setdefault(vote, set()).add(node)
    found: dict[int, list[tuple[int, str]]] = {}
    for node, events in told.items():
        for term in dict.fromkeys(event.term for event in events if isinstance(event, Leader)):
            votes = len(voters.get((term, node), set()) | set(unheard))
            if votes < quorum:
                words = f"leads term {term} with {votes} votes at most where {quorum} are needed"
                found.setdefault(node, []).append((term, words))
    return gathered("votes", found)


def _terms(told: Told) -> list[Violation]:
    found: dict[int, list[tuple[int, str]]] = {}
    for node, events in told.items():
        last = 0
        for event in events:
            if not isinstance(event, _Termed):
                continue
            if event.term < last:
                found.setdefault(node, []).append((event.term, f"went back from term {last} to {event.term}"))
            last = max(last, event.term)
    return gathered("term", found)
