"""The switch: frames a second, drops counted, faults in force, and round trips between guests against QEMU's own hub.

    python tests/benchmarks/switch.py [--host] [ROUNDS]

`--host` leaves out the guests. Run it with nothing else running: it takes two cores, one for the switch and one for
the load.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import select
import statistics
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.cluster.switch import Counters, Faults, Switch
from sistasks.cluster.switching.ethernet import framed, mac_of
from sistasks.cluster.switching.faults import Cut, Rule

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

PORTS: Final = 100
SIZE: Final = 64
FRAMES: Final = 1_000_000
LEAST_RATE: Final = 400_000
BROADCAST: Final = b"\xff" * 6


@dataclass(frozen=True)
class Row:
    name: str
    value: str
    bound: str
    kept: bool


def frame(source: int, target: bytes) -> bytes:
    return framed((target + mac_of(source) + b"\x88\xb5").ljust(SIZE, b"\0"))


def everybody(source: int) -> list[bytes]:
    """One frame to each other node, in an order of the node's own."""
    others = [other for other in range(1, PORTS + 1) if other != source]
    random.Random(source).shuffle(others)  # noqa: S311 - any order will do
    return [frame(source, mac_of(other)) for other in others]


def neighbour(source: int) -> list[bytes]:
    return [frame(source, mac_of(source % PORTS + 1))] * (PORTS - 1)


def broadcast(source: int) -> list[bytes]:
    return [frame(source, BROADCAST)]


class Sender:
    """One port's part of the load: what it has still to send."""

    def __init__(self, line: socket.socket, frames: list[bytes], times: int, *, single: bool) -> None:
        self.line = line
        self.single = single
        self._parts = frames if single else [b"".join(frames)]
        self._left = times * len(self._parts)
        self._rest = b""

    def send(self) -> bool:
        """Send a part if there is room; false when all is sent."""
        if not self._rest:
            if not self._left:
                return False
            self._left -= 1
            self._rest = self._parts[self._left % len(self._parts)]
        try:
            self._rest = self._rest[self.line.send(self._rest) :]
        except BlockingIOError:
            return True
        return True


def load(
    lines: list[socket.socket],
    make: Callable[[int], list[bytes]],
    times: int,
    *,
    single: bool,
    reads: bool = True,
) -> None:
    """Send from every port and read at every port until nothing more comes for a while."""
    senders = {}
    epoll = select.epoll()
    for number, line in enumerate(lines, 1):
        line.setblocking(False)
        senders[line.fileno()] = Sender(line, make(number), times, single=single)
        epoll.register(line, select.EPOLLOUT | (select.EPOLLIN if reads else 0))
    buffer = bytearray(1 << 20)
    while events := epoll.poll(0.3):
        for descriptor, mask in events:
            sender = senders[descriptor]
            if mask & select.EPOLLIN:
                sender.line.recv_into(buffer)
            if mask & select.EPOLLOUT and not sender.send():
                epoll.modify(descriptor, select.EPOLLIN if reads else 0)


@dataclass(frozen=True)
class Loaded:
    """One load: what the switch did for it."""

    counters: Counters
    cpu: float
    applied: list[float]

    @property
    def received(self) -> int:
        return sum(port.received for port in self.counters.ports.values())

    @property
    def rate(self) -> float:
        """Frames of senders that one core switches in a second."""
        return self.received / self.cpu

    @property
    def dropped(self) -> int:
        return sum(edge.dropped for edge in self.counters.edges.values())


async def loaded(
    make: Callable[[int], list[bytes]],
    times: int,
    *,
    single: bool = False,
    reads: bool = True,
    faults: Faults | None = None,
    meanwhile: Faults | None = None,
) -> Loaded:
    """Put a load on a switch of its own; `meanwhile` is applied and healed as long as it lasts."""
    async with Switch() as switch:
        lines = [switch.port(number) for number in range(1, PORTS + 1)]
        await switch.apply(faults or Faults())
        before = await switch.counters()
        process = multiprocessing.get_context("fork").Process(
            target=load, args=(lines, make, times), kwargs={"single": single, "reads": reads}
        )
        process.start()
        applied = []
        joined = asyncio.create_task(asyncio.to_thread(process.join))
        while meanwhile is not None and not joined.done():
            applied.append(await switch.apply(meanwhile))
            await switch.heal()
            await asyncio.sleep(0.01)
        await joined
        counters = await switch.counters()
        for line in lines:
            line.close()
        return Loaded(counters, counters.cpu - before.cpu, applied)


def throughput(rounds: int) -> Iterator[Row]:
    times = FRAMES // PORTS // (PORTS - 1)
    for name, make, count, single in (
        ("each port to its neighbour", neighbour, times, False),
        ("all to all", everybody, times, False),
        ("all to all, a write for each frame", everybody, times // 2, True),
    ):
        done = [asyncio.run(loaded(make, count, single=single)) for _ in range(rounds)]
        rate = statistics.median(one.rate for one in done)
        lost = sum(one.dropped for one in done)
        yield Row(
            f"{name}: frames a second of one core", f"{rate:,.0f}, {lost} lost",
            f">= {LEAST_RATE:,}, 0 lost", rate >= LEAST_RATE and not lost,
        )  # fmt: skip
    done = [asyncio.run(loaded(broadcast, 100)) for _ in range(rounds)]
    copies = statistics.median(one.counters.frames / one.cpu for one in done)
    yield Row("broadcasts: copies a second of one core", f"{copies:,.0f}", "", kept=True)
    lossy = Faults(rules=(Rule("loss", 0.01),))
    done = [asyncio.run(loaded(everybody, times // 2, faults=lossy)) for _ in range(rounds)]
    rate = statistics.median(one.rate for one in done)
    yield Row("all to all with loss=1%: frames a second of one core", f"{rate:,.0f}", "", kept=True)


def overload() -> Iterator[Row]:
    """Nobody reads: what finds no room is dropped, and nothing uncounted."""
    done = asyncio.run(loaded(everybody, 300, reads=False))
    offered = sum(edge.offered for edge in done.counters.edges.values())
    missing = done.received - done.counters.frames - done.dropped
    yield Row(
        "overload: frames dropped, and missing in the counts", f"{done.dropped:,} of {offered:,}, {missing}",
        "0 missing", done.dropped > 0 and missing == 0,
    )  # fmt: skip


def partition(rounds: int) -> Iterator[Row]:
    """Every edge of a hundred ports cut at once, with and without a load."""
    halves = Faults(cuts=(Cut(groups=(frozenset(range(1, 51)), frozenset(range(51, 101)))),))

    async def idle() -> list[float]:
        async with Switch() as switch:
            lines = [switch.port(number) for number in range(1, PORTS + 1)]
            for number, line in enumerate(lines, 1):
                line.sendall(b"".join(everybody(number)))
            await switch.counters()  # every edge is there
            times = []
            for _ in range(20 * rounds):
                times.append(await switch.apply(halves))
                await switch.heal()
            for line in lines:
                line.close()
            return times

    busy = asyncio.run(loaded(everybody, 60 * rounds, single=True, meanwhile=halves)).applied
    for name, times in (("idle", asyncio.run(idle())), ("under load", busy)):
        middle, worst = statistics.median(times), max(times)
        yield Row(
            f"partition of 100 ports, {name}: in force after (median, worst of {len(times)})",
            f"{middle * 1e3:.2f} ms, {worst * 1e3:.2f} ms", "median <= 10 ms", middle <= 0.010,
        )  # fmt: skip


def delay() -> Iterator[Row]:
    """How exact a delay below a millisecond is, one frame at a time."""

    async def waits(seconds: float) -> list[float]:
        async with Switch() as switch:
            sender, receiver = switch.port(1), switch.port(2)
            await switch.apply(Faults(rules=(Rule("delay", seconds),) if seconds else ()))
            found = []
            for _ in range(500):
                start = time.perf_counter()
                sender.sendall(frame(1, mac_of(2)))
                receiver.recv(1 << 16)
                found.append(time.perf_counter() - start)
            sender.close()
            receiver.close()
            return found

    base = statistics.median(asyncio.run(waits(0.0)))
    for seconds in (0.0001, 0.0005):
        quantiles = statistics.quantiles(asyncio.run(waits(seconds)), n=100)
        added, late = quantiles[49] - base, quantiles[98] - base
        yield Row(
            f"delay={seconds * 1e3:g}ms: added (median, p99)", f"{added * 1e6:.0f} µs, {late * 1e6:.0f} µs",
            "median at most 100 µs more", seconds <= added + 1e-6 and added - seconds <= 0.0001,
        )  # fmt: skip


def start(rounds: int) -> Iterator[Row]:
    async def one() -> float:
        begun = time.perf_counter()
        async with Switch() as switch:
            await switch.counters()
            return time.perf_counter() - begun

    seconds = statistics.median(asyncio.run(one()) for _ in range(5 * rounds))
    yield Row("the process: started and answering", f"{seconds * 1e3:.0f} ms", "<= 60 ms", seconds <= 0.060)


def main() -> int:
    words = sys.argv[1:]
    rounds = next((int(word) for word in words if word.isdigit()), 3)
    kept = True
    print(f"{os.cpu_count()} cores\n\n| what | measured | bound | |\n|---|---|---|---|")

    def rows() -> Iterator[Row]:
        yield from start(rounds)
        yield from throughput(rounds)
        yield from overload()
        yield from partition(rounds)
        yield from delay()
        if "--host" not in words:
            import switch_guests

            for name, ratio, detail, bound in switch_guests.measure(rounds):
                yield Row(
                    name,
                    f"{ratio:.2f} ({detail})",
                    f"<= {bound}" if bound else "",
                    not bound or ratio <= bound,
                )

    for row in rows():
        kept &= row.kept
        mark = "" if not row.bound else "kept" if row.kept else "MISSED"
        print(f"| {row.name} | {row.value} | {row.bound} | {mark} |", flush=True)
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
