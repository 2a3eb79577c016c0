"""A suite's function where nobody knows it by name: what it refers to comes along, or it is refused in words."""

from __future__ import annotations

import asyncio
import importlib
import pickle
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from sistasks.errors import FleetError, ToolMissing
from sistasks.fleet.job import why_not
from sistasks.fleet.shipping import ship
from sistasks.suites.shipped import Shipped
from sistasks.suites.suite import Suite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sistasks.suites.acted import Act

pytest.importorskip("cloudpickle")

ACTING = """
import statistics
import sistasks_test_helping
from sistasks_test_helping import Pair

TIMES = 2

def twice(value):
    return TIMES * value

async def act(nodes):
    return {"sum": [twice(sistasks_test_helping.one()) + Pair(3, 4).sum], "mean": [statistics.mean([1, 2])]}
"""
HELPING = """
from dataclasses import dataclass

@dataclass
class Pair:
    first: int
    second: int

    @property
    def sum(self):
        return self.first + self.second

def one():
    return 1
"""
LOCKED = """
import threading
LOCK = threading.Lock()

async def act(nodes):
    with LOCK:
        return {}
"""


@contextmanager
def modules(folder: Path, **texts: str) -> Iterator[Act]:
    """The function `act` of the first of these modules, as long as they are there."""
    folder.mkdir(exist_ok=True)
    names = [f"sistasks_test_{name}" for name in texts]
    for name, text in zip(names, texts.values(), strict=True):
        (folder / f"{name}.py").write_text(text)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        act: Act = importlib.import_module(names[0]).act
        yield act
    finally:
        sys.path.remove(str(folder))
        for name in names:
            sys.modules.pop(name, None)
            (folder / f"{name}.py").unlink()


def travelled(shipped: Shipped) -> Shipped:
    found = pickle.loads(pickle.dumps(shipped))  # noqa: S301 - our own
    assert isinstance(found, Shipped)
    return found


def test_a_function_comes_with_all_of_a_persons_that_it_refers_to(tmp_path: Path) -> None:
    with modules(tmp_path, acting=ACTING, helping=HELPING) as act:
        suite = Suite(name="acted", title="acted", tests={}, act=act)
        shipped, digest = ship(act), suite.digest()
    assert not list(tmp_path.glob("*.py"))
    there = travelled(shipped)
    assert asyncio.run(there(None)) == {"sum": [9], "mean": [1.5]}  # type: ignore[arg-type]
    # runs of it are of the same suite, although nobody there has the file
    came = Suite(name="acted", title="acted", tests={}, act=there)
    assert came.digest() == digest
    assert came.whole == suite.whole
    with modules(tmp_path, acting=ACTING + "\n", helping=HELPING) as act:
        assert Suite(name="acted", title="acted", tests={}, act=act).digest() != digest


def test_what_only_this_process_has_cannot_be_sent(tmp_path: Path) -> None:
    with modules(tmp_path, locked=LOCKED) as act:
        with pytest.raises(FleetError, match=r"^act cannot be sent \(cannot pickle '_thread.lock' object\)$"):
            ship(act)
        assert why_not(Suite(name="acted", title="acted", tests={}, act=act)) == (
            "act cannot be sent (cannot pickle '_thread.lock' object)"
        )
    with modules(tmp_path, acting=ACTING, helping=HELPING) as act:
        assert why_not(Suite(name="acted", title="acted", tests={}, act=act)) == ""


def test_a_function_of_an_installed_package_goes_by_name(tmp_path: Path) -> None:
    installed = tmp_path / "site-packages"
    with modules(installed, acting=ACTING, helping=HELPING) as act:
        shipped = travelled(ship(act))
        assert len(shipped.data) < 100
        assert shipped.load() is act
    with pytest.raises(
        ToolMissing, match=r"^act cannot be had here: No module named 'sistasks_test_acting'; "
    ):
        shipped.load()
    older = modules(installed, acting=ACTING + "\n", helping=HELPING)
    with (
        older,
        pytest.raises(ToolMissing, match=r"^act of sistasks_test_acting is another one here; install"),
    ):
        shipped.load()


def test_code_of_another_python_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with modules(tmp_path, acting=ACTING, helping=HELPING) as act:
        shipped = ship(act)
    monkeypatch.setattr("sistasks.suites.shipped.PYTHON", "cpython 2.7")
    with pytest.raises(ToolMissing, match=r"^act was packed by cpython 3\.\d+, and here is cpython 2\.7; "):
        shipped.load()
