"""Whose runs a run belongs to: kernels that came one after the other, and never those that stand beside it.

A session that was asked for several kernels (`kernel=a,b`) notes them in `sessions.detail`. From then on each of them
has a history of its own. In it, runs of kernels of the same name count first; where there are none, those of all others
do: a kernel that is called after its version has a new name each time.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sistasks.history.read import BASELINE_CONDITION, SEVERAL_KERNELS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_RUN: Final = """SELECT runs.id, suite, environment_id, iterations, session_id, kernel_id, kernels.name
    FROM runs JOIN kernels ON kernels.id = kernel_id WHERE runs.id = ?"""
_SAME_NAME: Final = f"""SELECT 1 FROM runs JOIN kernels ON kernels.id = kernel_id
    WHERE suite = ? AND environment_id = ? AND iterations = ? AND status = 'ok' AND runs.id < ?
        AND kernels.name = ? AND kernel_id <> ? AND {BASELINE_CONDITION} LIMIT 1"""  # noqa: S608 - our own condition

# in a query on `runs` and `kernels`: what tells the runs of a session that was asked for several kernels apart
KERNEL_OF_SEVERAL: Final = f"""iif(
    (SELECT {SEVERAL_KERNELS} FROM sessions WHERE sessions.id = runs.session_id), kernels.name, '')"""  # noqa: S608 - our own words
_NAMES: Final = """SELECT DISTINCT name FROM runs JOIN kernels ON kernels.id = kernel_id
    WHERE session_id IN (SELECT value FROM json_each(?))"""


@dataclass(frozen=True, slots=True)
class Kin:
    """Kernels that a run is compared with, as a condition on `kernels`.

    Attributes:
        name: of the run's own kernel.
        beside: names of kernels that were asked for together with it.
        alone: only kernels of its own name count, for there are some.
    """

    name: str
    beside: tuple[str, ...]
    alone: bool

    def condition(self, mark: str = "?") -> str:
        """The condition; its one parameter is `names`."""
        negated = "" if self.alone else "NOT "
        return f"kernels.name {negated}IN (SELECT value FROM json_each({mark}))"  # noqa: S608 - our own words

    @property
    def names(self) -> str:
        """What the condition's parameter is."""
        return json.dumps([self.name] if self.alone else self.beside)


def noted(kernels: Sequence[str]) -> str:
    """What a session's `detail` says of the kernels that it was asked for, by what they are called."""
    return json.dumps({"kernels": kernels}) if kernels else ""


def kin(connection: sqlite3.Connection, run_id: int) -> Kin:
    """The kernels whose runs make a history with a run of the connection's database."""
    run = connection.execute(_RUN, (run_id,)).fetchone()
    if run is None:
        return Kin("", (), alone=False)
    number, suite, environment, iterations, session, kernel, name = run
    asked = (suite, environment, iterations, number, name, kernel)
    try:
        alone = connection.execute(_SAME_NAME, asked).fetchone() is not None
    except sqlite3.OperationalError:  # a history from before verdicts were what they are
        alone = False
    return Kin(name, beside(connection, name, session), alone)


def beside(connection: sqlite3.Connection, name: str, session: str) -> tuple[str, ...]:
    """Names of kernels that were asked for together with one.

    Args:
        connection: to the history.
        name: of the kernel, as in `kernels.name`: what it is called, and its arguments.
        session: of its run.
    """
    own, others, together = {name}, set(), []
    for one, detail in connection.execute("SELECT id, detail FROM sessions WHERE detail <> ''").fetchall():
        asked = _asked(detail)
        meant = _meant(name, asked)
        if meant or (asked and one == session):
            own.add(meant or name)
            others |= {other for other in asked if other != meant}
            together.append(one)
    if not together:
        return ()
    known, apart = others | own, others - own
    names = connection.execute("SELECT DISTINCT name FROM kernels").fetchall()
    found = {row[0] for row in names if _meant(row[0], known) in apart}
    # the history keeps an image's first name, which may be another one than was asked for
    found |= {row[0] for row in connection.execute(_NAMES, (json.dumps(together),)).fetchall()}
    return tuple(sorted(one for one in found if _meant(one, known) not in own))


def _asked(detail: str) -> list[str]:
    """Kernels that a session notes; none where it notes something else."""
    try:
        found: Any = json.loads(detail)["kernels"]
    except (ValueError, TypeError, KeyError):
        return []
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _meant(name: str, asked: Collection[str]) -> str:
    """Which of the kernels that were asked for a name is, with arguments behind it or without; empty: none."""
    while name and name not in asked:
        name = name.rpartition(" ")[0]
    return name


def accepted(
    connection: sqlite3.Connection, suite: str, environment_id: str, until: int, apart: Sequence[str]
) -> list[int]:
    """Runs of a suite in an environment that a person accepted, in order.

    Args:
        connection: to the history.
        suite: of the runs.
        environment_id: the same.
        until: the last run that counts.
        apart: names of kernels whose runs do not.
    """
    # CROSS JOIN: acceptances are few, and runs are not
    rows = connection.execute(
        """SELECT DISTINCT annotations.run_id FROM annotations CROSS JOIN runs ON runs.id = annotations.run_id
           JOIN kernels ON kernels.id = runs.kernel_id
           WHERE kind = 'accept' AND suite = ? AND environment_id = ? AND runs.id <= ?
               AND kernels.name NOT IN (SELECT value FROM json_each(?))
           ORDER BY annotations.run_id""",
        (suite, environment_id, until, json.dumps(apart)),
    )
    return [row[0] for row in rows]
