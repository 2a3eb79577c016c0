"""Datasette on the live history: loopback only, reading only, and no network."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any, Final

from sistasks.errors import HistoryError, UsageError
from sistasks.history import schema
from sistasks.history.connection import open_to_read, prepare, reading

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path
    from types import FrameType

    from datasette.app import Datasette
    from uvicorn import Server

HOST: Final = "127.0.0.1"
# seconds that requests under way have when the server is told to end; Datasette's queries take no longer than 1
_PATIENCE: Final = 2
_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
# Datasette's own pages have inline scripts and styles; nothing may come from elsewhere or go there
_POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS: Final = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
)


def serve(db: Path, port: int, say: Callable[[str], None], artifacts: Path | None = None) -> None:
    """Show the history until Ctrl-C or SIGTERM, on this machine alone.

    Runs that are written meanwhile are seen on reload. A history of an older sistasks is brought up to date first;
    otherwise nothing is ever written.

    Args:
        db: the history.
        port: 0 for any free one.
        say: takes the lines that a person reads; the first one has the address.
        artifacts: the store of the files that the history names; None: they are not shown.

    Raises:
        HistoryError: there is no history, or it cannot be used.
        UsageError: the port cannot be had.
    """
    _check(db)
    with contextlib.closing(_listen(port)) as listener:
        import uvicorn

        application = guarded(datasette_on(db, artifacts).app())
        # numpy takes 0.1 s that the first page shall not
        import numpy as np

        del np
        server = uvicorn.Server(
            uvicorn.Config(
                application, log_config=None, log_level="warning", access_log=False, lifespan="on", ws="none",
                proxy_headers=False, timeout_graceful_shutdown=_PATIENCE,
            )
        )  # fmt: skip
        say(f"http://{HOST}:{listener.getsockname()[1]}/ shows {db}; Ctrl-C ends it")
        with _ends_on_signals(server):
            server.run(sockets=[listener])
    say("ended")


def datasette_on(db: Path, artifacts: Path | None = None) -> Datasette:
    """Datasette with our pages on a history and the store of its artifacts, to be served or asked in tests."""
    from datasette.app import Datasette
    from datasette.database import Database
    from datasette.plugins import pm

    from sistasks.browse import metadata, plugin
    from sistasks.evidence.artifacts import Store
    from sistasks.resources import data_file

    class History(Database):  # type: ignore[misc]
        """The history, and where its artifacts are: every connection only reads."""

        store = None if artifacts is None else Store(artifacts)

        def connect(self, write: bool = False) -> sqlite3.Connection:
            if write:
                raise HistoryError(f"{db} is only read here")
            return open_to_read(db, any_thread=True)

    # else every page that is not there is told on the terminal in a hundred lines; true failures are told all the same
    pm.get_plugin("datasette.handle_exception").rich = None
    if not pm.has_plugin(plugin.NAME):
        pm.register(plugin, name=plugin.NAME)
    datasette = Datasette(
        metadata=metadata.metadata(),
        template_dir=str(data_file("templates/browse/index.html").parent),
        # a run that was written shows at once; suggestions would read every table as often as it has columns
        settings={"default_cache_ttl": 0, "suggest_facets": False, "allow_download": False},
    )
    for name in [name for name in datasette.databases if name != "_internal"]:
        datasette.remove_database(name)
    datasette.add_database(History(datasette, path=str(db)), name=metadata.DATABASE)
    return datasette


def guarded(application: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """An ASGI application that answers only to names of this machine, and whose pages load nothing from elsewhere.

    A page of somebody else could have its name lead to 127.0.0.1 and then read everything (DNS rebinding); the
    browser still sends that name in `Host`.
    """

    async def guard(
        scope: dict[str, Any], receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]
    ) -> None:
        async def send_with_policy(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                # what has a policy of its own has a stricter one
                known = {bytes(name).lower() for name, _ in message.get("headers", [])}
                more = [header for header in _HEADERS if header[0] not in known]
                message = {**message, "headers": [*message.get("headers", []), *more]}
            await send(message)

        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if name.lower() in _NAMES:
            await application(scope, receive, send_with_policy)
            return
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        await send({"type": "http.response.start", "status": 421, "headers": headers})
        await send({"type": "http.response.body", "body": b"this server answers to localhost only\n"})

    return guard


def _check(db: Path) -> None:
    with reading(db) as connection:
        if connection is None:
            raise HistoryError(
                f"there is no history yet: {db} is not there or empty", "make a run: doit test"
            )
        behind = len(schema.applied(connection, db)) < len(schema.MIGRATIONS)
    if behind:
        prepare(db)


def _listen(port: int) -> socket.socket:
    # with the protocol named, asyncio sets TCP_NODELAY; without it a kept connection waits 40 ms for every page
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        # from here on nobody is refused, though the first ones wait
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        used = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        words = (
            "in use" if used else os.strerror(error.errno or 0) if isinstance(error, OSError) else "no port"
        )
        raise UsageError(f"port {port} cannot be had: {words}", "choose another one with port=…") from error
    return listener


@contextlib.contextmanager
def _ends_on_signals(server: Server) -> Iterator[None]:
    """End the server on Ctrl-C, SIGTERM and SIGHUP, and come back from it as from any function.

    Uvicorn raises the signals again when it has ended; here they have had their meaning by then.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heard = [
        number
        for number in numbers
        if signal.getsignal(number) is not signal.SIG_IGN or number == signal.SIGINT
    ]
    before = {number: signal.signal(number, end) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
