"""Bootstrap intervals of the mean, for many series of one length at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

REPLICATES: Final = 2000
_CHUNK: Final = 4_000_000
_MOST: Final = 10_000


def _grouped(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """At most _MOST values a series: of longer ones, the means of neighbours (and the last few are left out).

    The mean of exchangeable values is known as well from the means of equal groups; only the price is lower.
    """
    size = -(-values.shape[0] // _MOST)
    if size == 1:
        return values
    groups = values.shape[0] // size
    means: npt.NDArray[np.float64] = values[: groups * size].reshape(groups, size, -1).mean(axis=1)
    return means


def mean_intervals(
    series: npt.ArrayLike, confidence: float, *, seed: int = 0, replicates: int = REPLICATES
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Percentile bootstrap intervals of the means of several series.

    A resample is drawn as how often each value occurs in it (a multinomial draw), so that all series share the draws
    and each replicate of all means is one product of matrices. Efron & Tibshirani 1993, "An Introduction to the
    Bootstrap", chapter 13. Values of one series are taken as exchangeable: the interval tells how well its mean is
    known, not how much the mean differs from boot to boot.

    Args:
        series: shape (n, m): n values of each of m series, in any unit; n >= 2.
        confidence: level of the interval, 0 < confidence < 1.
        seed: of the resampling: the same seed gives the same interval.
        replicates: resamples.

    Returns:
        (low, high), each of shape (m,), in the unit of the series.

    Raises:
        ValueError: fewer than two values, a level outside (0, 1), or values that are not finite.
    """
    import numpy as np

    values = np.asarray(series, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] < 2:
        raise ValueError("a bootstrap needs a table of at least two values a series")
    if not 0 < confidence < 1 or not np.isfinite(values).all():
        raise ValueError("a bootstrap needs finite values and a level between 0 and 1")
    values = _grouped(values)
    count = values.shape[0]
    random = np.random.default_rng(seed)
    chunk = max(1, _CHUNK // count)
    means = np.empty((replicates, values.shape[1]))
    share = np.full(count, 1 / count)
    # taken about the middle, so that large values lose no digits in the product
    centre = values.mean(axis=0)
    for start in range(0, replicates, chunk):
        size = min(chunk, replicates - start)
        weights = random.multinomial(count, share, size=size)
        means[start : start + size] = weights @ (values - centre) / count
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, (tail, 1 - tail), axis=0)
    return centre + low, centre + high
