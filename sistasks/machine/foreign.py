"""One node whose guest is not ours: all that is known of it is what it says on its console, where one can type."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

from sistasks.errors import KernelFailure, NodeError
from sistasks.machine import ends
from sistasks.machine.console import Console
from sistasks.machine.emulator import Emulator
from sistasks.machine.lines import attend, open_keyboard
from sistasks.machine.spec import MARK, Machine, NodeSpec, Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sistasks.errors import SistasksError
    from sistasks.machine.logs import EmulatorFiles


class ForeignNode(Emulator):
    """One QEMU process with a foreign kernel, always booted cold.

    Use as an async context manager: leaving it ends the process. It may run as long as it likes; if it ends by itself,
    or QEMU does, `failed` has the reason, a reboot included.

    Args:
        number: the node's number, from 1.
        machine: what it is made of; without an agent.
        files: where its files are.
        session: the mark of this session, part of the process's name.
        port: gives QEMU's end of this node's port of a switch, for machines with a network.
        on_console: told of all that the console says, as it comes: (the host's monotonic time in ns, bytes).

    Attributes:
        notes: remarks of ours on it, for a person.
    """

    def __init__(
        self,
        number: int,
        machine: Machine,
        files: EmulatorFiles,
        *,
        session: str,
        port: Callable[[int], socket.socket] | None = None,
        on_console: Callable[[int, bytes], None] = lambda _at, _data: None,
    ) -> None:
        super().__init__(f"node {number}", number, machine, files)
        self.files = files
        self.session = session
        self._port = port
        self.on_console = on_console
        self.notes: list[str] = []
        self._keyboard: asyncio.WriteTransport | None = None

    async def start(self) -> None:
        """Start QEMU and connect to it. The guest does not run yet.

        Raises:
            NodeError: QEMU cannot be started or ends at once.
        """
        monitor, qmp = socket.socketpair()
        with contextlib.ExitStack() as theirs:
            theirs.enter_context(qmp)
            console, console_end = open_keyboard(theirs)
            inherited = [qmp.fileno(), console_end]
            if self.machine.network and self._port is not None:
                inherited.append(theirs.enter_context(self._port(self.number)).fileno())
            spec = NodeSpec(
                machine=self.machine,
                role=Role.COLD,
                name=f"{MARK}-{self.session}-node-{self.number}",
                qmp=qmp.fileno(),
                console=console_end,
                network=inherited[2] if len(inherited) > 2 else -1,
                # as the switch knows it: no agent gives each node its own
                mac=f"52:54:77:00:{self.number >> 8:02x}:{self.number & 0xFF:02x}",
            )
            self._spawn(spec, inherited, self.number)
        log = self._stack.enter_context(self.files.console.open("wb", buffering=0))
        self._console = Console(log, self._panicked, self.on_console, self.notes.append)
        self._keyboard = await attend(console, self._console)
        self._transports.append(self._keyboard)
        self._lines = [self._console.closed]
        self._sources = [console]
        await self._connect(monitor)

    def type(self, text: str) -> None:
        """Type at the serial line, as it is; what the guest has no room for yet waits.

        A node that has ended takes no notice; its `failed` tells.
        """
        if self._keyboard is not None:
            self._keyboard.write(text.encode())

    async def within(self, work: Awaitable[Any], limit: float, what: str) -> Any:
        """Wait for something that the console is to bring about, for at most `limit` seconds.

        Args:
            work: an event's or a future's wait.
            limit: seconds.
            what: what the node should do, as in `node 1 did not {what} within 5 s`.

        Raises:
            KernelFailure: it did not, or ended by itself.
            NodeError: QEMU ended, or the firmware never started a kernel.
        """
        try:
            async with asyncio.timeout(limit):
                return await self._unless_failed(work)
        except TimeoutError:
            raise await self.late(f"{self.name} did not {what} within {limit:g} s") from None

    async def late(self, problem: str) -> SistasksError:
        """What it means that the console did not say something in time.

        Args:
            problem: what it did not say, in words.

        Returns:
            A failure of the kernel (`hang`); one of ours if it was never started (`firmware`), or if QEMU does not
            answer (`emulator`).
        """
        if silence := await self.monitor.silence():
            return silence
        remedy, tail = f"see {self.files.console}", self.console_tail()
        if self.in_firmware and not any(processor.in_kernel for processor in await self.processors()):
            problem += ", and nothing tells that its firmware has started a kernel"
            return NodeError(problem, remedy, tail, kind="firmware")
        return KernelFailure(problem, remedy, tail, kind="hang")

    def _guest_ended(self, where: ends.Where, reason: str) -> SistasksError:
        return ends.of_foreign(where, reason)
