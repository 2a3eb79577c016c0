"""The Python parts: whether what this package declares as its dependencies is there and fits."""

from __future__ import annotations

import csv
import importlib.util
import re
import tomllib
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

# `name[extras] specifiers ; marker` (PyPA, "Dependency specifiers")
_REQUIREMENT: Final = re.compile(
    r"\s*(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*\(?(?P<wanted>[^;()]*)\)?\s*(?:;(?P<marker>.*))?",
    re.DOTALL,
)
_CLAUSE: Final = re.compile(r"\s*(~=|===?|!=|<=|>=|<|>)\s*(\S+?)\s*")
_RELEASE: Final = re.compile(
    r"v?(?:\d+!)?(\d+(?:\.\d+)*)\s*[._-]?(a|b|c|rc|alpha|beta|pre|preview|dev)?",
    re.IGNORECASE,
)

_PYPROJECT: Final = Path(__file__).parents[1] / "pyproject.toml"


class Part(NamedTuple):
    """A distribution that is wanted.

    Attributes:
        name: as the requirement names it.
        wanted: the specifiers, such as `>=0.37,<0.38`; may be empty.
        found: the installed version; empty if there is none.
        fault: why it cannot be used; empty if it can.
    """

    name: str
    wanted: str
    found: str
    fault: str


def check_ours() -> list[Part]:
    """Every dependency of this package, as `check`: by the tree that it runs from, where it runs from one.

    What was written down when a tree was installed is as old as that; its pyproject.toml comes with each change.
    """
    try:
        project = tomllib.loads(_PYPROJECT.read_text(encoding="utf-8"))["project"]
        ours = project["name"] == "sistasks"
    except (OSError, ValueError, KeyError):
        ours = False
    return check_requirements(project["dependencies"]) if ours else check("sistasks")


def check(distribution: str) -> list[Part]:
    """Every dependency of an installed distribution, extras left out, in the order of their names."""
    try:
        requirements = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return [Part(distribution, "", "", "is not installed")]
    return check_requirements(requirements)


def check_requirements(requirements: Iterable[str]) -> list[Part]:
    """The same for requirements as text; those with a marker are for other cases than the plain one."""
    parts = []
    for text in requirements:
        match = _REQUIREMENT.fullmatch(text)
        if match is None:
            parts.append(Part(text, "", "", "is not a requirement"))
        elif not match["marker"]:
            parts.append(_check(match["name"], match["wanted"].strip()))
    return sorted(parts)


def _check(name: str, wanted: str) -> Part:
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return Part(name, wanted, "", "is not installed")
    if not satisfies(found.version, wanted):
        return Part(name, wanted, found.version, "has another version")
    module = _module(found, name)
    try:
        importable = not module or importlib.util.find_spec(module) is not None
    except ImportError:
        importable = False
    return Part(name, wanted, found.version, "" if importable else f"has no module {module}")


def _module(found: metadata.Distribution, name: str) -> str:
    """The distribution's outermost package or module, such as `qemu.qmp`, that of its own name before others.

    Empty where its files are not listed.
    """
    # not `files`: some of the readers that may be installed leave out what is missing, which is what is asked here
    rows = csv.reader((found.read_text("RECORD") or "").splitlines())
    files = [PurePosixPath(row[0]) for row in rows if row]
    modules = [".".join(file.parent.parts) for file in files if file.name == "__init__.py"]
    modules += [file.stem for file in files if file.suffix == ".py" and len(file.parts) == 1]
    own = name.lower().replace("-", "_")
    return min(modules, key=lambda module: (module.lower() != own, module.count(".")), default="")


def satisfies(version: str, wanted: str) -> bool:
    """Whether a version fits every specifier; what is no specifier fits nothing.

    Args:
        version: such as `4.2`; a pre-release sorts before its release.
        wanted: specifiers separated by commas (PyPA, "Version specifiers"), without local versions.
    """
    return all(_fits(version, clause) for clause in wanted.split(",") if clause.strip())


def _fits(version: str, clause: str) -> bool:
    match = _CLAUSE.fullmatch(clause)
    have = _order(version)
    if match is None or have is None:
        return False
    operator, text = match[1], match[2]
    if operator == "===":
        return version == text
    prefix = text.removesuffix(".*")
    want = _order(prefix)
    if want is None or (prefix != text and operator not in {"==", "!="}):
        return False
    size = len(prefix.split("."))
    alike = _head(have, size) == _head(want, size) if prefix != text else have == want
    if operator == "~=":
        return have >= want and _head(have, size - 1) == _head(want, size - 1)
    return {
        "==": alike,
        "!=": not alike,
        "<=": have <= want,
        ">=": have >= want,
        # 5.0rc1 is no version below 5
        "<": have < want and _head(have, 9) != _head(want, 9),
        ">": have > want,
    }[operator]


def _head(order: tuple[tuple[int, ...], bool], size: int) -> tuple[int, ...]:
    return (order[0] + (0,) * size)[:size]


def _order(version: str) -> tuple[tuple[int, ...], bool] | None:
    """A version as something that sorts: its release without trailing zeros, and whether it is final."""
    match = _RELEASE.match(version)
    if match is None:
        return None
    release = [int(number) for number in match[1].split(".")]
    while release and release[-1] == 0:
        release.pop()
    return tuple(release), match[2] is None
