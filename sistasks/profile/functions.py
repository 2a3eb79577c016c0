"""Blocks of instructions become functions, by the symbols of what ran."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sistasks.history.profiles import COLUMNS, Functions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sistasks.evidence.symbols import Symbols
    from sistasks.profile.counts import Part

USER: Final = "user:"
"""What names of functions outside the kernel begin with."""
NOBODY: Final = "?"
"""Where an address is in no function that is known."""


def by_function(part: Part, kernel: Symbols, user: Symbols | None) -> Functions:
    """What each function executed.

    A block belongs to the function that it begins in: it ends at the next branch, which is in the same function but
    where one runs into the next without any. A call is an execution of the block at a function's very beginning.

    Args:
        part: of a plugin's file.
        kernel: the running kernel's functions; below the lowest one is user code.
        user: functions of the program that ran; None: they have no names.
    """
    import numpy as np

    blocks = part.blocks
    addresses = blocks["address"]
    table = np.array(kernel.addresses, dtype=np.uint64)
    lowest = table[0] if len(table) else np.uint64(1 << 63)
    in_kernel = addresses >= lowest
    names = np.empty(len(blocks), dtype=object)
    begins = np.zeros(len(blocks), dtype=bool)
    for which, symbols, prefix in ((in_kernel, kernel, ""), (~in_kernel, user, USER)):
        names[which], begins[which] = _named(addresses[which], symbols, prefix)
    order, index = np.unique(names.astype(str), return_inverse=True)
    executed = blocks["executed"].astype(np.int64)
    values = {
        "instructions": executed * blocks["instructions"].astype(np.int64),
        "calls": np.where(begins, executed, 0),
        "blocks": executed,
        "accesses": blocks["accesses"].astype(np.int64),
    }
    sums: dict[str, npt.NDArray[np.int64]] = {}
    for column in COLUMNS:
        # sums of floats would be rounded
        sums[column] = np.zeros(len(order), dtype=np.int64)
        np.add.at(sums[column], index, values[column])
    return Functions(tuple(str(name) for name in order), **sums)


def _named(
    addresses: npt.NDArray[np.uint64], symbols: Symbols | None, prefix: str
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """The function of each address, and whether it is its beginning."""
    import numpy as np

    if symbols is None or not symbols.addresses:
        return np.full(len(addresses), prefix + NOBODY, dtype=object), np.zeros(len(addresses), dtype=bool)
    table = np.array(symbols.addresses, dtype=np.uint64)
    at = np.searchsorted(table, addresses, side="right") - 1
    known = np.array([prefix + name for name in (*symbols.names, NOBODY)], dtype=object)
    # before the first there is none, and where the last one ends is not known
    lost = (at < 0) | (at == len(table) - 1)
    begins = ~lost & (table[np.clip(at, 0, None)] == addresses)
    return known[np.where(lost, len(table), at)], begins
