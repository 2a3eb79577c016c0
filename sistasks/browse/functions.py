"""Functions for SQL: samples are packed, and SQLite before 3.51 has no median."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, Any, Final

from sistasks.errors import HistoryError
from sistasks.history.profiles import COLUMNS
from sistasks.history.samples import decode

if TYPE_CHECKING:
    import sqlite3

    from sistasks.history.samples import Samples


_MOST_BINS: Final = 1000
_MOST_FUNCTIONS: Final = 1 << 20


class Median:
    """`median(value)`: of all values that are not NULL; NULL where there are none."""

    def __init__(self) -> None:
        self._values: list[float] = []

    def step(self, value: float | str | bytes | None, /) -> None:
        """Take one row's value; what is not a number is none."""
        if isinstance(value, int | float):
            self._values.append(value)

    def finalize(self) -> Any:
        """The median of what was taken, or None."""
        return statistics.median(self._values) if self._values else None


def sample_values(encoding: object, data: object, count: object) -> str | None:
    """`sample_values(encoding, data, count)`: every sample, in order, as a JSON array; NULL for what is none."""
    values = _decoded(encoding, data, count)
    return None if values is None else json.dumps(values.tolist())


def sample_histogram(encoding: object, data: object, count: object, bins: object) -> str | None:
    """`sample_histogram(encoding, data, count, bins)`: samples counted in bins of equal width.

    The last bin takes all that lie beyond the 99.5th percentile, so that one outlier does not press all others into the
    first one.

    Returns:
        A JSON array of `{"low", "high", "samples"}` in the metric's unit, low included, high excluded except in the
        last; NULL for what is no sample set.
    """
    import numpy as np

    decoded = _decoded(encoding, data, count)
    if decoded is None or not isinstance(bins, int) or not 1 <= bins <= _MOST_BINS:
        return None
    values = decoded.astype(np.float64)
    if values.size == 0:
        return "[]"
    low, usual, high = float(values.min()), float(np.percentile(values, 99.5)), float(values.max())
    counts, edges = np.histogram(values, bins=bins, range=(low, usual if usual > low else high))
    beyond = values.size - int(counts.sum())
    rows = [
        {"low": float(edges[index]), "high": float(edges[index + 1]), "samples": int(number)}
        for index, number in enumerate(counts)
    ]
    if beyond:
        rows[-1] = {**rows[-1], "high": high, "samples": int(counts[-1]) + beyond}
    return json.dumps(rows)


class ProfileFunctions:
    """`profile_functions(encoding, data, functions)`: what each function of some profiles executed, all rows together.

    It is a JSON array of arrays: a function's number (the id in the table `functions`), its instructions, calls, blocks
    and accesses to memory; NULL where no row is a profile.
    """

    def __init__(self) -> None:
        self._found: list[Samples] = []

    def step(self, *row: object) -> None:
        """Take `encoding`, `data` and `functions` of one row of `profiles`; what is damaged is none."""
        import numpy as np

        encoding, data, functions = row
        if isinstance(functions, int) and 0 <= functions <= _MOST_FUNCTIONS:
            values = _decoded(encoding, data, functions * (1 + len(COLUMNS)))
            if values is not None:
                self._found.append(np.asarray(values, dtype=np.int64).reshape(1 + len(COLUMNS), -1))

    def finalize(self) -> Any:
        """The sums of what was taken, or None."""
        import numpy as np

        if not self._found:
            return None
        numbers, *columns = np.concatenate(self._found, axis=1)
        known, index = np.unique(numbers, return_inverse=True)
        sums = np.zeros((1 + len(COLUMNS), len(known)), dtype=np.int64)
        sums[0] = known
        for total, column in zip(sums[1:], columns, strict=True):
            np.add.at(total, index, column)
        return json.dumps(sums.T.tolist())


def _decoded(encoding: object, data: object, count: object) -> Samples | None:
    """The samples, or None: a query over many rows goes on where one of them is damaged."""
    if not (isinstance(encoding, str) and isinstance(data, bytes) and isinstance(count, int)):
        return None
    try:
        return decode(encoding, data, count)
    except HistoryError:
        return None


def register(connection: sqlite3.Connection) -> None:
    """Make the functions known to a connection."""
    connection.create_function("sample_values", 3, sample_values, deterministic=True)
    connection.create_function("sample_histogram", 4, sample_histogram, deterministic=True)
    connection.create_aggregate("median", 1, Median)
    connection.create_aggregate("profile_functions", 3, ProfileFunctions)
