"""Pickled objects on a pipe between a worker and its hands: eight bytes of length, then the object."""

from __future__ import annotations

import os
import pickle
import select
import struct
import time
from typing import Any, Final

_LENGTH: Final = struct.Struct(">Q")


def send(descriptor: int, value: object) -> None:
    """Send an object.

    Raises:
        OSError: the other side has gone.
    """
    data = pickle.dumps(value)
    view = memoryview(_LENGTH.pack(len(data)) + data)
    while view:
        view = view[os.write(descriptor, view) :]


def receive(descriptor: int, limit: float | None = None) -> Any:
    """Receive an object that a process of ours has sent.

    Args:
        descriptor: the pipe.
        limit: seconds to wait for the whole of it; None: for ever.

    Raises:
        EOFError: the other side has gone.
        TimeoutError: it did not come.
    """
    end = None if limit is None else time.monotonic() + limit
    (length,) = _LENGTH.unpack(_read(descriptor, _LENGTH.size, end))
    return pickle.loads(_read(descriptor, length, end))  # noqa: S301 - from a child of ours, or from our parent


def _read(descriptor: int, count: int, end: float | None) -> bytes:
    parts = []
    while count:
        if end is not None and not select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
            raise TimeoutError
        part = os.read(descriptor, min(count, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
