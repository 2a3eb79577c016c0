"""What processes and the host use, read from real ones that burn, allocate, write and end; and the rows of it."""

from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from children import BURN, WAIT, child, until
from hypothesis import given, settings
from hypothesis import strategies as st

from sistasks.evidence import processes
from sistasks.evidence.host import Counted, HostReading, busiest, census, pressure, read_host
from sistasks.evidence.processes import GoneError, PortableReader, ProcReader, Tree
from sistasks.evidence.rows import host_row, node_row

START = dt.datetime(2026, 1, 31, tzinfo=dt.UTC)
MIB = 1 << 20
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


# -- reading one process ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [pytest.param(ProcReader, marks=ON_LINUX), PortableReader])
def test_a_process_is_read(kind: type[ProcReader | PortableReader], tmp_path: Path) -> None:
    code = (
        f"kept = bytearray(40 << 20)\nfile = open({str(tmp_path / 'written')!r}, 'wb')\n"
        "import os, threading\nfile.write(bytes(3 << 20))\nfile.flush()\nos.fsync(file.fileno())\n"
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()---" + BURN
    )
    with child(code) as process:
        reader = kind(process.pid)
        first = reader.read()
        until(lambda: reader.read().cpu >= first.cpu + 0.1)
        now = reader.read()
        told = psutil.Process(process.pid).io_counters()
        disk = (told.read_bytes, told.write_bytes)
        reader.close()
    assert now.parent == os.getpid()
    assert 40 * MIB < now.rss < now.vms
    assert (now.threads, (now.fds or 0) >= 4) == (2, True)
    # in memory-backed folders nothing is written to a disk
    assert (now.read_bytes, now.write_bytes) == disk
    assert now.with_ended >= now.cpu


@pytest.mark.parametrize("kind", [pytest.param(ProcReader, marks=ON_LINUX), PortableReader])
def test_a_process_that_ended_is_gone_also_as_a_zombie(kind: type[ProcReader | PortableReader]) -> None:
    with child(WAIT) as process:
        reader = kind(process.pid)
        reader.read()
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(GoneError):
            reader.read()
        process.wait()
        with pytest.raises(GoneError):
            reader.read()
        reader.close()
        with pytest.raises(GoneError):
            kind(process.pid)


@ON_LINUX
def test_a_number_that_another_process_got_is_not_that_process() -> None:
    """The number of an ended process is given to a new one, as after a long run of numbers."""
    with child(WAIT) as process:
        reader = ProcReader(process.pid)
        process.kill()
        process.wait()
        try:
            Path("/proc/sys/kernel/ns_last_pid").write_text(str(process.pid - 1))
        except OSError:
            pytest.skip("numbers of processes cannot be chosen here")
        with child(WAIT) as other:
            if other.pid != process.pid:
                pytest.skip("another process was quicker")
            with pytest.raises(GoneError):
                reader.read()
            assert Path(f"/proc/{process.pid}/stat").exists(), "its number is in use again"
        reader.close()


@ON_LINUX
def test_waiting_for_a_processor_is_counted() -> None:
    """Two that burn on one processor wait for each other."""
    one = min(os.sched_getaffinity(0))
    pin = f"import os\nos.sched_setaffinity(0, {{{one}}})---" + BURN
    with child(pin) as first, child(pin):
        reader = ProcReader(first.pid)
        if reader.read().wait is None:
            pytest.skip("this kernel does not count it")
        until(lambda: (reader.read().wait or 0.0) > 0.1)
        reader.close()


@ON_LINUX
def test_a_tree_has_what_its_ended_children_used() -> None:
    burn = "import subprocess\nsubprocess.run([sys.executable, '-c', 'sum(range(4_000_000))'])"
    with child(burn + WAIT) as process:
        tree = Tree(process.pid)
        whole = tree.read()
        alone = ProcReader(process.pid)
        assert whole.cpu >= alone.read().cpu + 0.02
        alone.close()
        tree.close()


@ON_LINUX
def test_a_tree_never_goes_back() -> None:
    code = (
        "import subprocess---while True:\n    subprocess.run([sys.executable, '-c', 'sum(range(300_000))'])"
    )
    with child(code) as process:
        tree = Tree(process.pid)
        seen = [tree.read().cpu for _ in range(300)]
        members = tree.members()
        tree.close()
    assert seen == sorted(seen)
    assert process.pid in members


def test_a_tree_without_its_root_is_gone() -> None:
    with child(WAIT) as process:
        tree = Tree(process.pid)
        process.kill()
        process.wait()
        with pytest.raises(GoneError):
            tree.read()
        tree.close()


# -- the host --------------------------------------------------------------------------------------------------------


def test_the_host_is_read() -> None:
    found = read_host()
    assert 0 < found.busy <= found.total
    assert 0 < found.used < found.memory
    assert found.processors == os.cpu_count()
    assert not any(name.startswith("lo") for name in found.net)


def test_pressure_is_read_as_the_kernel_writes_it(tmp_path: Path) -> None:
    (tmp_path / "cpu").write_text(
        "some avg10=1.80 avg60=1.00 avg300=3.47 total=9680128\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    )
    assert pressure("cpu", tmp_path) == pytest.approx(9.680128)
    assert pressure("memory", tmp_path) is None


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet="some full=avg10 0.\ntotal\x00", max_size=60))
def test_any_pressure_file_is_borne(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "io").write_text(text)
    found = pressure("io", folder)
    assert found is None or found >= 0


def test_a_census_names_who_burns() -> None:
    with child("---" + BURN) as process:
        before = census()
        (key,) = [key for key in before if key[0] == process.pid]
        until(lambda: census()[key].used > before[key].used + 0.2)
        after = census()
    everybody_else = {pid for pid, _ in after} - {process.pid}
    name = after[key].name
    assert busiest(before, after, everybody_else, seconds=1.0).startswith(f"{name} ")
    assert busiest(before, after, everybody_else | {process.pid}, seconds=1.0) == ""
    assert busiest(before, after, everybody_else, seconds=0.0) == ""


def test_time_of_before_that_a_child_leaves_is_not_used_now() -> None:
    before = {
        (1, 0.0): Counted("shell", 0, 5.0), (2, 1.0): Counted("make", 1, 100.0), (3, 2.0): Counted("cc", 2, 40.0),
    }  # fmt: skip
    after = {(1, 0.0): Counted("shell", 0, 147.0), (9, 8.0): Counted("new", 1, 0.5)}
    assert busiest(before, after, (), seconds=10.0) == "shell 20 %, new 5 %"


# -- rows ------------------------------------------------------------------------------------------------------------


def reading_of(cpu: float, **changes: Any) -> processes.Reading:
    values: dict[str, Any] = {
        "parent": 1, "cpu": cpu, "with_ended": cpu, "wait": cpu / 2, "rss": 10 * MIB, "vms": 20 * MIB, "read_bytes": 0,
        "write_bytes": 0, "threads": 1, "fds": 3, **changes,
    }  # fmt: skip
    return processes.Reading(**values)


def host_of(busy: float, total: float, **changes: Any) -> HostReading:
    values: dict[str, Any] = {
        "busy": busy, "total": total, "steal": 0.0, "processors": 2, "used": 300, "memory": 1000, "read_bytes": 5,
        "write_bytes": 7, "net": {"eth0": (100, 200)}, "loads": (1.0, 2.0, 3.0), "waits": {"cpu": 1.0},
        "threads": 9, "fds": 9, **changes,
    }  # fmt: skip
    return HostReading(**values)


def test_rates_of_a_node() -> None:
    found = node_row(3, START, reading_of(2.0), reading_of(1.5), 0.5, disk=(1, None), memory=100 * MIB)
    assert (found.node, found.cpu_percent, found.cpu_peak, found.wait_percent) == (3, 100.0, 100.0, 50.0)
    assert (found.memory_percent, found.read_bytes, found.write_bytes, found.net_rx) == (10.0, 1, None, None)
    first = node_row(3, START, reading_of(2.0), None, 0.0, disk=(0, 0))
    assert (first.cpu_percent, first.seconds, first.memory_percent) == (None, None, None)


def test_rates_of_the_host() -> None:
    first = host_of(10.0, 100.0)
    now = host_of(
        12.0, 104.0, steal=1.0, read_bytes=105, net={"eth0": (1100, 700), "eth1": (50, 0)}, waits={"cpu": 1.5}
    )
    found = host_row(START, now, first, 2.0, first=first, ours=0.5, speeds={"eth0": 5000.0})
    assert (found.cpu_percent, found.others_percent, found.steal_percent) == (50.0, 37.5, 25.0)
    assert (found.wait_percent, found.memory_wait, found.net_percent) == (25.0, None, 10.0)
    assert (found.read_bytes, found.write_bytes, found.net_rx, found.net_tx) == (100, 0, 1050, 500)
    assert (found.memory_percent, found.load15, found.processors) == (30.0, 3.0, 2)


def test_counters_that_went_back_are_no_negative_rates() -> None:
    found = host_row(
        START, host_of(1.0, 2.0, net={"eth0": (1, 2)}, waits={"cpu": 0.1}), host_of(9.0, 1.0), 1.0,
        first=host_of(9.0, 1.0), ours=5.0, speeds={},
    )  # fmt: skip
    assert (found.cpu_percent, found.others_percent, found.wait_percent, found.net_rx) == (0.0, 0.0, 0.0, 1)
    back = node_row(1, START, reading_of(1.0), reading_of(2.0), 1.0, disk=(0, 0))
    assert (back.cpu_percent, back.wait_percent) == (0.0, 0.0)
