"""What firmware takes for a program."""

from __future__ import annotations

import struct

MACHINES = {"x86_64": 0x8664, "arm64": 0xAA64}


def application(arch: str, body: bytes = b"") -> bytes:
    """A PE file with headers alone (Microsoft, "PE Format")."""
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", MACHINES[arch], 0, 0, 0, 0, 0xF0, 0x22)
    return head + coff + struct.pack("<H", 0x20B).ljust(0xF0, b"\0") + body
