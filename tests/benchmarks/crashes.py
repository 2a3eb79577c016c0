"""What watching a console for crashes costs, and how soon a panic is known.

`python tests/benchmarks/crashes.py`: bytes a second of the recogniser on a kernel's own log, on a log full of
crashes and on noise, beside the cost of splitting the same bytes into lines; then the time from the byte that ends a
panic's line to `fatal`, by the recogniser and by a node's console. Nothing is asserted: figures are of a machine.
"""

from __future__ import annotations

import asyncio
import io
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sistasks.evidence.crashes import Recogniser
from sistasks.machine.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable

LOGS = Path(__file__).parent.parent / "crashes"
CHUNK = 64 << 10
SIZE = 32 << 20
PANIC = b"[   12.345678] Kernel panic - not syncing: Fatal exception\n"


def _seconds(work: Callable[[bytes], object], data: bytes) -> float:
    begin = time.perf_counter()
    for at in range(0, len(data), CHUNK):
        work(data[at : at + CHUNK])
    return time.perf_counter() - begin


def _repeated(data: bytes) -> bytes:
    return data * (SIZE // len(data) + 1)


def _throughput() -> None:
    silent = next(path for path in sorted(LOGS.glob("*.log")) if not path.with_suffix(".txt").read_text())
    logs = {
        "a kernel's own log": _repeated(silent.read_bytes()),
        "crash after crash": _repeated(b"".join(path.read_bytes() for path in sorted(LOGS.glob("*.log")))),
        "one line without end": b"x" * SIZE,
        "colours and jumps": _repeated(b"\x1b[31mred\x1b[0m text \x1b[2Jof a screen\r\n"),
        "empty lines": b"\n" * SIZE,
    }
    for name, data in logs.items():
        split = _seconds(lambda piece: piece.split(b"\n"), data)
        watched = _seconds(Recogniser().feed, data)
        print(
            f"{name:22} {len(data) / watched / 1e6:8.0f} MB/s, {watched / split:6.1f} times what splitting lines costs"
        )


def _detection() -> None:
    background = b"[    1.000000] usb 1-1: new high-speed device\n" * 1000
    by_recogniser = []
    for _ in range(200):
        recogniser = Recogniser()
        recogniser.feed(background)
        begin = time.perf_counter()
        recogniser.feed(PANIC)
        assert recogniser.fatal is not None
        by_recogniser.append(time.perf_counter() - begin)
    print(
        f"from the byte to `fatal`          {statistics.median(by_recogniser) * 1e6:8.0f} µs (median of 200)"
    )
    asyncio.run(_by_console(background))


async def _by_console(background: bytes) -> None:
    times = []
    for _ in range(200):
        told: list[float] = []
        console = Console(io.BytesIO(), lambda _words, told=told: told.append(time.perf_counter()))  # type: ignore[misc]
        console.data_received(background)
        begin = time.perf_counter()
        console.data_received(PANIC)
        times.append(told[0] - begin)
    print(f"from the byte to a node's verdict {statistics.median(times) * 1e6:8.0f} µs (median of 200)")


if __name__ == "__main__":
    _throughput()
    _detection()
