"""Replicas in a world of our own: the agent's C, message by message, on a clock and a network that a seed decides.

Each node is a copy of one shared library (so that each has its own variables) with the real wire, ledger, catch-up and
traitor; only the sockets and the clock are ours. What happens repeats to the bit, so a seed is a test case.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import heapq
import itertools
import random
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks.guest.build import AGENT
from sistasks.kinds import host_arch
from sistasks.machine.arch import ARCHES
from sistasks.tools import find_compiler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MILLISECOND: Final = 1_000_000
TREASONS: Final = (
    "", "silent", "equivocate", "corrupt", "replay", "late", "false_view", "flood", "forge",
)  # fmt: skip
COMMAND_SIZE: Final = 32
_SHARED: Final = ("sha256.c", "wire.c", "ledger.c", "catchup.c", "traitor.c")
_RENAMED: Final = ("sendto", "sendmmsg", "recvmmsg")
_WORLD: Final = Path(__file__).parent / "replica_world.c"
_SEND: Final = ctypes.CFUNCTYPE(None, ctypes.c_uint, ctypes.POINTER(ctypes.c_uint8), ctypes.c_size_t)
_TELL: Final = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p)


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="simulation-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def _library(protocol: str) -> Path:
    """One node's code as a shared library; without address sanitizer, which a library cannot bring along."""
    target = _folder() / f"{protocol}.so"
    own = sorted((AGENT / "replica").glob(f"{protocol}*.c"))
    files = [_WORLD, AGENT / "random.c", *(AGENT / "replica" / name for name in _SHARED), *own]
    renamed = [f"-D{name}=sim_{name}" for name in _RENAMED]
    command = [
        *find_compiler(ARCHES[host_arch()]), "-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-fPIC",
        "-shared", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error", "-Wl,-Bsymbolic", f"-I{AGENT}",
        f"-DPROTOCOL={protocol}", *renamed, *map(str, files), "-o", str(target),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


@functools.cache
def _node_library(protocol: str, node: int) -> ctypes.CDLL:
    copy = _folder() / f"{protocol}-{node}.so"
    shutil.copyfile(_library(protocol), copy)
    library = ctypes.CDLL(str(copy))
    library.sim_tick.argtypes = [ctypes.c_uint64]
    library.sim_deliver.argtypes = [ctypes.c_uint64, ctypes.c_char_p, ctypes.c_size_t]
    library.sim_counter.argtypes = [ctypes.c_uint]
    for function in (library.sim_tick, library.sim_deliver, library.sim_begin, library.sim_counter):
        function.restype = ctypes.c_uint64
    return library


@dataclass(slots=True)
class Node:
    """One replica of the simulation."""

    number: int
    library: ctypes.CDLL
    due: int = 0
    stopped: bool = False
    waiting: list[bytes] = field(default_factory=list)
    events: list[tuple[int, str, dict[str, str]]] = field(default_factory=list)

    @property
    def height(self) -> int:
        """How many commands it has decided."""
        return int(self.library.sim_height())

    @property
    def round(self) -> int:
        """Its view or term."""
        return int(self.library.sim_round())

    @property
    def commands(self) -> list[bytes]:
        """What it has decided, in order."""
        out = ctypes.create_string_buffer(COMMAND_SIZE)
        commands = []
        for index in range(self.height):
            self.library.sim_command(index, out)
            commands.append(out.raw)
        return commands

    def counter(self, which: str) -> int:
        """One of the wire's counters."""
        names = ("sent", "received", "malformed", "forged", "unsendable")
        return int(self.library.sim_counter(names.index(which)))

    def told(self, event: str) -> list[dict[str, str]]:
        """What it has told of one kind."""
        return [fields for _, name, fields in self.events if name == event]


@dataclass(slots=True, kw_only=True)
class Network:
    """What befalls datagrams: probabilities, and delays in nanoseconds."""

    loss: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    delay: tuple[int, int] = (MILLISECOND // 20, MILLISECOND // 5)
    cut: Callable[[int, int], bool] = lambda a, b: False  # noqa: ARG005 (nothing is cut)


class Simulation:
    """N replicas of one protocol, started at time 0.

    Only one simulation of a protocol lives at a time: the next takes its nodes.

    Args:
        protocol: `hotstuff`, `election` or `pbft`.
        count: how many.
        seed: of the network and of the cluster.
        treasons: node -> one of TREASONS.
        timeout: nanoseconds.
        quorum: 0: as the protocol needs.
    """

    def __init__(
        self,
        protocol: str,
        count: int,
        *,
        seed: int = 1,
        treasons: Mapping[int, str] | None = None,
        timeout: int = 20 * MILLISECOND,
        decisions: int = 0,
        quorum: int = 0,
        authenticate: bool = True,
        pipeline: int = 1,
        network: Network | None = None,
    ) -> None:
        self.now = 1
        self.timeout = timeout
        self.network = network or Network()
        self.dice = random.Random(f"{seed} {count}")  # noqa: S311 (repeatable, not secret)
        self.sent = 0
        self._treasons = dict(treasons or {})
        self._queue: list[tuple[int, int, int, bytes | None]] = []
        self._order = itertools.count()
        self._keep: list[object] = []
        self.nodes = {number: Node(number, _node_library(protocol, number)) for number in range(1, count + 1)}
        for number, node in self.nodes.items():
            send, say = _SEND(self._sender(number)), _TELL(self._teller(node))
            self._keep += [send, say]
            treason = TREASONS.index(self._treasons.get(number, ""))
            words = (number, count, quorum, seed, timeout, decisions, int(authenticate), treason, pipeline)
            array = (ctypes.c_uint64 * len(words))(*words)
            next_due = node.library.sim_begin(ctypes.c_uint64(self.now), array, send, say)
            self._schedule(node, next_due)

    @property
    def loyal(self) -> list[Node]:
        """Those without treason."""
        return [node for number, node in self.nodes.items() if number not in self._treasons]

    def _sender(self, number: int) -> Callable[[int, object, int], None]:
        def send(to: int, data: object, size: int) -> None:
            self.sent += 1
            if to in self.nodes:
                self.post(number, to, ctypes.string_at(data, size))  # type: ignore[arg-type]  # a C pointer

        return send

    def _teller(self, node: Node) -> Callable[[bytes, bytes], None]:
        def say(event: bytes, text: bytes) -> None:
            fields = dict(line.split("=", 1) for line in text.decode().splitlines())
            node.events.append((self.now, event.decode(), fields))

        return say

    def post(self, number: int, to: int, data: bytes) -> None:
        """Hand a datagram of a node to the network."""
        network = self.network
        for _ in range(2 if self.dice.random() < network.duplicate else 1):
            if network.cut(number, to) or self.dice.random() < network.loss:
                continue
            if self.dice.random() < network.corrupt:
                at = self.dice.randrange(len(data))
                data = data[:at] + bytes([data[at] ^ 1 << self.dice.randrange(8)]) + data[at + 1 :]
            when = self.now + self.dice.randint(*network.delay)
            heapq.heappush(self._queue, (when, next(self._order), to, data))

    def _schedule(self, node: Node, due: int) -> None:
        if due != 0 and (node.due == 0 or due < node.due):
            node.due = max(due, self.now)
            heapq.heappush(self._queue, (node.due, next(self._order), node.number, None))

    def step(self) -> bool:
        """One message or timer; False: nothing will ever happen."""
        if not self._queue:
            return False
        when, _, number, data = heapq.heappop(self._queue)
        self.now = max(self.now, when)
        node = self.nodes[number]
        if node.stopped:
            # as a stopped process: timers wait, messages queue
            node.due = 0
            if data is not None:
                node.waiting.append(data)
        elif data is None:
            if when == node.due:
                node.due = 0
                self._schedule(node, int(node.library.sim_tick(self.now)))
        else:
            self._schedule(node, int(node.library.sim_deliver(self.now, data, len(data))))
        return True

    def resume(self, number: int) -> None:
        """Let a stopped node run: its timers first, then what has come meanwhile."""
        node = self.nodes[number]
        node.stopped = False
        node.due = 0
        self._schedule(node, self.now)
        for data in node.waiting:
            heapq.heappush(self._queue, (self.now, next(self._order), number, data))
        node.waiting.clear()

    def run(self, until: Callable[[], bool], limit: int) -> bool:
        """Go on until something holds, at most `limit` nanoseconds of its clock; whether it holds."""
        end = self.now + limit
        while not until():
            if self.now > end or not self.step():
                return until()
        return True

    def reached(self, height: int, *nodes: int, limit: int = 20_000 * MILLISECOND) -> bool:
        """Whether all loyal nodes, or some, get so far."""
        wanted = [self.nodes[number] for number in nodes] or self.loyal
        return self.run(lambda: all(node.height >= height for node in wanted), limit)

    def agreed(self) -> bool:
        """Whether the logs of all loyal nodes are prefixes of the longest."""
        logs = [node.commands for node in self.loyal]
        longest = max(logs, key=len)
        return all(log == longest[: len(log)] for log in logs)
