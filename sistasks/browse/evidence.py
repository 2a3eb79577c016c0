"""An artifact as the browser gets it: verified, as a stream, and with nothing in it that could act on a page.

The bytes are a guest's, and a guest may be hostile. What is text or a picture is shown as just that; the rest is
saved. A policy of its own takes every right from what is shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from datasette import NotFound
from datasette.views.base import DatasetteError

from sistasks.errors import ArtifactError, ArtifactGone, HistoryError
from sistasks.evidence.compression import CHUNK
from sistasks.evidence.places import Place
from sistasks.history.artifacts import artifact, name_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable

    from sistasks.evidence.artifacts import Store
    from sistasks.history.artifacts import StoredArtifact
    from sistasks.history.records import ArtifactRow

_POLICY: Final = "sandbox; default-src 'none'; frame-ancestors 'none'"
_TEXT: Final = frozenset({"logs", "traces", "metadata"})
_TEXT_SUFFIXES: Final = frozenset({"", ".log", ".txt", ".json", ".map", ".err"})
_CAPTURES: Final = frozenset({".pcap", ".pcapng"})
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


class Streamed:
    """A response whose body is read while it is sent.

    Args:
        stack: closes the file.
        content: what is sent.
        headers: of the response.
    """

    def __init__(self, stack: contextlib.ExitStack, content: BinaryIO, headers: dict[str, str]) -> None:
        self._stack = stack
        self._content = content
        self._headers = headers

    async def asgi_send(self, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        """Send it, as Datasette's own responses do."""
        headers = [(name.encode(), value.encode()) for name, value in self._headers.items()]
        with self._stack:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while chunk := await asyncio.to_thread(self._content.read, CHUNK):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


async def respond(store: Store | None, find: Callable[[], Awaitable[StoredArtifact | None]]) -> Streamed:
    """The response for one artifact.

    Args:
        store: where the files are; None where the server was not told.
        find: gives its row.

    Raises:
        NotFound: there is no such artifact, or its row leads outside the store.
        DatasetteError: the file is gone (410), or not what was kept (500).
    """
    try:
        stored = await find()
    except HistoryError as error:
        raise NotFound(error.problem) from error
    if stored is None:
        raise NotFound("No artifact has such a number")
    if store is None or Place.read(stored.row.path) is None:
        raise NotFound("The path of this artifact is no place of the store")
    stack = contextlib.ExitStack()
    try:
        content = await asyncio.to_thread(lambda: stack.enter_context(store.open(stored.row)))
    except ArtifactGone as error:
        raise DatasetteError(f"{error.problem}: it has been removed", title="Gone", status=410) from error
    except ArtifactError as error:
        raise DatasetteError(error.problem, title="Damaged", status=500) from error
    return Streamed(stack, content, _headers(stored.row))


def _headers(row: ArtifactRow) -> dict[str, str]:
    place = Place.read(row.path)
    suffix = place.suffix if place is not None else ""
    shown = True
    if row.kind == "screenshots" and suffix == ".png":
        content_type = "image/png"
    elif row.kind in _TEXT and suffix in _TEXT_SUFFIXES:
        content_type = "text/plain; charset=utf-8"
    else:
        content_type = "application/vnd.tcpdump.pcap" if suffix in _CAPTURES else "application/octet-stream"
        shown = False
    return {
        "content-type": content_type,
        "content-length": str(row.size),
        "content-disposition": f'{"inline" if shown else "attachment"}; filename="{_file_name(row, suffix)}"',
        "content-security-policy": _POLICY,
        "x-content-type-options": "nosniff",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-cache",
    }


def _file_name(row: ArtifactRow, suffix: str) -> str:
    """A name to save it under, of letters that mean nothing to any system."""
    plain = _UNSAFE.sub("_", name_of(row.detail)).strip("._-")[-80:]
    return f"node-{row.node}-{plain or row.sha256[:12] + suffix}"


def find_artifact(connection: sqlite3.Connection, number: int | None) -> StoredArtifact | None:
    """The row of an artifact, None where there is none."""
    return None if number is None else artifact(connection, number)
