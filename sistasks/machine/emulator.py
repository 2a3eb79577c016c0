"""One QEMU process from start to end: its monitor, its console and what becomes of it, by events alone."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any, Final, Self

from sistasks.errors import KernelFailure, NodeError, SistasksError
from sistasks.machine import ends
from sistasks.machine.confinement import Handed, environment
from sistasks.machine.lines import Logs, waiting_bytes
from sistasks.machine.process import Process, spawn
from sistasks.machine.spec import command_line

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from sistasks.evidence.crashes import Crash
    from sistasks.evidence.records import Evidence
    from sistasks.evidence.symbols import Symbols
    from sistasks.machine.console import Console
    from sistasks.machine.logs import EmulatorFiles
    from sistasks.machine.monitor import Monitor
    from sistasks.machine.processors import Processor
    from sistasks.machine.spec import Machine, NodeSpec

_EXIT_GRACE: Final = 2.0
# what a kernel says after it has panicked; then it ends its machine, or it never will
_PANIC_LIMIT: Final = 1.5
_STOP_LIMIT: Final = 2.0
_LOOK_LIMIT: Final = 3.0
_SYMBOLS_LIMIT: Final = 20.0
# edk2 tells what it starts, but for a kernel that QEMU gave it: that one's first words tell; its own shell is no kernel
_HANDED_OVER: Final = re.compile(
    rb"^(?:EFI stub: |Linux version |\[ *\d+\.\d+\])|BdsDxe: starting Boot(?![^\n]*Shell)", re.MULTILINE
)
_HEAD: Final = 1 << 20
_STDERR_LIMIT: Final = 4096
_REPORT_LINES: Final = 16


class Emulator:
    """One QEMU process. Use as an async context manager: leaving it ends the process.

    What runs in it, and which lines lead to it, is told by those who inherit: they launch, set `_console`, and say
    what an end means.

    Args:
        name: what a person calls it.
        number: the node's number; 0 for a template.
        machine: what it is made of.
        files: where its files are.

    Attributes:
        failed: has the reason when the node fails, and never a value.
        evidence: what was found after it had failed.
        symbols: functions of the kernel that runs, once they are known.
        find_symbols: gets them when they are first needed, where somebody can.
        spec: what QEMU was started with.
    """

    def __init__(self, name: str, number: int, machine: Machine, files: EmulatorFiles) -> None:
        self.name = name
        self.number = number
        self.machine = machine
        self._files = files
        self._stack = contextlib.ExitStack()
        self._transports: list[asyncio.BaseTransport] = []
        self._lines: list[asyncio.Future[None]] = []
        self._logs = Logs()
        self._process: Process | None = None
        self._monitor: Monitor | None = None
        self._console: Console | None = None
        self._sources: list[IO[bytes] | socket.socket] = []
        self._watchers: list[asyncio.Task[None]] = []
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.command: list[str] = []
        self.spec: NodeSpec | None = None
        self.symbols: Symbols | None = None
        self.find_symbols: Callable[[], Awaitable[Symbols]] | None = None
        self.evidence: tuple[Evidence, ...] = ()
        self._examining = asyncio.Lock()
        self._examined = False

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

    @property
    def log(self) -> Path:
        """Its console's."""
        return self._files.console

    @property
    def crashes(self) -> tuple[Crash, ...]:
        """What its kernel has complained of until now."""
        return self._console.crashes if self._console is not None else ()

    @property
    def failure(self) -> SistasksError | None:
        """What it has failed with; None: it has not."""
        failure = self.failed.exception() if self.failed.done() and not self.failed.cancelled() else None
        return failure if isinstance(failure, SistasksError) else None

    @property
    def running(self) -> bool:
        """Whether QEMU's process is there."""
        return self._process is not None and self._process.running

    @property
    def page(self) -> bytes:
        """What its agent reads; nothing where there is none."""
        return b""

    @property
    def in_firmware(self) -> bool:
        """Whether there is firmware, and nothing on the console tells that it has started a kernel."""
        if self.machine.firmware is None:
            return False
        with contextlib.suppress(OSError), self._files.console.open("rb") as log:
            return _HANDED_OVER.search(log.read(_HEAD)) is None
        return False

    def written(self) -> list[tuple[Path, str]]:
        """Its files in which something is, and what a person calls them."""
        return self._files.written()

    async def processors(self) -> list[Processor]:
        """What its processors are doing; none if QEMU does not say so soon."""
        from sistasks.machine.processors import look

        if self.symbols is None and self.find_symbols is not None:
            with contextlib.suppress(SistasksError, OSError, TimeoutError):
                async with asyncio.timeout(_SYMBOLS_LIMIT):
                    self.symbols = await self.find_symbols()
        try:
            async with asyncio.timeout(_LOOK_LIMIT):
                return (await look(self.monitor, self.pid, self.symbols))[0]
        except (SistasksError, TimeoutError):
            return []

    async def post_mortem(
        self, folder: Path, *, error: SistasksError | None = None, dumps: str = "auto", limit: float = 60.0
    ) -> tuple[Evidence, ...]:
        """Collect what a failed node leaves, before it is ended: once, and without an error of its own.

        Args:
            folder: gets the files that are made; of this node alone.
            error: why it failed; what it has failed by itself with if None.
            dumps: `yes`, `no`, or `auto`: a dump of its memory where the kernel failed.
            limit: seconds that all of it may take.
        """
        from sistasks.machine.diagnosis import diagnose

        error = error or self.failure
        async with self._examining:
            if not self._examined:
                self._examined = True
                self.evidence = await diagnose(self, folder, error=error, dumps=dumps, limit=limit)
        return self.evidence

    def _spawn(self, spec: NodeSpec, descriptors: Sequence[int], number: int) -> None:
        """Start QEMU, as confined as its machine says; it inherits the descriptors.

        Raises:
            NodeError: it cannot be started.
            OSError: a file that it needs cannot be handed over.
        """
        identity = self.machine.confinement.identity(number)
        with contextlib.ExitStack() as ours:
            given = list(descriptors)
            stderr = self._logs.open(self._files.stderr, "QEMU", self._stack, ours)
            log = self._files.firmware_log
            if log is not None and self.machine.firmware is not None and self.machine.arch.firmware_log:
                end = self._logs.open(log, "the firmware", self._stack, ours)
                spec = replace(spec, firmware=end)
                given.append(end)
            self.spec = spec
            self.command = command = command_line(spec)
            if identity is not None:
                handed = Handed(ours, identity)
                command = command_line(spec, handed)
                handed.own(given)
                given += handed.descriptors
            # Nodes that talk wake one another with each message. Where all are to run at once and there are few
            # processors, that was a change of processes for every message, each with cold caches.
            self._process = spawn(
                command, pass_fds=given, stderr=ours.enter_context(open(stderr, "wb", closefd=False)),
                in_turn=self.machine.network, identity=identity, environ=environment(identity),
            )  # fmt: skip

    async def _connect(self, sock: socket.socket) -> None:
        """Watch for the process's end, and connect to its monitor."""
        from sistasks.machine.monitor import Monitor

        self._transports += await self._logs.receive()
        self._lines += self._logs.closed
        self._watchers.append(asyncio.create_task(self._watch()))
        self._monitor = Monitor(self.name, self._unless_failed, self._raise_failure)
        await self._monitor.connect(sock)
        self._watchers.append(asyncio.create_task(self._attend()))

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
            if self._logs.closed:  # its last words
                await asyncio.wait(self._logs.closed, timeout=_EXIT_GRACE)
        for watcher in self._watchers:
            watcher.cancel()
        if self._watchers:
            await asyncio.wait(self._watchers)
        if self._monitor is not None:
            await self._monitor.disconnect()
        for transport in self._transports:
            transport.close()
        settle(self.failed)
        self._stack.close()
        with contextlib.suppress(FileNotFoundError):  # a second session writes its logs to the same place
            if self._files.stderr.stat().st_size == 0:
                self._files.stderr.unlink()

    # -- what those who inherit say ------------------------------------------------------------------------------

    @property
    def _finished(self) -> bool:
        """Whether its end is no failure."""
        return False

    def _guest_ended(self, where: ends.Where, reason: str) -> SistasksError:
        """What it means that the guest ended its machine; the reason is QEMU's word."""
        raise NotImplementedError

    # -- what happens to it --------------------------------------------------------------------------------------

    def _panicked(self, _words: str) -> None:
        self._watchers.append(asyncio.create_task(self._stop_after_panic()))

    async def _stop_after_panic(self) -> None:
        """panic=-1 makes the kernel end its machine, which `_attend` sees; one that does not obey is stopped."""
        await asyncio.wait([self.failed], timeout=_PANIC_LIMIT)
        if not self.failed.done():
            with contextlib.suppress(SistasksError, TimeoutError):
                async with asyncio.timeout(_STOP_LIMIT):
                    await self.pause()
            firmware = self._console.dead_firmware if self._console is not None else ""
            self._fail(self._firmware_failure(firmware) if firmware else self._kernel_failure())

    def _firmware_failure(self, words: str) -> SistasksError:
        """Firmware is dead: by itself, or by what it has started."""
        kind = NodeError if self.in_firmware else KernelFailure
        return kind(
            f"{self.name}: {words}", f"see {self._files.console}", self.console_tail(), kind="firmware"
        )

    def _kernel_failure(self) -> KernelFailure:
        words = self._console.panic if self._console is not None else ""
        remedy = f"see {self._files.console}"
        return KernelFailure(
            f"{self.name}: the kernel panicked: {words}", remedy, self._report_head(), kind="panic"
        )

    def _report_head(self) -> str:
        """How the kernel's report of its end begins: what follows is registers and code."""
        crash = self._console.fatal if self._console is not None else None
        if crash is None:
            return self.console_tail()
        lines = crash.report.splitlines()
        first = next((index for index, line in enumerate(lines) if crash.line.strip() in line), 0)
        return "\n".join(lines[first : first + _REPORT_LINES])

    def _fail(self, error: SistasksError) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)

    async def _attend(self) -> None:
        """Wait for the guest to end its machine: if its work is done QEMU goes, else the machine is kept as it is."""
        reason = await self.monitor.ended_by()
        await self._caught_up()
        if self._console is not None and self._console.panic:
            self._fail(self._kernel_failure())
        elif self._finished:
            with contextlib.suppress(SistasksError):
                await self.monitor.execute("quit")
        else:
            self._fail(self._guest_ended(self._where(), reason))

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
        said = ""
        with contextlib.suppress(OSError), self._files.stderr.open("rb") as file:
            said = file.read(_STDERR_LIMIT).decode("utf-8", "replace").strip()
        self._fail(ends.of_qemu(self._where(said), code, said))

    def _where(self, said: str = "") -> ends.Where:
        return ends.Where(self.name, self._files.console, self._files.stderr, self.console_tail() or said)

    async def _caught_up(self) -> None:
        """Everything that a machine that stands still has said has been read; QEMU wrote it before it told of that."""
        while any(waiting_bytes(source) for source in self._sources):  # noqa: ASYNC110 - nothing is waited for:
            await asyncio.sleep(0)  # each turn of the event loop reads some of it

    async def _drained(self) -> None:
        """Everything that QEMU wrote before its end has been read."""
        if self._lines:
            await asyncio.wait(self._lines, timeout=_EXIT_GRACE)

    async def _raise_failure(self) -> None:
        """If the node's end is on its way, wait for it and raise it."""
        if self._process is not None:
            either: list[asyncio.Future[Any]] = [self._process.exited, self.failed]
            await asyncio.wait(either, timeout=_EXIT_GRACE, return_when=asyncio.FIRST_COMPLETED)
        if self._watchers and not self.failed.done():
            await asyncio.wait(self._watchers[:1], timeout=_EXIT_GRACE)
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
