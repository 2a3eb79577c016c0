"""The election test: a leader is elected; then leaders are cut off, and at last one is killed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from sistasks.cluster.switching.faults import ANY, Cut, Faults
from sistasks.consensus.elections import check_election
from sistasks.consensus.events import Candidate, Follow, Leader
from sistasks.suites.distributed.config import LARGE
from sistasks.suites.distributed.outcome import Outcome, stuck

if TYPE_CHECKING:
    from sistasks.suites.distributed.arena import Arena

# leaders that are cut off before the last one is killed
_CUTS: Final = 4
_CUTS_LARGE: Final = 2
# terms may be lost to split votes; more patience than this is none
_PATIENCE: Final = 40
_PATIENCE_LEAST: Final = 20.0


async def election(arena: Arena) -> Outcome:
    """Elect, cut off, elect again, kill, elect again; and check that no term ever had two leaders."""
    config = arena.config
    outcome = Outcome("election", samples={"election.time": [], "election.rounds": []})
    await arena.begin("election", config.limit)
    limit = min(config.limit, max(_PATIENCE_LEAST, _PATIENCE * arena.timeout))
    started = time.monotonic()
    if await _known(arena, 0, frozenset(), limit) is None:
        outcome.violations.append(stuck((), 0, f"no leader within {limit:.0f} s of the start"))
    else:
        cuts = _CUTS if config.count < LARGE else _CUTS_LARGE
        for left in range(cuts, -1, -1):
            if len(arena.alive) <= config.majority:
                outcome.remarks.append(
                    "too many nodes have died: without their leader the rest are no majority"
                )
                break
            if not await _lose_leader(arena, outcome, limit, kill=left == 0):
                break
    outcome.seconds = time.monotonic() - started
    await arena.finish(config.limit)
    told = {number: arena.ear(number).events for number in arena.nodes}
    outcome.violations += check_election(told, n=config.count, f=config.count - config.majority)
    return outcome


def _leader(arena: Arena) -> tuple[int, int]:
    """The newest term that has a leader, and that leader; (0, 0) before the first."""
    found = (0, 0)
    for number in arena.nodes:
        for event in arena.ear(number).events:
            if isinstance(event, Leader):
                found = max(found, (event.term, number))
    return found


def _learnt(arena: Arena, after: int, without: frozenset[int]) -> dict[int, dict[int, int]]:
    """Term -> node -> when it learnt who leads it, by the host's clock; of terms after one, and not of some nodes."""
    found: dict[int, dict[int, int]] = {}
    for number in arena.alive:
        if number in without:
            continue
        for event in arena.ear(number).events:
            if isinstance(event, (Leader, Follow)) and event.term > after:
                found.setdefault(event.term, {}).setdefault(number, arena.on_host(number, event.at_ns))
    return found


async def _known(arena: Arena, after: int, without: frozenset[int], limit: float) -> tuple[int, int] | None:
    """Wait until a majority knows the leader of a term after one: the term, and when that was."""
    majority = arena.config.majority

    def term_known() -> int:
        terms = [term for term, nodes in _learnt(arena, after, without).items() if len(nodes) >= majority]
        return max(terms, default=0)

    if not await arena.wait(lambda: term_known() > 0, limit):
        return None
    term = term_known()
    return term, sorted(_learnt(arena, after, without)[term].values())[majority - 1]


async def _lose_leader(arena: Arena, outcome: Outcome, limit: float, *, kill: bool) -> bool:
    """Take the leader away and measure until a majority knows the next one; whether it came to that."""
    term, leader = _leader(arena)
    if kill:
        lost_at = await arena.kill(leader)
    else:
        cut = Cut(groups=(frozenset({leader}), frozenset({ANY})))
        asked = time.monotonic_ns()
        took = await arena.switch.apply(Faults(cuts=(cut,), seed=arena.config.seed))
        lost_at = asked + round(took * 1e9)
    known = await _known(arena, term, frozenset({leader}), limit)
    if known is None:
        how = "was killed" if kill else "was cut off"
        outcome.violations.append(stuck((), 0, f"no leader within {limit:.0f} s after node {leader} {how}"))
        return False
    if known[1] > lost_at:
        outcome.samples["election.time"].append(known[1] - lost_at)
        outcome.samples["election.rounds"].append(_terms(arena, term, leader))
    else:  # another election was under way already: how long this loss took was not measured
        outcome.remarks.append(f"the next leader was known before node {leader} was lost: no sample")
    if kill:
        return True
    await arena.switch.heal()
    # the old leader learns of the new one before the next is taken away
    back = await arena.wait(
        lambda: leader in _learnt(arena, term, frozenset()).get(_leader(arena)[0], {}), limit
    )
    if not back:
        outcome.violations.append(
            stuck((), 0, f"node {leader} does not learn of the new leader after healing")
        )
    return back


def _terms(arena: Arena, after: int, without: int) -> int:
    """Terms in which somebody who could be elected stood for it."""
    terms = {
        event.term
        for number in arena.alive
        if number != without
        for event in arena.ear(number).events
        if isinstance(event, (Candidate, Leader)) and event.term > after
    }
    return len(terms)
