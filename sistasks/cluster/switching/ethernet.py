"""Addresses and the form of frames on a port.

A port carries, in both directions, frames as QEMU's `-netdev stream` has them: length, 4 bytes big endian, then the
Ethernet frame without its check sequence (QEMU, net/stream.c).
"""

from __future__ import annotations

from typing import Final

HOST_MAC: Final = bytes.fromhex("52547700fefe")
NODE_MAX: Final = 0xFDFF
HEADER: Final = 14
FRAME_MAX: Final = 65550
# QEMU's own largest (NET_BUFSIZE, include/net/net.h): a length beyond it is no length
LENGTH_MAX: Final = 4096 + 65536


def mac_of(node: int) -> bytes:
    """A node's address: 52:54:77:00, then its number in two bytes.

    Raises:
        ValueError: there is no such node; 0xfefe is the host's.
    """
    if not 1 <= node <= NODE_MAX:
        raise ValueError(f"node {node} has no address")
    return HOST_MAC[:4] + node.to_bytes(2, "big")


def framed(frame: bytes) -> bytes:
    """A frame as it goes over a port."""
    return len(frame).to_bytes(4, "big") + frame
