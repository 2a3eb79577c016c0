"""The bare script that the product is measured against: the same QEMU commands, and nothing else.

It speaks just enough QMP over a socket pair, reads the lines that QEMU writes and throws them away, and knows neither
frames nor plans nor logs: what is left is what QEMU itself costs.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sistasks.machine.spec import Machine, NodeSpec, Role, command_line

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.machine.template import Template

READY = b"SISF\x02"


@dataclass
class BareNode:
    process: subprocess.Popen[bytes]
    monitor: socket.socket
    lines: list[int]
    answers: Any

    def command(self, name: str, **arguments: object) -> None:
        self.monitor.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        while "return" not in json.loads(self.answers.readline()):
            pass

    def wait_event(self, status: str) -> None:
        while True:
            message = json.loads(self.answers.readline())
            if message.get("event") == "MIGRATION" and message["data"]["status"] == status:
                return

    def read_until(self, mark: bytes | None) -> None:
        """Read both lines until the mark, or until QEMU has closed them."""
        lines, seen = list(self.lines), b""
        while lines:
            for line in select.select(lines, [], [])[0]:
                data = os.read(line, 1 << 16)
                if not data:
                    lines.remove(line)
                elif mark is not None and line == self.lines[1]:
                    seen += data
                    if mark in seen:
                        return

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.close()

    def close(self) -> None:
        for line in self.lines:
            os.close(line)
        self.answers.close()
        self.monitor.close()


def start(machine: Machine, template: Template, plan: Path, number: int) -> BareNode:
    """Start one clone and let it run."""
    monitor, qmp = socket.socketpair()
    pipes = [os.pipe(), os.pipe()]
    with template.state.open("rb") as state:
        spec = NodeSpec(
            machine=machine,
            role=Role.CLONE,
            name=f"bare-{number}",
            plan=plan,
            qmp=qmp.fileno(),
            console=pipes[0][1],
            results=pipes[1][1],
            ram=template.ram,
        )
        inherited = (qmp.fileno(), pipes[0][1], pipes[1][1], state.fileno())
        process = subprocess.Popen(
            command_line(spec),
            pass_fds=inherited,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        node = BareNode(process, monitor, [pipe[0] for pipe in pipes], monitor.makefile("r"))
        for pipe in pipes:
            os.close(pipe[1])
        qmp.close()
        node.answers.readline()  # the greeting
        node.command("qmp_capabilities")
        wanted = [{"capability": name, "state": True} for name in ("x-ignore-shared", "events")]
        node.command("migrate-set-capabilities", capabilities=wanted)
        node.command("migrate-incoming", uri=f"fd:{state.fileno()}")
        node.wait_event("completed")
    node.command("cont")
    return node


def run_all(machine: Machine, template: Template, plans: list[Path], slots: int) -> None:
    """Run each plan to its end, `slots` at a time."""
    gate = threading.Semaphore(slots)

    def one(number: int, plan: Path) -> None:
        with gate:
            node = start(machine, template, plan, number)
            node.read_until(None)
            node.process.wait()
            node.close()

    threads = [threading.Thread(target=one, args=item) for item in enumerate(plans, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def bring_up(machine: Machine, template: Template, plans: list[Path], slots: int) -> list[BareNode]:
    """Start each plan's node, `slots` at a time, and wait until each is ready."""
    gate = threading.Semaphore(slots)
    nodes: list[BareNode] = []

    def one(number: int, plan: Path) -> None:
        with gate:
            node = start(machine, template, plan, number)
            nodes.append(node)
            node.read_until(READY)

    threads = [threading.Thread(target=one, args=item) for item in enumerate(plans, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return nodes


def end_all(nodes: list[BareNode]) -> None:
    for node in nodes:
        with contextlib.suppress(OSError):
            node.end()
