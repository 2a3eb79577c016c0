"""What a guest that floods us costs: `python tests/benchmarks/flood.py [bytes]`.

A child process writes into a real pipe, as QEMU does, and the real console, results channel and switch read it. Printed
are MB/s and the peak of this process's resident memory, each in a process of its own.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from sistasks.guest.frames import FrameType, Samples, encode, encode_samples
from sistasks.machine.console import Console
from sistasks.machine.lines import receive
from sistasks.machine.logs import LOG_LIMIT
from sistasks.machine.results import Allowed, ResultsChannel
from sistasks.protocols.profile import PROFILES
from sistasks.protocols.reader import reader_for

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE: Final = 1 << 30
TEXTS: Final = {
    "zeros": b"\0",
    "lines": b"[    1.234567] usb 1-1: new high-speed USB device number 2 using xhci_hcd\r\n",
    "newlines": b"\n",
    "escapes": b"\x1b[31m\xc2\x90\x1b]0;",
    "no end": b"x",
}
# of a slow kind, a part tells as much
_SLOW: Final = {"newlines": 64, "escapes": 16}
_WRITER: Final = """
import os, sys
piece, size = bytes.fromhex(sys.argv[1]), int(sys.argv[2])
block = piece * max(1, 65536 // len(piece))
while size > 0:
    size -= os.write(1, block[:size])
"""


def writer(piece: bytes, size: int) -> subprocess.Popen[bytes]:
    """A process that writes a piece again and again."""
    return subprocess.Popen([sys.executable, "-c", _WRITER, piece.hex(), str(size)], stdout=subprocess.PIPE)


async def console(piece: bytes, size: int, protocol: str = "") -> str:
    """Through the console, and what a reader makes of it if there is one; how it ended, in words."""
    reader = reader_for(PROFILES[protocol]) if protocol else None

    def came(at: int, data: bytes) -> None:
        if reader is not None:
            reader.feed(at, data)

    with tempfile.TemporaryDirectory() as folder, writer(piece, size) as child:
        path = Path(folder) / "console.log"
        with path.open("wb", buffering=0) as log:
            made = Console(log, lambda _: None, came)
            transport = await receive(_line(child), made)
            await made.closed
            transport.close()
        kept = path.read_bytes()
        assert len(kept) <= LOG_LIMIT + 200
        return "capped" if b"the rest is left out" in kept[-100:] else "whole"


def _line(child: subprocess.Popen[bytes]) -> IO[bytes]:
    assert child.stdout is not None
    return child.stdout


async def results(kind: str, size: int) -> str:
    """Through the results channel; what it says of it."""
    said: list[str] = []
    channel = ResultsChannel(
        0, lambda _: None, said.append, Allowed(("bench",), frozenset({"bench"}), 1 << 20)
    )
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        _send(kind, size, theirs)
    os.close(theirs)
    transport = await receive(os.fdopen(ours, "rb"), channel)
    await channel.closed
    transport.close()
    return said[0] if said else "taken"


def _send(kind: str, size: int, end: int) -> None:
    """Write frames without end; does not come back."""
    payloads: dict[str, Callable[[int], tuple[FrameType, bytes]]] = {
        "samples": lambda n: (FrameType.SAMPLES, encode_samples(Samples("m", n * 2048, [n] * 2048))),
        "no samples": lambda _: (FrameType.SAMPLES, encode_samples(Samples("m", 0, []))),
        "lines": lambda _: (FrameType.LINES, b"METRIC latency=1 us\n" * 1600),
        "notes": lambda _: (FrameType.NOTE, b"text=" + b"x" * 30_000),
        "events": lambda _: (FrameType.EVENT, b"event=round\nat_ns=1\nview=1\nleader=1\n"),
    }
    try:
        os.write(end, encode(FrameType.BEGIN, 0, b"test=bench\n"))
        number = 0
        while size > 0:
            frame = encode(payloads[kind](number)[0], number + 1, payloads[kind](number)[1])
            number += 1
            size -= os.write(end, frame)
    finally:
        os._exit(0)


def measured(name: str, words: str, size: int) -> None:
    """One measurement in a process of its own."""
    subprocess.run([sys.executable, __file__, "--one", name, words, str(size)], check=True)


def one(name: str, words: str, size: int) -> None:
    """Measure and print."""
    begun = time.perf_counter()
    if name == "results":
        ended = asyncio.run(results(words, size))
    else:
        ended = asyncio.run(console(TEXTS[words], size, name.removeprefix("console").strip()))
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{name:14} {words:10} {size >> 20:5} MiB  {size / 1e6 / seconds:7.1f} MB/s  peak {peak:5.0f} MiB  {ended}",
        flush=True,
    )


def main() -> None:
    """Measure all."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else SIZE
    for words in TEXTS:
        measured("console", words, size // _SLOW.get(words, 1))
    for protocol in ("ktap", "lava", "sis"):
        measured(f"console {protocol}", "lines", size // 16)
    for words in ("samples", "no samples", "lines", "notes", "events"):
        measured("results", words, size // 16)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
