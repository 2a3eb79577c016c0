"""The tiny kernel, booted for real from an ESP through OVMF and AAVMF: the whole way of a foreign kernel."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sistasks import firmware
from sistasks.errors import FirmwareError, KernelFailure
from sistasks.machine.arch import ARCHES
from sistasks.machine.foreign import ForeignNode
from sistasks.machine.logs import EmulatorFiles
from sistasks.machine.spec import Machine
from sistasks.protocols.profile import SIS
from sistasks.protocols.reader import reader_for
from sistasks.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import ModuleType

    from sistasks.protocols.records import Reading

pytestmark = pytest.mark.guest

# a start through firmware takes seconds; a host that is busy with other tests, ten times as long
LIMIT = 100.0
PROMPT = b"sis> "


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_minikernel", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = load(Path(__file__).parent / "minikernel" / "build.py")


@pytest.fixture(scope="module", params=["x86_64", "arm64"])
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine that boots the kernel."""
    return make(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def fast_machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """The one that boots fastest, for what is the same on all."""
    return make("x86_64", tmp_path_factory.mktemp("fast"))


def make(name: str, folder: Path) -> Machine:
    arch = ARCHES[name]
    qemu = shutil.which(arch.qemu)
    compiler = build.find_compiler(name)
    if qemu is None or not compiler:
        pytest.skip(
            f"{arch.qemu} is not here" if qemu is None else f"none of {build.COMPILERS[name]} is here"
        )
    try:
        found = firmware.find(arch, Settings(arch=name, firmware_mirror="http://127.0.0.1:9"), folder)
    except FirmwareError as error:
        pytest.skip(f"no firmware for {name}: {error.problem}")
    # a name that would be three options of QEMU's, if it were not told apart
    esp = folder / "a, b:c=d"
    build.build(name, esp, compiler)
    return Machine(
        arch=arch, qemu=Path(qemu), accel="tcg", cpu=arch.cpu, cpus=1, memory=256 << 20, clock="wall",
        esp=esp, agent=False, firmware=(found.code, found.vars),
    )  # fmt: skip


class Talk:
    """A node that is typed at; what it says is waited for."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.said = b""
        self.times: list[int] = []
        self._news = asyncio.Event()
        self.files = EmulatorFiles(console=folder / "console.log", stderr=folder / "qemu.log")
        self.node = ForeignNode(1, machine, self.files, session="test", on_console=self._hear)

    def _hear(self, at: int, data: bytes) -> None:
        self.said += data
        self.times.append(at)
        self._news.set()

    async def until(self, words: bytes, limit: float = LIMIT) -> bytes:
        """Wait for words, and take all that was said up to them."""

        async def come() -> None:
            while words not in self.said:
                self._news.clear()
                await self._news.wait()

        await self.node.within(come(), limit, f"say {words!r}")
        said, _, self.said = self.said.partition(words)
        return said

    async def ask(self, command: str) -> str:
        """Type a command; what it answers."""
        self.node.type(f"{command}\r")
        await self.until(f"{command}\r\n".encode())
        return (await self.until(b"\r\n" + PROMPT)).decode()


def talk(machine: Machine, folder: Path, dialogue: Callable[[Talk], Awaitable[None]]) -> None:
    """Boot, wait for the prompt, talk, end."""

    async def main() -> None:
        one = Talk(machine, folder)
        async with one.node:
            await one.node.start()
            await one.node.go()
            await one.until(PROMPT)
            await dialogue(one)

    asyncio.run(main())


def test_the_console_protocol_finds_all_it_needs(machine: Machine, tmp_path: Path) -> None:
    """Marks, the prompt, every test with its samples: by the reader that any kernel's console has."""

    async def main() -> Reading:
        ended = asyncio.Event()

        def hear(at: int, data: bytes) -> None:
            node.type(reader.feed(at, data))
            if reader.done:
                ended.set()

        files = EmulatorFiles(console=tmp_path / "console.log", stderr=tmp_path / "qemu.log")
        node = ForeignNode(2, machine, files, session="test", on_console=hear)
        reader = reader_for(SIS, node=2, nodes=4)
        async with node:
            await node.start()
            await node.go()
            await node.within(ended.wait(), LIMIT, "end its tests")
        return reader.result()

    reading = asyncio.run(main())
    assert (reading.status, reading.panic, reading.findings) == ("pass", "", ())
    assert list(reading.marks) == list(SIS.marks)
    assert reading.ready is not None
    assert list(reading.marks.values()) == sorted(reading.marks.values())
    results = {result.name: result for result in reading.results}
    assert {name for name in results if name != "boot"} == set(SIS.tests)
    assert {
        name: len(series.values) for result in results.values() for name, series in result.metrics.items()
    } == {
        "counter_hz": 1, "ai_inference_us": 64, "ctx_switch_ns": 64, "memory_alloc_ns": 64, "consensus_us": 16,
    }  # fmt: skip
    for result in results.values():
        for series in result.metrics.values():
            assert all(value > 0 for value in series.values), result.name
    log = (tmp_path / "console.log").read_bytes()
    assert b"sis> consensus_test start_node 2 4\r\n" in log
    # of QEMU's own words there are only those of its end
    assert all("terminating on signal" in line for line in (tmp_path / "qemu.log").read_text().splitlines())


def test_it_takes_bad_commands_and_talks_garbage_and_goes_on(machine: Machine, tmp_path: Path) -> None:
    async def dialogue(one: Talk) -> None:
        assert "unknown command 'perf'" in await one.ask("perf")
        assert "unknown command" in await one.ask("x" * 100)
        for command in (
            "perf_test", "perf_test nothing", "consensus_test start_node 5 4", "consensus_test start_node 1 3",
            "consensus_test start_node 1 65", "consensus_test start_node 0 4", "consensus_test start_node -1 4",
            "consensus_test start_node 1 4294967300", "consensus_test",
        ):  # fmt: skip
            assert (await one.ask(command)).startswith("ERROR"), command
        for nodes in (4, 64):
            assert (await one.ask(f"consensus_test start_node 1 {nodes}")).endswith("CONSENSUS_SUCCESS")
        one.node.type("perf_tesx\x7ft  \b ai_inference\n")  # a slip, mended
        assert b"METRIC ai_inference_us=" in await one.until(b"TEST PASSED\r\n" + PROMPT)
        metrics = await one.ask("garbage metrics")
        assert "METRIC ctx_switch_ns=banana" in metrics
        assert len(metrics.splitlines()) == 1009
        one.node.type("garbage\r")
        await one.until(b"garbage\r\n")
        assert len(await one.until(b"\r\n" + PROMPT)) == 1 << 16
        assert (await one.ask("perf_test memory_alloc")).endswith("TEST PASSED")
        assert one.times == sorted(one.times)
        # the end that it chooses itself is told as what it was
        one.node.type("reboot\r" if machine.arch.name == "x86_64" else "off\r")
        with pytest.raises(
            KernelFailure, match=r"^node 1: the kernel (rebooted|powered off); see "
        ) as failure:
            await one.node.within(asyncio.Event().wait(), LIMIT, "end")
        assert ("rebooted" in str(failure.value)) == (machine.arch.name == "x86_64")

    talk(machine, tmp_path, dialogue)


def test_a_panic_is_told_and_the_kernel_stands_still(machine: Machine, tmp_path: Path) -> None:
    async def dialogue(one: Talk) -> None:
        one.node.type("panic\r")
        await one.until(b"PANIC: invalid opcode at 0x")
        await one.until(b"\r\n")
        assert not one.node.failed.done()
        assert one.node.console_tail(1).startswith("PANIC: invalid opcode")

    talk(machine, tmp_path, dialogue)


def test_a_hang_is_told_after_its_limit(fast_machine: Machine, tmp_path: Path) -> None:
    async def dialogue(one: Talk) -> None:
        one.node.type("hang\rhelp\r")
        await one.until(b"hang\r\n")
        with pytest.raises(
            KernelFailure, match=r"^node 1 did not say b'sis> ' within 0\.3 s; see .*console\.log"
        ) as failure:
            await one.until(PROMPT, limit=0.3)
        assert failure.value.detail.endswith("sis> hang")

    talk(fast_machine, tmp_path, dialogue)


def test_a_partition_without_the_kernel_is_told_by_the_loader(fast_machine: Machine, tmp_path: Path) -> None:
    assert fast_machine.esp is not None
    esp = tmp_path / "esp"
    shutil.copytree(fast_machine.esp, esp)
    (esp / build.KERNEL_FILE).write_bytes(b"\x7fELF and then nothing of use")

    async def main() -> None:
        import dataclasses

        one = Talk(dataclasses.replace(fast_machine, esp=esp), tmp_path)
        async with one.node:
            await one.node.start()
            await one.node.go()
            await one.until(rb"\EFI\SIS\KERNEL.ELF is no kernel of this machine")

    asyncio.run(main())


def test_the_same_sources_give_the_same_files(fast_machine: Machine, tmp_path: Path) -> None:
    assert fast_machine.esp is not None
    done = build.main(["x86_64", str(tmp_path)])
    assert done == 0
    for place in (build.BOOT_FILES["x86_64"], build.KERNEL_FILE):
        assert (tmp_path / place).read_bytes() == (fast_machine.esp / place).read_bytes()


def test_a_compiler_that_fails_leaves_no_file(tmp_path: Path, capfd: pytest.CaptureFixture[Any]) -> None:
    assert build.main(["x86_64", str(tmp_path), sys.executable, "-c", "raise SystemExit('no')"]) == 1
    assert "no" in capfd.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
