"""Which load is asked for, for how long, and what nodes are told of it."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks.errors import UsageError
from sistasks.guest.load import LINE_MAX, STRESSORS_MAX, Load
from sistasks.guest.plan import Plan
from sistasks.settings import Settings, resolve
from sistasks.suites import registry
from sistasks.suites.metrics import METRICS
from sistasks.suites.stress import table
from sistasks.suites.stress.config import choose, load_of, narrowed, shares
from sistasks.suites.stress.execute import limit_of
from sistasks.suites.stress.table import CLASSES, STRESSORS
from sistasks.suites.suite import STRESS

if TYPE_CHECKING:
    from pathlib import Path


def asked(tmp_path: Path, **variables: str) -> Settings:
    return resolve(variables, environ={}, pyproject=tmp_path / "none")


def test_the_table_is_what_the_agent_and_stress_ng_can_read() -> None:
    names = [one for own in STRESSORS.values() for one in own]
    assert len(names) == len(set(names)), "a stressor alone names its class"
    for name, own in STRESSORS.items():
        assert re.fullmatch("[a-z]+", name)
        assert len(own) <= STRESSORS_MAX
        for one, arguments in own.items():
            words = arguments.split()
            assert words[0] == f"--{one}", "its own switch first"
            assert all(
                word.startswith((f"--{one}", "-1")) or re.fullmatch(r"\d+[%KM]?", word) for word in words
            )
            assert len(f"{one} {arguments}") <= LINE_MAX


def test_every_class_has_a_test_and_its_metrics_are_described() -> None:
    assert tuple(STRESS.tests) == tuple(f"stress_{name}" for name in CLASSES)
    for metrics in STRESS.tests.values():
        assert len(metrics) == len(table.METRICS)
        assert {METRICS[name].better for name in metrics} == {"lower"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("cpu", {"cpu": tuple(STRESSORS["cpu"])}),
        ("vm", {"vm": tuple(STRESSORS["vm"])}),
        ("memory.vm", {"memory": ("vm",)}),
        ("fork, matrix", {"cpu": ("matrix",), "vm": ("fork",)}),
        ("pipe,switch,network", {"scheduler": ("switch", "pipe"), "network": ()}),
        ("all", {name: tuple(own) for name, own in STRESSORS.items()}),
        ("fork,all", {name: tuple(own) for name, own in STRESSORS.items()}),
    ],
)
def test_classes_and_stressors_are_chosen_by_name(words: str, expected: dict[str, tuple[str, ...]]) -> None:
    assert choose(words) == expected
    assert list(choose(words)) == [name for name in CLASSES if name in expected], "in the order of the table"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("cpuu", "stressors=cpuu: there is no 'cpuu'; did you mean 'cpu'?"),
        ("cpu,frok", "stressors=cpu,frok: there is no 'frok'; did you mean 'fork'?"),
        ("cpu.fork", "there is no 'cpu.fork'"),
        ("", "classes are cpu, scheduler, memory, vm, filesystem, network, timers, signals"),
        ("cpu,", "there is no ''"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is_near(words: str, sentence: str) -> None:
    with pytest.raises(UsageError) as refused:
        choose(words)
    assert sentence in str(refused.value)


@given(st.floats(1, 1e5), st.integers(1, len(CLASSES)))
def test_the_seconds_are_shared_whole_and_none_is_lost(duration: float, count: int) -> None:
    classes = CLASSES[:count]
    if int(duration) < count:
        with pytest.raises(UsageError, match=f"duration={count}"):
            shares(duration, classes)
        return
    seconds = shares(duration, classes)
    assert list(seconds) == list(classes)
    assert sum(seconds.values()) == int(duration)
    assert max(seconds.values()) - min(seconds.values()) <= 1
    assert all(value.is_integer() and value >= 1 for value in seconds.values())


def test_the_suite_has_the_tests_that_were_asked_for(tmp_path: Path) -> None:
    settings = asked(tmp_path, stressors="timers,fork", duration="2")
    assert list(narrowed(STRESS, settings).tests) == ["stress_vm", "stress_timers"]
    assert list(registry.find("stress", settings).tests) == ["stress_vm", "stress_timers"]
    with pytest.raises(UsageError, match="duration=7 is too short for 8 classes"):
        registry.find("stress", asked(tmp_path, duration="7"))


def test_what_was_asked_makes_another_run(tmp_path: Path) -> None:
    whole, part = (registry.find("stress", asked(tmp_path, stressors=words)) for words in ("all", "cpu"))
    assert whole.digest() != part.digest()
    assert {"duration", "stressors"} <= set(STRESS.variables)


def test_a_node_is_told_its_load_and_why_it_has_no_neighbour(tmp_path: Path) -> None:
    settings = asked(tmp_path, duration="9")
    two = load_of(settings, nodes=2)
    page = Plan(node=1, seed=2, tests=tuple(STRESS.tests), load=two).page().decode()
    assert "stress_cpu_ms=2000\n" in page
    assert "stress_signals_ms=1000\n" in page
    assert "stress_cpu_0=cpu --cpu -1\n" in page
    assert "stress_memory_0=vm --vm 1 --vm-bytes 15%\n" in page
    assert "stress_count=2\n" in page
    assert "_skip=" not in page
    assert "stress_own" not in page
    assert "stress_plant" not in page
    for nodes, talking, why in ((1, "", "one node has no neighbour"), (2, "no virtio-net", "no virtio-net")):
        page = Plan(node=1, seed=2, load=load_of(settings, nodes=nodes, talking=talking)).page().decode()
        assert f"stress_network_skip={why}\n" in page
        assert "stress_count" not in page


def test_more_than_the_agent_has_room_for_is_refused() -> None:
    many = tuple(f"s{number} --x" for number in range(STRESSORS_MAX + 1))
    for lines in (many, ("x" * (LINE_MAX + 1),)):
        with pytest.raises(ValueError, match="room"):
            Load(seconds={"cpu": 1.0}, stressors={"cpu": lines}).lines()


def test_the_guest_has_time_to_say_itself_that_a_load_hangs(tmp_path: Path) -> None:
    settings = asked(tmp_path, duration="8")
    load = load_of(settings, nodes=2)
    recipe = cast("Any", SimpleNamespace(timeout=60.0, settings=settings))
    limit = limit_of(recipe, [Plan(node=1, seed=1, tests=("stress_cpu",), load=load)])
    assert limit > 60 + settings.duration + load.patience + load.settle
