"""The tables of the documentation, made from the code: `python -m sistasks.reference FILE ...` renews them in place.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks.settings import variable_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PLACE: Final = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(headings)]
    lines += [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def variables() -> str:
    """Every variable that a person may set."""
    rows = []
    for name, default, kind, env, text in variable_table():
        # the host's own memory and processors are no part of the documentation
        plain = re.sub(r"to \d+M \(this machine's memory\)", "to the host's memory", kind)
        plain = "a whole number from 1 to the host's" if name == "cpus" else plain
        shown = "the host's" if name == "arch" else default
        rows.append((f"`{name}`", f"`{shown}`", plain, f"`{env}`" if env else "", text))
    return _table(("variable", "default", "value", "environment", "what it is"), rows)


def metrics() -> str:
    """Every metric."""
    from sistasks.suites.metrics import METRICS
    from sistasks.units import show

    rows = []
    for metric in METRICS.values():
        target = ""
        if metric.target is not None:
            sign = "<" if metric.better == "lower" else ">"
            target = f"{metric.target_statistic} {sign} {show(metric.target, metric.unit)}"
        rows.append((f"`{metric.name}`", metric.unit, metric.better, target, metric.description))
    return _table(("metric", "unit", "better", "target", "one sample is"), rows)


def tasks() -> str:
    """Every task with its line of help."""
    from sistasks import tasks as module

    rows = []
    for name in module.__all__:
        if name.startswith("task_") and not name.startswith("task__"):
            text = (getattr(module, name).__doc__ or "").strip().splitlines()[0].rstrip(".")
            rows.append((f"`doit {name.removeprefix('task_')}`", text))
    return _table(("command", "does"), rows)


TABLES: Final[dict[str, Callable[[], str]]] = {"variables": variables, "metrics": metrics, "tasks": tasks}


def renew(text: str) -> str:
    """The text with every table made anew.

    Raises:
        KeyError: a table that nobody makes is named.
    """
    return _PLACE.sub(lambda match: match[1] + TABLES[match[2]]() + match[3], text)


def main() -> None:
    """Renew the files that are named."""
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(renew(path.read_text()))


if __name__ == "__main__":
    main()
