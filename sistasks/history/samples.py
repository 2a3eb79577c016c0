"""Raw samples as bytes: exact, and small enough to keep every one of them.

One set of samples is written as little-endian 64-bit integers, transposed (first the lowest byte of every sample,
then the next, ...), and compressed by zlib at level 9. The high bytes of neighbours are alike, and transposed they
stand side by side.

Measured on 1000 samples of each metric of the performance suite from real guests on the virtual clock and on the wall
clock, in bytes for each sample (8 as they come):

    =========================  =====  ==========  =====  =================  =========
    metric, clock              plain  transposed  delta  delta, transposed  time (ms)
    =========================  =====  ==========  =====  =================  =========
    context_switch, virtual     0.09        0.09   0.11               0.14  0.1
    context_switch, wall        1.81        1.47   1.92               1.72  0.1
    memory_allocation, wall     2.42        1.92   2.61               2.23  0.1
    ai_inference, virtual       0.97        0.64   1.51               1.21  0.1
    ai_inference, wall          1.51        1.18   1.71               1.44  0.1
    throughput.rate, wall       3.35        2.74   3.49               3.04  0.1
    =========================  =====  ==========  =====  =================  =========

The time is that of compressing the transposed bytes; the plain ones took 1 to 2 ms. Differences between neighbours make
it worse: samples are not a walk, and the difference of two carries the noise of both. LZMA over the same bytes came to
0.2 byte less (throughput.rate) up to 0.3 byte more (ai_inference, virtual).

What a kernel prints may be no whole number (`METRIC latency_us=1.48`). Such a set is written the same way as IEEE 754
doubles, so that it, too, comes back exactly.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

from sistasks.errors import HistoryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    Samples = npt.NDArray[np.int64] | npt.NDArray[np.float64]

ENCODING: Final = "transposed-zlib"
FLOATS: Final = "transposed-zlib-float64"
_WIDTH: Final = 8


def encode(
    values: Sequence[int] | Sequence[float] | npt.NDArray[np.int64] | npt.NDArray[np.float64],
) -> tuple[str, bytes]:
    """Encode samples.

    Args:
        values: shape (count,), in the metric's unit; may be empty. All whole numbers from -2**63 to 2**63 - 1, or all
            floats that are finite: a list that mixes them is refused, for a large whole number is no float.

    Returns:
        The encoding's name and the bytes; `decode` needs both, and the count.

    Raises:
        HistoryError: a value is neither, or does not fit 64 bits.
    """
    import numpy as np

    array = np.asarray(values)
    if array.size == 0:
        array = array.astype(np.int64)
    if _are_floats(values, array):
        return FLOATS, _compressed(array.astype("<f8"))
    # no silent conversion: rounding or wrapping would forge a sample
    if array.ndim != 1 or not np.can_cast(array.dtype, np.int64, "safe") or array.dtype == np.bool_:
        raise HistoryError(f"samples are whole numbers of 64 bits, not {array.dtype} of shape {array.shape}")
    return ENCODING, _compressed(array.astype("<i8"))


def _are_floats(values: Sequence[float] | npt.NDArray[Any], array: npt.NDArray[Any]) -> bool:
    import numpy as np

    if array.ndim != 1 or array.dtype != np.float64 or not np.isfinite(array).all():
        return False
    # numpy makes a float of a whole number that stands beside one, or that is too large
    return isinstance(values, np.ndarray) or all(isinstance(value, float) for value in values)


def _compressed(array: npt.NDArray[Any]) -> bytes:
    import numpy as np

    plain = array.view(np.uint8).reshape(-1, _WIDTH)
    return zlib.compress(plain.T.tobytes(), 9)


def decode(encoding: str, data: bytes, count: int) -> Samples:
    """Decode samples: the very numbers that were encoded.

    Args:
        encoding: the name that `encode` gave.
        data: the bytes that it gave.
        count: how many samples there were.

    Returns:
        Shape (count,), int64 or float64, in the metric's unit.

    Raises:
        HistoryError: the encoding is unknown, or the bytes are damaged or are not `count` samples.
    """
    import numpy as np

    if encoding not in {ENCODING, FLOATS}:
        raise HistoryError(f"samples are in an unknown encoding '{encoding}'", "upgrade sistasks")
    size = count * _WIDTH
    decompressor = zlib.decompressobj()
    try:
        # one byte more than expected shows what is too long, without unpacking all of it
        plain = decompressor.decompress(data, max(size, 0) + 1)
    except zlib.error as error:
        raise HistoryError(f"samples are damaged: {error}", "restore a copy of the history") from error
    if len(plain) != size or not decompressor.eof or decompressor.unused_data:
        raise HistoryError(
            f"samples are damaged: they are not {count} samples", "restore a copy of the history"
        )
    columns = np.frombuffer(plain, dtype=np.uint8).reshape(_WIDTH, -1 if count else 0)
    rows = np.ascontiguousarray(columns.T)
    if encoding == FLOATS:
        return rows.view("<f8").reshape(-1).astype(np.float64)
    return rows.view("<i8").reshape(-1).astype(np.int64)
