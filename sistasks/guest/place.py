"""What a node of a network is told of it, where it needs to know no more (read by guest/agent/test_penetration.c)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A node's place on the switch.

    Attributes:
        count: nodes on it.
        network: their IPv4 network in host order; node n has network + n.
        relay: it strikes by way of the host, as on a kernel without packet sockets.
        hurt: the node dies of one packet that says so: a test's, which sees whether anybody notices.
    """

    count: int
    network: int
    relay: bool = False
    hurt: bool = False

    def lines(self) -> str:
        """Its part of the plan's page."""
        keys = "penetration_relay=1\n" * self.relay + "penetration_hurt=1\n" * self.hurt
        return f"count={self.count}\nnetwork={self.network}\n{keys}"
