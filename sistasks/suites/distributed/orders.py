"""The host's words to its nodes: UDP datagrams in Ethernet frames, which the switch delivers whatever is broken."""

from __future__ import annotations

import struct
from typing import Final

from sistasks.cluster.switching.ethernet import HOST_MAC, mac_of

CONTROL_PORT: Final = 7701
_HOST: Final = 0xFEFE
_IPV4: Final = 0x0800
_UDP: Final = 17
# behind the headers of Ethernet and of IPv4 without options
_UDP_AT: Final = 34
_UDP_SIZE: Final = 8


def order(network: int, node: int, number: int, word: str) -> bytes:
    """A frame that tells a node something (read by guest/agent/control.c).

    Args:
        network: the network's IPv4 address in host order.
        node: whom.
        number: of the order; a node answers each, and obeys it once.
        word: one of those that its test knows.
    """
    said = f"SISCTL {number} {word}\n".encode()
    # RFC 768; a checksum of 0 is none
    udp = struct.pack("!HHHH", CONTROL_PORT, CONTROL_PORT, 8 + len(said), 0) + said
    head = struct.pack(
        "!BBHHHBBHII",
        0x45,
        0,
        20 + len(udp),
        number & 0xFFFF,
        0,
        64,
        _UDP,
        0,
        network + _HOST,
        network + node,
    )
    head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
    return mac_of(node) + HOST_MAC + struct.pack("!H", _IPV4) + head + udp


def datagram(frame: bytes, port: int) -> bytes:
    """What a UDP datagram to the host carries; empty: it is none, or goes to another port.

    Args:
        frame: with its Ethernet header, as a node has sent it.
        port: of the host.
    """
    if len(frame) < _UDP_AT + _UDP_SIZE or frame[12:15] != b"\x08\x00\x45" or frame[23] != _UDP:
        return b""
    to, size = struct.unpack_from("!HH", frame, _UDP_AT + 2)
    return frame[_UDP_AT + _UDP_SIZE : _UDP_AT + size] if to == port else b""


def _checksum(head: bytes) -> int:
    """RFC 1071 over a header of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(head) // 2}H", head))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
