"""The layer-2 switch that a cluster's nodes hang on: the owner's side of its process.

The switch is a process of its own, so that nothing that we do here can delay a frame. Each node's network card is
`-netdev stream,id=net0,server=off,addr.type=fd,addr.str=N` over one end of a socket pair that QEMU inherits; the other
end goes to the switch. So there are no paths, no ports of the host and no privileges, and a port is known to be its
node's: end of file at a port means that the node is gone.
"""

from __future__ import annotations

import array
import asyncio
import json
import os
import socket
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Self

import sistasks
from sistasks.cluster.switching.counters import Counters, EdgeCounters, PortCounters, from_message
from sistasks.cluster.switching.ethernet import FRAME_MAX, HEADER, HOST_MAC, mac_of
from sistasks.cluster.switching.faults import Faults
from sistasks.cluster.switching.messages import (
    FRAME,
    Messages,
    decode_received,
    encode_inject,
    encode_json,
)
from sistasks.cluster.switching.pcapng import LIMIT
from sistasks.errors import NodeError
from sistasks.machine.process import Process, spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

__all__ = ["HOST_MAC", "Counters", "EdgeCounters", "Faults", "PortCounters", "Switch", "mac_of"]

_RECEIVE: Final = 256 << 10
_END_GRACE: Final = 2.0
_SAID: Final = 2000
# isolated and without site-packages: only this package and the standard library, and no time lost on others
_START: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from sistasks.cluster.switching.process import main; main(int(sys.argv[2]))"
)


class Switch:
    """The switch of one cluster. Use as an async context manager: leaving it ends its process.

    Args:
        on_event: told of each event of the switch: `{"event": "gone", "port": …, "why": …}`, and likewise `refused`
            (a port that is in use), `capture failed` and `capture full`.
        on_frame: told of each frame that a node sends to the host's address: (node, frame).
    """

    def __init__(
        self,
        on_event: Callable[[dict[str, Any]], None] | None = None,
        on_frame: Callable[[int, bytes], None] | None = None,
    ) -> None:
        self.on_event = on_event
        self.on_frame = on_frame
        self._process: Process | None = None
        self._control: socket.socket | None = None
        self._stderr: IO[bytes] | None = None
        self._messages = Messages()
        self._waiting: deque[tuple[bytes, socket.socket | None]] = deque()
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._next = 0

    async def __aenter__(self) -> Self:
        """Start the process.

        Raises:
            NodeError: it cannot be started.
        """
        ours, theirs = socket.socketpair()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed on leaving
        package = Path(sistasks.__file__).resolve().parent.parent
        command = [sys.executable, "-I", "-S", "-c", _START, str(package), str(theirs.fileno())]
        try:
            with theirs:
                self._process = spawn(command, pass_fds=[theirs.fileno()], stderr=self._stderr)
        except BaseException:
            ours.close()
            self._stderr.close()
            raise
        ours.setblocking(False)
        self._control = ours
        asyncio.get_running_loop().add_reader(ours, self._hear)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the process; what it has captured gets its name."""
        self._hang_up()
        try:
            if self._process is not None:
                await asyncio.wait([self._process.exited], timeout=_END_GRACE)
                await self._process.stop(_END_GRACE)
        finally:
            self._process = None
            if self._stderr is not None:
                self._stderr.close()
                self._stderr = None

    @property
    def pid(self) -> int:
        """The process's number; 0 when there is none."""
        return self._process.pid if self._process else 0

    def port(self, number: int) -> socket.socket:
        """Make a port.

        Args:
            number: of the node, which has the address `mac_of(number)`. A node that was gone may come again.

        Returns:
            the node's end: pass its descriptor to QEMU and close it here.

        Raises:
            NodeError: the switch is not running.
            ValueError: no node can have that number.
        """
        mac_of(number)
        node, ours = socket.socketpair()
        try:
            self._put(encode_json({"do": "port", "port": number}), ours)
        except BaseException:
            node.close()
            ours.close()
            raise
        return node

    async def apply(self, faults: Faults) -> float:
        """From now on, these faults and no others.

        Frames that are delayed arrive at once, in order, or are lost where their edge is now cut.

        Returns:
            seconds until they were in force.

        Raises:
            NodeError: the switch has ended.
        """
        start = time.monotonic_ns()
        answer = await self._ask({"do": "faults", "faults": faults.message()})
        return float(answer["at"] - start) / 1e9

    async def heal(self) -> float:
        """No faults any more.

        Returns:
            seconds until that was so.

        Raises:
            NodeError: the switch has ended.
        """
        return await self.apply(Faults())

    async def counters(self) -> Counters:
        """What has been counted since the start.

        Raises:
            NodeError: the switch has ended.
        """
        return from_message(await self._ask({"do": "counters"}))

    def inject(self, frame: bytes, ports: Sequence[int] | None = None) -> None:
        """Send a frame of the host; faults do not touch it.

        Args:
            frame: with its Ethernet header, `HOST_MAC` as the source if nodes are to answer.
            ports: whom it goes to, whatever its address says; None: to all.

        Raises:
            NodeError: the switch is not running.
            ValueError: it is no frame.
        """
        if not HEADER <= len(frame) <= FRAME_MAX:
            raise ValueError(f"a frame of {len(frame)} bytes")
        if ports is None or ports:
            self._put(encode_inject(frame, ports or ()))

    async def capture(self, path: Path | None, limit: int = LIMIT) -> None:
        """Begin to write all frames into a pcapng file, or end it.

        While it is written, its name ends in `.part`.

        Args:
            path: the file; None ends the capture.
            limit: bytes; what comes after is left out, and an event says so.

        Raises:
            NodeError: the file cannot be written, or the switch has ended.
        """
        name = None if path is None else str(path.absolute())
        answer = await self._ask({"do": "capture", "path": name, "limit": limit})
        if answer["error"]:
            raise NodeError(f"the capture {answer['error']}", "make room, or set output=")

    async def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        self._next += 1
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[self._next] = answer
        try:
            self._put(encode_json(message | {"id": self._next}))
            return await answer
        finally:
            self._answers.pop(self._next, None)

    def _put(self, data: bytes, passed: socket.socket | None = None) -> None:
        if self._control is None:
            raise self._ended()
        self._waiting.append((data, passed))
        if len(self._waiting) == 1:
            self._send()

    def _send(self) -> None:
        """Send what waits, as far as there is room; each descriptor goes with the first byte of its message."""
        control = self._control
        if control is None:
            return
        loop = asyncio.get_running_loop()
        while self._waiting:
            data, passed = self._waiting[0]
            ancillary = []
            if passed is not None:
                rights = array.array("i", [passed.fileno()])
                ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
            try:
                sent = control.sendmsg([data], ancillary)
            except BlockingIOError:
                loop.add_writer(control, self._send)
                return
            except OSError:  # it has ended, and end of file says so
                break
            if passed is not None:
                passed.close()
            if sent < len(data):
                self._waiting[0] = (data[sent:], None)
            else:
                self._waiting.popleft()
        loop.remove_writer(control)

    def _hear(self) -> None:
        control = self._control
        if control is None:
            return
        try:
            data = control.recv(_RECEIVE)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self._hang_up()
            return
        for kind, body in self._messages.feed(data):
            if kind == FRAME:
                if self.on_frame is not None:
                    self.on_frame(*decode_received(body))
                continue
            message = json.loads(body)
            if "event" in message:
                if self.on_event is not None:
                    self.on_event(message)
            elif (answer := self._answers.get(message["id"])) is not None and not answer.done():
                answer.set_result(message)

    def _hang_up(self) -> None:
        """Close the line; whoever waits for an answer hears that none will come."""
        if self._control is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._control)
        loop.remove_writer(self._control)
        self._control.close()
        self._control = None
        for _, passed in self._waiting:
            if passed is not None:
                passed.close()
        self._waiting.clear()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(self._ended())

    def _ended(self) -> NodeError:
        said = ""
        if self._stderr is not None:
            file = self._stderr.fileno()
            said = os.pread(file, _SAID, max(0, os.fstat(file).st_size - _SAID)).decode(errors="replace")
        return NodeError("the switch is not running", "start the session again", said)
