"""A console whose protocol is `lava`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.parts import logs
from fuzz.readers import check

if TYPE_CHECKING:
    from collections.abc import Iterable


def fuzz(data: bytes) -> None:
    """What comes out is finite, bounded and can be shown."""
    check("lava", data)


def seeds() -> Iterable[bytes]:
    """What real kernels said."""
    yield from (b"\x05" + log[:4000] for log in logs())
    yield (
        b"\x01<LAVA_SIGNAL_STARTRUN 0_a 1_1>\r\n<LAVA_SIGNAL_TESTSET START net>\r\n<LAVA_SIGNAL_STARTTC ping>\r\n"
        b"<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=ping RESULT=pass MEASUREMENT=1.5 UNITS=ms>\r\n"
        b"<LAVA_SIGNAL_ENDTC ping>\r\n<LAVA_SIGNAL_TESTSET STOP>\r\n<LAVA_SIGNAL_ENDRUN 0_a 1_1>\r\n"
        b"<LAVA_SIGNAL_TESTRAISE no disk>\r\n"
    )
