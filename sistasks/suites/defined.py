"""`[tool.sistasks.metrics."NAME"]` in pyproject.toml: metrics that a person describes, and targets of their own."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sistasks import tables
from sistasks.errors import UsageError
from sistasks.suites.metrics import METRICS, Metric
from sistasks.tables import Key, WrongValueError

if TYPE_CHECKING:
    from pathlib import Path

_NAME: Final = re.compile(r"[a-z0-9_./-]{1,100}")
_UNIT: Final = re.compile(r"[A-Za-zµμ%][A-Za-zµμ%0-9/._*^-]{0,19}")
_OTHER_TIMES: Final = frozenset(
    {
        "s",
        "sec",
        "seconds",
        "ms",
        "msec",
        "milliseconds",
        "us",
        "usec",
        "µs",
        "μs",
        "microseconds",
        "nanoseconds",
    }
)


def _unit(value: object) -> str:
    unit = tables.text(value)
    if unit in _OTHER_TIMES:
        raise WrongValueError("'ns' for every time: samples are brought to it, and a target is in it")
    if not _UNIT.fullmatch(unit):
        raise WrongValueError("a unit such as ns, bytes, ops/s or %")
    return unit


_KEYS: Final = {
    "unit": Key(_unit),
    "better": Key(tables.choice("lower", "higher")),
    "target": Key(tables.number()),
    "target_statistic": Key(tables.choice("mean", "p50", "p95", "p99")),
    "industry": Key(tables.text),
    "minimum_effect": Key(tables.number(0, 1)),
    "description": Key(tables.text),
}


def metrics(table: object, pyproject: Path) -> dict[str, Metric]:
    """The metrics of `[tool.sistasks.metrics]`, by name.

    Of a metric that sistasks has itself only the target, what others reach and the smallest effect can be changed.

    Args:
        table: its value, as TOML gives it.
        pyproject: the file, for refusals.

    Raises:
        UsageError: a name that cannot be, an unknown key, a missing one, or a value that cannot be.
    """
    if not isinstance(table, dict):
        raise UsageError(
            f"metrics in {pyproject} is no table", 'write [tool.sistasks.metrics."test.latency"]'
        )
    return {
        name: _metric(name, value, f"metrics.{_quoted(name)} in {pyproject}") for name, value in table.items()
    }


def _quoted(name: str) -> str:
    return f'"{name if name.isprintable() else repr(name)[1:-1]}"'


def _metric(name: str, table: object, where: str) -> Metric:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{where}: no metric can have this name", "a name is of a-z, 0-9, '_', '.', '/' and '-'"
        )
    if isinstance(table, dict) and table and all(isinstance(value, dict) for value in table.values()):
        inner = next(iter(table))
        raise UsageError(
            f"{where} holds tables",
            f'a name with a dot stands in quotes: [tool.sistasks.metrics."{name}.{inner}"]',
        )
    values = tables.entry(table, _KEYS, where)
    ours = METRICS.get(name)
    if ours is None:
        for key in ("unit", "better"):
            if key not in values:
                raise UsageError(f"{where} has no {key}", f"write {key} = ...: a metric of yours needs it")
    for key in ("unit", "better", "description"):
        if ours is not None and values.get(key, getattr(ours, key)) != getattr(ours, key):
            raise UsageError(
                f"{key} = {tables.shown(values[key])} of {where} cannot be: {name} is a metric of sistasks",
                "of those target, target_statistic, industry and minimum_effect can be set",
            )
    made = _made(name, values) if ours is None else replace(ours, **values)
    if (made.target is None) != (made.target_statistic is None):
        missing = "target" if made.target is None else "target_statistic"
        raise UsageError(
            f"{where} has no {missing}", "target and target_statistic go together: the p95, for one"
        )
    return made


def _made(name: str, values: dict[str, Any]) -> Metric:
    return Metric(**{"name": name, "description": f"{name}, as pyproject.toml describes it", **values})
