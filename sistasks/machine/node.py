"""One node whose guest is ours: what the agent gets, what it sends, and how it is cloned."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

from sistasks.errors import KernelFailure, NodeError, SistasksError
from sistasks.evidence.records import Evidence
from sistasks.guest.frames import Frame, FrameType
from sistasks.machine import ends
from sistasks.machine.beat import test_under_way
from sistasks.machine.console import Console
from sistasks.machine.emulator import Emulator, settle
from sistasks.machine.lines import open_line, receive
from sistasks.machine.logs import EmulatorFiles
from sistasks.machine.received import ReceivedFiles
from sistasks.machine.results import Allowed, GuestResults, ResultsChannel
from sistasks.machine.spec import MARK, Machine, NodeSpec, Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from sistasks.guest.plan import Plan

_POWER_OFF_LIMIT: Final = 20.0
_MARK_LIMIT: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFiles(EmulatorFiles):
    """Where one node's files are; plan is the page that the agent reads, profile gets the counts of a plugin."""

    plan: Path
    profile: Path | None = None


class Node(Emulator):
    """One QEMU process with one guest of ours. Use as an async context manager: leaving it ends the process.

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
        super().__init__(
            "the template" if role is Role.TEMPLATE else f"node {number}", number, machine, files
        )
        self.role = role
        self.plan = plan
        self.files = files
        self.session = session
        self.ram = ram
        self.state = state
        self._first_frame = first_frame
        self._port = port
        self._on_frame = on_frame
        self._channel: ResultsChannel | None = None
        self._state_fd = -1
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[float] = loop.create_future()
        self.done: asyncio.Future[GuestResults] = loop.create_future()

    def __repr__(self) -> str:
        return f"<{self.name} {self.role.value}>"

    @property
    def results(self) -> GuestResults:
        """What has come from the guest until now."""
        return self._channel.results if self._channel is not None else GuestResults()

    @property
    def next_frame(self) -> int:
        """The sequence number of the frame that is next."""
        return self._channel.next_sequence if self._channel is not None else 0

    @property
    def traces(self) -> tuple[Evidence, ...]:
        """What the guest has traced, as far as it was asked to."""
        paths = self.results.files.paths.items() if self.results.files is not None else ()
        return tuple(
            Evidence(node=self.number, kind="traces", path=path, name=path.name)
            for name, path in paths
            if name in self.plan.tests
        )

    @property
    def page(self) -> bytes:
        """The plan's page."""
        return self.plan.page()

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
            for ours in (monitor, console, results):  # where this is given up before they are taken over
                self._stack.callback(ours.close)
            network = theirs.enter_context(self._network()).fileno() if self.machine.network else -1
            await self._launch(qmp.fileno(), console_end, results_end, network)
        await self._listen(console, results)
        await self._connect(monitor)
        if self.plan.beat:
            self._watchers.append(asyncio.create_task(self._watch_beat()))
        if self.role is not Role.COLD:
            await self.monitor.prepare_transfer()
        if self.role is Role.CLONE:
            await self.monitor.take_state(self._state_fd)

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
        profile = -1
        if self.machine.plugin is not None and self.files.profile is not None:
            profile = self._stack.enter_context(self.files.profile.open("wb")).fileno()
            descriptors.append(profile)
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
            profile=profile,
        )
        self._spawn(spec, descriptors, self.number)

    async def _listen(self, console: IO[bytes], results: IO[bytes]) -> None:
        log = self._stack.enter_context(self.files.console.open("wb", buffering=0))
        # of a second node with this plan they are beside those of the first
        files = ReceivedFiles(self.files.console.parent, f"{self.files.console.stem}.", self.plan.files)
        self._channel = ResultsChannel(
            self._first_frame, self._frame, self._fail_ours, Allowed.by(self.plan), files
        )
        self._console = Console(log, self._panicked, on_log_problem=self._channel.results.notes.append)
        for line, protocol in ((console, self._console), (results, self._channel)):
            self._transports.append(await receive(line, protocol))
        self._lines = [self._console.closed, self._channel.closed]
        self._sources = [console, results]

    async def freeze(self, limit: float) -> None:
        """Let the guest run until it has stopped its machine by the watchdog, and write its state.

        Raises:
            NodeError: it did not within `limit` seconds, or the state cannot be written.
            KernelFailure: the kernel panicked before.
        """
        await self.monitor.run_until_frozen(lambda event: self._within(event, limit))
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
            NodeError: something came after the agent's last word, or what came is damaged.
        """
        assert self._process is not None  # noqa: S101 - start came before
        either: list[asyncio.Future[Any]] = [self._process.exited, self.failed]
        await asyncio.wait(either, timeout=_POWER_OFF_LIMIT, return_when=asyncio.FIRST_COMPLETED)
        await self._drained()
        if self._console is not None and self._console.panic:
            raise self._kernel_failure()
        failure = self.failure
        if failure is not None and failure.kind != "emulator":  # that QEMU goes now is no failure
            raise failure

    async def close(self) -> None:
        """End the process if it still runs, and let go of everything."""
        await super().close()
        settle(self.ready)
        settle(self.done)
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

    async def _watch_beat(self) -> None:
        """The watchdog that the agent sets for each test has stopped the machine: it came to no end of it."""
        await self.monitor.stopped_by_watchdog()
        await self._caught_up()
        test = await test_under_way(self.monitor, self.plan.tests)
        doing = ", ".join(processor.doing for processor in await self.processors() if processor.function)
        problem = f"{self.name}: the agent stopped beating" + (f" in the test {test}" if test else "")
        where = self._where()
        self._fail(
            KernelFailure(
                problem + (f": {doing}" if doing else ""), f"see {where.console}", where.tail, kind="hang"
            )
        )

    def _fail_ours(self, problem: str) -> None:
        self._fail(NodeError(f"{self.name}: {problem}", f"see {self.files.console}", self.console_tail()))

    @property
    def _finished(self) -> bool:
        return self.done.done()

    def _guest_ended(self, where: ends.Where, reason: str) -> SistasksError:
        return ends.of_guest(where, reason, self.machine.memory, stage=self._stage())

    def _stage(self) -> str:
        """What the agent is at, as it goes on after `the guest rebooted`; empty before it has said anything."""
        if not self.results.hello and self._first_frame == 0:
            return ""
        if not self.ready.done():
            return "before it was ready"
        last = self.results.tests[-1] if self.results.tests else None
        if last is not None and last.status == "error" and last.duration_ns == 0:  # it has not ended
            return f"in the test {last.name}"
        return "before its work was done"

    async def _within(self, work: Awaitable[Any], limit: float, started: float | None = None) -> Any:
        """The same, for at most `limit` seconds since `started`."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at((loop.time() if started is None else started) + limit):
                return await self._unless_failed(work)
        except TimeoutError:
            pass
        raise await self._overdue(limit)

    async def _overdue(self, limit: float) -> SistasksError:
        """What it means that the limit has passed: which of QEMU, firmware, kernel and agent has it."""
        late = f"within {limit:g} s"
        where = self._where()
        remedy = f"raise timeout=, or see {where.console}"
        if stuck := await self._stuck():
            return stuck
        silent = not (self.results.hello or self._first_frame) and self.in_firmware
        if silent and not any(processor.in_kernel for processor in await self.processors()):
            problem = f"{self.name}: its firmware did not hand over to a kernel {late}"
            error = NodeError(problem, remedy, where.tail, kind="firmware")
            self._fail(error)
            return error
        return await self._hang(f"{self.name} did not {await self._next_step()} {late}", remedy)

    async def late(self, problem: str) -> SistasksError:
        """What it means that a node whose process runs did not do something in time; the node has failed with it.

        Args:
            problem: what it did not do, in words that name the node.

        Returns:
            A failure of the kernel (`hang`), with what its processors are doing; one of ours (`emulator`) where QEMU
            does not answer; what the node has failed with already, if it has.
        """
        return await self._stuck() or await self._hang(problem, f"see {self.files.console}")

    async def _stuck(self) -> SistasksError | None:
        """Why the guest is not to be blamed: the node has failed already, or fails here, for QEMU is stuck."""
        if not self.failed.done() and (silence := await self.monitor.silence()):
            self._fail(silence)
        return self.failure

    async def _hang(self, problem: str, remedy: str) -> SistasksError:
        doing = ", ".join(processor.doing for processor in await self.processors())
        where = self._where()
        error = KernelFailure(problem + (f": {doing}" if doing else ""), remedy, where.tail, kind="hang")
        self._fail(error)
        return self.failure or error  # what came while its processors were asked says more

    async def _next_step(self) -> str:
        stage = self._stage()
        if not stage:
            return "reach the agent" if self.console_tail() else "say anything"
        if not self.ready.done():
            return "get ready"
        test = await self.under_way()
        return f"finish the test {test}" if test else "finish its tests"

    async def under_way(self) -> str:
        """The test that the agent is in; empty where it is in none, or nothing tells."""
        stage = self._stage()
        if stage.startswith("in the test "):
            return stage.removeprefix("in the test ")
        # under the virtual clock the agent says so only afterwards
        with contextlib.suppress(TimeoutError, SistasksError):
            async with asyncio.timeout(_MARK_LIMIT):
                return await test_under_way(self.monitor, self.plan.tests)
        return ""
