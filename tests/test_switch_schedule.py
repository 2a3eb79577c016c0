"""Fault schedules as people write them: read, written back, refused in one sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks.cluster.schedule import Heal, Schedule, Step, describe, parse
from sistasks.cluster.switching.faults import (
    ANY,
    EVERY,
    KINDS,
    REORDER_BY,
    SHARES,
    Cut,
    EdgeFaults,
    Faults,
    Rule,
)
from sistasks.errors import UsageError

NODES = 12
SECOND = 10**9


def test_faults_for_the_whole_run() -> None:
    [(at, faults)] = parse("loss=1%,delay=2ms,jitter=1ms").faults(5)
    assert at == 0
    assert faults.of(3, 4) == EdgeFaults(loss=0.01, delay=0.002, jitter=0.001)


def test_a_schedule_in_time() -> None:
    text = "at 2s: cut 1-5|6-10; at 4s: heal; at 5s: cut 1>2,1>3; at 6s: loss 5% on 3; at 8s: heal"
    states = parse(text).faults(1)
    assert [at for at, _ in states] == [2, 4, 5, 6, 8]
    halves, healed, one_way, lossy, fine = (faults for _, faults in states)
    assert halves.of(5, 6).cut
    assert not halves.of(1, 5).cut
    assert healed.healthy
    assert fine.healthy
    assert (one_way.of(1, 2).cut, one_way.of(1, 3).cut, one_way.of(2, 1).cut) == (True, True, False)
    assert lossy.of(1, 3) == EdgeFaults(cut=True, loss=0.05)  # steps add up
    assert lossy.of(3, 7) == EdgeFaults(loss=0.05)
    assert lossy.of(7, 8) == EdgeFaults()
    assert len({faults.seed for _, faults in states}) == len(states)
    assert parse(text).faults(1) == states
    assert parse(text).faults(2) != states


def test_healing_one_kind_leaves_the_others() -> None:
    states = parse("loss 1%, delay 1ms; at 1s: cut *; at 2s: heal cut; at 3s: heal loss").faults(1)
    assert [faults.of(1, 2) for _, faults in states] == [
        EdgeFaults(loss=0.01, delay=0.001), EdgeFaults(loss=0.01, delay=0.001, cut=True),
        EdgeFaults(loss=0.01, delay=0.001), EdgeFaults(delay=0.001),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", ""),
        ("loss=1%", "loss 1%"),
        ("  loss 0.50%  ", "loss 0.5%"),
        ("at 1500ms: heal", "at 1.5s: heal"),
        ("delay=50µs", "delay 50us"),
        ("rate=1500kb", "rate 1.5MB/s"),
        ("reorder 5% by 3", "reorder 5%"),
        ("reorder=5% by 4 on 1,2,3,7", "reorder 5% by 4 on 1-3,7"),
        ("cut 3, 4 | 1", "cut 3-4|1"),
        ("cut 1|*", "cut 1|*"),
        ("cut 3", "cut 3"),
        ("cut 3>*,*>3", "cut 3"),
        ("cut 1-2>3-4", "cut 1-2>3-4"),
        ("loss 5% on *", "loss 5%"),
        ("at 1s: cut 1>2 , 2>3;", "at 1s: cut 1>2,2>3"),
    ],
)
def test_a_text_and_how_it_is_written_back(text: str, canonical: str) -> None:
    assert parse(text).describe() == canonical
    assert parse(canonical).describe() == canonical


def test_the_examples_of_the_documentation_are_schedules() -> None:
    text = (Path(__file__).parent.parent / "docs/network.md").read_text()
    examples = re.findall(r'^faults="(.*)"$', text, re.MULTILINE)
    cells = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `")]
    words = [word.replace("\\|", "|") for cell in cells for word in re.findall(r"`(.+?)`", cell)]
    assert len(examples) >= 3
    assert {word.split()[0] for word in words} == {"heal", "cut", *KINDS}
    for example in examples + words:
        assert parse(parse(example).describe()) == parse(example)


node = st.integers(1, NODES)
ends = st.integers(0, NODES)
edges = st.frozensets(st.tuples(ends, ends), min_size=1, max_size=6).map(
    lambda found: EVERY if (ANY, ANY) in found else found
)


@st.composite
def partitions(draw: st.DrawFn) -> Cut:
    count = draw(st.integers(2, 4))
    chosen = draw(st.lists(st.integers(0, count), min_size=NODES, max_size=NODES))
    groups = [frozenset(n for n, group in enumerate(chosen, 1) if group == index) for index in range(count)]
    groups = [group for group in groups if group]
    if len(groups) < 2 or draw(st.booleans()):
        groups.append(frozenset({ANY}))
    return Cut(groups=tuple(groups)) if len(groups) > 1 else Cut(edges=frozenset({(1, 2)}))


def rule(kind: str, size: int, on: frozenset[tuple[int, int]], by: int) -> Rule:
    value = size / 10**6 if kind in SHARES else float(size + 1) if kind == "rate" else size * 1001 / 10**9
    return Rule(kind, value, on, by if kind == "reorder" else REORDER_BY)


acts = st.one_of(
    st.sampled_from(["", "cut", *KINDS]).map(Heal),
    edges.map(lambda found: Cut(edges=found)),
    partitions(),
    st.builds(
        rule, st.sampled_from(KINDS), st.integers(0, 10**6), edges | st.just(EVERY), st.integers(1, 1000)
    ),
)
schedules = st.lists(
    st.tuples(
        st.integers(0, 3600 * SECOND) | st.sampled_from([0, SECOND, 1_500_000]),
        st.lists(acts, min_size=1, max_size=4),
    ),
    max_size=5,
).map(
    lambda steps: Schedule(
        tuple(Step(at, tuple(found)) for at, found in sorted(steps, key=lambda step: step[0]))
    )
)


def edges_of(act: object) -> frozenset[tuple[int, int]]:
    """Every edge between nodes that an act selects, so that two ways to say it are equal."""
    nodes = range(1, NODES + 1)
    cut = Cut(edges=act.edges) if isinstance(act, Rule) else act
    assert isinstance(cut, Cut)
    return frozenset((a, b) for a in nodes for b in nodes if cut.holds(a, b))


@given(schedules)
def test_what_is_described_is_read_as_the_same(schedule: Schedule) -> None:
    again = parse(schedule.describe(), NODES)
    assert again == schedule
    assert again.describe() == schedule.describe()


@given(acts.filter(lambda act: not isinstance(act, Heal)))
def test_the_words_of_a_state_are_those_of_a_schedule(act: Cut | Rule) -> None:
    faults = Faults(cuts=(act,)) if isinstance(act, Cut) else Faults(rules=(act,))
    [(_, again)] = parse(describe(faults), NODES).faults(1)
    assert (again.cuts, again.rules) == (faults.cuts, faults.rules)
    assert describe(Faults()) == "nothing"


@given(st.text(alphabet="atcuheloswdly0123456789%=:;,|>*-. ", max_size=40) | st.text(max_size=20))
def test_any_text_is_read_or_refused_in_one_sentence(text: str) -> None:
    try:
        schedule = parse(text, NODES)
    except UsageError as refusal:
        error = refusal
    else:
        assert parse(schedule.describe(), NODES) == schedule
        return
    assert str(error).startswith("faults: '")
    assert error.remedy
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lss=1%", "did you mean loss?"),
        ("loss", "does not say how much loss"),
        ("loss=1", "'1' where a number with its unit should be; write a share from 0% to 100%: loss=5%"),
        ("loss=101%", "'101%', which is too much"),
        ("delay=0.1ns", "too fine"),
        ("delay=2h", "'2h' where a number with its unit should be; write a time: delay=2ms"),
        ("rate=0B/s", "lets nothing pass"),
        ("loss 5% by 3", "by belongs to reorder"),
        ("cut", "does not say what is cut"),
        ("cut 1|1-2", "a node in two groups"),
        ("cut 1,*|2", "* beside other nodes"),
        ("cut a|b", "'a' where nodes should be"),
        ("cut 5-1|2", "'5-1', which are no nodes"),
        ("cut 0|1", "'0', which are no nodes"),
        ("cut 1-10|11-13", "names node 13; there are 12"),
        ("heal everything", "heals nothing that is known"),
        ("at 2s cut 1|2", "no ':' after its time"),
        ("at soon: heal", "'soon' where a number"),
        ("at 2s:", "says nothing"),
        ("loss 1%,,delay 1ms", "says nothing between two commas"),
        ("at 3s: heal; at 2s: cut 1|2", "'at 2s: cut 1|2' stands after a step of a later time"),
        ("at 3s: heal; loss 1%", "put the steps in order of time"),
    ],
)
def test_what_cannot_be_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text, NODES)
    assert said in str(caught.value)
    assert caught.value.exit_code == 3
