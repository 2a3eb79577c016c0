"""Watching any Python code: real work of this process and its children."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from sistasks.errors import UsageError
from sistasks.evidence.performance import PerformanceContext, PerformanceMonitor

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


def burn(seconds: float) -> None:
    """Use so much processor time, however long that takes."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_work_of_a_block_is_watched(tmp_path: Path) -> None:
    path = tmp_path / "written"
    with PerformanceContext("work", interval=0.02) as performance:
        kept = bytearray(60 * MIB)
        path.write_bytes(bytes(MIB))
        burn(0.3)
        del kept
    metrics, host = performance.get_metrics(), performance.get_host_metrics()
    assert metrics.cpu_seconds is not None
    assert metrics.cpu_seconds > 0.2
    assert 0 < (metrics.avg_cpu_percent or 0) <= (metrics.peak_cpu_percent or 0)
    assert (metrics.peak_rss or 0) > 60 * MIB
    assert metrics.samples > 3
    assert (host.node, host.processors is not None) == (0, True)
    served = performance.assessment()
    assert served is not None
    assert 0 <= served.score <= 100


def test_children_are_part_of_it_also_when_they_have_ended() -> None:
    burn_there = "end = time.thread_time() + 0.3\nwhile time.thread_time() < end: pass"
    code = f"import time\nkept = bytearray(80 << 20)\n{burn_there}"
    with PerformanceContext("child", interval=0.02) as performance:
        own = time.process_time()
        subprocess.run([sys.executable, "-c", code], check=True)
        own = time.process_time() - own
    metrics = performance.get_metrics()
    assert (metrics.cpu_seconds or 0) > 0.2 + own / 2
    assert (metrics.peak_rss or 0) > 80 * MIB


def test_an_exception_goes_on_and_what_was_used_is_kept() -> None:
    performance = PerformanceContext("broken", interval=0.02)
    with pytest.raises(ZeroDivisionError), performance:
        burn(1 / 0)
    assert performance.get_metrics().samples >= 2
    assert not any(thread.name == "sistasks-monitor" for thread in threading.enumerate())


def test_blocks_can_be_nested_and_short() -> None:
    with PerformanceContext("outer") as outer:
        with PerformanceContext("inner") as inner:
            burn(0.02)
        burn(0.1)
    assert outer.get_metrics().seconds > inner.get_metrics().seconds > 0
    assert inner.get_metrics().avg_cpu_percent is not None


def test_metrics_can_be_asked_while_it_runs() -> None:
    with PerformanceContext("now", interval=0.02) as performance:
        assert performance.get_metrics().samples == 1
        burn(0.1)
        while performance.get_metrics().samples < 4:
            burn(0.01)


def test_a_context_is_used_again_but_not_twice_at_once() -> None:
    performance = PerformanceContext("again", interval=0.02)
    with pytest.raises(UsageError, match="'again' has not been watched"):
        performance.get_metrics()
    with performance:
        burn(0.2)
        with pytest.raises(UsageError, match="already"), performance:
            pass
    first = performance.get_metrics()
    with performance:
        pass
    assert performance.get_metrics().seconds < first.seconds


@pytest.mark.parametrize("interval", [0.0, -1.0, 1e9, float("nan")])
def test_an_interval_that_cannot_be_is_refused(interval: float) -> None:
    with pytest.raises(UsageError, match=r"from 0\.01 to 3600"):
        PerformanceContext("x", interval=interval)


def test_names_are_watched_from_several_threads() -> None:
    found: dict[str, float] = {}
    with PerformanceMonitor(interval=0.02) as monitor:

        def work(name: str) -> None:
            monitor.start(name)
            burn(0.05)
            found[name] = monitor.stop(name).seconds

        threads = [threading.Thread(target=work, args=(f"part {number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(found) == {f"part {number}" for number in range(4)}
        assert all(seconds > 0 for seconds in found.values())
        monitor.start("left")
        with pytest.raises(UsageError, match="already"):
            monitor.start("left")
        with pytest.raises(UsageError, match="nothing was watched as 'other'"):
            monitor.stop("other")
    assert monitor.get_metrics("left").samples >= 2
    assert not any(thread.name == "sistasks-monitor" for thread in threading.enumerate())
