"""One QEMU process from start to end: its monitor, its console and what becomes of it, by events alone."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from sistasks.errors import KernelFailure, NodeError, SistasksError
from sistasks.machine import ends
from sistasks.machine.confinement import Handed, environment
from sistasks.machine.process import Process, spawn
from sistasks.machine.spec import command_line

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Sequence
    from pathlib import Path
    from types import TracebackType

    from sistasks.machine.console import Console
    from sistasks.machine.monitor import Monitor
    from sistasks.machine.spec import Machine, NodeSpec

_EXIT_GRACE: Final = 2.0
_PANIC_LIMIT: Final = 5.0
_STDERR_LIMIT: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatorFiles:
    """Where one node's files are.

    Attributes:
        console: what it says on its serial line.
        stderr: what QEMU says.
        firmware_log: what its firmware says for its makers, where there is a device for it.
    """

    console: Path
    stderr: Path
    firmware_log: Path | None = None


class Emulator:
    """One QEMU process. Use as an async context manager: leaving it ends the process.

    What runs in it, and which lines lead to it, is told by those who inherit: they launch, set `_console`, and say
    what an end means.

    Args:
        name: what a person calls it.
        machine: what it is made of.
        files: where its files are.
    """

    def __init__(self, name: str, machine: Machine, files: EmulatorFiles) -> None:
        self.name = name
        self.machine = machine
        self._logs = files
        self._stack = contextlib.ExitStack()
        self._transports: list[asyncio.BaseTransport] = []
        self._lines: list[asyncio.Future[None]] = []
        self._process: Process | None = None
        self._monitor: Monitor | None = None
        self._console: Console | None = None
        self._watcher: asyncio.Task[None] | None = None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.command: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid if self._process is not None else -1

    def console_tail(self, lines: int = 10) -> str:
        """The console's last lines."""
        return self._console.tail(lines) if self._console is not None else ""

    def _spawn(self, spec: NodeSpec, descriptors: Sequence[int], number: int) -> None:
        """Start QEMU, as confined as its machine says; it inherits the descriptors.

        Raises:
            NodeError: it cannot be started.
            OSError: a file that it needs cannot be handed over.
        """
        self.command = command = command_line(spec)
        identity = self.machine.confinement.identity(number)
        with contextlib.ExitStack() as ours:
            given = list(descriptors)
            if identity is not None:
                handed = Handed(ours, identity)
                command = command_line(spec, handed)
                handed.own(given)
                given += handed.descriptors
            # Nodes that talk wake one another with each message. Where all are to run at once and there are few
            # processors, that was a change of processes for every message, each with cold caches.
            self._process = spawn(
                command, pass_fds=given, stderr=ours.enter_context(self._logs.stderr.open("wb")),
                in_turn=self.machine.network, identity=identity, environ=environment(identity),
            )  # fmt: skip

    async def _connect(self, sock: socket.socket) -> None:
        """Watch for the process's end, and connect to its monitor."""
        from sistasks.machine.monitor import Monitor

        self._watcher = asyncio.create_task(self._watch())
        self._monitor = Monitor(self.name, self._unless_failed, self._raise_failure)
        await self._monitor.connect(sock)

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

    async def pause(self) -> None:
        """Stop the guest until `go`."""
        await self.monitor.execute("stop")

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self._process is not None:
            self._process.kill()

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
        settle(self.failed)
        self._stack.close()
        if self._logs.stderr.exists() and self._logs.stderr.stat().st_size == 0:
            self._logs.stderr.unlink()

    # -- what those who inherit say ------------------------------------------------------------------------------

    @property
    def _finished(self) -> bool:
        """Whether its end is no failure."""
        return False

    async def _guest_ended(self, where: ends.Where) -> SistasksError:
        """What it means that the guest ended its machine."""
        raise NotImplementedError

    # -- what happens to it --------------------------------------------------------------------------------------

    def _panicked(self, _words: str) -> None:
        # panic=-1 ends the machine; a kernel that does not obey is ended by us
        if self._process is not None:
            asyncio.get_running_loop().call_later(_PANIC_LIMIT, self._process.kill)

    def _kernel_failure(self) -> KernelFailure:
        words = self._console.panic if self._console is not None else ""
        return KernelFailure(
            f"{self.name}: the kernel panicked: {words}", f"see {self._logs.console}", self.console_tail()
        )

    def _fail(self, error: SistasksError) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)

    async def _watch(self) -> None:
        """Wait for the end of the process; one that was not expected is a failure."""
        assert self._process is not None  # noqa: S101 - start came before
        code = await asyncio.shield(self._process.exited)  # else our end would pass for the process's
        await self._drained()
        if self._finished:
            return
        if self._console is not None and self._console.panic:
            self._fail(self._kernel_failure())
            return
        with self._logs.stderr.open("rb") as file:
            said = file.read(_STDERR_LIMIT).decode("utf-8", "replace").strip()
        where = ends.Where(self.name, self._logs.console, self._logs.stderr, self.console_tail() or said)
        by_guest = code == 0 and not ends.was_told(said)
        self._fail(await self._guest_ended(where) if by_guest else ends.of_qemu(where, code, said))

    async def _drained(self) -> None:
        """Everything that QEMU wrote before its end has been read."""
        if self._lines:
            await asyncio.wait(self._lines, timeout=_EXIT_GRACE)

    async def _raise_failure(self) -> None:
        """If the node's end is on its way, wait for it and raise it."""
        if self._process is not None:
            either: list[asyncio.Future[Any]] = [self._process.exited, self.failed]
            await asyncio.wait(either, timeout=_EXIT_GRACE)
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


def settle(future: asyncio.Future[Any]) -> None:
    """Nobody will ask for it any more."""
    if future.done() and not future.cancelled():
        future.exception()
    else:
        future.cancel()
