"""Profiles of another history name functions by its numbers: the same profiles by those of this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sistasks.errors import HistoryError
from sistasks.history.samples import decode, encode

if TYPE_CHECKING:
    from collections.abc import Mapping


def renumbered(
    encoding: str, data: bytes, functions: int, columns: int, numbers: Mapping[int, int]
) -> tuple[str, bytes]:
    """What a row of `profiles` holds, with other numbers of functions.

    Args:
        encoding: of the row.
        data: of the row: the functions' numbers, then each column of counts.
        functions: how many there are.
        columns: how many columns of counts follow.
        numbers: old -> new.

    Returns:
        Encoding and bytes; the same ones where no number changes.

    Raises:
        HistoryError: the bytes are damaged, or name a function that nobody knows.
    """
    if all(old == new for old, new in numbers.items()):
        return encoding, data
    import numpy as np

    values = np.asarray(decode(encoding, data, functions * (1 + columns)), dtype=np.int64).copy()
    try:
        values[:functions] = [numbers[old] for old in values[:functions].tolist()]
    except KeyError as missing:
        raise HistoryError(
            f"a profile names function {missing}, which its history has not", "restore a copy of that history"
        ) from missing
    return encode(values)
