"""Datagrams of the replicas, made here with Python's own HMAC: taken where authentic, counted and dropped elsewhere."""

from __future__ import annotations

import hmac
import socket
import struct

import pytest
from replicas import Replicas, secret

PORT = 7700
EVERYBODY = 0xFFFF
COUNT = 4
SHARE = 10
UNKNOWN = 0x3F  # a type that no protocol has: what is authentic is counted, and nothing comes of it


def sealed(network_seed: int, to: int, payload: bytes = b"hello", sender: int = 2, **wrong: int) -> bytes:
    """A datagram from a node to another, or to all."""
    size = wrong.get("size", len(payload))
    head = struct.pack(
        "<HBBHHHH", wrong.get("magic", 0x5253), wrong.get("version", 1), UNKNOWN, sender, to, size, wrong.get("zero", 0)
    )  # fmt: skip
    whole = head + payload

    def mac(node: int) -> bytes:
        return hmac.digest(secret(network_seed, sender, node), whole, "sha256")

    if to != EVERYBODY:
        return whole + mac(to)[:16]
    return whole + b"".join(mac(node)[:SHARE] for node in range(1, COUNT + 1))


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


ALL = sealed(1, EVERYBODY)
ONE = sealed(1, 1)
FIRST_MAC = len(ALL) - COUNT * SHARE


@pytest.mark.parametrize(("data", "counter"), [
    (ONE, "received"),
    (ALL, "received"),
    (flipped(ALL, FIRST_MAC + SHARE), "received"),  # the MAC of another node is not ours to check
    (flipped(ALL, FIRST_MAC), "forged"),
    (flipped(ALL, FIRST_MAC - 1), "forged"),
    (flipped(ONE, len(ONE) - 1), "forged"),
    (ALL[:-1], "malformed"),
    (ALL + b"\0", "malformed"),
    (ALL[:FIRST_MAC + 16], "malformed"),  # for all, but with the MAC of one
    (sealed(1, 2), "malformed"),
    (sealed(1, EVERYBODY, sender=1), "malformed"),  # in our own name
    (sealed(1, EVERYBODY, sender=5), "malformed"),
    (sealed(1, EVERYBODY, magic=1), "malformed"),
    (sealed(1, EVERYBODY, version=2), "malformed"),
    (sealed(1, EVERYBODY, zero=1), "malformed"),
    (sealed(1, EVERYBODY, size=0xFFFF), "malformed"),
    (sealed(1, EVERYBODY, payload=b"", size=6), "malformed"),
    (b"", "malformed"),
    (ALL[:11], "malformed"),
], ids=range(19))  # fmt: skip
def test_a_datagram_of_ours(data: bytes, counter: str) -> None:
    with Replicas(COUNT, absent=frozenset({2, 3, 4}), timeout=60) as replicas:
        replicas.start()
        assert replicas.wait(lambda: bool(replicas.nodes[1].told("started")))
        address = socket.inet_ntoa((replicas.network + 1).to_bytes(4, "big"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(3):
                sender.sendto(data, (address, PORT))
        # answered in the turn of the loop before the one that must take the datagrams before it hears of the stop
        replicas.start()
        assert replicas.wait(lambda: len(replicas.nodes[1].told("control")) == 2)
        replicas.stop()
        (told,) = replicas.nodes[1].told("counters")
        assert {name: int(told[name]) for name in ("received", "malformed", "forged")} == {
            "received": 0, "malformed": 0, "forged": 0, counter: 3,
        }  # fmt: skip
