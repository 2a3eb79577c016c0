"""The agent's replicas as processes of this machine: the same C, over UDP on loopback addresses, with sanitizers.

What they say comes through pipes as frames, as from a guest. The network between them cannot be broken here; processes
can be stopped, resumed and killed by their id.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import selectors
import socket
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Self

from native import compile_program

from sistasks.guest.build import sources
from sistasks.guest.frames import FrameParser, FrameType
from sistasks.guest.plan import SECRET_SIZE, Plan, Replica
from sistasks.machine.results import GuestResults

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Mapping

CONTROL_PORT: Final = 7701
_LEFT_OUT: Final = {"main.c", "pci.c", "freeze.c", "modules.c"}
_MAIN: Final = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "sis.h"

bool pci_find(struct pci_device *device, unsigned vendor, unsigned id)
{
    (void)device, (void)vendor, (void)id;
    return false;
}

bool pci_present(struct pci_device *device, unsigned vendor, unsigned id)
{
    return pci_find(device, vendor, id);
}

volatile void *pci_map(const struct pci_device *device, int resource, size_t size)
{
    (void)device, (void)resource, (void)size;
    return NULL;
}

void modules_load_list(const char *list)
{
    (void)list;
}

void power_off(void)
{
    exit(3);
}

int64_t *samples_allocate(uint32_t count)
{
    return calloc(count, sizeof(int64_t));
}

void samples_free(int64_t *samples, uint32_t count)
{
    (void)count;
    free(samples);
}

struct boot_stages boot_stages;

int main(int count, char **arguments)
{
    static char text[PLAN_PAGE + 1];
    struct plan plan;
    char problem[256] = "";
    FILE *file = count == 2 ? fopen(arguments[1], "rb") : NULL;
    if (file == NULL || fread(text, 1, PLAN_PAGE, file) != PLAN_PAGE ||
        !plan_parse(text, &plan, problem, sizeof problem)) {
        fprintf(stderr, "no plan: %s\n", problem);
        return 2;
    }
    fclose(file);
    channel_take(STDOUT_FILENO);
    char *rest = plan.tests;
    for (const char *test; (test = strtok_r(NULL, ",", &rest)) != NULL;) {
        const char *(*run)(const struct plan *, char *, size_t) = strcmp(test, "election") == 0 ? test_election
            : strcmp(test, "partition") == 0 ? test_partition : test_consensus;
        channel_text(FRAME_BEGIN, "test=%s\n", test);
        const char *status = run(&plan, problem, sizeof problem);
        channel_text(FRAME_END, "test=%s\nstatus=%s\nduration_ns=0\nmessage=%s\n", test, status, problem);
    }
    return 0;
}
"""
_INSTANCES: Final = itertools.count(1)


@functools.cache
def program() -> Path:
    """The replica, compiled once a process."""
    folder = Path(tempfile.mkdtemp(prefix="replica-"))
    main = folder / "main.c"
    main.write_text(_MAIN)
    files = [path for path in sources() if path.suffix == ".c" and path.name not in _LEFT_OUT]
    return compile_program(folder / "replica", [main, *files])


def secret(seed: int, a: int, b: int) -> bytes:
    """What two nodes share."""
    low, high = min(a, b), max(a, b)
    return hashlib.sha256(f"{seed} {low} {high}".encode()).digest()[:SECRET_SIZE]


@dataclass(slots=True)
class NativeReplica:
    """One process and what it has said."""

    number: int
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    parser: FrameParser = field(default_factory=FrameParser)
    results: GuestResults = field(default_factory=GuestResults)
    events: list[dict[str, str]] = field(default_factory=list)
    decisions: list[bytes] = field(default_factory=list)

    def told(self, event: str) -> list[dict[str, str]]:
        """Its events of one kind."""
        return [one for one in self.events if one["event"] == event]

    @property
    def height(self) -> int:
        """The height that it has reported last."""
        heights = [int(one["height"]) for one in self.events if "height" in one]
        return heights[-1] if heights else 0

    @property
    def log(self) -> list[tuple[int, int, int, bytes]]:
        """Its log after the end: (round, how, at_ns, command) of each index."""
        entries: list[tuple[int, int, int, bytes]] = []
        for payload in self.decisions:
            first, count = struct.unpack_from("<II", payload)
            assert first == len(entries)
            assert len(payload) == 8 + 48 * count
            entries += list(struct.iter_unpack("<IIQ32s", payload[8:]))
        return entries

    @property
    def commands(self) -> list[bytes]:
        """The commands of its log."""
        return [entry[3] for entry in self.log]


class Replicas:
    """N replicas; use as a context manager. They wait for `start`.

    Args:
        count: how many.
        test: `consensus`, `partition` or `election`.
        then: tests that follow it.
        treasons: node -> what it does to the others.
        quorums: node -> what it takes for a quorum.
        absent: nodes that are not started.
        rest: as in guest.plan.Replica.
    """

    def __init__(
        self,
        count: int,
        *,
        test: str = "consensus",
        then: tuple[str, ...] = (),
        treasons: Mapping[int, str] | None = None,
        quorums: Mapping[int, int] | None = None,
        absent: frozenset[int] = frozenset(),
        decisions: int = 0,
        seed: int = 1,
        timeout: float = 0.5,
        **rest: Any,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="replicas-")
        place = (os.getpid() * 64 + next(_INSTANCES)) % (100 * 250)
        self.network = (127 << 24) + ((100 + place // 250) << 16) + ((place % 250) << 8)
        self._selector = selectors.DefaultSelector()
        self._control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._numbers = itertools.count(1)
        self.nodes: dict[int, NativeReplica] = {}
        self.seed = seed
        for number in range(1, count + 1):
            if number in absent:
                continue
            replica = Replica(
                count=count, cluster_seed=seed,
                secrets=tuple(secret(seed, number, other) for other in range(1, count + 1)),
                network=self.network, timeouts=dict.fromkeys((test, *then), timeout), report=0.02,
                quorum=(quorums or {}).get(number, 0), decisions={test: decisions},
                treasons={test: (treasons or {}).get(number, "")}, **rest,
            )  # fmt: skip
            self._start(Plan(node=number, seed=seed + number, tests=(test, *then), replica=replica))

    def _start(self, plan: Plan) -> None:
        path = Path(self._folder.name) / f"{plan.node}.plan"
        path.write_bytes(plan.page())
        process = subprocess.Popen(
            [program(), path], stdout=subprocess.PIPE, env={"ASAN_OPTIONS": "detect_leaks=0"}
        )
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        node = NativeReplica(plan.node, process, process.stdout)
        self.nodes[plan.node] = node
        self._selector.register(process.stdout, selectors.EVENT_READ, node)

    def __enter__(self) -> Self:
        try:
            self.wait(lambda: all(node.told("waiting") for node in self.nodes.values()))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes.values():
            node.process.kill()
            node.process.wait()
            node.output.close()
        self._selector.close()
        self._control.close()
        self._folder.cleanup()

    def pump(self, seconds: float) -> None:
        """Read what comes, for at most so long."""
        for key, _ in self._selector.select(seconds):
            node: NativeReplica = key.data
            data = node.output.read(1 << 20)
            if not data:
                self._selector.unregister(node.output)
                continue
            for frame in node.parser.feed(data):
                node.results.take(frame)
                if frame.type is FrameType.EVENT:
                    node.events.append(frame.fields())
                elif frame.type is FrameType.DECISIONS:
                    node.decisions.append(frame.payload)

    def wait(self, until: Callable[[], bool], limit: float = 30.0) -> bool:
        """Read until something holds; whether it does within the limit."""
        end = time.monotonic() + limit
        while not until():
            left = end - time.monotonic()
            if left <= 0 or not self._selector.get_map():
                return until()
            self.pump(min(left, 0.1))
        return True

    def order(self, word: str, to: list[int] | None = None, number: int = 0) -> int:
        """Tell them something, all or some: its number, which is a new one unless it is given."""
        number = number or next(self._numbers)
        for node in to or list(self.nodes):
            address = socket.inet_ntoa((self.network + node).to_bytes(4, "big"))
            self._control.sendto(f"SISCTL {number} {word}\n".encode(), (address, CONTROL_PORT))
        return number

    def start(self, *to: int) -> None:
        """Let them begin: all, or some."""
        self.order("start", list(to))

    def stop(self, limit: float = 20.0) -> None:
        """End those that still run, and read their logs.

        Raises:
            AssertionError: one of them failed.
        """
        running = [number for number, node in self.nodes.items() if node.process.poll() is None]
        self.order("stop", running)
        ended = self.wait(
            lambda: all(self.nodes[number].output not in self._open() for number in running), limit
        )
        assert ended, {number: self.nodes[number].told("stopped") for number in running}
        for number in running:
            assert self.nodes[number].process.wait(5) == 0, number

    def _open(self) -> set[Any]:
        return {key.fileobj for key in self._selector.get_map().values()}

    def reached(self, height: int, *nodes: int, limit: float = 30.0) -> bool:
        """Whether all, or some, report that height within the limit."""
        wanted = nodes or tuple(self.nodes)
        return self.wait(lambda: all(self.nodes[node].height >= height for node in wanted), limit)

    def signal(self, number: int, which: signal.Signals) -> None:
        """Stop (SIGSTOP), resume (SIGCONT) or kill (SIGKILL) one of them."""
        os.kill(self.nodes[number].process.pid, which)


def agree(nodes: list[NativeReplica]) -> bool:
    """Whether all logs are prefixes of the longest."""
    longest = max((node.commands for node in nodes), key=len)
    return all(node.commands == longest[: len(node.commands)] for node in nodes)
