"""QEMU's monitor (QMP, by the `qemu.qmp` library), with our errors and the few dialogues that a node needs."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from qemu.qmp import EventListener, ExecInterruptedError, ExecuteError, QMPClient
from qemu.qmp.error import QMPError
from qemu.qmp.protocol import ConnectError

from sistasks.errors import NodeError, SistasksError

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Awaitable, Callable

# an answer takes milliseconds, a transfer little more: its memory stays in a file
_ANSWER_LIMIT: Final = 60.0
# of the shortest question, where the guest is late already
_ASKED_LIMIT: Final = 3.0
# a template's memory stays in its file, and the end of a transfer is an event
_CAPABILITIES: Final = [
    {"capability": "x-ignore-shared", "state": True},
    {"capability": "events", "state": True},
]


class Monitor:
    """One node's monitor.

    Args:
        name: what the node is called in messages.
        unless_failed: waits for something, or raises what became of the node meanwhile.
        explain: raises what became of the node, if that is why the monitor is silent.
    """

    def __init__(
        self,
        name: str,
        unless_failed: Callable[[Awaitable[Any]], Awaitable[Any]],
        explain: Callable[[], Awaitable[None]],
    ) -> None:
        self._name = name
        self._unless_failed = unless_failed
        self._explain = explain
        self._client = QMPClient(name)
        self._ends = EventListener(("SHUTDOWN", "GUEST_PANICKED"))
        self._client.register_listener(self._ends)

    async def connect(self, sock: socket.socket) -> None:
        """Connect over our end of a socket pair.

        Raises:
            NodeError: QEMU does not answer.
        """
        sock.setblocking(False)
        try:
            async with self._answering("the greeting"):
                await self._client.connect(sock)
        except ConnectError as error:
            await self._explain()
            raise NodeError(f"{self._name}: QEMU's monitor does not answer: {error}") from error

    @contextlib.asynccontextmanager
    async def _answering(self, what: str) -> AsyncIterator[None]:
        """A QEMU that lives and says nothing (stopped, or stuck in its accelerator) is not waited for for ever."""
        try:
            async with asyncio.timeout(_ANSWER_LIMIT):
                yield
        except TimeoutError:
            raise NodeError(
                f"{self._name}: QEMU's monitor said nothing to {what} for {_ANSWER_LIMIT:g} s",
                "accel=tcg, or another QEMU",
            ) from None

    async def disconnect(self) -> None:
        """Let go; what a monitor says whose process has ended is moot."""
        with contextlib.suppress(QMPError, OSError, EOFError):
            await self._client.disconnect()

    async def ended_by(self) -> str:
        """Wait for the guest to end its machine, and return QEMU's word for how; `guest-panic` if it said so itself.

        The machine then stands still.
        """
        while True:
            event: Any = await self._ends.get()
            if event["event"] == "GUEST_PANICKED":
                return "guest-panic"
            if event["data"]["guest"]:
                return str(event["data"]["reason"])

    async def stopped_by_watchdog(self) -> None:
        """Wait until the guest's watchdog has stopped the machine."""
        with self._client.listener("WATCHDOG") as events:
            await events.get()

    async def execute(self, command: str, **arguments: object) -> Any:
        """Run one command and return its answer.

        Raises:
            NodeError: QEMU refuses it or is gone.
        """
        try:
            async with self._answering(command):
                return await self._client.execute(command, dict(arguments) or None)
        except ExecuteError as error:
            raise NodeError(f"{self._name}: QEMU refuses {command}: {error}") from error
        except (ExecInterruptedError, QMPError, OSError, EOFError) as error:
            await self._explain()
            raise NodeError(f"{self._name}: QEMU's monitor is gone: {error!r}") from error

    async def silence(self) -> SistasksError | None:
        """Ask whether QEMU is at work at all: why it does not answer soon; None if it does."""
        try:
            async with asyncio.timeout(_ASKED_LIMIT):
                await self.execute("query-status")
        except TimeoutError:
            remedy = "a host that is too busy, or a fault of QEMU's own: fewer nodes=, or another QEMU"
            return NodeError(f"{self._name}: QEMU does not answer", remedy, kind="emulator")
        except SistasksError as error:  # it was at its end, which tells why
            return error
        return None

    async def prepare_transfer(self) -> None:
        """Set what both ends of a template's way must agree on."""
        await self.execute("migrate-set-capabilities", capabilities=_CAPABILITIES)

    async def take_state(self, descriptor: int) -> None:
        """Take the device state from a descriptor that QEMU has inherited.

        Raises:
            NodeError: it does not fit this machine.
        """
        with self._client.listener("MIGRATION") as events:
            await self.execute("migrate-incoming", uri=f"fd:{descriptor}")
            await self._transferred(events)

    async def save_state(self, descriptor: int) -> None:
        """Write the stopped machine's device state to a descriptor of ours.

        Raises:
            NodeError: it cannot be written (a full disk, for one).
        """
        with self._client.listener("MIGRATION") as events:
            await self.give_descriptor("state", descriptor)
            await self.execute("migrate", uri="fd:state")
            await self._transferred(events)

    async def give_descriptor(self, name: str, descriptor: int) -> None:
        """Let QEMU have a descriptor of ours, which it then knows as `fd:name`.

        Raises:
            NodeError: it does not take it.
        """
        # a name travels with the descriptor
        self._client.send_fd_scm(descriptor)
        await self.execute("getfd", fdname=name)

    async def screen(self, descriptor: int) -> None:
        """Write what the display shows as PNG to a descriptor of ours.

        Raises:
            NodeError: there is no display, or it cannot be written.
        """
        self._client.send_fd_scm(descriptor)
        number = (await self.execute("add-fd"))["fdset-id"]
        await self.execute("screendump", filename=f"/dev/fdset/{number}", format="png")

    async def _transferred(self, events: EventListener) -> None:
        while True:
            async with self._answering("the template's transfer"):
                event = await self._unless_failed(events.get())
            status = event["data"]["status"]
            if status == "completed":
                return
            if status in {"failed", "cancelled"}:
                answer = await self.execute("query-migrate")
                words = answer.get("error-desc", "QEMU gives no reason")
                raise NodeError(
                    f"{self._name}: the template's state cannot be passed: {words}", "doit -a template"
                )

    async def run_until_frozen(self, wait: Callable[[Awaitable[Any]], Awaitable[Any]]) -> None:
        """Let the guest run until its watchdog stops the machine; `wait` bounds the waiting.

        Raises:
            KernelFailure: the guest ended its machine.
            NodeError: something else stopped it.
        """
        with self._client.listener("STOP") as events:
            await self.execute("cont")
            await wait(events.get())
        status = (await self.execute("query-status"))["status"]
        if status != "watchdog":
            await self._explain()
            raise NodeError(f"{self._name}: QEMU stopped it ({status})")
