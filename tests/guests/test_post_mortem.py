"""Kernels that panic, hang and reboot: each is kept as it is, looked at, and can be booted again by hand."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from running import LIMIT
from test_failures import INITS, machine

from sistasks.errors import KernelFailure, NodeError, SistasksError
from sistasks.guest.frames import FrameType
from sistasks.guest.plan import Plan
from sistasks.machine import template
from sistasks.machine.kallsyms import Memory, rows
from sistasks.machine.node import Node, NodeFiles
from sistasks.machine.spec import Role
from sistasks.machine.vmcore import Vmcore
from sistasks.settings import resolve
from sistasks.suites.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from guest_project import Project

    from sistasks.machine.spec import Machine

pytestmark = pytest.mark.guest

INITS["spins"] = "int main(void) { for (volatile int i = 0;; i++) { } }\n"
INITS["reboots"] = "#include <sys/reboot.h>\nint main(void) { return reboot(RB_AUTOBOOT); }\n"


class Left(NamedTuple):
    """What a node left: its error, its evidence by name, and the facts."""

    error: SistasksError
    files: dict[str, Path]
    facts: dict[str, Any]


def post_mortem(
    node: Node, folder: Path, work: Callable[[Node], Awaitable[object]], dumps: str = "auto"
) -> Awaitable[Left]:
    """Run a node until it fails."""

    async def run() -> Left:
        async with node:
            await node.start()
            await node.go()
            with pytest.raises(SistasksError) as caught:
                await work(node)
            found = await node.post_mortem(folder / "seen", error=caught.value, dumps=dumps)
        files = {one.name: one.path for one in found}
        return Left(caught.value, files, json.loads(files["post_mortem.json"].read_text()))

    return run()


def cold(made: Machine, folder: Path, *, limit: float = LIMIT, dumps: str = "auto") -> Left:
    """A node booted cold that must fail."""

    async def run() -> Left:
        files = NodeFiles(plan=folder / "plan", console=folder / "console", stderr=folder / "stderr")
        node = Node(1, made, Role.COLD, Plan(node=1, seed=1), files, session="t")
        return await post_mortem(node, folder, lambda node: node.wait_ready(limit), dumps)

    return asyncio.run(run())


def core_of(left: Left) -> Vmcore:
    """The dump, with what it says of its kernel."""
    lines = re.findall(rb"([A-Z(_a-z0-9.)]+)=([^\n]*)\n", left.files["vmcore"].read_bytes()[: 1 << 20])
    return Vmcore(0, 0, {key.decode(): value.decode() for key, value in lines})


def test_a_panic_is_looked_at_and_can_be_had_again(project: Project, tmp_path: Path) -> None:
    left = cold(machine(project, tmp_path, "exits"), tmp_path)
    assert isinstance(left.error, KernelFailure)
    assert (left.error.kind, left.facts["status"]) == ("panic", "shutdown")
    assert set(left.facts["steps"].values()) == {"done"}
    (processor,) = left.facts["processors"]
    names = [name.partition("+")[0] for name in processor["stack"]]
    assert "panic" in names, "named without any file of symbols, wherever the kernel was put"
    dump = left.files["vmcore"]
    with Memory(dump) as memory:
        banner = {name[1:]: address for address, name in rows(memory, core_of(left))}["linux_banner"]
        said = memory.read(banner, 14)
    assert said == b"Linux version "
    if gdb := shutil.which("gdb"):
        command = [gdb, "-batch", "-ex", f"target core {dump}", "-ex", f"x/s {banner:#x}", "-ex", "x/i $pc"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert '"Linux version ' in shown
        assert f"=> {int(processor['address'], 16):#x}" in shown
    if crash := shutil.which("crash"):
        told = subprocess.run([crash, "--osrelease", dump], capture_output=True, text=True, check=True).stdout
        assert told.strip() == left.facts["vmcore"]["release"] != ""
    again = subprocess.run(
        ["sh", left.files["boot.sh"]],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    assert "Kernel panic - not syncing: Attempted to kill init!" in again.stdout
    shutil.rmtree(again.stderr.split()[1])


def test_a_hang_tells_busy_processors_from_idle_ones(project: Project, tmp_path: Path) -> None:
    left = cold(replace(machine(project, tmp_path, "spins"), cpus=2), tmp_path, limit=6)
    assert isinstance(left.error, KernelFailure)
    assert left.error.kind == "hang"
    assert left.error.problem.startswith("node 1 did not reach the agent within 6 s: processor 0 is ")
    states = re.findall(r"processor \d is (busy|halted)", left.error.problem)
    assert sorted(states) == sorted(one["state"] for one in left.facts["processors"]) == ["busy", "halted"]
    assert "vmcore" in left.files


def test_a_kernel_that_stays_after_its_panic_is_stopped(project: Project, tmp_path: Path) -> None:
    left = cold(machine(project, tmp_path, "exits", "panic=0"), tmp_path, dumps="no")
    assert isinstance(left.error, KernelFailure)
    assert left.error.problem.startswith(
        "node 1: the kernel panicked: Kernel panic - not syncing: Attempted to kill"
    )
    assert (left.error.kind, left.facts["status"]) == ("panic", "paused")


def test_a_reboot_is_no_power_off(project: Project, tmp_path: Path) -> None:
    left = cold(machine(project, tmp_path, "reboots"), tmp_path, dumps="no")
    assert isinstance(left.error, KernelFailure)
    assert left.error.problem == "node 1: the kernel rebooted before it reached the agent"
    assert left.error.kind == "reboot"
    assert "vmcore" not in left.files


def test_firmware_that_hands_over_to_nothing_is_not_the_kernels_failure(
    project: Project, tmp_path: Path
) -> None:
    """Flash chips full of ones: the processor never leaves its first instruction."""
    code, variables = tmp_path / "code", tmp_path / "vars"
    code.write_bytes(b"\xeb\xfe" * (1 << 19))
    variables.write_bytes(b"\xff" * (1 << 16))
    made = replace(machine(project, tmp_path, "exits"), firmware=(code, variables))
    left = cold(made, tmp_path, limit=1)
    assert isinstance(left.error, NodeError)
    assert left.error.problem == "node 1: its firmware did not hand over to a kernel within 1 s"
    assert left.error.kind == left.facts["kind"] == "firmware"
    assert "vmcore" not in left.files, "no kernel failed"


def test_a_kernel_that_says_nothing_is_known_by_where_it_is(project: Project, tmp_path: Path) -> None:
    """Firmware that was given the kernel need not tell that it has started it."""
    made = machine(project, tmp_path, "sleeps", "quiet", "loglevel=0")
    files = NodeFiles(plan=tmp_path / "plan", console=tmp_path / "console", stderr=tmp_path / "stderr")

    async def run() -> None:
        async with Node(1, made, Role.COLD, Plan(node=1, seed=1), files, session="t") as node:
            await node.start()
            await node.go()
            async with asyncio.timeout(LIMIT):
                while not any(processor.in_kernel for processor in await node.processors()):
                    pass
            node.machine = replace(made, firmware=(tmp_path / "code", tmp_path / "variables"))
            assert node.in_firmware, "nothing on the console tells"
            with pytest.raises(
                KernelFailure, match=r"^node 1 did not say anything within 0\.1 s: "
            ) as caught:
                await node.wait_ready(0.1)
            assert caught.value.kind == "hang"

    asyncio.run(run())


def test_a_clone_that_stops_in_a_test_says_in_which(project: Project, tmp_path: Path) -> None:
    output = project.folder / "target/testing"
    variables = {"output": str(output), "memory": "128M"}
    recipe = Recipe.load(resolve(variables, environ={}, pyproject=Path("/nonexistent")))
    frozen = template.load(output / "templates", recipe.template_key())
    assert frozen is not None

    async def run() -> Left:
        files = NodeFiles(plan=tmp_path / "plan", console=tmp_path / "console", stderr=tmp_path / "stderr")
        plan = Plan(node=1, seed=1, tests=("context_switch",), iterations=1_000_000, aligned=False)
        begun = asyncio.Event()
        node = Node(
            1, recipe.machine, Role.CLONE, plan, files, session="t", ram=frozen.ram, state=frozen.state,
            first_frame=frozen.first_frame,
            on_frame=lambda _, frame: begun.set() if frame.type is FrameType.BEGIN else None,
        )  # fmt: skip

        async def stop_in_the_test(node: Node) -> None:
            await begun.wait()
            await node.pause()
            await node.wait_done(0.2)

        return await post_mortem(node, tmp_path, stop_in_the_test)

    left = asyncio.run(run())
    assert isinstance(left.error, KernelFailure)
    said = "node 1 did not finish the test context_switch within 0.2 s: processor 0 is stopped"
    assert left.error.problem == said
    assert left.facts["status"] == "paused"
    assert left.facts["processors"][0]["doing"].startswith("processor 0 is stopped")
    assert left.facts["vmcore"]["kernel_offset"] == "0x0", "the virtual clock knows no chance"
    assert template.load(output / "templates", recipe.template_key()) is not None
