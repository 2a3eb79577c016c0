"""What a person may call a run: its number, `latest`, a kernel, or a session."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sistasks.errors import UsageError

if TYPE_CHECKING:
    from sistasks.verdicts.baseline import History, RunInfo

_HEX: Final = re.compile(r"[0-9a-f]{6,64}")


def find(history: History, text: str) -> list[RunInfo]:
    """The newest good run of each suite that a reference names.

    Args:
        history: where to look.
        text: a run's number (that very run, whatever its status), `latest`, a kernel's name or the beginning of its
            identity, or a session.

    Raises:
        UsageError: it names nothing, or kernels that differ.
    """
    if text.isdecimal():
        return [history.run(int(text))]
    if text == "latest":
        return _newest_of_each_suite(history.select("status = 'ok'", ()))
    found = history.select("status = 'ok' AND (session_id = ? OR kernels.name = ?)", (text, text))
    if not found and _HEX.fullmatch(text):
        found = history.select("status = 'ok' AND kernel_id LIKE ?", (f"{text}%",))
        if len({run.kernel_id for run in found}) > 1:
            raise UsageError(f"'{text}' begins several kernels", "give more of its digits")
    if not found:
        raise UsageError(
            f"'{text}' is no run, kernel or session of the history",
            "a run's number, latest, a kernel or a session",
        )
    return _newest_of_each_suite(found)


def before(history: History, run: RunInfo) -> RunInfo | None:
    """The newest good run of the same suite in the same environment before `run`."""
    found = history.select(
        "status = 'ok' AND suite = ? AND environment_id = ? AND runs.id < ?",
        (run.suite, run.environment_id, run.id),
    )
    return found[0] if found else None


def _newest_of_each_suite(runs: list[RunInfo]) -> list[RunInfo]:
    newest: dict[tuple[str, str], RunInfo] = {}
    for run in runs:
        newest.setdefault((run.suite, run.environment_id), run)
    return sorted(newest.values(), key=lambda run: run.id)
