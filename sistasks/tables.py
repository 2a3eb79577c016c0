"""Tables of pyproject.toml, read key by key: what is unknown or of the wrong type is refused with one sentence."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sistasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class WrongValueError(ValueError):
    """A value of the wrong kind; the text says what it should be."""


@dataclass(frozen=True, slots=True)
class Key:
    """How a key's value is read."""

    read: Callable[[object], Any]
    required: bool = False


def entry(table: object, keys: Mapping[str, Key], where: str) -> dict[str, Any]:
    """The values of one table.

    Args:
        table: as TOML gives it.
        keys: what it may hold.
        where: its name and its file, for refusals.

    Raises:
        UsageError: it is no table, a key is unknown or missing, or a value cannot be.
    """
    if not isinstance(table, dict):
        raise UsageError(f"{where} is no table", f"write [tool.sistasks.{where.partition(' in ')[0]}]")
    values = {}
    for key, value in table.items():
        if key not in keys:
            raise UsageError(
                f"unknown key {shown(key)} in {where}", nearest(key, keys, "valid are " + ", ".join(keys))
            )
        try:
            values[key] = keys[key].read(value)
        except WrongValueError as wrong:
            raise UsageError(f"{key} = {shown(value)} of {where} cannot be", f"{key} is {wrong}") from None
    for key, what in keys.items():
        if what.required and key not in values:
            raise UsageError(f"{where} has no {key}", f"write {key} = ...")
    return values


def text(value: object) -> str:
    """One line that is not empty."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise WrongValueError("a text")
    return value.strip()


def texts(value: object) -> tuple[str, ...]:
    """A list of texts, or one text; they may be empty, for a program's argument may."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) and item.isprintable() for item in items):
        raise WrongValueError("a text or a list of texts")
    return tuple(items)


def number(low: float = -math.inf, high: float = math.inf) -> Callable[[object], float]:
    """A finite number above low and up to high."""

    def read(value: object) -> float:
        said = f"a number above {low:g} and up to {high:g}" if math.isfinite(low) else "a finite number"
        # a whole number of TOML may be larger than any float
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e300:
            raise WrongValueError(said)
        if not low < value <= high:
            raise WrongValueError(said)
        return float(value)

    return read


def choice(*names: str) -> Callable[[object], str]:
    """One of the names."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in names:
            raise WrongValueError("one of " + ", ".join(names))
        return value

    return read


def table(value: object) -> dict[str, Any]:
    """A table, whose keys somebody else knows."""
    if not isinstance(value, dict):
        raise WrongValueError("a table")
    return value


def nearest(name: str, names: Iterable[str], otherwise: str) -> str:
    """A remedy: the name that was perhaps meant, else what is valid."""
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else otherwise


def shown(value: object) -> str:
    """A value as refusals show it: on one line, and short."""
    said = repr(value)
    return said if len(said) <= 60 else said[:57] + "..."
