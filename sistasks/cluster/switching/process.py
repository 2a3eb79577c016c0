"""The switch's process: one thread, one epoll set; `main` is where it starts.

It lives as long as its owner holds the other end of the control socket, and not a moment longer.
"""

from __future__ import annotations

import array
import contextlib
import gc
import json
import resource
import select
import socket
import time
from pathlib import Path
from typing import IO, Any, Final

from sistasks.cluster.switching.faults import from_message
from sistasks.cluster.switching.forwarding import FramingLost, Switch
from sistasks.cluster.switching.messages import (
    FRAME,
    Messages,
    decode_inject,
    encode_json,
    encode_received,
)
from sistasks.cluster.switching.pcapng import Capture
from sistasks.cluster.switching.ports import Port

# what one round takes from a port, and how many ports it serves: a round is a few milliseconds at most, so that the
# owner is heard in time however busy the ports are; epoll gives those that were left out the next round
RECEIVE: Final = 64 << 10
_SERVED: Final = 16
# frames for an owner that does not read them
_OWNER_MAX: Final = 4 << 20
_DESCRIPTORS: Final = 64
_COUNTS: Final = (
    "frames", "bytes", "partition", "loss", "overflow", "rate", "gone",
    "corrupted", "duplicated", "reordered", "delayed", "under_way",
)  # fmt: skip
_WAKE: Final = select.EPOLLIN
_FULL: Final = select.EPOLLIN | select.EPOLLOUT


class SocketPort(Port):
    """A port with its socket. `blocked`: the socket has no room, and the epoll set tells when it has."""

    __slots__ = ("blocked", "socket")

    def __init__(self, number: int, line: socket.socket) -> None:
        super().__init__(number)
        self.socket = line
        self.blocked = False


class Process:
    """The switch with its sockets.

    Args:
        control: connected to the owner.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._messages = Messages()
        self._descriptors: list[int] = []
        self._answers = bytearray()
        self._waiting = False
        self._epoll = select.epoll()
        self._ports: dict[int, SocketPort] = {}  # by descriptor
        self._switch = Switch(self._to_host)
        self._file: IO[bytes] | None = None
        self._capture: Capture | None = None
        self._path: Path | None = None
        self._rounds = 0
        self._buffer = bytearray(RECEIVE)
        self._view = memoryview(self._buffer)
        control.setblocking(False)
        self._epoll.register(control, select.EPOLLIN)

    def run(self) -> None:
        """Switch frames until the owner is gone."""
        switch, clock, control = self._switch, time.monotonic_ns, self._control.fileno()
        while True:
            events = self._epoll.poll(None, _SERVED) if switch.due is None else self._wait(switch.due)
            now = clock()
            self._rounds += 1
            switch.release(now)
            if len(events) == _SERVED:  # the owner may be among those that were left out
                events.append((control, select.EPOLLIN))
            # the owner first: what it has asked for holds for frames sent later
            for descriptor, mask in events:
                if descriptor == control and not self._hear(mask):
                    self._end_capture()
                    return
            for descriptor, mask in events:
                port = self._ports.get(descriptor)
                # the owner's line is no port, and a port may have gone in this very round
                if port is not None:
                    self._serve(port, mask, now)
            if switch.dirty:
                self._send()
            if self._capture is not None and self._capture.error is not None:
                self._stop_capture(self._capture.error)

    def _wait(self, due: int) -> list[tuple[int, int]]:
        """What is ready now, or at the latest when something is due."""
        wait = due - time.monotonic_ns()
        if wait > 0:
            # epoll counts in milliseconds, select in microseconds; epoll's own descriptor can be waited for
            select.select([self._epoll], [], [], wait / 1e9)
        return self._epoll.poll(0, _SERVED)

    def _serve(self, port: SocketPort, mask: int, now: int) -> None:
        if mask & select.EPOLLOUT:
            self._unblock(port)
        if mask & ~select.EPOLLOUT:
            self._receive(port, now)

    def _receive(self, port: SocketPort, now: int) -> None:
        try:
            # into one buffer: to make room of that size each time costs more than all the rest
            size = port.socket.recv_into(self._buffer)
        except BlockingIOError:
            return
        except ConnectionError:  # the node died with frames of ours unread
            size = 0
        if not size:
            self._close(port, "the node has closed it")
            return
        try:
            self._switch.receive(port, bytes(self._view[:size]), now)
        except FramingLost:
            self._close(port, "its frames cannot be parted any more: a length beyond every frame's")

    def _send(self) -> None:
        dirty = self._switch.dirty
        for port in dirty:
            port.dirty = False
            if isinstance(port, SocketPort) and not port.blocked and not port.gone:
                self._flush(port)
        dirty.clear()

    def _flush(self, port: SocketPort) -> None:
        out = port.out
        data = out[0] if len(out) == 1 else b"".join(out)
        try:
            sent = port.socket.send(data)
        except BlockingIOError:
            sent = 0
        except (BrokenPipeError, ConnectionError):
            return  # the end of file is on its way
        port.queued -= sent
        if sent == len(data):
            out.clear()
            return
        port.out = [data[sent:]]
        port.blocked = True
        self._epoll.modify(port.socket, _FULL)

    def _unblock(self, port: SocketPort) -> None:
        port.blocked = False
        self._epoll.modify(port.socket, _WAKE)
        if port.out:
            self._flush(port)

    def _close(self, port: SocketPort, why: str) -> None:
        self._epoll.unregister(port.socket)
        del self._ports[port.socket.fileno()]
        port.socket.close()
        self._switch.remove(port)
        self._say({"event": "gone", "port": port.number, "why": why})

    def _hear(self, mask: int) -> bool:
        """Do what the owner asks; false once it is gone."""
        if mask & select.EPOLLOUT and not self._answer():
            return False
        if not mask & ~select.EPOLLOUT:
            return True
        while True:
            try:
                data, ancillary, _, _ = self._control.recvmsg(
                    RECEIVE, socket.CMSG_SPACE(4 * _DESCRIPTORS), socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return True
            except ConnectionError:
                return False
            if not data:
                return False
            self._take(ancillary)
            for what, body in self._messages.feed(data):
                if what == FRAME:
                    frame, ports = decode_inject(body)
                    self._switch.inject(frame, ports or self._switch.ports)
                else:
                    self._do(json.loads(body))

    def _take(self, ancillary: list[tuple[int, int, bytes]]) -> None:
        """Keep the descriptors that came with a message."""
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                numbers = array.array("i")
                numbers.frombytes(payload[: len(payload) - len(payload) % numbers.itemsize])
                self._descriptors.extend(numbers)

    def _do(self, message: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"id": message.get("id")}
        match message["do"]:
            case "port":
                self._add(message["port"], socket.socket(fileno=self._descriptors.pop(0)))
                return
            case "faults":
                self._switch.apply(from_message(message["faults"]), time.monotonic_ns())
                answer["at"] = time.monotonic_ns()
            case "counters":
                answer |= self._counters()
            case "capture":
                answer["error"] = self._set_capture(message["path"], message["limit"])
        self._say(answer)

    def _add(self, number: int, line: socket.socket) -> None:
        line.setblocking(False)
        known = self._switch.ports.get(number)
        if known is None:
            port = SocketPort(number, line)
            self._switch.add(port)
        elif known.gone and isinstance(known, SocketPort):
            port = known
            port.socket, port.blocked = line, False
            self._switch.restore(port)
        else:
            line.close()
            self._say({"event": "refused", "port": number, "why": "the port is in use"})
            return
        self._ports[line.fileno()] = port
        self._epoll.register(line, _WAKE)

    def _counters(self) -> dict[str, Any]:
        switch = self._switch
        ports = [
            [port.number, port.received, port.malformed, port.filtered, port.queued, port.lost, port.gone]
            for port in switch.ports.values()
        ]
        edges = [
            [port.number, edge.target.number, *counts]
            for port in switch.ports.values()
            for edge in port.edges.values()
            if any(counts := [getattr(edge, name) for name in _COUNTS])
        ]
        return {
            "counts": _COUNTS,
            "edges": edges,
            "ports": ports,
            "cpu": time.process_time(),
            "rounds": self._rounds,
            "moves": switch.moves,
            "injected": switch.injected,
            "not_injected": switch.not_injected,
        }

    def _say(self, message: dict[str, Any]) -> None:
        self._answers += encode_json(message)
        self._answer()

    def _to_host(self, port: int, frame: bytes) -> bool:
        if len(self._answers) + len(frame) > _OWNER_MAX:
            return False
        self._answers += encode_received(port, frame)
        self._answer()
        return True

    def _answer(self) -> bool:
        """Send what the owner is to get; false if it is gone."""
        try:
            sent = self._control.send(self._answers) if self._answers else 0
        except BlockingIOError:
            sent = 0
        except (BrokenPipeError, ConnectionError):
            return False
        del self._answers[:sent]
        if bool(self._answers) != self._waiting:
            self._waiting = bool(self._answers)
            self._epoll.modify(self._control, _FULL if self._waiting else _WAKE)
        return True

    def _set_capture(self, path: str | None, limit: int) -> str | None:
        """Begin or end a capture; returns what went wrong."""
        try:
            self._end_capture()
            if path is not None:
                self._path = Path(path)
                self._file = self._path.with_name(self._path.name + ".part").open("wb", buffering=1 << 20)
                offset = time.time_ns() - time.monotonic_ns()
                self._capture = self._switch.capture = Capture(self._file, offset, limit)
        except OSError as error:
            self._stop_capture(None)
            return f"{path or self._path}: {error.strerror}"
        return None

    def _end_capture(self) -> None:
        """Give the capture its name."""
        file, path, capture = self._file, self._path, self._capture
        self._file = self._path = self._capture = self._switch.capture = None
        if file is None or path is None:
            return
        with file:
            file.flush()
        Path(file.name).replace(path)
        if capture is not None and capture.left_out:
            self._say({"event": "capture full", "path": str(path), "left_out": capture.left_out})

    def _stop_capture(self, error: OSError | None) -> None:
        """A capture that cannot be written ends, and frames go on."""
        file, path = self._file, self._path
        self._file = self._path = self._capture = self._switch.capture = None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
        if error is not None:
            self._say({"event": "capture failed", "path": str(path), "why": error.strerror or str(error)})


def main(descriptor: int) -> None:
    """Be the switch.

    Args:
        descriptor: of the control socket.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # a timer that wakes 50 µs late, as is usual, would be no timer for delays of as much
    with contextlib.suppress(OSError):
        Path("/proc/self/timerslack_ns").write_text("1")
    control = socket.socket(fileno=descriptor)
    process = Process(control)
    # frames are made and dropped without cycles: there is nothing to collect
    gc.freeze()
    gc.disable()
    process.run()
