"""One node from start to end: QEMU's process, its monitor, its console and its results, by events alone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final, Self

from sistasks.errors import KernelFailure, NodeError, SistasksError
from sistasks.guest.frames import Frame, FrameType
from sistasks.machine import ends
from sistasks.machine.console import Console
from sistasks.machine.lines import open_line, receive
from sistasks.machine.process import Process, spawn
from sistasks.machine.results import GuestResults, ResultsChannel
from sistasks.machine.spec import MARK, Machine, NodeSpec, Role, command_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from types import TracebackType

    from sistasks.guest.plan import Plan
    from sistasks.machine.monitor import Monitor

_EXIT_GRACE: Final = 2.0
_POWER_OFF_LIMIT: Final = 20.0
_PANIC_LIMIT: Final = 5.0
_STDERR_LIMIT: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFiles:
    """Where one node's files are."""

    plan: Path
    console: Path
    stderr: Path
    firmware_log: Path | None = None


class Node:
    """One QEMU process with one guest. Use as an async context manager: leaving it ends the process.

    Args:
        number: the node's number; 0 for a template.
        machine: what it is made of.
        role: cold, template or clone.
        plan: what the guest is asked to do.
        files: where its files are.
        session: the mark of this session, part of the process's name.
        ram: the template's memory file (template and clones).
        state: the template's device state (template: written; clone: read).
        first_frame: the sequence number that the guest's next frame will have.
        port: gives QEMU's end of this node's port of a switch; without it a network leads nowhere.
        on_frame: told of each frame.
    """

    def __init__(
        self,
        number: int,
        machine: Machine,
        role: Role,
        plan: Plan,
        files: NodeFiles,
        *,
        session: str,
        ram: Path | None = None,
        state: Path | None = None,
        first_frame: int = 0,
        port: Callable[[int], socket.socket] | None = None,
        on_frame: Callable[[Node, Frame], None] = lambda _node, _frame: None,
    ) -> None:
        self.number = number
        self.machine = machine
        self.role = role
        self.plan = plan
        self.files = files
        self.session = session
        self.ram = ram
        self.state = state
        self._first_frame = first_frame
        self._port = port
        self._on_frame = on_frame
        self._stack = contextlib.ExitStack()
        self._transports: list[asyncio.ReadTransport] = []
        self._process: Process | None = None
        self._monitor: Monitor | None = None
        self._console: Console | None = None
        self._channel: ResultsChannel | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._state_fd = -1
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[float] = loop.create_future()
        self.done: asyncio.Future[GuestResults] = loop.create_future()
        self.failed: asyncio.Future[None] = loop.create_future()
        self.command: list[str] = []

    def __repr__(self) -> str:
        return f"<{self.name} {self.role.value}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def name(self) -> str:
        """What a person calls it."""
        return "the template" if self.role is Role.TEMPLATE else f"node {self.number}"

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid if self._process is not None else -1

    @property
    def results(self) -> GuestResults:
        """What has come from the guest until now."""
        return self._channel.results if self._channel is not None else GuestResults()

    @property
    def next_frame(self) -> int:
        """The sequence number of the frame that is next."""
        return self._channel.next_sequence if self._channel is not None else 0

    def console_tail(self, lines: int = 10) -> str:
        """The console's last lines."""
        return self._console.tail(lines) if self._console is not None else ""

    async def start(self) -> None:
        """Start QEMU and connect to it. The guest does not run yet; a clone has taken its template's state.

        Raises:
            NodeError: QEMU cannot be started, ends at once or refuses the template.
        """
        self.files.plan.write_bytes(self.plan.page())
        monitor, qmp = socket.socketpair()
        with contextlib.ExitStack() as theirs:
            theirs.enter_context(qmp)
            console, console_end = open_line(theirs)
            results, results_end = open_line(theirs)
            network = theirs.enter_context(self._network()).fileno() if self.machine.network else -1
            await self._launch(qmp.fileno(), console_end, results_end, network)
        await self._listen(console, results)
        self._watcher = asyncio.create_task(self._watch())
        await self._connect(monitor)

    def _network(self) -> socket.socket:
        """QEMU's end of this node's port."""
        if self._port is not None:
            return self._port(self.number)
        nowhere, end = socket.socketpair()
        self._stack.enter_context(nowhere)  # closed with the node: QEMU takes an end for a broken line
        return end

    async def _launch(self, qmp: int, console: int, results: int, network: int) -> None:
        descriptors = [qmp, console, results] + [network] * self.machine.network
        if self.state is not None:
            mode = "rb" if self.role is Role.CLONE else "wb"
            self._state_fd = self._stack.enter_context(self.state.open(mode)).fileno()
            descriptors.append(self._state_fd)
        spec = NodeSpec(
            machine=self.machine,
            role=self.role,
            name=f"{MARK}-{self.session}-node-{self.number}",
            plan=self.files.plan,
            qmp=qmp,
            console=console,
            results=results,
            network=network,
            ram=self.ram,
            firmware_log=self.files.firmware_log,
        )
        self.command = command_line(spec)
        with self.files.stderr.open("wb") as stderr:
            # Nodes that talk wake one another with each message. Where all are to run at once and there are few
            # processors, that was a change of processes for every message, each with cold caches.
            in_turn = self.machine.network
            self._process = spawn(self.command, pass_fds=descriptors, stderr=stderr, in_turn=in_turn)

    async def _listen(self, console: IO[bytes], results: IO[bytes]) -> None:
        log = self._stack.enter_context(self.files.console.open("wb", buffering=0))
        self._console = Console(log, self._panicked)
        self._channel = ResultsChannel(self._first_frame, self._frame, self._fail_ours)
        for line, protocol in ((console, self._console), (results, self._channel)):
            self._transports.append(await receive(line, protocol))

    async def _connect(self, sock: socket.socket) -> None:
        from sistasks.machine.monitor import Monitor

        self._monitor = Monitor(self.name, self._unless_failed, self._raise_failure)
        await self._monitor.connect(sock)
        if self.role is not Role.COLD:
            await self._monitor.prepare_transfer()
        if self.role is Role.CLONE:
            await self._monitor.take_state(self._state_fd)

    @property
    def monitor(self) -> Monitor:
        """The monitor of a node that has been started.

        Raises:
            NodeError: it has not.
        """
        if self._monitor is None:
            raise NodeError(f"{self.name} has not been started")
        return self._monitor

    async def go(self) -> None:
        """Let the guest run."""
        await self.monitor.execute("cont")

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self._process is not None:
            self._process.kill()

    async def pause(self) -> None:
        """Stop the guest until `go`."""
        await self.monitor.execute("stop")

    async def freeze(self, limit: float) -> None:
        """Let the guest run until it has stopped its machine by the watchdog, and write its state.

        Raises:
            NodeError: it did not within `limit` seconds, or the state cannot be written.
            KernelFailure: the kernel panicked before.
        """
        await self.monitor.run_until_stopped(lambda event: self._within(event, limit))
        await self.monitor.save_state(self._state_fd)

    async def wait_ready(self, limit: float) -> float:
        """Wait for the agent's word that it has its plan, and return when it came (host's monotonic seconds).

        Raises:
            NodeError, KernelFailure: it did not come.
        """
        return float(await self._within(asyncio.shield(self.ready), limit))

    async def wait_done(self, limit: float, started: float | None = None) -> GuestResults:
        """Wait for the agent's last word.

        Args:
            limit: seconds.
            started: since when they count (host's monotonic seconds); now if None.

        Raises:
            NodeError, KernelFailure: it did not come.
        """
        await self._within(asyncio.shield(self.done), limit, started)
        return self.results

    async def wait_power_off(self) -> None:
        """Wait until the guest has powered off; a kernel that cannot is ended by the host without complaint.

        Raises:
            KernelFailure: the kernel panicked after its work.
        """
        assert self._process is not None  # noqa: S101 - start came before
        await asyncio.wait([self._process.exited], timeout=_POWER_OFF_LIMIT)
        await self._drained()
        if self._console is not None and self._console.panic:
            raise self._kernel_failure()

    async def close(self) -> None:
        """End the process if it still runs, and let go of everything."""
        if self._process is not None and self._process.running:
            await self._process.stop(_EXIT_GRACE)
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        if self._monitor is not None:
            await self._monitor.disconnect()
        for transport in self._transports:
            transport.close()
        for future in (self.ready, self.done, self.failed):
            if future.done() and not future.cancelled():
                future.exception()
            else:
                future.cancel()
        self._stack.close()
        if self.files.stderr.exists() and self.files.stderr.stat().st_size == 0:
            self.files.stderr.unlink()
        self.files.plan.unlink(missing_ok=True)

    # -- what happens to it ------------------------------------------------------------------------------------

    def _frame(self, frame: Frame) -> None:
        if frame.type is FrameType.READY and not self.ready.done():
            self.ready.set_result(asyncio.get_running_loop().time())
        if frame.type is FrameType.DONE and not self.done.done():
            if self.results.problem:
                self._fail_ours(f"the agent gave up: {self.results.problem}")
            else:
                self.done.set_result(self.results)
        self._on_frame(self, frame)

    def _panicked(self, _words: str) -> None:
        # panic=-1 ends the machine; a kernel that does not obey is ended by us
        loop = asyncio.get_running_loop()
        if self._process is not None:
            loop.call_later(_PANIC_LIMIT, self._process.kill)

    def _kernel_failure(self) -> KernelFailure:
        words = self._console.panic if self._console is not None else ""
        return KernelFailure(
            f"{self.name}: the kernel panicked: {words}",
            f"see {self.files.console}",
            self.console_tail(),
        )

    def _fail_ours(self, problem: str) -> None:
        self._fail(NodeError(f"{self.name}: {problem}", f"see {self.files.console}", self.console_tail()))

    def _fail(self, error: SistasksError) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)

    async def _watch(self) -> None:
        """Wait for the end of the process; an end before the agent's last word is a failure."""
        assert self._process is not None  # noqa: S101 - start came before
        code = await asyncio.shield(self._process.exited)  # else our end would pass for the process's
        await self._drained()
        if self.done.done():
            return
        if self._console is not None and self._console.panic:
            self._fail(self._kernel_failure())
            return
        with self.files.stderr.open("rb") as file:
            said = file.read(_STDERR_LIMIT).decode("utf-8", "replace").strip()
        reached = bool(self.results.hello or self._first_frame)
        where = ends.Where(self.name, self.files.console, self.files.stderr, self.console_tail() or said)
        self._fail(
            ends.of_guest(where, self.machine.memory, reached_agent=reached)
            if code == 0 and not ends.was_told(said)
            else ends.of_qemu(where, code, said)
        )

    async def _drained(self) -> None:
        """Everything that QEMU wrote before its end has been read."""
        lines = [line.closed for line in (self._console, self._channel) if line is not None]
        if lines:
            await asyncio.wait(lines, timeout=_EXIT_GRACE)

    async def _raise_failure(self) -> None:
        """If the node's end is on its way, wait for it and raise it."""
        if self._process is not None:
            ends: list[asyncio.Future[Any]] = [self._process.exited, self.failed]
            await asyncio.wait(ends, timeout=_EXIT_GRACE)
        if self._watcher is not None:
            await asyncio.wait([self._watcher], timeout=_EXIT_GRACE)
        if self.failed.done():
            await asyncio.shield(self.failed)

    async def _unless_failed(self, work: Awaitable[Any]) -> Any:
        """Wait for `work` or for the node's failure, whichever is first."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait([task, self.failed], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            return await asyncio.shield(self.failed)
        finally:
            task.cancel()

    async def _within(self, work: Awaitable[Any], limit: float, started: float | None = None) -> Any:
        """The same, for at most `limit` seconds since `started`."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at((loop.time() if started is None else started) + limit):
                return await self._unless_failed(work)
        except TimeoutError:
            raise NodeError(
                f"{self.name} did not {self._next_step()} within {limit:g} s",
                f"raise timeout=, or see {self.files.console}",
                self.console_tail(),
            ) from None

    def _next_step(self) -> str:
        if not self.results.hello and self._first_frame == 0:
            return "reach the agent" if self.console_tail() else "say anything"
        return "finish its tests" if self.ready.done() else "get ready"
