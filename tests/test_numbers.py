"""Numbers of runs in the history that two become: each history's order stays, and words name the same runs."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks.history.numbers import Run, number, retold, spans, told_apart

# the whole history's runs: who, and when it ended; each of two histories has some of them
WHOLE = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.sampled_from("ob=")), max_size=12)


def history(times: list[tuple[int, int, str]], side: str) -> list[Run]:
    """The runs of one side, `=` those that both have; numbers have gaps."""
    kept = [(f"{who}", at) for who, at, where in times if where in {side, "="}]
    return told_apart(Run(3 * index + 1, (who,), f"{at:02}") for index, (who, at) in enumerate(kept))


@given(WHOLE)
def test_each_run_is_there_once_and_each_order_stays(times: list[tuple[int, int, str]]) -> None:
    ours, theirs = history(times, "o"), history(times, "b")
    found = number(ours, theirs)
    assert list(found.ours) == [run.id for run in ours]
    assert list(found.theirs) == [run.id for run in theirs]
    assert list(found.ours.values()) == sorted(set(found.ours.values()))
    assert all(old <= new for old, new in found.ours.items())
    identities = {run.identity for run in (*ours, *theirs)}
    assert len({*found.ours.values(), *found.theirs.values()}) == len(identities)
    for run in theirs:
        same = [one.id for one in ours if one.identity == run.identity]
        assert (run.id in found.known) == bool(same)
        assert not same or found.theirs[run.id] == found.ours[same[0]]
    new = [found.theirs[old] for old in found.new]
    assert new == sorted(new)
    if not ours:
        assert all(old == now for old, now in found.theirs.items())


@given(WHOLE)
def test_merging_again_changes_nothing(times: list[tuple[int, int, str]]) -> None:
    ours, theirs = history(times, "o"), history(times, "b")
    found = number(ours, theirs)
    place = {found.ours[run.id]: run for run in ours} | {
        found.theirs[run.id]: run for run in theirs if run.id not in found.known
    }
    both = [Run(now, place[now].identity, place[now].finished_at) for now in sorted(place)]
    again = number(both, theirs)
    assert (again.new, again.moved) == ([], {})
    assert dict(again.theirs) == dict(found.theirs)


@given(st.dictionaries(st.integers(1, 40), st.integers(1, 90), min_size=1), st.data())
def test_words_name_the_same_runs(numbers: dict[int, int], data: st.DataObject) -> None:
    named = data.draw(st.sets(st.sampled_from(sorted(numbers)), min_size=1))
    words = retold(f"runs {spans(named)}", numbers)
    found: set[int] = set()
    for part in re.fullmatch(r"runs (.*)", words)[1].split(", "):  # type: ignore[index]
        low, _, high = part.partition("-")
        found.update(range(int(low), int(high or low) + 1))
    # a span names whatever of the history lies in it
    inside = {old for low, high in _ends(named) for old in numbers if low <= old <= high}
    assert found == {numbers[old] for old in inside}


def _ends(named: set[int]) -> list[tuple[int, int]]:
    parts = [part.partition("-") for part in spans(named).split(", ")]
    return [(int(low), int(high or low)) for low, _, high in parts]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("runs 7-9, 12", "runs 12, 17-19"),
        ("this run did not measure it, run 8 did", "this run did not measure it, run 18 did"),
        ("run 5 (debian)", "run 5 (debian)"),
        ("rerun 7, run 7-rc1, run 70, trun 7", "rerun 7, run 7-rc1, run 70, trun 7"),
        ("runs 1-999999999999999999", "runs 17-19"),
        ("", ""),
    ],
)
def test_words(before: str, after: str) -> None:
    assert retold(before, {7: 17, 8: 18, 9: 19} | ({12: 12} if "12" in before else {})) == after


def test_a_kernel_may_be_called_like_a_run() -> None:
    assert retold("run 7 (run 8)", {7: 17, 8: 18}, 1) == "run 17 (run 8)"
