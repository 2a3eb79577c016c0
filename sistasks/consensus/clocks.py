"""The host's clock and a node's own: what was when, of a node that is only heard with delay."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def offset(heard: Iterable[tuple[int, int]]) -> int:
    """Host's clock - node's clock in ns, too large by the shortest delay with which anything of it was heard.

    Args:
        heard: (at_ns by the node's own clock, when it came by the host's) of each event; both monotonic.

    Raises:
        ValueError: nothing was heard.
    """
    found = min((came - at for at, came in heard), default=None)
    if found is None:
        raise ValueError("nothing was heard of the node")
    return found
