"""A suspicion that is none, for what is done about one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

METRIC: Final = "context_switch.latency"
NEWEST: Final = f"""select outcome, confirmed, reason from verdicts
    where metric = '{METRIC}' and statistic = 'p50' order by id desc limit 1"""  # noqa: S608 - our own name


def suspect(db: Path) -> None:
    """What the second run measured of one metric is told a hundredfold.

    Less than tenfold does not count, for on a busy host half of a few boots may be several times as slow as the others.
    """
    with closing(sqlite3.connect(db)) as connection, connection:
        told = "update summaries set p50 = iif(run_id = 2, 100000, 1000) + node where metric = ?"
        connection.execute(told, (METRIC,))
        connection.execute("update metrics set minimum_effect = 9")
