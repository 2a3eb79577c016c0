"""Values as people read them: links to what they name, outcomes with a shape, shares as percentages.

Everything that comes from the history is escaped here: its text is not ours.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from datasette.utils import tilde_encode
from markupsafe import Markup

from sistasks.browse.metadata import DATABASE
from sistasks.units import show

if TYPE_CHECKING:
    from collections.abc import Mapping

# a shape beside the word, the one that the charts have: colour is never the only sign
_SHAPES: Final = {
    "better": "◆", "same": "●", "worse": "✕", "unsure": "□",
    "ok": "✓", "pass": "✓", "failed": "✕", "fail": "✕", "error": "!", "skip": "-", "new": "▷",
    "critical": "▲▲", "high": "▲", "medium": "△", "low": "▽", "info": "·",
}  # fmt: skip
_BADGES: Final = frozenset({"outcome", "status", "run_status", "severity", "verdict", "was", "now"})
_CALM: Final = frozenset({"pass", "skip", "same", "better"})
_RUNS: Final = frozenset({"run_id", "before_run_id"})
_ROWS: Final = {"session_id": "sessions", "environment_id": "environments", "artifact_id": "artifacts"}
# shares of one
_SHARES: Final = frozenset({"deviation", "spread", "minimum_effect", "mde", "share_not_passed", "share"})
_CHANGES: Final = frozenset({"effect", "low", "high"})
_MOMENTS: Final = frozenset({"started_at", "finished_at", "created_at", "at", "keep_until"})
# sentences, which are a tower of words where they get no room
_SENTENCES: Final = frozenset({"title", "evidence", "reason", "source"})
_SENTENCE: Final = 1000
# in the metric's unit where the row names it
_MEASURED: Final = frozenset(
    {
        "mean", "std", "min", "p50", "p95", "p99", "max", "target", "ci_low", "ci_high",
        "p50_low", "p50_high", "p95_low", "p95_high", "p99_low", "p99_high",
        "mean_p50", "lowest_p50", "highest_p50", "baseline_value", "value",
    }
)  # fmt: skip
_LONGEST: Final = 80
_DIGEST: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def encode(text: str) -> str:
    """A text as one part of an address; dots stay readable where they cannot be taken for something else."""
    encoded = str(tilde_encode(text))
    if text.endswith(".json") or not text.strip("."):
        return encoded
    return encoded.replace("~2E", ".")


def run_path(run_id: int | str) -> str:
    """Where a run's page is."""
    return f"/-/run/{encode(str(run_id))}"


def kernel_path(kernel_id: str) -> str:
    """Where a kernel's page is."""
    return f"/-/kernel/{encode(kernel_id)}"


def metric_path(name: str) -> str:
    """Where a metric's page is."""
    return f"/-/metric/{encode(name)}"


def rule_path(rule: str) -> str:
    """Where the history of a rule of the security suite is."""
    return f"/{DATABASE}/history_of_rule?{urlencode({'rule': rule})}"


def artifact_path(number: int | str) -> str:
    """Where the file of an artifact is."""
    return f"/-/artifact/{encode(str(number))}"


def row_path(table: str, key: int | str) -> str:
    """Where Datasette shows a row."""
    return f"/{DATABASE}/{table}/{tilde_encode(str(key))}"


def short(text: object) -> str:
    """A hash by its first 12 digits, another text by its first 80 letters."""
    words = str(text)
    if _DIGEST.fullmatch(words):
        return words[:12]
    return words if len(words) <= _LONGEST else words[:_LONGEST] + "…"


def link(path: str, words: object) -> Markup:
    """A link to one of our pages."""
    return Markup('<a href="{}" title="{}">{}</a>').format(path, str(words)[:200], short(words))


def badge(word: object) -> Markup:
    """An outcome or a status, told by word, shape and colour."""
    known = str(word) in _SHAPES
    return Markup('<span class="sis-badge sis-{}">{}{}</span>').format(
        word if known else "other", f"{_SHAPES[str(word)]} " if known else "", short(word)
    )


def percent(share: float | None, *, signed: bool = False) -> str:
    """A share as a percentage: 0.0312 -> `3.1 %`; as a change `+3.1 %`."""
    if share is None:
        return "-"
    return f"{100 * share:{'+' if signed else ''}.{1 if abs(share) >= 0.01 else 2}f} %"


def figure(value: float | None, unit: object) -> str:
    """A value in its unit."""
    return show(value, short(unit))


def moment(text: object) -> str:
    """A time of the history as people read it: `2026-01-31 23:59:59`; the rest of a second is left out."""
    words = str(text)
    return (
        f"{words[:10]} {words[11:19]}"
        if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*", words)
        else short(words)
    )


def cell(row: Mapping[str, Any], value: Any, column: str) -> Markup | None:
    """How a cell of any table or query is shown; None for how Datasette shows it.

    Args:
        row: the cell's row, by column.
        value: the cell's value, or `{"value", "label"}` where Datasette has looked up what it refers to.
        column: its name.
    """
    label = None
    if isinstance(value, dict):
        value, label = value["value"], value["label"]
    if value is None or value == "":
        return None
    linked = _linked(column, value, label)
    if linked is None and isinstance(value, str):
        # a rule that did not fail alarms nobody, however severe its failure would be
        if column == "severity" and "outcome" in row.keys() and row["outcome"] in _CALM:  # noqa: SIM118 -- as below
            return Markup('<span class="sis-calm">{}</span>').format(value)
        return _words(value, column)
    if linked is None and isinstance(value, int | float):
        return _figure(row, value, column)
    return linked


def _words(value: str, column: str) -> Markup | None:
    if column in _BADGES:
        return badge(value)
    if column in _MOMENTS:
        return Markup('<span class="sis-time" title="{}">{}</span>').format(value[:200], moment(value))
    if _DIGEST.fullmatch(value):
        return Markup('<code title="{}">{}</code>').format(value, short(value))
    if column in _SENTENCES:
        words = value if len(value) <= _SENTENCE else value[:_SENTENCE] + "…"
        return Markup('<span class="sis-sentence">{}</span>').format(words)
    return None


def _linked(column: str, value: Any, label: object) -> Markup | None:
    if column in _RUNS:
        return link(run_path(value), f"{value} {label}" if label not in {None, value} else value)
    if column == "kernel_id":
        named = label not in {None, value}
        return link(kernel_path(str(value)), f"{short(label)} {short(value)}" if named else value)
    if column == "metric":
        return link(metric_path(str(value)), value)
    if column == "rule":
        return link(rule_path(str(value)), value)
    if column in _ROWS:
        return link(row_path(_ROWS[column], value), value)
    return None


def _figure(row: Mapping[str, Any], value: float, column: str) -> Markup | None:
    if column in _SHARES:
        words = percent(value)
    elif column in _CHANGES and "effect" in row.keys():  # noqa: SIM118 -- rows of SQLite are no mappings
        words = percent(value, signed=True)
    elif column in _MEASURED | _CHANGES and "unit" in row.keys():  # noqa: SIM118
        words = figure(value, row["unit"])
    else:
        return None
    return Markup('<span class="sis-figure" title="{}">{}</span>').format(value, words)


def key_link(table: str, key: str) -> Markup:
    """The first column of a table: to our page of what the row is, where there is one, else to the row itself."""
    path = {"runs": run_path, "kernels": kernel_path, "metrics": metric_path}.get(table)
    return link(row_path(table, key) if path is None else path(key), key)
