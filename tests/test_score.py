"""How well a run was served: the formula's figures, and that more load by others never raises the score."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sistasks.evidence.score import LEAST_LOSS, assess
from sistasks.evidence.usage import PerformanceMetrics, course, resources_json, summarise
from sistasks.history.records import ResourceRow

START = dt.datetime(2026, 1, 31, tzinfo=dt.UTC)
PERCENT = st.floats(0, 100)
BOTTLENECKS = {"host", "cpu", "memory", "disk", "network"}


def metrics(node: int, **values: Any) -> PerformanceMetrics:
    return PerformanceMetrics(node=node, samples=1, **{"seconds": 1.0, **values})


def score(host: dict[str, Any], *nodes: dict[str, Any]) -> tuple[float, str]:
    found = assess({0: metrics(0, **host)} | {n: metrics(n, **node) for n, node in enumerate(nodes, 1)})
    assert found is not None
    return round(found.score, 6), found.bottleneck


def test_nothing_watched_has_no_score() -> None:
    assert assess({}) is None
    assert resources_json(()) == {}


@pytest.mark.parametrize(
    ("host", "nodes", "expected"),
    [
        ({}, [], (100, "none")),
        ({"avg_cpu_percent": 100.0}, [{"avg_cpu_percent": 200.0, "wait_percent": 0.0}], (100, "none")),
        # half of the time waited, and three quarters of the host went to others
        (
            {"avg_cpu_percent": 100.0, "others_percent": 75.0},
            [{"avg_cpu_percent": 50.0, "wait_percent": 50.0}],
            (50, "host"),
        ),
        # the same, and the nodes had the host for themselves
        ({"avg_cpu_percent": 100.0}, [{"avg_cpu_percent": 50.0, "wait_percent": 50.0}], (50, "cpu")),
        ({"steal_percent": 20.0}, [], (80, "host")),
        ({"memory_wait": 30.0, "avg_memory_percent": 99.0}, [], (70, "memory")),
        ({"avg_memory_percent": 95.0}, [], (50, "memory")),
        ({"avg_memory_percent": 80.0}, [], (100, "none")),
        ({"io_wait": 10.0}, [], (90, "disk")),
        ({"io_wait": 4.0}, [], (96, "none")),
        ({"net_percent": 98.0}, [], (20, "network")),
        # where waiting is not counted by process: pressure, then load
        ({"wait_percent": 40.0, "avg_cpu_percent": 100.0, "load1": 99.0, "processors": 2}, [{}], (60, "cpu")),
        ({"load1": 8.0, "processors": 2, "avg_cpu_percent": 100.0, "others_percent": 100.0}, [{}], (25, "host")),
        ({"load1": 1.0, "processors": 2}, [{}], (100, "none")),
    ],
)  # fmt: skip
def test_the_formula(host: dict[str, Any], nodes: list[dict[str, Any]], expected: tuple[float, str]) -> None:
    assert score(host, *nodes) == expected


def test_waiting_counts_by_how_long_a_node_was_watched() -> None:
    short = {"seconds": 1.0, "avg_cpu_percent": 0.0, "wait_percent": 100.0}
    long = {"seconds": 9.0, "avg_cpu_percent": 100.0, "wait_percent": 0.0}
    assert score({}, short, long) == (90, "cpu")


def test_the_words_name_who_had_the_processors() -> None:
    host = metrics(0, avg_cpu_percent=100.0, others_percent=76.0, steal_percent=8.0, busiest="make 70 %")
    found = assess({0: host, 1: metrics(1, avg_cpu_percent=50.0, wait_percent=50.0)})
    assert found is not None
    assert found.words == (
        "the host was overcommitted: 76 % of its processors went to others (make 70 %), 8 % to the machine below it; "
        "nodes waited 50 % of the time that they wanted one"
    )


HOSTS = st.fixed_dictionaries(
    {},
    optional={
        "others_percent": PERCENT, "steal_percent": PERCENT, "memory_wait": PERCENT, "io_wait": PERCENT,
        "net_percent": PERCENT, "avg_memory_percent": PERCENT, "wait_percent": PERCENT, "avg_cpu_percent": PERCENT,
        "load1": st.floats(0, 1000), "processors": st.integers(1, 256),
    },
)  # fmt: skip
NODES = st.lists(
    st.fixed_dictionaries({"avg_cpu_percent": st.floats(0, 800), "wait_percent": st.floats(0, 800)}),
    max_size=5,
)


@settings(max_examples=300, deadline=None)
@given(host=HOSTS, nodes=NODES)
def test_scores_are_within_bounds_and_bottlenecks_are_losses(host: dict[str, Any], nodes: list[Any]) -> None:
    found = assess({0: metrics(0, **host)} | {n: metrics(n, **node) for n, node in enumerate(nodes, 1)})
    assert found is not None
    assert 0 <= found.score <= 100
    assert set(found.losses) == BOTTLENECKS
    assert all(-1e-12 <= loss <= 1 for loss in found.losses.values())
    assert (found.bottleneck == "none") == (max(found.losses.values()) < LEAST_LOSS)
    assert found.bottleneck == "none" or found.losses[found.bottleneck] == max(found.losses.values())
    assert found.words


@settings(max_examples=500, deadline=None)
@given(host=HOSTS, nodes=NODES, more=st.sampled_from(
    ("others_percent", "steal_percent", "memory_wait", "io_wait", "net_percent", "avg_memory_percent", "wait_percent",
     "load1")
), by=st.floats(0, 100))  # fmt: skip
def test_more_load_by_others_never_raises_the_score(
    host: dict[str, Any], nodes: list[Any], more: str, by: float
) -> None:
    before, _ = score(host, *nodes)
    after, _ = score({**host, more: host.get(more, 0.0) + by} if more in host else host, *nodes)
    assert after <= before


@settings(max_examples=300, deadline=None)
@given(host=HOSTS, nodes=NODES, taken=st.floats(0, 1))
def test_processors_that_nodes_lose_to_others_never_raise_the_score(
    host: dict[str, Any], nodes: list[Any], taken: float
) -> None:
    """What each node ran it waits instead, and the host's others have it."""
    robbed = [
        {
            "avg_cpu_percent": node["avg_cpu_percent"] * (1 - taken),
            "wait_percent": node["wait_percent"] + node["avg_cpu_percent"] * taken,
        }
        for node in nodes
    ]
    others = host.get("others_percent", 0.0)
    loaded = {**host, "others_percent": min(100.0, others + 100 * taken)}
    assert score(loaded, *robbed)[0] <= score(host, *nodes)[0] + 1e-6


# -- what rows come to -----------------------------------------------------------------------------------------------


def row(node: int, second: float, **values: Any) -> ResourceRow:
    return ResourceRow(node=node, at=START + dt.timedelta(seconds=second), **values)


def test_rows_come_to_averages_peaks_totals_and_rates() -> None:
    rows = [
        row(1, 2, seconds=1.5, cpu_percent=100.0, cpu_peak=150.0, rss=200, rss_peak=400, memory_percent=20.0, vms=9,
            read_bytes=10, write_bytes=40, threads=5, fds=3, wait_percent=4.0),
        row(1, 0, rss=100, rss_peak=100, memory_percent=10.0, read_bytes=0, write_bytes=0, threads=1, fds=8),
        row(1, 1, seconds=0.5, cpu_percent=20.0, cpu_peak=20.0, rss=100, rss_peak=100, memory_percent=10.0, vms=7,
            read_bytes=5, write_bytes=0, threads=2, fds=3, wait_percent=0.0),
        row(0, 1, busiest="x 3 %"),
    ]  # fmt: skip
    found = summarise(rows)
    assert list(found) == [0, 1]
    node = found[1]
    assert (node.samples, node.seconds, node.avg_cpu_percent, node.peak_cpu_percent) == (3, 2.0, 80.0, 150.0)
    assert (node.avg_rss, node.peak_rss, node.peak_vms, node.peak_threads, node.peak_fds) == (
        175.0,
        400,
        9,
        5,
        8,
    )
    assert (node.avg_memory_percent, node.peak_memory_percent, node.wait_percent) == (17.5, 40.0, 3.0)
    assert (node.disk_read_rate, node.disk_write_rate, node.cpu_seconds) == (5.0, 20.0, 1.6)
    assert (node.network_receive_rate, node.network_send_rate, node.network_sent_bytes) == (None, None, None)
    assert (found[0].busiest, found[0].cpu_seconds) == ("x 3 %", None)


def test_rows_of_an_older_history_have_averages_too() -> None:
    found = summarise([row(0, second, cpu_percent=50.0 + second, rss=second) for second in range(3)])[0]
    assert (found.avg_cpu_percent, found.peak_cpu_percent, found.peak_rss, found.seconds) == (
        51.0,
        52.0,
        2,
        0.0,
    )
    assert found.disk_read_rate is None


def test_a_course_has_few_points_and_the_same_average() -> None:
    rows = [row(0, second, seconds=1.0, cpu_percent=float(second % 10)) for second in range(240)]
    found = course(rows, 0, "cpu_percent")
    assert len(found) == 60
    assert sum(found) / 60 == pytest.approx(4.5)
    assert course(rows, 1, "cpu_percent") == []
    assert course(rows, 0, "load1") == []


def test_json_has_every_field() -> None:
    found = resources_json([row(0, 1, seconds=1.0, cpu_percent=5.0), row(2, 1)])
    json.dumps(found, allow_nan=False)
    assert [node["node"] for node in found["nodes"]] == [0, 2]
    assert set(found["nodes"][0]) == {field.name for field in dataclasses.fields(PerformanceMetrics)}
    assert (found["score"], found["bottleneck"]) == (100.0, "none")
