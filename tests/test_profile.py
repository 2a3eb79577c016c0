"""What the plugin wrote becomes functions, is kept exactly, and two of it are told apart."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from history_records import METRICS as ROWS
from history_records import profile, run, session
from hypothesis import given, settings
from hypothesis import strategies as st

from sistasks.cluster.nodes import NodeReport
from sistasks.errors import NodeError, ToolMissing
from sistasks.evidence.symbols import Symbols, from_text, from_vmlinux
from sistasks.history import profiles
from sistasks.history.differences import differences
from sistasks.history.profiles import COLUMNS, Functions, ProfileRecord
from sistasks.history.store import write_run
from sistasks.kinds import host_arch
from sistasks.machine.arch import ARCHES
from sistasks.machine.results import GuestResults
from sistasks.profile import counts, plugin
from sistasks.profile.functions import by_function
from sistasks.suites import profiling
from sistasks.suites.metrics import METRICS
from sistasks.suites.suite import PERFORMANCE

QEMU: Final = shutil.which(ARCHES[host_arch()].qemu)
U64 = st.integers(0, 2**64 - 1)
BLOCKS = st.lists(st.tuples(U64, U64, U64, U64), max_size=5)


def _file(parts: list[tuple[int, int, list[tuple[int, ...]]]]) -> bytes:
    data = b""
    for test, phase, blocks in parts:
        data += struct.pack("=8sIIQ", b"SISPROF1", test, phase, len(blocks))
        data += b"".join(struct.pack("=4Q", *block) for block in blocks)
    return data + b"SISPROF0"


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 255), BLOCKS), max_size=4))
def test_what_was_written_is_read(parts: list[tuple[int, int, list[tuple[int, ...]]]]) -> None:
    found = [(part.test, part.phase, part.blocks.tolist()) for part in counts.read(_file(parts))]
    assert found == parts


@given(st.data())
def test_a_file_that_is_cut_or_damaged_is_refused(data: st.DataObject) -> None:
    whole = _file([(1, 2, [(1, 2, 3, 4)]), (2, 3, [])])
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ValueError, match="it "):
        counts.read(whole[:cut])


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    try:
        counts.read(data)
    except ValueError as error:
        assert str(error).startswith("it ")  # noqa: PT017 - both ends are right


def test_phases_are_those_of_the_agent_and_of_metrics_that_are() -> None:
    found = counts.phases()
    assert {phase.name for phase in found.values()} >= {"program", "context_switch", "inference"}
    for phase in found.values():
        assert set(phase.metrics) <= METRICS.keys()
        # each is begun and ended somewhere
        sources = [path.read_text() for path in counts._HEADER.parent.rglob("*.c")]
        for what in ("BEGIN", "END"):
            mark = re.compile(rf"PROFILE_MARK\(PROFILE_{what}, PROFILE_{phase.name.upper()}\)")
            assert any(mark.search(source) for source in sources), (what, phase)


KERNEL = from_text(
    "ffffffff81000000 T start\nffffffff81000100 t middle\nffffffffa0000000 t of_module\t[mod]\n"
    "ffffffffa0000100 t last\t[mod]\n"
)
USER = Symbols((0x400000, 0x400100, 0x400200), ("main", "work", "_fini"))


def _part(*blocks: tuple[int, int, int, int]) -> counts.Part:
    return counts.read(_file([(1, 2, list(blocks))]))[0]


def test_blocks_belong_to_the_function_that_they_begin_in() -> None:
    found = by_function(
        _part(
            (0xFFFFFFFF81000000, 3, 10, 2),  # the beginning of start: ten calls
            (0xFFFFFFFF81000040, 5, 2, 1),
            (0xFFFFFFFFA0000010, 7, 1, 1),
            (0x400100, 2, 4, 0),
            (0x400005, 1, 1, 0),
            (0x7FFC00000000, 6, 1, 0),  # in no function of the program
        ),
        KERNEL,
        USER,
    )
    rows = {
        name: tuple(int(getattr(found, column)[i]) for column in COLUMNS)
        for i, name in enumerate(found.names)
    }
    assert rows == {
        "start": (40, 10, 12, 3),
        "of_module [mod]": (7, 0, 1, 1),
        "user:work": (8, 4, 4, 0),
        "user:main": (1, 0, 1, 0),
        "user:?": (6, 0, 1, 0),
    }


def test_without_symbols_nothing_is_named_and_nothing_is_lost() -> None:
    found = by_function(_part((0xFFFFFFFF81000000, 3, 10, 3), (0x400000, 1, 1, 0)), Symbols((), ()), None)
    assert found.total("instructions") == 31
    assert set(found.names) <= {"?", "user:?"}


COUNT = st.integers(0, 2**62)
NAMES = st.lists(st.from_regex(r"[a-z_]{1,20}", fullmatch=True), unique=True, min_size=1, max_size=20)


def _functions(names: list[str], values: dict[str, list[int]] | None = None) -> Functions:
    values = values or {}
    return Functions(
        tuple(names),
        **{column: np.array(values.get(column, [0] * len(names)), dtype=np.int64) for column in COLUMNS},
    )


@settings(max_examples=10, deadline=None)  # each one is a history of its own
@given(st.data())
def test_functions_come_back_from_the_history_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    names = data.draw(NAMES)
    size = st.lists(COUNT, min_size=len(names), max_size=len(names))
    values = {column: data.draw(size) for column in COLUMNS}
    for column in COLUMNS:
        values[column] = [value // len(names) for value in values[column]]  # a sum fits 64 bits
    record = ProfileRecord(
        node=1, test="context_switch", phase="context_switch", metrics=("context_switch.latency",),
        functions=_functions(names, values),
    )  # fmt: skip
    db = tmp_path_factory.mktemp("history") / "results.db"
    run_id = write_run(db, session(), run(profiles=(record,)), ROWS)
    (found,) = profiles.profiles_of(db, run_id)
    assert (found.node, found.test, found.phase, found.metrics) == (
        1, "context_switch", "context_switch", ("context_switch.latency",),
    )  # fmt: skip
    assert found.functions.names == tuple(names)
    for column in COLUMNS:
        assert getattr(found.functions, column).tolist() == values[column]


def test_functions_that_changed_are_ranked_with_their_share_of_the_change() -> None:
    base = [
        profile({"same": 100, "slower": 100, "gone": 10}, 1),
        profile({"same": 100, "slower": 100, "gone": 10}, 2),
    ]
    head = [
        profile({"same": 100, "slower": 190, "new": 20}, 1),
        profile({"same": 100, "slower": 190, "new": 20}, 2),
    ]
    (one,) = differences(base, head, (10, 10))
    assert (one.base, one.head, one.metrics) == (21.0, 31.0, ("t.m",))
    assert [(row.function, row.base, row.head, row.share) for row in one.functions] == [
        ("slower", 10.0, 19.0, 0.9),
        ("new", 0.0, 2.0, 0.2),
        ("gone", 1.0, 0.0, -0.1),
    ]


def test_only_nodes_that_both_have_are_compared_and_each_by_its_samples() -> None:
    (one,) = differences([profile({"f": 100}, 1), profile({"f": 900}, 2)], [profile({"f": 200}, 1)], (10, 20))
    assert (one.base, one.head, one.functions) == (10.0, 10.0, ())


@pytest.mark.parametrize(
    ("version", "api"), [((7, 2), 1), ((8, 2), 1), ((9, 0), 2), ((9, 1), 3), ((10, 0), 3), ((11, 1), 3)]
)
def test_each_interface_compiles(version: tuple[int, int], api: int, tmp_path: Path) -> None:
    assert plugin.interface(version) == api
    built = plugin.build(("gcc",), version, tmp_path)
    assert built.is_file()
    before = built.stat().st_mtime_ns
    assert plugin.build(("gcc",), version, tmp_path).stat().st_mtime_ns == before
    wanted = subprocess.run(
        ["nm", "--dynamic", "--undefined-only", built], capture_output=True, text=True, check=True
    ).stdout
    assert ("qemu_plugin_scoreboard_new" in wanted) == (api > 1)


@pytest.fixture(scope="module")
def version() -> tuple[int, ...]:
    """Of the QEMU that is installed here."""
    if QEMU is None:
        pytest.skip("QEMU is not installed")
    said = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, re.findall(r"\d+", said)[:2]))


def test_qemu_takes_the_plugin_that_is_built_for_it(version: tuple[int, ...], tmp_path: Path) -> None:
    plugin.try_loading(Path(str(QEMU)), plugin.build(("gcc",), version, tmp_path))


def test_qemu_refuses_the_plugin_of_another_interface(version: tuple[int, ...], tmp_path: Path) -> None:
    other = (9, 1) if plugin.interface(version) == 1 else (7, 2)
    built = plugin.build(("gcc",), other, tmp_path)
    with pytest.raises(ToolMissing, match=r"does not take the plugin that counts instructions: .*plugin"):
        plugin.try_loading(Path(str(QEMU)), built)


def test_a_qemu_without_plugins_is_named_with_its_words(version: tuple[int, ...], tmp_path: Path) -> None:
    without = tmp_path / "qemu"
    without.write_text(
        f"""#!/bin/sh
for word in "$@"; do
    if [ "$word" = -plugin ]; then echo "qemu: -plugin: invalid option" >&2; exit 1; fi
done
exec {QEMU} "$@"
"""
    )
    without.chmod(0o755)
    with pytest.raises(ToolMissing, match=r"/qemu does not take .*: qemu: -plugin: invalid option"):
        plugin.try_loading(without, plugin.build(("gcc",), version, tmp_path))
    with pytest.raises(ToolMissing, match="cannot be run"):
        plugin.try_loading(tmp_path / "none", tmp_path / "none.so")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (_file([(1, 2, [(1, 2, 3, 4)])])[:-1], "it is cut off"),
        (b"", "it is cut off"),
        (_file([(0, 2, [])]), "it counts what no test has"),
        (_file([(len(PERFORMANCE.tests) + 1, 2, [])]), "it counts what no test has"),
        (_file([(1, 255, [])]), "it counts what no test has"),
        (None, "No such file or directory"),
        (_file([(1, 2, [(1, 2, 3, 4)])]), ""),
    ],
)
def test_counts_that_are_not_whole_fail_their_node(tmp_path: Path, data: bytes | None, why: str) -> None:
    file = tmp_path / "node_3.profile"
    if data is not None:
        file.write_bytes(data)
    report = NodeReport(
        number=3, seed=3, results=GuestResults(), error=None, started=0, ready=1, finished=2,
        console=tmp_path / "log", profile=file,
    )  # fmt: skip
    found = profiling.checked(PERFORMANCE, report)
    if why:
        assert isinstance(found.error, NodeError)
        assert found.error.problem.startswith("node 3: the counts of what it executed cannot be used: ")
        assert found.error.problem.endswith(why)
    else:
        assert found is report


def test_functions_in_thumb_begin_where_their_code_does(tmp_path: Path) -> None:
    compiler = shutil.which("arm-linux-gnueabihf-gcc")
    if compiler is None:
        pytest.skip("there is no compiler for arm")
    (tmp_path / "a.c").write_text("int f(void) { return 1; }\nint g(void) { return 2; }\n")
    subprocess.run([compiler, "-mthumb", "-c", "a.c"], cwd=tmp_path, check=True)
    with (tmp_path / "a.o").open("rb") as file:
        table = from_vmlinux(file)
    begin = table.address("g")
    assert begin is not None
    assert begin % 2 == 0
