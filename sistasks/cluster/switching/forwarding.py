"""The switch without its sockets: bytes come in at a port, frames are parted, addresses learnt, bytes go out at ports.

Pure: time is given. What each port is to send stands in `Port.out`; the ports that have something, in `Switch.dirty`.
"""

from __future__ import annotations

import struct
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from sistasks.cluster.switching.ethernet import FRAME_MAX, HEADER, HOST_MAC, LENGTH_MAX, mac_of
from sistasks.cluster.switching.faults import Faults
from sistasks.cluster.switching.ports import Edge, Port
from sistasks.cluster.switching.ways import FILTER, GONE, TO_HOST, UNRESOLVED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sistasks.cluster.switching.fates import Passed
    from sistasks.cluster.switching.ports import Capture

# length, then both addresses at once: together they are the key of a way through the switch
_HEAD: Final = struct.Struct(">I12s")
EGRESS_MAX: Final = 1 << 20
UNDER_WAY_MAX: Final = 64 << 20
# a guest that invents addresses shall not fill the host's memory
ADDRESSES_MAX: Final = 8192


class FramingLost(Exception):
    """A port's stream has a length that cannot be one: what follows cannot be parted any more."""


class Switch:
    """Ports, the addresses known at them, and frames under way.

    Args:
        to_host: takes (port, frame) of what is addressed to the host; returns whether there was room.

    Attributes:
        dirty: ports that have got something to send; whoever sends it clears the list and each port's mark.
        moves: times that an address was seen at another port than before.
        injected, not_injected: frames of the host, each port counted; the latter found no room or no port.
    """

    def __init__(self, to_host: Callable[[int, bytes], bool]) -> None:
        self.to_host = to_host
        self.ports: dict[int, Port] = {}
        self.faults = Faults()
        self.capture: Capture | None = None
        self.dirty: list[Port] = []
        self.moves = 0
        self.injected = self.not_injected = 0
        self._host = Port(0)
        self._addresses: dict[bytes, Port] = {HOST_MAC: self._host}
        self._queue: list[tuple[int, int, Edge, Passed]] = []
        self._sequence = 0
        self._under_way = 0

    def add(self, port: Port) -> None:
        """A port is there. Its node's own address is known at once: nothing needs to be flooded to reach it."""
        self.ports[port.number] = port
        self._addresses.setdefault(mac_of(port.number), port)
        self._forget_routes()

    def restore(self, port: Port) -> None:
        """A node that was gone is at its port again; its counters go on."""
        port.gone = False
        for other in self.ports.values():
            edge = other.edges.get(port.number)
            if edge is not None:
                edge.way = UNRESOLVED

    def remove(self, port: Port) -> None:
        """A port's node is gone; its addresses stay known, so that frames to it are not flooded to all others."""
        if port.rest:
            port.malformed += 1  # cut off
            port.rest = b""
        port.gone = True
        for other in self.ports.values():
            edge = other.edges.get(port.number)
            if edge is not None:
                edge.way = GONE
        port.lost += port.queued
        port.queued = 0
        port.out = []

    def edge(self, source: Port, target: Port) -> Edge:
        """The edge between two ports."""
        edge = source.edges.get(target.number)
        if edge is None:
            way = TO_HOST if target is self._host else FILTER if target is source else UNRESOLVED
            edge = source.edges[target.number] = Edge(source.number, target, way)
        return edge

    def receive(self, port: Port, data: bytes, now: int) -> None:
        """Bytes came from a node.

        Raises:
            FramingLost: the port must be closed; what came before is on its way.
        """
        if port.rest:
            data = port.rest + data
        end, last, at, count = len(data), len(data) - _HEAD.size, 0, 0
        touched: list[Edge] = []
        route_of, head = port.routes.get, _HEAD.unpack_from
        sound = True
        while at <= last:
            length, addresses = head(data, at)
            stop = at + 4 + length
            if stop > end:
                sound = length <= LENGTH_MAX
                break
            if HEADER <= length <= FRAME_MAX:
                one = data[at:stop]
                for edge in route_of(addresses) or self._route(port, addresses):
                    pending = edge.pending
                    if not pending:
                        touched.append(edge)
                    pending.append(one)
            elif length <= LENGTH_MAX:
                port.malformed += 1
            else:
                sound = False
                break
            count += 1
            at = stop
        else:
            at, sound = self._rest(port, data, at)
        port.received += count
        port.rest = data[at:]
        if self.capture is not None and at:
            self.capture.came(port.number, data[:at], now)
        self._pass(touched, now)
        if not sound:
            port.malformed += 1
            port.rest = b""
            raise FramingLost

    def _pass(self, touched: list[Edge], now: int) -> None:
        for edge in touched:
            if edge.way is None:
                self.deliver(edge, edge.pending, now)
            else:
                edge.way.take(self, edge, edge.pending, now)
            edge.pending.clear()

    @staticmethod
    def _rest(port: Port, data: bytes, at: int) -> tuple[int, bool]:
        """Skip what is too short to hold addresses; returns where the rest begins, and whether it can be parted."""
        while 4 <= len(data) - at < _HEAD.size:
            length = int.from_bytes(data[at : at + 4], "big")
            if length >= HEADER or at + 4 + length > len(data):
                return at, length <= LENGTH_MAX
            port.malformed += 1
            port.received += 1
            at += 4 + length
        return at, True

    def _route(self, port: Port, addresses: bytes) -> tuple[Edge, ...]:
        """Learn the source, look up the target, and remember the edges until an address is learnt or moves."""
        source, target = addresses[6:], addresses[:6]
        known = self._addresses
        if known.get(source) is not port and not source[0] & 1 and source != HOST_MAC:
            self._learn(source, port)
        at = None if target[0] & 1 else known.get(target)
        if at is None:
            edges = tuple(self.edge(port, other) for other in self.ports.values() if other is not port)
        else:
            edges = (self.edge(port, at),)
        if len(port.routes) >= ADDRESSES_MAX:
            port.routes.clear()
        port.routes[addresses] = edges
        return edges

    def _learn(self, address: bytes, port: Port) -> None:
        if address in self._addresses:
            self.moves += 1
        elif len(self._addresses) >= ADDRESSES_MAX:
            return
        self._addresses[address] = port
        self._forget_routes()

    def _forget_routes(self) -> None:
        for port in self.ports.values():
            port.routes.clear()

    def deliver(self, edge: Edge, frames: list[bytes], now: int) -> None:
        """Put frames into the target's queue, as many as it has room for."""
        port = edge.target
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        queued = port.queued + len(data)
        if queued > EGRESS_MAX:
            self._deliver_some(edge, frames, now)
            return
        count = len(frames)
        edge.frames += count
        edge.bytes += len(data) - 4 * count
        port.queued = queued
        port.out.append(data)
        if not port.dirty:
            port.dirty = True
            self.dirty.append(port)

    def _deliver_some(self, edge: Edge, frames: list[bytes], now: int) -> None:
        port = edge.target
        for index, frame in enumerate(frames):
            if port.queued + len(frame) > EGRESS_MAX:
                edge.overflow += len(frames) - index
                if self.capture is not None:
                    for lost in frames[index:]:
                        self.capture.met(port.number, lost, now, "dropped: overflow")
                return
            self.deliver(edge, [frame], now)

    def delay(self, edge: Edge, passed: Passed) -> None:
        """Keep a frame until it is due."""
        if self._under_way + len(passed.frame) > UNDER_WAY_MAX:
            edge.overflow += 1
            if passed.held is not None:
                passed.held.frame = None
            return
        self._under_way += len(passed.frame)
        edge.under_way += 1
        self._sequence += 1
        heappush(self._queue, (passed.due, self._sequence, edge, passed))

    @property
    def due(self) -> int | None:
        """When the next delayed frame is due, in nanoseconds."""
        return self._queue[0][0] if self._queue else None

    def release(self, now: int) -> None:
        """Deliver what is due. To be called before anything is received at `now`."""
        queue = self._queue
        while queue and queue[0][0] <= now:
            _, _, edge, passed = heappop(queue)
            self._release(edge, passed, now)

    def _release(self, edge: Edge, passed: Passed, now: int) -> None:
        self._under_way -= len(passed.frame)
        if passed.held is not None:
            if passed.held.frame is None:  # it has gone before
                return
            passed.held.frame = None
        edge.under_way -= 1
        if edge.way is GONE:
            edge.gone += 1
        else:
            self.deliver(edge, [passed.frame], now)

    def apply(self, faults: Faults, now: int) -> None:
        """From the next frame on, these faults and no others.

        What is under way arrives at once, in order, or is lost where its edge is now cut.
        """
        self.faults = faults
        queue, self._queue = sorted(self._queue), []
        for _, _, edge, passed in queue:
            if edge.way is not GONE and faults.cut(edge.source, edge.target.number):
                self._under_way -= len(passed.frame)
                if passed.held is None or passed.held.frame is not None:
                    edge.under_way -= 1
                    edge.partition += 1
            else:
                self._release(edge, passed, now)
        way = (
            None if faults.healthy else UNRESOLVED
        )  # asked when a frame comes: to be in force is a matter of moments
        for port in self.ports.values():
            for edge in port.edges.values():
                if edge.way not in {GONE, TO_HOST, FILTER}:
                    edge.way = GONE if edge.target.gone else way

    def inject(self, frame: bytes, ports: Iterable[int]) -> None:
        """Put a frame of the host into the queues of ports; faults do not touch it."""
        data = len(frame).to_bytes(4, "big") + frame
        for number in ports:
            port = self.ports.get(number)
            if port is None or port.gone or port.queued + len(data) > EGRESS_MAX:
                self.not_injected += 1
                continue
            self.injected += 1
            port.queued += len(data)
            port.out.append(data)
            if not port.dirty:
                port.dirty = True
                self.dirty.append(port)
