"""A console whose protocol is `ktap`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.parts import logs
from fuzz.readers import check

if TYPE_CHECKING:
    from collections.abc import Iterable


def fuzz(data: bytes) -> None:
    """What comes out is finite, bounded and can be shown."""
    check("ktap", data)


def seeds() -> Iterable[bytes]:
    """What real kernels said."""
    yield from (b"\x05" + log[:4000] for log in logs())
    yield (
        b"\x01KTAP version 1\n1..2\n    KTAP version 1\n    # Subtest: a\n    1..1\n    METRIC t=1 us\n"
        b"    ok 1 b # SKIP x\nok 1 a\n# c: text\nnot ok 2 d\nBail out! e\n"
    )
