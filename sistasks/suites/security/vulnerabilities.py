"""A kernel's version against releases that fix vulnerabilities, as a file of the user's tells them (`advisories=PATH`).

The file is TOML or JSON (a name that ends with `.json`); each `[[advisory]]` says which releases have a fix, one of
each stable series and that of the mainline. docs/security.md describes it.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sistasks.errors import UsageError
from sistasks.protocols.findings import Seen
from sistasks.suites.security import versions
from sistasks.suites.security.rules import SEVERITIES, Rule, all_rules
from sistasks.tables import Key, WrongValueError, choice, entry, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from sistasks.suites.security.versions import Numbers, Version

COMPARED: Final = "vulnerability.advisories"
_CATEGORY: Final = "vulnerability"
_LARGEST: Final = 64 << 20
_SIGNS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_.-")
_LONGEST: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Advisory:
    """One vulnerability.

    Attributes:
        name: of its rule, `vulnerability.` and its id.
        severity: one of rules.SEVERITIES.
        title: what it is.
        source: who says so.
        introduced: releases that brought it: that of the mainline, and those of series that it was backported to;
            empty: it was always there.
        fixed: releases that mended it, likewise; empty: none has.
        packages: distribution -> versions of its package that mended it, one of each series.
    """

    name: str
    severity: str
    title: str
    source: str
    introduced: tuple[Numbers, ...]
    fixed: tuple[Numbers, ...]
    packages: dict[str, tuple[str, ...]]


def load(path: str) -> list[Advisory]:
    """Read a file of advisories; none where path is empty.

    Raises:
        UsageError: it cannot be read, or an entry cannot be understood, which is named.
    """
    if not path:
        return []
    found: dict[str, Advisory] = {}
    for number, table in enumerate(_tables(Path(path)), 1):
        where = f"advisory {number} in {path}"
        if not isinstance(table, dict):
            raise UsageError(f"{where} is no table", 'each has id = "...", severity, title and fixed')
        values = entry(table, _KEYS, where)
        advisory = Advisory(
            name=f"{_CATEGORY}.{values['id']}",
            severity=values["severity"],
            title=values["title"],
            source=values.get("source", Path(path).name),
            introduced=values.get("introduced", ()),
            fixed=values.get("fixed", ()),
            packages={name: values[name] for name in ("debian", "ubuntu") if name in values},
        )
        if advisory.name in found or advisory.name in all_rules():
            raise UsageError(
                f"the id {values['id']!r} of {where} is taken", "give each advisory an id of its own"
            )
        found[advisory.name] = advisory
    return list(found.values())


def rules(path: str) -> dict[str, Rule]:
    """The rules that a file's advisories are; none where it can no longer be read, for it was read before."""
    try:
        found = load(path)
    except UsageError:
        return {}
    return {
        one.name: Rule(
            name=one.name, category=_CATEGORY, severity=one.severity, title=one.title,
            reason="The kernel has a fault that is known.", source=one.source,
        )
        for one in found
    }  # fmt: skip


def assess(advisories: list[Advisory], path: str, version: Version | None) -> list[Seen]:
    """What each advisory says of a kernel's version.

    Args:
        advisories: as `load` gave them.
        path: of their file; empty: there is none.
        version: the kernel's; None: unknown.
    """
    if not path:
        return [Seen(COMPARED, "skip", "no file of advisories was given: advisories=PATH")]
    if version is None:
        return [Seen(COMPARED, "skip", "the image does not tell which version of Linux it is")]
    return [
        Seen(
            COMPARED, "pass", f"{version} was compared with {len(advisories)} advisories in {Path(path).name}"
        ),
        *(judge(advisory, version) for advisory in advisories),
    ]


def judge(advisory: Advisory, version: Version) -> Seen:
    """What one advisory says of a version."""
    outcome, why = _packaged(advisory, version) or _released(advisory, version)
    return Seen(advisory.name, outcome, f"{version}; {why}")


def _packaged(advisory: Advisory, version: Version) -> tuple[str, str] | None:
    """By the distribution's own list, where that has a package of this series."""
    for package in advisory.packages.get(version.distribution, ()):
        numbers = versions.parse(package)
        if numbers is not None and numbers[:2] == version.numbers[:2]:
            mended = versions.package_key(version.package) >= versions.package_key(package)
            return "pass" if mended else "fail", f"fixed in {version.distribution.capitalize()}'s {package}"
    return None


def _released(advisory: Advisory, version: Version) -> tuple[str, str]:
    """By upstream's releases: a series that is named has its own, every other one that of the mainline, the highest."""
    numbers, series = version.numbers, version.numbers[:2]
    begun = _of_series(advisory.introduced, series)
    mended = _of_series(advisory.fixed, series)
    # of a distribution's only the series may be known: what was decided in another one is decided
    if begun is not None and (numbers < begun if version.exact else series < begun[:2]):
        return "pass", f"it came with {_text(begun)}"
    if mended is None:
        return "fail", "no release is known that fixes it"
    fixed = f"fixed in {_text(mended)}"
    if version.candidate and numbers == mended:
        return "skip", f"{fixed}, of which this is a candidate"
    if not version.exact and series <= mended[:2]:
        return "skip", f"{fixed}; a distribution's release does not say which fixes of its series it has"
    if numbers < mended and mended[:2] != series:
        fixed += ", and no release of its own series is known that has the fix"
    return "pass" if numbers >= mended else "fail", fixed


def _of_series(releases: tuple[Numbers, ...], series: tuple[int, int]) -> Numbers | None:
    """The release that counts for a series: its own, else the mainline's, which is the highest."""
    return next((one for one in releases if one[:2] == series), max(releases, default=None))


def _text(numbers: Numbers) -> str:
    return ".".join(map(str, numbers if numbers[2] else numbers[:2]))


def _tables(path: Path) -> list[Any]:
    """The entries of a file.

    Raises:
        UsageError: it cannot be read.
    """
    remedy = "docs/security.md shows how such a file looks"
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
        if len(raw) > _LARGEST:
            raise UsageError(f"{path} is larger than {_LARGEST >> 20} MiB", remedy)
        words = raw.decode("utf-8")
        whole = json.loads(words) if path.suffix == ".json" else tomllib.loads(words)
    except OSError as error:
        raise UsageError(
            f"advisories={path} cannot be read: {error.strerror}", "give the path of a file"
        ) from error
    except (ValueError, RecursionError) as error:
        # of both formats the text names line and column
        raise UsageError(f"advisories={path} cannot be understood: {error}", remedy) from error
    tables = whole.get("advisory") if isinstance(whole, dict) else None
    if not isinstance(tables, list) or not tables:
        raise UsageError(f"{path} has no advisory", remedy)
    if unknown := [name for name in whole if name != "advisory"]:
        raise UsageError(f"unknown key {unknown[0]!r} in {path}", "an advisory is a table [[advisory]]")
    return tables


def _id(value: object) -> str:
    name = text(value).lower()
    if len(name) > _LONGEST or not _SIGNS.issuperset(name):
        raise WrongValueError(f"at most {_LONGEST} letters, digits, '_', '.' and '-'")
    return name


def _several(read: Callable[[str], Any]) -> Callable[[object], Any]:
    """One or a list of what `read` takes, no two of one series."""

    def take(value: object) -> tuple[Any, ...]:
        items = value if isinstance(value, list) else [value]
        series = [(versions.parse(text(item)) or _no_release(item))[:2] for item in items]
        if len(set(series)) < len(series):
            raise WrongValueError("one release of each series")
        return tuple(read(text(item)) for item in items)

    return take


def _no_release(value: object) -> Numbers:
    raise WrongValueError(f"releases such as '6.1.112', which {value!r} is not")


def _numbers(release: str) -> Numbers:
    numbers = versions.parse(release)
    if numbers is None or release.strip("0123456789."):
        raise WrongValueError(f"releases such as '6.1.112', which {release!r} is not")
    return numbers


_KEYS: Final = {
    "id": Key(_id, required=True),
    "severity": Key(choice(*SEVERITIES), required=True),
    "title": Key(text, required=True),
    "source": Key(text),
    "introduced": Key(_several(_numbers)),
    "fixed": Key(_several(_numbers)),
    "debian": Key(_several(str)),
    "ubuntu": Key(_several(str)),
}
