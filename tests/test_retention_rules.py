"""What retention decides: which of a history's artifacts go, and which never do."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from sistasks.evidence.retention import Item, Policy, decide
from sistasks.history.artifacts import named_runs

NOW: Final = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
POLICY: Final = Policy(days=30, count=1000, size=2 << 30)


def item(number: int, **changes: Any) -> Item:
    return dataclasses.replace(
        Item(id=number, run_id=number, kind="logs", content=f"{number}", stored=10, created_at=NOW), **changes
    )


def days_ago(days: float) -> dt.datetime:
    return NOW - dt.timedelta(days=days)


def test_by_age() -> None:
    items = [
        item(1, created_at=days_ago(31)),
        item(2, created_at=days_ago(29)),
        item(3, created_at=days_ago(-9)),
    ]
    decision = decide(items, POLICY, NOW, {})
    assert decision.gone == {1: "older than 30 days"}
    assert decide(items, Policy(days=0, count=9, size=90), NOW, {}).gone.keys() == {1, 2}


def test_by_count_and_bytes_of_each_kind_the_oldest_first() -> None:
    items = [item(number, created_at=days_ago(10 - number)) for number in range(1, 6)]
    items += [item(number + 10, kind="traces", created_at=days_ago(20)) for number in range(1, 3)]
    assert decide(items, dataclasses.replace(POLICY, count=3), NOW, {}).gone == {
        1: "beyond 3 logs", 2: "beyond 3 logs",
    }  # fmt: skip
    assert decide(items, dataclasses.replace(POLICY, size=25), NOW, {}).gone.keys() == {1, 2, 3}
    assert decide(items, dataclasses.replace(POLICY, size=1 << 20), NOW, {}).gone == {}
    large = [item(1, created_at=days_ago(2), stored=3 << 20), item(2, created_at=days_ago(3))]
    assert decide(large, dataclasses.replace(POLICY, size=1 << 20), NOW, {}).gone == {
        1: "beyond 1M of logs", 2: "beyond 1M of logs",
    }  # fmt: skip


def test_rows_with_the_same_content_cost_it_once() -> None:
    items = [item(number, content="same") for number in range(1, 6)]
    assert decide(items, dataclasses.replace(POLICY, size=10), NOW, {}).gone == {}
    assert decide(items, dataclasses.replace(POLICY, size=9), NOW, {}).gone.keys() == {1, 2, 3, 4, 5}


def test_what_is_protected_stays_and_is_counted() -> None:
    items = [item(number, created_at=days_ago(40 + number)) for number in range(1, 4)]
    items.append(item(9, created_at=days_ago(50), keep_until=NOW + dt.timedelta(seconds=1)))
    items.append(item(8, created_at=days_ago(50), keep_until=NOW))
    decision = decide(items, POLICY, NOW, {2: "accepted"})
    assert decision.gone.keys() == {1, 3, 8}
    assert decision.spared == {2: "accepted", 9: "to be kept until a date"}
    young = [item(number, created_at=days_ago(number)) for number in range(1, 5)]
    decision = decide(young, dataclasses.replace(POLICY, count=2), NOW, {3: "accepted", 4: "accepted"})
    assert decision.gone.keys() == {1, 2}
    assert decision.spared.keys() == {3, 4}


_MOMENTS = st.one_of(st.none(), st.integers(-5, 60).map(days_ago))
_ITEMS = st.lists(
    st.builds(
        Item,
        id=st.integers(0, 10**6), run_id=st.integers(1, 8), kind=st.sampled_from(["logs", "traces"]),
        content=st.sampled_from("abcdefgh"), stored=st.just(0), created_at=_MOMENTS, keep_until=_MOMENTS,
    ),
    unique_by=lambda one: one.id, max_size=30,
)  # fmt: skip
_POLICIES = st.builds(Policy, days=st.integers(0, 50), count=st.integers(0, 12), size=st.integers(0, 60))
_PROTECTED = st.dictionaries(st.integers(1, 8), st.just("of a baseline"), max_size=4)


@given(
    items=_ITEMS,
    policy=_POLICIES,
    protected=_PROTECTED,
    sizes=st.lists(st.integers(0, 30), min_size=8, max_size=8),
)
def test_what_holds_of_every_decision(
    items: list[Item], policy: Policy, protected: dict[int, str], sizes: list[int]
) -> None:
    items = [dataclasses.replace(one, stored=sizes["abcdefgh".index(one.content)]) for one in items]
    decision = decide(items, policy, NOW, protected)
    safe = {one.id for one in items if one.run_id in protected or (one.keep_until and one.keep_until > NOW)}
    assert not safe & decision.gone.keys()
    assert set(decision.spared) <= safe
    assert decide(list(reversed(items)), policy, NOW, protected) == decision, "whatever the order"
    for kind in ("logs", "traces"):
        kept = [one for one in items if one.kind == kind and one.id not in decision.gone]
        loose = [one for one in kept if one.id not in safe]
        for one in loose:
            assert one.created_at is None or (NOW - one.created_at).days <= policy.days
        if loose:  # else only what must stay is there, however much it is
            assert len(kept) <= policy.count
            assert sum({one.content: one.stored for one in kept}.values()) <= policy.size
    # applied again, with nothing new, it takes nothing
    rest = [one for one in items if one.id not in decision.gone]
    assert decide(rest, policy, NOW, protected).gone == {}


@given(items=_ITEMS, protected=_PROTECTED)
def test_without_need_nothing_goes(items: list[Item], protected: dict[int, str]) -> None:
    assert decide(items, Policy(days=100, count=100, size=1 << 40), NOW, protected).gone == {}


def test_verdicts_name_their_baseline_in_words() -> None:
    texts = [
        "runs 1-3, 7",
        "run 12 (kernel 99 of runs 50-60)",
        "no run 4",
        "runs 20-99999999999999999",
        "",
        "runs x",
    ]
    assert named_runs(texts, range(1, 31)) == {1, 2, 3, 7, 12, *range(20, 31)}
