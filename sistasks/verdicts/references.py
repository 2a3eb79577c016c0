"""What a person may call a run: its number, `latest`, a kernel, or a session."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Final

from sistasks.errors import UsageError

if TYPE_CHECKING:
    from sistasks.verdicts.baseline import History, RunInfo

# from so many digits on, a number may as well be the beginning of a kernel's hash
_DIGITS: Final = 6
_HEX: Final = re.compile(rf"[0-9a-f]{{{_DIGITS},64}}")


def find(history: History, text: str) -> list[RunInfo]:
    """The newest good run of each suite, environment and kernel that a reference names.

    Args:
        history: where to look.
        text: a run's number (that very run, whatever its status), `latest`, a kernel's name or the beginning of its
            identity, or a session. A kernel's name goes without its arguments where no kernel is called that alone.

    Raises:
        UsageError: it names nothing, or kernels that differ.
    """
    if text == "latest":
        return history.latest(good=True)
    if text.isdecimal() and (len(text) < _DIGITS or not _HEX.fullmatch(text)):
        return [history.run(int(text))]
    found = history.newest("status = 'ok' AND (session_id = ? OR kernels.name = ?)", (text, text))
    if not found:
        found = history.newest(
            "status = 'ok' AND substr(kernels.name, 1, ?) = ?", (len(text) + 1, f"{text} ")
        )
    if not found and _HEX.fullmatch(text):
        if history.kernels(text) > 1:
            raise UsageError(f"'{text}' begins several kernels", "give more of its digits")
        found = history.newest("status = 'ok' AND kernels.id LIKE ?", (f"{text}%",))
    if not found and text.isdecimal():
        return [history.run(int(text))]
    if not found:
        raise UsageError(
            f"'{text}' is no run, kernel or session of the history",
            "a run's number, latest, a kernel or a session",
        )
    return found


def before(history: History, run: RunInfo) -> RunInfo | None:
    """The newest good run of the same suite and environment before `run`, of no kernel that stands beside it."""
    own = dataclasses.replace(history.kin(run), alone=False)
    found = history.select(
        f"status = 'ok' AND suite = ? AND environment_id = ? AND runs.id < ? AND {own.condition()}",
        (run.suite, run.environment_id, run.id, own.names),
    )
    return found[0] if found else None
