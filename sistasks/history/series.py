"""Series of raw samples, told apart by their digests: whether two runs are the same to the bit, or where they part."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from sistasks.history.connection import reading
from sistasks.history.read import samples_of
from sistasks.history.samples import decode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# node, metric
Key: TypeAlias = tuple[int, str]

_SERIES: Final = (
    "SELECT node, metric, encoding, data, count FROM samples WHERE run_id = ? ORDER BY node, metric"
)
_NEITHER: Final[tuple[float | None, float | None]] = (None, None)


@dataclass(frozen=True, slots=True)
class Series:
    """What every sample of one metric on one node comes to.

    Attributes:
        count: of the samples.
        digest: SHA-256 of their kind and of all of their bits, in order.
    """

    count: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where two runs part, and how much of them does.

    Attributes:
        node, metric: of the first series that differs.
        place: of the first sample in it that does, from 1; 0: one of the runs has no such series.
        value, other: that sample in the one run and in the other; None: there it has no such sample.
        series: how many differ.
        of: how many there are in either run.
    """

    node: int
    metric: str
    place: int
    value: float | None
    other: float | None
    series: int
    of: int


def series_of(db: Path, run_id: int) -> dict[Key, Series]:
    """Every series of a run; empty for an unknown one.

    What is compared are the samples: bytes that were compressed by another zlib may differ.

    Raises:
        HistoryError: samples are damaged, or the history cannot be read.
    """
    found = {}
    with reading(db) as connection:
        if connection is None:
            return {}
        for node, metric, encoding, data, count in connection.execute(_SERIES, (run_id,)):
            values = decode(encoding, data, count)
            bits = hashlib.sha256(values.dtype.str.encode() + b"\0" + values.tobytes())
            found[node, metric] = Series(count, bits.hexdigest())
    return found


def difference(
    db: Path, runs: tuple[int, int], series: tuple[Mapping[Key, Series], Mapping[Key, Series]]
) -> Difference | None:
    """The first sample, by node and metric, in which two runs differ; None: they are the same to the bit.

    Args:
        db: has both.
        runs: their numbers.
        series: what `series_of` gave of each.

    Raises:
        HistoryError: samples are damaged, or the history cannot be read.
    """
    one, other = series
    keys = one.keys() | other.keys()
    apart = sorted(key for key in keys if one.get(key) != other.get(key))
    if not apart:
        return None
    node, metric = apart[0]
    place, values = 0, _NEITHER
    if apart[0] in one and apart[0] in other:
        place, values = _first(*(samples_of(db, run, node, metric).tolist() for run in runs))
    return Difference(
        node=node, metric=metric, place=place, value=values[0], other=values[1], series=len(apart), of=len(keys)
    )  # fmt: skip


def _first(one: list[float], other: list[float]) -> tuple[int, tuple[float | None, float | None]]:
    """Place, from 1, and values of the first sample that differs; one series may be the beginning of the other."""
    pairs = zip(one, other, strict=False)
    # as text -0.0 is not 0.0, and a whole number is no float
    shared = next((at for at, (a, b) in enumerate(pairs) if repr(a) != repr(b)), min(len(one), len(other)))
    values = [samples[shared] if shared < len(samples) else None for samples in (one, other)]
    return shared + 1, (values[0], values[1])
