"""The monitor of resources: real processes are watched while they come and go, in bounded room."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import history_records as records
import pytest
from children import BURN, WAIT, child, until
from hypothesis import given, settings
from hypothesis import strategies as st

from sistasks.evidence import host
from sistasks.evidence.monitor import ResourceMonitor, rows_of_each
from sistasks.evidence.thinning import AVERAGED, Thinned, mean
from sistasks.history.connection import reading
from sistasks.history.read import resource_rows
from sistasks.history.records import ResourceRow
from sistasks.history.store import write_run

if TYPE_CHECKING:
    from sistasks.evidence.host import HostReading

START = dt.datetime(2026, 1, 31, tzinfo=dt.UTC)
MIB = 1 << 20
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def of(rows: tuple[ResourceRow, ...], node: int) -> list[ResourceRow]:
    return [row for row in rows if row.node == node]


def longer(watching: ResourceMonitor, rows: int) -> bool:
    return len(of(watching.rows(), 1)) > rows


def row(second: float, **values: Any) -> ResourceRow:
    return ResourceRow(node=1, at=START + dt.timedelta(seconds=second), **values)


# -- bounded room ----------------------------------------------------------------------------------------------------

VALUES = st.floats(0, 1e6, allow_nan=False)
SAMPLES = st.lists(st.tuples(VALUES, st.floats(0.01, 10)), min_size=1, max_size=300)


@settings(max_examples=150, deadline=None)
@given(samples=SAMPLES, limit=st.integers(4, 40))
def test_merging_keeps_averages_peaks_times_and_bounds(
    samples: list[tuple[float, float]], limit: int
) -> None:
    every, thinned = [], Thinned(limit)
    for index, (value, seconds) in enumerate(samples):
        fields = dict.fromkeys(AVERAGED, value)
        each = row(
            index, seconds=seconds, cpu_peak=value, rss=int(value), rss_peak=int(value), threads=index % 7,
            read_bytes=index, **fields,
        )  # fmt: skip
        every.append(each)
        thinned.add(each)
    found = thinned.rows()
    assert len(found) <= limit
    assert [one.at for one in found] == sorted({one.at for one in found})
    assert found[-1].at == every[-1].at
    assert found[-1].read_bytes == every[-1].read_bytes
    assert sum(one.seconds or 0 for one in found) == pytest.approx(sum(seconds for _, seconds in samples))
    for name in AVERAGED:
        assert mean(found, name) == pytest.approx(mean(every, name), abs=1e-6)
    assert mean(found, "rss") == pytest.approx(mean(every, "rss"), abs=len(samples))
    for name in ("cpu_peak", "rss_peak", "threads"):
        assert max(getattr(one, name) for one in found) == max(getattr(one, name) for one in every)


def test_a_long_run_of_many_nodes_stays_small() -> None:
    hours = 8 * 3600 * 2
    thinned = Thinned(rows_of_each(100))
    for index in range(hours):
        thinned.add(row(index, seconds=0.5, cpu_percent=1.0))
    assert rows_of_each(1) == 600
    assert len(thinned.rows()) * 101 <= 12_000
    assert sum(one.seconds or 0 for one in thinned.rows()) == hours / 2


def test_what_is_not_told_stays_not_told() -> None:
    thinned = Thinned(4)
    for second in range(9):
        thinned.add(row(second))
    assert all(
        one.cpu_percent is None and one.rss_peak is None and one.seconds is None for one in thinned.rows()
    )


# -- watching --------------------------------------------------------------------------------------------------------


def test_nodes_and_the_host_are_watched(tmp_path: Path) -> None:
    """One burns, one sleeps, one ends meanwhile; all of it goes into the history as it is."""
    with child("kept = bytearray(30 << 20)---" + BURN) as busy, child(WAIT) as idle, child(WAIT) as short:
        with ResourceMonitor(0.05) as watching:
            for number, process in enumerate((busy, idle, short), 1):
                watching.started(number, process.pid)
            until(lambda: len(of(watching.rows(), 3)) > 2)
            short.kill()
            short.wait()
            ended = len(of(watching.rows(), 3))
            until(lambda: len(of(watching.rows(), 1)) > ended + 5)
        rows = watching.rows()
        watching.started(4, idle.pid)
        watching.stage(1, "testing")
    assert watching.rows() == rows, "nothing comes after the end"
    assert {one.node for one in rows} == {0, 1, 2, 3}
    assert len(of(rows, 3)) <= ended + 1
    for node in (0, 1, 2, 3):
        moments = [one.at for one in of(rows, node)]
        assert moments == sorted(set(moments))
    assert max(one.cpu_percent or 0 for one in of(rows, 1)) > 5
    assert (mean(of(rows, 1), "cpu_percent") or 0) > (mean(of(rows, 2), "cpu_percent") or 0)
    assert (mean(of(rows, 1), "rss") or 0) > 30 * MIB
    assert all(one.processors == os.cpu_count() for one in of(rows, 0))
    assert of(rows, 0)[-1].others_percent is not None
    run = dataclasses.replace(records.run(), resources=rows)
    number = write_run(tmp_path / "results.db", records.session(), run, records.METRICS)
    with reading(tmp_path / "results.db") as connection:
        assert connection is not None
        assert resource_rows(connection, number) == rows


def test_what_nodes_use_is_not_called_others() -> None:
    """A child that burned and ended meanwhile was ours to its end."""
    with child("---" + BURN) as process, ResourceMonitor(0.05) as watching:
        watching.started(1, process.pid)
        until(lambda: len(of(watching.rows(), 1)) > 6)
        used = sum((one.cpu_percent or 0) * (one.seconds or 0) for one in of(watching.rows(), 1)) / 100
        process.kill()
        process.wait()
        until(lambda: len(of(watching.rows(), 0)) > 12)
    hosts = [one for one in of(watching.rows(), 0) if one.seconds]
    processors = os.cpu_count() or 1
    busy, others = (
        sum((getattr(one, name) or 0) * (one.seconds or 0) for one in hosts) * processors / 100
        for name in ("cpu_percent", "others_percent")
    )
    # counted in ticks at different moments
    assert busy - others >= 0.8 * used - 0.1


def test_a_node_that_comes_again_goes_on(tmp_path: Path) -> None:
    write = (
        f"import os\nfile = open({str(tmp_path / 'out')!r}, 'wb')---"
        "sys.stdin.readline()\nfile.write(bytes(1 << 20))\nfile.flush()\nos.fsync(file.fileno())\n"
        "print(flush=True)\nsys.stdin.read()"
    )
    counts = []
    with ResourceMonitor(0.02) as watching:
        for _ in range(2):
            with child(write) as process:
                assert process.stdin is not None
                assert process.stdout is not None
                watching.started(1, process.pid)
                process.stdin.write(b"\n")
                process.stdin.flush()
                process.stdout.readline()
                before = len(of(watching.rows(), 1))
                until(functools.partial(longer, watching, before + 1))
                counts.append(of(watching.rows(), 1)[-1].write_bytes or 0)
    assert counts[1] >= counts[0]
    assert counts[1] == pytest.approx(2 * counts[0], abs=MIB // 2)
    written = [one.write_bytes or 0 for one in of(watching.rows(), 1)]
    assert written == sorted(written)


def test_a_process_that_is_not_there_is_no_trouble() -> None:
    with child(WAIT) as process:
        pass
    with ResourceMonitor(0.02) as watching:
        watching.started(1, process.pid)
        watching.watch_tree(2, process.pid)
        watching.stage(1, "testing")
        watching.stage(7, "done")
        until(lambda: len(watching.rows()) > 3)
    assert {one.node for one in watching.rows()} == {0}


def test_nothing_is_watched_where_none_is_asked() -> None:
    with ResourceMonitor(0) as watching:
        watching.started(1, os.getpid())
        watching.stage(1, "testing")
    assert watching.rows() == ()
    assert watching.cpu_seconds == 0


def test_a_clock_that_is_set_back_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    jumps = iter((START, *[START - dt.timedelta(days=400)] * 1000))

    class Jumping(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:  # type: ignore[override]
            return next(jumps).astimezone(tz)

    monkeypatch.setattr(dt, "datetime", Jumping)
    with ResourceMonitor(0.02) as watching:
        until(lambda: len(watching.rows()) > 3)
    moments = [one.at for one in watching.rows()]
    assert moments == sorted(set(moments))
    assert START <= moments[0] < moments[-1] < START + dt.timedelta(hours=1)


def test_a_host_that_tells_nothing_has_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> HostReading:
        raise PermissionError

    monkeypatch.setattr(host, "read_host", refuse)
    with child(WAIT) as process, ResourceMonitor(0.02) as watching:
        watching.started(1, process.pid)
        until(lambda: len(watching.rows()) > 3)
    assert {one.node for one in watching.rows()} == {1}


@ON_LINUX
def test_no_descriptor_and_no_thread_stays() -> None:
    descriptors = Path("/proc/self/fd")
    with child(WAIT) as process:
        held = len(list(descriptors.iterdir()))
        with ResourceMonitor(0.02) as watching:
            watching.started(1, process.pid)
            watching.watch_tree(2, os.getpid())
            until(lambda: len(watching.rows()) > 5)
        assert len(list(descriptors.iterdir())) == held
    assert not any(thread.name == "sistasks-monitor" for thread in threading.enumerate())
