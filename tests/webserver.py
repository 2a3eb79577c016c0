"""A real HTTP server on 127.0.0.1 whose faults a test chooses, one after another."""

from __future__ import annotations

import contextlib
import http.server
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest


@dataclass
class Server:
    """A real HTTP server that serves one body, with faults one after another, then without."""

    body: bytes = b""
    ranges: bool = True
    faults: list[Callable[[Handler], None]] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)  # (path, Range)
    url: str = ""
    over: threading.Event = field(default_factory=threading.Event)


class Handler(http.server.BaseHTTPRequestHandler):
    state: Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base class's name
        pass

    def do_GET(self) -> None:
        state = self.state
        state.requests.append((self.path, self.headers.get("Range", "")))
        if state.faults:
            state.faults.pop(0)(self)
        else:
            self.wfile.write(self.headed(state.body))

    def headed(self, body: bytes, *, length: bool = True) -> bytes:
        """Send status and headers as a good server; return the bytes asked for."""
        asked = self.headers.get("Range", "")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.state.ranges else 0
        if start and start >= len(body):
            self.send_error(416)
            return b""
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if self.state.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if length:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        return body[start:]


def cut_off(after: int) -> Callable[[Handler], None]:
    def fault(handler: Handler) -> None:
        handler.wfile.write(handler.headed(handler.state.body)[:after])
        handler.close_connection = True

    return fault


def answer(code: int) -> Callable[[Handler], None]:
    return lambda handler: handler.send_error(code)


def stall(handler: Handler) -> None:
    handler.wfile.write(handler.headed(handler.state.body)[:1000])
    handler.state.over.wait(10)


def drip(handler: Handler) -> None:
    """Never silent for long, never done."""
    for byte in handler.headed(handler.state.body):
        try:
            handler.wfile.write(bytes([byte]))
        except OSError:
            return
        if handler.state.over.wait(0.02):
            return


def undeclared(handler: Handler) -> None:
    handler.close_connection = True
    try:
        handler.wfile.write(handler.headed(handler.state.body, length=False))
    except OSError:
        return  # the client has seen enough


@contextlib.contextmanager
def serving(state: Server, environment: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve on a free port, past any proxy of this machine; set the state's url."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        environment.delenv(name, raising=False)
    handler = type("BoundHandler", (Handler,), {"state": state})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as real:
        state.url = f"http://127.0.0.1:{real.server_port}/file"
        thread = threading.Thread(target=real.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield state
        finally:
            state.over.set()
            real.shutdown()
            thread.join()
