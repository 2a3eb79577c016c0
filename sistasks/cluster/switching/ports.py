"""Ports and the edges between them: state and counts, without sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sistasks.cluster.switching.fates import Tally

if TYPE_CHECKING:
    from sistasks.cluster.switching.forwarding import Switch


class Capture(Protocol):
    """Who keeps what goes over the ports."""

    def came(self, port: int, data: bytes, now: int) -> None:
        """Whole frames came from a node."""

    def met(self, port: int, frame: bytes, now: int, words: str) -> None:
        """A frame met a fault on its way to a node."""


class Way(Protocol):
    """What happens to frames on an edge that has no plain way."""

    def take(self, switch: Switch, edge: Edge, frames: list[bytes], now: int) -> None:
        """Take frames (each with its length)."""


class Edge(Tally):
    """From one port to another: what waits to pass in this round, and what has been counted.

    Attributes:
        partition: dropped because the edge is cut.
        frames, bytes: handed to the target's queue; bytes of Ethernet frames.
        overflow: dropped because the target's queue was full.
        gone: dropped because the target is no longer there.
        way: None where frames pass untouched.
    """

    __slots__ = (
        "bytes",
        "frames",
        "gone",
        "overflow",
        "partition",
        "pending",
        "source",
        "target",
        "under_way",
        "way",
    )

    def __init__(self, source: int, target: Port, way: Way | None) -> None:
        super().__init__()
        self.source = source
        self.target = target
        self.pending: list[bytes] = []
        self.way = way
        self.frames = self.bytes = self.partition = self.overflow = self.gone = 0


class Port:
    """One node's place at the switch.

    Attributes:
        out, queued: what is to be sent, and its bytes.
        routes: both addresses of a frame (12 bytes) -> where it goes, as far as that was asked.
        rest: the beginning of a frame whose end has not come.
        dirty: it is in the switch's list already.
        received: frames that came whole, `malformed` ones included.
        filtered: frames for an address at this very port.
        lost: bytes that it had not been sent when it went.
        gone: it is closed.
    """

    __slots__ = (
        "dirty", "edges", "filtered", "gone", "lost", "malformed", "number", "out", "queued", "received",
        "rest", "routes",
    )  # fmt: skip

    def __init__(self, number: int) -> None:
        self.number = number
        self.edges: dict[int, Edge] = {}
        self.routes: dict[bytes, tuple[Edge, ...]] = {}
        self.out: list[bytes] = []
        self.queued = 0
        self.rest = b""
        self.dirty = False
        self.gone = False
        self.received = self.malformed = self.filtered = self.lost = 0
