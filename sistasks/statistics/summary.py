"""What one node's samples of one metric come to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Location and spread of one set of samples; every figure but `count` is in the samples' unit.

    Attributes:
        count: samples, at least 1.
        mean: arithmetic mean.
        std: sample standard deviation (divisor count - 1); 0.0 for one sample, which has no spread to estimate.
        min: smallest sample.
        p50: median.
        p95: 95th percentile.
        p99: 99th percentile.
        max: largest sample.
    """

    count: int
    mean: float
    std: float
    min: float
    p50: float
    p95: float
    p99: float
    max: float


def summarise(values: Sequence[float] | npt.NDArray[np.int64] | npt.NDArray[np.float64]) -> Summary:
    """Summarise samples.

    Percentiles interpolate linearly between order statistics: with the samples sorted from index 0, the p-th is
    at index (count - 1) * p / 100 (definition 7 of Hyndman & Fan, "Sample Quantiles in Statistical Packages",
    The American Statistician 50(4), 1996; numpy's default). The p99 of fewer than 101 samples lies
    between the two largest of them.

    Args:
        values: shape (count,), in any unit. Whole numbers beyond 2**53 are rounded to the nearest float64.

    Raises:
        ValueError: there is no sample, the shape is not (count,), or a sample or a result is not finite.
    """
    import numpy as np

    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"samples have the shape (count,) with a count of 1 or more, not {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("a sample is not a finite number")
    # sums of squares near the end of the range overflow; the result is looked at instead
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(array.mean())
        std = float(array.std(ddof=1)) if array.size > 1 else 0.0
        p50, p95, p99 = (float(value) for value in np.percentile(array, (50, 95, 99)))
    if not all(map(math.isfinite, (mean, std, p50, p95, p99))):
        raise ValueError("the samples are too large to be summarised in double precision")
    return Summary(
        count=int(array.size),
        mean=mean,
        std=std,
        min=float(array.min()),
        p50=p50,
        p95=p95,
        p99=p99,
        max=float(array.max()),
    )
