"""What the switch counts, for its owner to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class EdgeCounters:
    """What went from one node to another (`target` 0: to the host).

    Attributes:
        source, target: the nodes.
        frames, bytes: handed to the target's queue; bytes of Ethernet frames.
        partition, loss, overflow, rate, gone: frames dropped, by cause: a cut, chance, the target's queue (1 MiB) or
            the room for delayed frames full, the queue of a limited rate full, the target no longer there.
        corrupted, duplicated, reordered, delayed: frames that met these.
        under_way: frames that are delayed now.
    """

    source: int
    target: int
    frames: int
    bytes: int
    partition: int
    loss: int
    overflow: int
    rate: int
    gone: int
    corrupted: int
    duplicated: int
    reordered: int
    delayed: int
    under_way: int

    @property
    def dropped(self) -> int:
        """Frames that did not arrive, whatever the cause."""
        return self.partition + self.loss + self.overflow + self.rate + self.gone

    @property
    def offered(self) -> int:
        """Frames that were to go over this edge."""
        return self.frames + self.dropped + self.under_way - self.duplicated


@dataclass(frozen=True, slots=True)
class PortCounters:
    """What happened at one node's port.

    Attributes:
        port: the node.
        received: frames that came from it, malformed ones included.
        malformed: frames of no possible length, or cut off by the node's end.
        filtered: frames to an address at this very port.
        queued: bytes that wait for the node to take them.
        lost: bytes that it had not taken when it went.
        gone: it is no longer there.
    """

    port: int
    received: int
    malformed: int
    filtered: int
    queued: int
    lost: int
    gone: bool


@dataclass(frozen=True, slots=True)
class Counters:
    """What the switch has counted since its start.

    Attributes:
        edges: (from, to) -> what went there; edges that never saw a frame are not in it.
        ports: node -> its port.
        cpu: seconds of processor time that the switch's process has used.
        rounds: times that it woke.
        moves: times that an address appeared at another port than before.
        injected, not_injected: the host's own frames, each port counted; the latter found no room or no port.
    """

    edges: dict[tuple[int, int], EdgeCounters]
    ports: dict[int, PortCounters]
    cpu: float
    rounds: int
    moves: int
    injected: int
    not_injected: int

    @property
    def frames(self) -> int:
        """Frames delivered from node to node."""
        return sum(edge.frames for edge in self.edges.values() if edge.target)

    @property
    def bytes(self) -> int:
        """Bytes delivered from node to node."""
        return sum(edge.bytes for edge in self.edges.values() if edge.target)

    @property
    def overflow(self) -> int:
        """Frames dropped because a node or the switch did not keep up."""
        return sum(edge.overflow for edge in self.edges.values())

    @property
    def malformed(self) -> int:
        """Frames that were none."""
        return sum(port.malformed for port in self.ports.values())


def from_message(message: dict[str, Any]) -> Counters:
    """The counters as the process sends them."""
    names = ("source", "target", *message["counts"])
    edges = [EdgeCounters(**dict(zip(names, counts, strict=True))) for counts in message["edges"]]
    ports = [PortCounters(*counts) for counts in message["ports"]]
    rest = {name: message[name] for name in ("cpu", "rounds", "moves", "injected", "not_injected")}
    return Counters(
        edges={(edge.source, edge.target): edge for edge in edges},
        ports={port.port: port for port in ports},
        **rest,
    )
