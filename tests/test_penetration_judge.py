"""What a scenario has come to, from what nodes tell; bytes of theirs that are none; who does what to whom."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING
from typing import cast as cast_type

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks.errors import UsageError
from sistasks.guest.frames import Frame, FrameType
from sistasks.settings import resolve
from sistasks.suites.penetration.execute import check
from sistasks.suites.penetration.ground import Ground
from sistasks.suites.penetration.judge import Struck, Timed, answered, seen, times
from sistasks.suites.penetration.scenarios import ATTACKER, Scenario, cast, scenarios
from sistasks.suites.penetration.told import KINDS, Ended, Probe, State, ended, probes, state

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.cluster.switch import Switch
    from sistasks.machine.node import Node

MS = 1_000_000
QUIET = [Probe(kind, at * MS, 2 * MS) for at in range(10) for kind in KINDS]
BEGIN, END = 1000 * MS, 1300 * MS


def timed(*more: Probe) -> Timed:
    return Timed(before=QUIET, begin=BEGIN, end=END, probes=more)


def sound(kind: str, at: int = END + 10 * MS, took: int = 3 * MS) -> Probe:
    return Probe(kind, at, took)


STRUCK = Struck(
    victim=2, sent=160, refused=0, delivered=160, pings=3, before=State(), after=State(),
    timed=timed(*map(sound, KINDS)),
)  # fmt: skip
PLAIN = Scenario(name="udp_checksum")


def test_what_is_borne_passes_and_says_what_arrived() -> None:
    after = State(counters={"UdpInCsumErrors": 160, "UdpInErrors": 7})
    found = seen(
        replace(PLAIN, refused=True, counters=("UdpInCsumErrors", "IpReasmOKs")), replace(STRUCK, after=after)
    )
    assert (found.rule, found.outcome) == ("network.udp_checksum", "pass")
    assert found.evidence == (
        "160 frames sent to node 2, 160 delivered by the switch; the victim counted UdpInCsumErrors +160"
    )


def test_what_was_not_sent_was_not_borne() -> None:
    """Of two nodes the attacker asks for echoes itself, so that something of it comes all the same."""
    found = seen(PLAIN, replace(STRUCK, sent=0, refused=160, delivered=29))
    assert (found.outcome, found.evidence) == (
        "error",
        "the attacker sent no frame: its own kernel refused all 160",
    )
    assert seen(PLAIN, replace(STRUCK, sent=0)).evidence.endswith("it did not come to it")
    assert seen(PLAIN, replace(STRUCK, delivered=0)).evidence == "none of 160 frames came to node 2"


@pytest.mark.parametrize(
    ("scenario", "struck", "words"),
    [
        (replace(PLAIN, refused=True), replace(STRUCK, after=State(taken=4)), "4 of the packets reached a program"),
        (replace(PLAIN, unchanged="neighbours"), replace(STRUCK, after=State(neighbours=2)), "neighbours: 2 more"),
        (replace(PLAIN, unchanged="poisoned"), replace(STRUCK, after=State(poisoned=1)), "poisoned: 1 more"),
        (replace(PLAIN, memory=True), replace(STRUCK, lingering=512), "fragments still hold 512 bytes"),
        (
            replace(PLAIN, silent=True),
            replace(STRUCK, after=State(counters={"IcmpOutEchoReps": 8})),
            "5 echo requests to all were answered",
        ),
        (
            replace(PLAIN, open=True),
            replace(STRUCK, timed=timed(Probe("t", BEGIN + 1, 0), *map(sound, KINDS))),
            "no connection that was asked for meanwhile was taken",
        ),
        (PLAIN, replace(STRUCK, renewed=True), "until the port was opened anew"),
        (
            replace(PLAIN, flood=True),
            replace(STRUCK, timed=timed(*(sound(kind, took=5 * MS) for kind in KINDS))),
            "did not become as quick again",
        ),
    ],
)  # fmt: skip
def test_what_is_not_borne_fails_and_says_so_first(scenario: Scenario, struck: Struck, words: str) -> None:
    assert seen(scenario, STRUCK).outcome == "pass"
    found = seen(scenario, struck)
    assert found.outcome == "fail"
    assert words in found.evidence.split("; ")[0]


def test_what_did_not_arrive_is_no_finding() -> None:
    found = seen(PLAIN, replace(STRUCK, delivered=0))
    assert (found.outcome, found.evidence) == ("error", "none of 160 frames came to node 2")


def test_a_connection_under_way_when_the_strike_begins_counts() -> None:
    over = timed(Probe("t", BEGIN - MS, 400 * MS), *map(sound, KINDS))
    assert seen(replace(PLAIN, open=True), replace(STRUCK, timed=over)).outcome == "pass"
    before = timed(Probe("t", BEGIN - 9 * MS, MS), *map(sound, KINDS))
    assert before.connections == []


def test_recovery_counts_from_the_strikes_end_to_the_first_answer_that_is_quick() -> None:
    slow = Probe("u", END + 1 * MS, 50 * MS)
    quick = Probe("p", END + 20 * MS, 4 * MS)  # exactly twice the median
    assert timed(slow, quick, sound("u", END + 90 * MS)).recovery() == 24 * MS
    assert timed(Probe("u", END - 3 * MS, 4 * MS)).recovery() == 1 * MS  # on its way when the strike ended
    assert timed(Probe("u", END - 9 * MS, 4 * MS)).recovery() is None  # answered before
    assert timed(sound("t")).recovery() is None  # a connection takes more ways
    assert timed(Probe("u", END + 1, 0)).recovery() is None


def test_only_what_was_sent_meanwhile_is_measured() -> None:
    some = timed(
        Probe("u", BEGIN - 1, MS),
        Probe("u", BEGIN, 7 * MS),
        Probe("p", END, 0),
        Probe("t", END, 9 * MS),
        sound("u"),
    )
    assert times(some.meanwhile) == [7 * MS]
    assert answered(some.meanwhile) == 666_667
    assert answered([]) is None


@given(st.lists(st.builds(Probe, st.sampled_from(KINDS), st.integers(0, 2**62), st.integers(0, 2**62))))
def test_probes_are_read_as_they_were_told(told: list[Probe]) -> None:
    assert probes("".join(f"{one.kind}{one.sent}:{one.took} " for one in told)) == told


@given(st.text())
def test_anything_else_is_no_probe(text: str) -> None:
    try:
        found = probes(text)
    except ValueError:
        return
    assert len(found) == len(text.split())


NUMBERS = {
    "taken": "1",
    "neighbours": "2",
    "poisoned": "0",
    "addresses": "3",
    "fragments": "4096",
    "available": "5",
}


def test_a_state_is_read_and_its_counters() -> None:
    found = state({**NUMBERS, "counters": "IpInReceives:12 TcpMaxConn:-1 Icmp6InErrors:3 "})
    assert (found.taken, found.fragments, found.counters["TcpMaxConn"]) == (1, 4096, -1)


@given(
    st.sampled_from(sorted(NUMBERS)), st.text().filter(lambda text: not text.isascii() or not text.isdigit())
)
def test_what_is_no_number_is_no_state(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=name):
        state({**NUMBERS, name: text})


@given(st.text(min_size=1))
def test_counters_are_names_and_numbers_or_refused(text: str) -> None:
    try:
        found = state({**NUMBERS, "counters": text}).counters
    except ValueError:
        return
    assert len(found) <= len(text.split())


def test_a_strike_that_the_attacker_does_not_know_is_no_strike() -> None:
    told = {"sent": "5", "refused": "0", "took_ns": "7", "known": "1"}
    assert ended(told) == Ended(sent=5, refused=0, took_ns=7)
    for change in ({"known": "0"}, {"sent": "-5"}, {"took_ns": ""}, {"sent": "9" * 20}):
        with pytest.raises(ValueError, match=r"know|number"):
            ended({**told, **change})


@given(st.integers(0, 200), st.integers(2, 128))
def test_every_node_but_the_attacker_is_struck_in_turn_and_watched_by_another(place: int, count: int) -> None:
    who = cast(place, count)
    assert 1 <= who.prober <= count
    assert ATTACKER < who.victim <= count
    assert who.prober != who.victim
    assert (who.prober == ATTACKER) == (count == 2)
    turns = {cast(place + more, count).victim for more in range(count - 1)}
    assert turns == set(range(2, count + 1))


def test_the_table_is_whole() -> None:
    table = scenarios()
    assert len({scenario.name for scenario in table}) == len(table) >= 40
    known = set(State.__dataclass_fields__) | {""}
    assert {scenario.unchanged for scenario in table} <= known
    assert sum(scenario.flood for scenario in table) >= 4
    # all of them together are to take about ten seconds
    assert sum(scenario.milliseconds for scenario in table if scenario.flood) <= 2500


@pytest.mark.parametrize(("nodes", "words"), [("1", "nodes=1 cannot attack each other"), ("129", "too many")])
def test_too_few_and_too_many_nodes_are_refused(nodes: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        check(resolve({"nodes": nodes}, {}, tmp_path / "none"))


def test_a_node_tells_what_this_test_asks_for_and_no_more() -> None:
    """Each kind is kept, and a guest names them: kinds of its own would fill the host's memory."""
    ground = Ground(cast_type("Switch", None))
    node = cast_type("Node", SimpleNamespace(number=2))

    def tell(kind: str) -> None:
        ground.hear(node, Frame(FrameType.EVENT, 0, f"event={kind}\nat_ns=1\n".encode()))

    for kind in ("placed", "hushed", "counted", "struck"):
        tell(kind)
        assert ground.last(2, kind) is not None
    with pytest.raises(ValueError, match="no test has came: made_up1"):
        tell("made_up1")
    assert ground.last(2, "made_up1") is None
