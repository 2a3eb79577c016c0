"""The payloads of FILE frames, and what comes of them on a disk."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from fuzz.parts import recorded, said, scratch
from sistasks.guest.frames import FilePart, FrameError, FrameType, decode_part, encode_part
from sistasks.machine.received import ReceivedFiles

if TYPE_CHECKING:
    from collections.abc import Iterable

_ROOM: Final = {"a": 100, "../up": 5, "kallsyms": 1000, "vmcoreinfo": 0}
_LENGTH: Final = struct.Struct("<H")


def fuzz(data: bytes) -> None:
    """Only what was asked for is kept, whole and in order, under names of ours."""
    folder = scratch() / "files"
    folder.mkdir(exist_ok=True)
    files, expected = ReceivedFiles(folder, "node_1.", _ROOM), dict.fromkeys(_ROOM, b"")
    at = 0
    try:
        while len(data) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(data, at)
            at += _LENGTH.size + length
            payload = data[at - length : at]
            files.take(payload)
            part = decode_part(payload)
            assert encode_part(part) == payload, "a name that was asked for is as it was sent"
            expected[part.name] += part.data
    except FrameError:
        pass
    for name, path in files.paths.items():
        assert path.parent == folder
        assert path.read_bytes() == expected[name]
        assert len(expected[name]) <= _ROOM[name]
    assert set(folder.iterdir()) == set(files.paths.values())
    assert {name for name, sent in expected.items() if sent} <= set(files.paths)
    for path in files.paths.values():
        path.unlink()


def seeds() -> Iterable[bytes]:
    """What real guests sent, and what they would be refused."""
    for first, data in recorded():
        yield _sent(payload for kind, payload in said(first, data) if kind is FrameType.FILE)
    parts = [FilePart("a", 0, b"abc"), FilePart("kallsyms", 0, b"x" * 900), FilePart("a", 3, b"d")]
    yield _sent(map(encode_part, parts))
    for part in (FilePart("b", 0, b"x"), FilePart("../up", 0, b"123456"), FilePart("a", 9, b"")):
        yield _sent(map(encode_part, [*parts, part]))


def _sent(payloads: Iterable[bytes]) -> bytes:
    return b"".join(_LENGTH.pack(len(payload)) + payload for payload in payloads)
