"""Our reading of KTAP beside the kernel's own (tools/testing/kunit/kunit_parser.py), on real logs and made ones.

It is run where the sources of a kernel are at hand: in SISTASKS_LINUX, under /usr/src, or among those that a build of
`kernel=source` has unpacked.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sistasks.protocols.profile import PROFILES
from sistasks.protocols.reader import reader_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sistasks.protocols.records import Reading

PARSER = Path("tools/testing/kunit/kunit_parser.py")
LOGS = Path(__file__).parent / "protocols"
ROOT = Path(__file__).parent.parent
STATUSES = {"SUCCESS": "pass", "FAILURE": "fail", "SKIPPED": "skip", "TEST_CRASHED": "crash"}


def trees() -> Iterator[Path]:
    """Sources of kernels on this machine."""
    if given_tree := os.environ.get("SISTASKS_LINUX"):
        yield Path(given_tree)
    yield from sorted(Path("/usr/src").glob("linux*"))
    for pattern in ("target/*/sources/linux-source-*", "target/*/*/sources/linux-source-*"):
        yield from sorted(ROOT.glob(pattern))


@pytest.fixture(scope="module")
def kunit() -> Iterator[Any]:
    """The kernel's parser."""
    tree = next((tree for tree in trees() if (tree / PARSER).is_file()), None)
    if tree is None:
        pytest.skip(f"no kernel sources here: SISTASKS_LINUX names a tree that has {PARSER}")
    folder = str((tree / PARSER).parent)
    sys.path.insert(0, folder)  # it imports its neighbours
    try:
        spec = importlib.util.spec_from_file_location("kunit_parser", tree / PARSER)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(folder)


def theirs(kunit: Any, log: str) -> tuple[str, Counter[tuple[str, str]]]:
    """What the kernel's parser says: of all, and of each test that has no subtests; missing ones have no name there.

    Newer ones let a suite that failed by itself fail all; that is ours, too.
    """
    suites: list[str] = []
    leaves: Counter[tuple[str, str]] = Counter()

    def walk(test: Any, path: tuple[str, ...]) -> None:
        path = (*path, test.name)
        status = STATUSES.get(test.status.name, "none")
        if not test.subtests and status != "none":
            leaves["" if status == "crash" else "/".join(path), status] += 1
        elif test.subtests:
            suites.append(status)
        for subtest in test.subtests:
            walk(subtest, path)

    with contextlib.redirect_stdout(io.StringIO()):
        main = kunit.parse_run_tests(io.StringIO(log))
    for test in main.subtests:
        walk(test, ())
    status = STATUSES.get(main.status.name, "none")
    return "fail" if "fail" in suites and status in {"pass", "skip"} else status, leaves


def ours(log: str) -> tuple[Reading, Counter[tuple[str, str]]]:
    reader = reader_for(PROFILES["ktap"])
    reader.feed(0, log.encode())
    reading = reader.result()
    leaves = Counter(("" if each.status == "crash" else each.name, each.status) for each in reading.results)
    return reading, leaves


def text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")


@pytest.mark.parametrize("log", sorted(LOGS.glob("kunit-*.log")), ids=lambda path: path.stem)
def test_real_logs_are_read_alike(kunit: Any, log: Path) -> None:
    reading, leaves = ours(text(log))
    assert (reading.status, leaves) == theirs(kunit, text(log))
    assert leaves


def test_the_kernel_s_own_examples_are_read_alike(kunit: Any) -> None:
    folder = Path(kunit.__file__).parent / "test_data"
    read = 0
    for log in sorted(folder.glob("*.log")):
        status, expected = theirs(kunit, text(log))
        if status == "none":
            assert ours(text(log))[0].status == "crash", log.name
            continue
        reading, leaves = ours(text(log))
        assert reading.status == status, log.name
        if "no_tests" not in log.name:  # a suite in which nothing was run has a record of its own
            assert leaves == expected, log.name
        read += 1
    assert read > 10


def suite(draw: Any, indent: str, name: str, depth: int) -> list[str]:
    """A suite as KUnit says it, with all that may stand between its lines."""
    count = draw(st.integers(1, 3))
    head = draw(st.sampled_from([[f"{indent}KTAP version 1"], []])) if depth else ["KTAP version 1"]
    lines = [*head, *([f"{indent}# Subtest: {name}"] if depth else []), f"{indent}1..{count}"]
    for number in range(1, count + 1):
        test = f"{name}{number}"
        if depth < 3 and draw(st.booleans()):
            lines += suite(draw, indent + "    ", test, depth + 1)
        lines += draw(
            st.lists(st.sampled_from([f"{indent}# {test}: x", "usb 1-1: new device", "    ok"]), max_size=1)
        )
        word = draw(st.sampled_from(["ok", "ok", "not ok"]))
        rest = draw(st.sampled_from(["", "", "", " # SKIP why", " # TODO x", " # XFAIL"]))
        lines.append(f"{indent}{word} {number} {draw(st.sampled_from(['', '- ']))}{test}{rest}")
    return lines


@st.composite
def whole_logs(draw: Any) -> list[str]:
    """The lines of a whole log, with or without printk's stamps."""
    stamp = draw(st.sampled_from(["", "[    1.234567] ", "[    1.234567][    T1] "]))
    return [stamp + line for line in suite(draw, "", "s", 0)]


@settings(max_examples=60, deadline=None)
@given(lines=whole_logs())
def test_whole_logs_are_read_alike(kunit: Any, lines: list[str]) -> None:
    log = "\n".join(lines) + "\n"
    status, expected = theirs(kunit, log)
    reading, leaves = ours(log)
    assert reading.status == status
    # a suite that failed though its tests did not has a record of its own
    more = leaves - expected
    assert expected - leaves == Counter()
    assert all(kind == "fail" for _, kind in more)


@settings(max_examples=60, deadline=None)
@given(lines=whole_logs(), end=st.integers(0, 40))
def test_a_log_that_ends_too_early_is_never_read_better(kunit: Any, lines: list[str], end: int) -> None:
    log = "\n".join(lines[: end % (len(lines) + 1)]) + "\n"
    try:
        status, expected = theirs(kunit, log)
    except ValueError:  # older ones read beyond the end of some logs
        return
    reading, leaves = ours(log)
    order = ("skip", "pass", "none", "fail", "crash")
    assert order.index(reading.status) >= order.index(status)
    for (name, kind), count in leaves.items():
        if kind == "pass":
            assert expected[name, kind] == count
