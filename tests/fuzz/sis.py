"""A console whose protocol is `sis`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.parts import logs
from fuzz.readers import check

if TYPE_CHECKING:
    from collections.abc import Iterable


def fuzz(data: bytes) -> None:
    """What comes out is finite, bounded and can be shown."""
    check("sis", data, types=True)


def seeds() -> Iterable[bytes]:
    """What real kernels said."""
    yield from (b"\x05" + log[:4000] for log in logs())
