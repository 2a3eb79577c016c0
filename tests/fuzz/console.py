"""The console of a node, whatever it says."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Final

from fuzz.parts import is_shown, logs, pieces
from sistasks.machine.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterable

_RUNNER: Final = asyncio.Runner()


def fuzz(data: bytes) -> None:
    """The log is what came, the tail can be shown, a panic is told once, and cuts make no difference."""
    rest, cut = pieces(data)
    whole = _RUNNER.run(_receive([rest]))
    assert whole == _RUNNER.run(_receive(cut)), "how the bytes are cut makes a difference"
    log, tail, panics = whole
    assert log == rest
    assert all(map(is_shown, tail.splitlines()))
    assert len(tail) < 20 * 500
    assert len(panics) <= 1
    assert all(map(is_shown, panics))


async def _receive(chunks: list[bytes]) -> tuple[bytes, str, list[str]]:
    log, panics = io.BytesIO(), list[str]()
    console = Console(log, panics.append)
    for chunk in chunks:
        console.data_received(chunk)
    console.connection_lost(None)
    return log.getvalue(), console.tail(20), panics


def seeds() -> Iterable[bytes]:
    """What real kernels said."""
    for log in logs():
        yield b"\x05" + log[:3000]
    yield b"\x01[    1.0][   T1] Kernel panic - not syncing: Attempted to kill init!\r\n\x1b[2J\x1b]0;title\x07"
