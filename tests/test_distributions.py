"""The Python parts: requirements against what is installed."""

from __future__ import annotations

import importlib
import shutil
from importlib import metadata
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks import distributions
from sistasks.distributions import Part, check, check_ours, check_requirements, satisfies

if TYPE_CHECKING:
    from pathlib import Path


def test_our_own_parts_are_all_there() -> None:
    parts = check_ours()
    # as the tree says, however long ago it was installed
    assert {"doit", "lz4", "numpy", "pefile", "psutil", "rich"} <= {part.name for part in parts}
    assert not [part for part in parts if part.fault]
    # the tools of the tests are an extra
    assert "ruff" not in {part.name for part in parts}


def test_without_a_tree_of_ours_what_is_installed_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in (None, "[project]\nname = 'other'\ndependencies = ['absent-thing']\n", "[project]\n", "no"):
        if text is not None:
            (tmp_path / "pyproject.toml").write_text(text)
        monkeypatch.setattr(distributions, "_PYPROJECT", tmp_path / "pyproject.toml")
        assert check_ours() == check("sistasks")


def test_a_distribution_that_is_not_installed_says_so() -> None:
    assert check("no-such-thing") == [Part("no-such-thing", "", "", "is not installed")]


def test_each_fault_is_told_apart() -> None:
    have = metadata.version("pytest")
    parts = check_requirements(
        ["absent-thing>=1", "pytest<2", f"pytest[extra]=={have}", "hypothesis ; extra == 'x'", "pytest", "?"]
    )
    assert parts == [
        Part("?", "", "", "is not a requirement"),
        Part("absent-thing", ">=1", "", "is not installed"),
        Part("pytest", "", have, ""),
        Part("pytest", "<2", have, "has another version"),
        Part("pytest", f"=={have}", have, ""),
    ]


def test_a_distribution_without_its_module_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "hollow-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hollow\nVersion: 1.0\n")
    (info / "RECORD").write_text("hollow/inner/__init__.py,,\nhollow/__init__.py,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert check_requirements(["hollow"]) == [Part("hollow", "", "1.0", "has no module hollow")]
    (tmp_path / "hollow").mkdir()
    (tmp_path / "hollow" / "__init__.py").touch()
    importlib.invalidate_caches()
    assert check_requirements(["hollow"]) == [Part("hollow", "", "1.0", "")]
    # a module of its own name is the one that counts, not what it brings beside it
    (info / "RECORD").write_text("hollow.py,,\nhollows/__init__.py,,\n")
    shutil.rmtree(tmp_path / "hollow")
    (tmp_path / "hollows").mkdir()
    importlib.invalidate_caches()
    assert check_requirements(["hollow"]) == [Part("hollow", "", "1.0", "has no module hollow")]


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [
        ("4.2", ">=4.2,<5", True),
        ("4.2.0", ">=4.2", True),
        ("4.1.9", ">=4.2,<5", False),
        ("4.10", ">=4.2", True),
        ("5.0", "<5", False),
        ("5.0rc1", "<5", False),
        ("5.0rc1", ">=5", False),
        ("5.0.post1", ">=5", True),
        ("4.2.7", "==4.2.*", True),
        ("4.20", "==4.2.*", False),
        ("4.2", "!=4.2.*", False),
        ("4.2", "!=4.3", True),
        ("4.2", "==4.2.0", True),
        ("4.3", "~=4.2", True),
        ("5.0", "~=4.2", False),
        ("4.2.9", "~=4.2.1", True),
        ("4.3", "~=4.2.1", False),
        ("4.2", ">4.2", False),
        ("4.2", "<=4.2", True),
        ("4.2", "===4.2", True),
        ("4.2", "", True),
        ("4.2", "4.2", False),
        ("unknown", ">=0", False),
        ("4.2", ">=x", False),
    ],
)
def test_versions_fit_or_do_not(version: str, wanted: str, fits: bool) -> None:
    assert satisfies(version, wanted) is fits


RELEASES = st.lists(st.integers(0, 99), min_size=1, max_size=4)


@given(RELEASES, RELEASES)
def test_order_is_that_of_the_numbers(one: list[int], other: list[int]) -> None:
    size = max(len(one), len(other))
    first, second = (numbers + [0] * (size - len(numbers)) for numbers in (one, other))
    version, limit = ".".join(map(str, one)), ".".join(map(str, other))
    assert satisfies(version, f">={limit}") is (first >= second)
    assert satisfies(version, f"<{limit}") is (first < second)
    assert satisfies(version, f"=={limit}") is (first == second)


@given(st.text(), st.text())
def test_any_text_is_answered(version: str, wanted: str) -> None:
    assert satisfies(version, wanted) in {True, False}
    assert len(check_requirements([wanted])) <= 1
