"""What is collected of a node that failed: dumps of any shape, registers of any architecture, QEMUs in any state."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import signal
import struct
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dump_parts import ARM64, PAGE, RISCV, core, info, table
from dump_parts import X86_64 as ELF_X86_64
from hypothesis import given
from hypothesis import strategies as st
from test_spec import SPECS

from sistasks.errors import KernelFailure, NodeError
from sistasks.evidence.symbols import from_text
from sistasks.machine import by_hand, vmcore
from sistasks.machine.arch import X86_64
from sistasks.machine.confinement import SANDBOX, Confinement, probe
from sistasks.machine.foreign import ForeignNode
from sistasks.machine.kallsyms import Memory, read, rows
from sistasks.machine.logs import EmulatorFiles
from sistasks.machine.processors import place, read_registers
from sistasks.machine.spec import Machine, NodeSpec, Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sistasks.evidence.records import Evidence

QEMU = shutil.which(X86_64.qemu)
needs_qemu = pytest.mark.skipif(QEMU is None, reason=f"{X86_64.qemu} is not installed here")


def segments(path: Path) -> list[tuple[int, int, int, int, int]]:
    """(type, offset, virtual, physical, size) of a core of ours."""
    data = path.read_bytes()
    place, count = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
    rows = [struct.unpack_from("<IIQQQQQQ", data, place + 56 * number) for number in range(count)]
    return [(row[0], row[2], row[3], row[4], row[5]) for row in rows]


RUNS = st.lists(st.binary(min_size=1, max_size=3 * PAGE), max_size=4)


@given(RUNS, st.binary(max_size=64), st.booleans())
def test_memory_is_in_the_dump_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, runs: list[bytes], notes: bytes, told: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "core"
    memory = [(number << 32, bytes(PAGE) * (number * 9) + run) for number, run in enumerate(runs)]
    if told:
        memory.append((0x40 << 32, bytes(5 * PAGE) + info("KERNELOFFSET=1c00000", "NUMBER(VA_BITS)=48")))
    found = vmcore.write(io.BytesIO(core(memory, notes)), path)
    parts = segments(path)
    data = path.read_bytes()
    assert [
        (physical, data[offset : offset + size]) for kind, offset, _, physical, size in parts if kind == 1
    ] == memory
    assert data[parts[0][1] :].startswith(notes)
    assert found.size == len(data)
    assert found.kernel_offset == (0x1C00000 if told else None)
    assert found.info.get("OSRELEASE") == ("6.1.0" if told else None)
    assert (b"VMCOREINFO" in data[parts[0][1] : parts[0][1] + parts[0][4]]) is told


def test_zeros_take_no_room(tmp_path: Path) -> None:
    found = vmcore.write(io.BytesIO(core([(0, bytes(8 << 20) + b"x" * PAGE)])), tmp_path / "core")
    assert found.size > 8 << 20
    assert found.stored < 1 << 20


def test_arm64_has_its_kernel_where_the_note_says(tmp_path: Path) -> None:
    ram = 0x4000_0000
    note = info(
        "NUMBER(VA_BITS)=48", "NUMBER(PHYS_OFFSET)=0x40000000", "NUMBER(kimage_voffset)=0xffff7fffc8000000"
    )
    vmcore.write(io.BytesIO(core([(ram, note + b"here".ljust(PAGE, b"\0"))])), tmp_path / "core")
    with Memory(tmp_path / "core") as memory:
        for address in (0xFFFF_8000_0800_0000 + PAGE, 0xFFFF_0000_0000_0000 + PAGE):
            assert memory.read(address, 4) == b"here"
        assert memory.read(0xFFFF_8000_0000_0000, 4) == b""


@pytest.mark.parametrize("bits", ["8000000000", "-1", "29", "65", "0x" + "f" * 5000, "x"])
def test_a_note_that_lies_costs_nothing(tmp_path: Path, bits: str) -> None:
    """Where memory would lie by it is not asked further: no number of a guest's becomes one of so many digits."""
    note = info(f"NUMBER(VA_BITS)={bits}", "NUMBER(kimage_voffset)=0xffff7fffc8000000")
    assert vmcore.write(io.BytesIO(core([(0x4000_0000, note)])), tmp_path / "core").mapped == 0


@pytest.mark.parametrize(("machine", "mapped"), [(ARM64, 2), (RISCV, 2), (ELF_X86_64, 0), (40, 0)])
def test_only_those_are_believed_whose_tables_are_not_read(tmp_path: Path, machine: int, mapped: int) -> None:
    """And of offsets only those that an address can have."""
    moves = (
        "NUMBER(VA_BITS)=48",
        "NUMBER(PHYS_OFFSET)=0x40000000",
        "NUMBER(kimage_voffset)=0xffff7fffc8000000",
    )
    for lines, expected in ((moves, mapped), ((*moves[:2], f"NUMBER(kimage_voffset)={1 << 64:#x}"), 0)):
        dump = core([(0x4000_0000, info(*lines))], machine=machine)
        assert vmcore.write(io.BytesIO(dump), tmp_path / "core").mapped == expected


@pytest.mark.parametrize("cut", [0, 10, 63, 200, 300, 5000])
def test_a_stream_that_ends_early_is_no_dump(tmp_path: Path, cut: int) -> None:
    with pytest.raises(NodeError, match="QEMU's dump"):
        vmcore.write(io.BytesIO(core([(0, bytes(2 * PAGE))])[:cut]), tmp_path / "core")


@given(st.data())
def test_any_bytes_are_a_dump_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Page tables and notes are a guest's: they may point anywhere, at themselves too."""
    path = tmp_path_factory.getbasetemp() / "core"
    entry = st.sampled_from([0x1003, 0x2003, 0x3083, 0x0083, (1 << 52) - 1, 0x10_0000_0003])
    tables = b"".join(struct.pack("<512Q", *[data.draw(entry)] * 512) for _ in range(3))
    state = struct.pack("<II", 1, 0x1B8) + bytes(408) + struct.pack("<QQQ", data.draw(entry), 0, 0)
    notes = struct.pack("<III", 5, len(state), 0) + b"QEMU\0\0\0\0" + state
    whole = bytearray(core([(0, bytes(PAGE) + tables)], notes, machine=62))
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, 400))] = data.draw(st.integers(0, 255))
    try:
        found = vmcore.write(io.BytesIO(bytes(whole)), path)
    except (NodeError, OSError):
        return
    with Memory(path) as memory:
        assert rows(memory, found) == []
        assert len(memory.read(0xFFFF_8000_0000_0000, 1 << 14)) <= 1 << 14


def listed(path: Path, dump: bytes) -> list[tuple[int, str]]:
    found = vmcore.write(io.BytesIO(dump), path)
    with Memory(path) as memory:
        return rows(memory, found)


def test_a_kernel_s_own_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "core"
    dump = table([b"T", b"pan", b"ic", b"d", b"x" * 128], [b"\0\1\2", b"\3\1", b"\0\4\4\4", b"\0\2"])
    base = 0xFFFF_8000_0800_0000
    assert listed(path, dump) == [
        (base + 16, "Tpanic"), (base + 32, "dpan"), (base + 48, "T" + "x" * 384), (base + 64, "Tic"),
    ]  # fmt: skip
    with Memory(path) as memory:
        symbols = read(memory, vmcore.write(io.BytesIO(dump), path))
    assert (symbols.address("panic"), symbols.address("pan")) == (base + 16, None)
    assert symbols.lookup(base + 17) == ("panic", 1)


@pytest.mark.parametrize(
    ("tokens", "names"),
    [
        ([b"T", b"x" * 129], [b"\0"]),
        ([b"T", b"x" * 128], [b"\1\1\1\1\0"]),
        ([b"T", b"x" * 128], [b"\1\1\1\1"] * ((32 << 20) // 512 + 1)),
    ],
    ids=["token", "name", "all"],
)
def test_names_that_would_fill_our_memory_are_none(
    tmp_path: Path, tokens: list[bytes], names: list[bytes]
) -> None:
    assert listed(tmp_path / "core", table(tokens, names)) == []


def test_places_have_their_distance() -> None:
    symbols = from_text("ffff800000001000 T first\nffff800000002000 t second\nffff800000003000 T last\n")
    assert place(symbols, 0xFFFF_8000_0000_1000) == "first"
    assert place(symbols, 0xFFFF_8000_0000_1FFF) == "first+0xfff"
    assert place(symbols, 7) == place(None, 7) == ""


REGISTERS = {
    "x86_64": ("\r\nCPU#0\r\nRAX=00 RSP=ffffd02f8000fd38\r\nR15=07\r\nRIP=ffffffff8823020f RFL=46 HLT=0\r\n"
               "\r\nCPU#1\r\nRSP=0000000000000001\r\nRIP=000000000000fff0 RFL=46 HLT=1\r\n",
               [(0xFFFFFFFF8823020F, 0xFFFFD02F8000FD38, False), (0xFFF0, 1, True)]),
    "arm64": ("\nCPU#0\n PC=ffff800008010a20 X00=0000000000000001 X01=00\nX30=ffff800008010a00  SP=ffff80000a013f50\n",
              [(0xFFFF800008010A20, 0xFFFF80000A013F50, None)]),
    "arm": ("\nCPU#0\nR00=00000000 R01=00000001\nR12=00000000 R13=c1a01f60 R14=c0109f2c R15=c0109f30\n",
            [(0xC0109F30, 0, None)]),
    "riscv64": ("\nCPU#0\n V      =   0\n pc       ffffffff80005a3e\n mhartid  0000000000000000\n"
                " x0/zero  0000000000000000 x1/ra    ffffffff80005a30 x2/sp    ffffffff81203f10 x3/gp 00\n",
                [(0xFFFFFFFF80005A3E, 0xFFFFFFFF81203F10, None)]),
    "nothing": ("", []),
    "no processor's": ("\nCPU#0\nRIP=ffffffff8823020f0 RSP=0\n", []),
}  # fmt: skip


@pytest.mark.parametrize("arch", REGISTERS)
def test_registers_are_read_on_each_architecture(arch: str) -> None:
    text, expected = REGISTERS[arch]
    assert read_registers(text) == expected


@given(SPECS, st.binary(max_size=100))
def test_the_script_needs_nothing_of_us(spec: NodeSpec, plan: bytes) -> None:
    text = by_hand.script(spec, plan)
    assert "/dev/fd/" not in text
    assert f"fd={spec.qmp}" not in text
    assert "-incoming" not in text
    assert '"$folder"/plan' in text
    checked = subprocess.run(["sh", "-n"], input=text.encode(), capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, b"")


@needs_qemu
def test_the_script_keeps_what_confines(tmp_path: Path) -> None:
    """And nothing that only we could give: another user, and descriptors."""
    if not probe(Path(str(QEMU)), "tcg")[0]:
        pytest.skip("this QEMU has no sandbox")
    machine = bare(confinement=Confinement(SANDBOX, drops=True))
    spec = NodeSpec(machine=machine, role=Role.COLD, name="sistasks-1-node-1", qmp=3, console=4)
    script = by_hand.script(spec)
    assert f"-sandbox {SANDBOX}" in script
    assert "-sandbox" not in by_hand.script(replace(spec, machine=bare()))
    # ^A c: the monitor
    done = subprocess.run(
        ["sh", "-c", script], input=b"\x01cquit\n", env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, b"monitor - type" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize("changed", ["kernel", "initramfs", "esp/EFI/BOOT.EFI", ""])
@pytest.mark.parametrize("gone", [False, True])
def test_the_script_boots_nothing_that_was_built_since(tmp_path: Path, changed: str, *, gone: bool) -> None:
    names = ("kernel", "initramfs", "esp/EFI/BOOT.EFI")
    folder = tmp_path / "a 'folder"
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    qemu = folder / "qemu"
    qemu.write_text("#!/bin/sh\necho it runs\n")
    qemu.chmod(0o755)
    machine = bare(qemu=qemu, kernel=folder / "kernel", initramfs=folder / "initramfs", esp=folder / "esp")
    spec = NodeSpec(machine=machine, role=Role.COLD, name="sistasks-1-node-1", qmp=3, console=4)
    script = by_hand.script(spec)
    if changed and gone:
        (folder / changed).unlink()
    elif changed:
        (folder / changed).write_text("another")
    done = subprocess.run(
        ["sh", "-c", script],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if not changed:
        assert (done.returncode, done.stdout) == (0, "it runs\n")
        return
    problem = f"{folder / changed} is not what this node booted: it was built anew or is gone\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", problem)


def bare(**changes: object) -> Machine:
    """A machine in which nothing boots."""
    machine = Machine(
        arch=X86_64, qemu=Path(str(QEMU)), accel="tcg", cpu="qemu64", cpus=1, memory=16 << 20, clock="wall", agent=False
    )  # fmt: skip
    return replace(machine, **changes)  # type: ignore[arg-type]


def examined(
    folder: Path,
    machine: Machine,
    work: Callable[[ForeignNode], Awaitable[tuple[Evidence, ...]]],
    kind: type[ForeignNode] = ForeignNode,
) -> tuple[dict[str, Path], dict[str, object]]:
    """Start a node, do something with it, and return what it left: name -> file, and the facts."""

    async def run() -> tuple[Evidence, ...]:
        files = EmulatorFiles(console=folder / "console", stderr=folder / "stderr")
        async with kind(1, machine, files, session="t") as node:
            await node.start()
            await node.go()
            return await work(node)

    evidence = {one.name: one.path for one in asyncio.run(run())}
    return evidence, json.loads(evidence["post_mortem.json"].read_text())


@needs_qemu
def test_a_machine_with_a_screen(tmp_path: Path) -> None:
    error = KernelFailure("node 1: nothing boots", kind="hang")

    async def twice(node: ForeignNode) -> tuple[Evidence, ...]:
        first, again = await asyncio.gather(
            node.post_mortem(tmp_path / "seen", error=error), node.post_mortem(tmp_path / "seen", error=error)
        )
        assert first is again, "it is done once"
        return first

    evidence, facts = examined(tmp_path, bare(display=True), twice)
    assert evidence["screen.png"].read_bytes().startswith(b"\x89PNG")
    assert evidence["vmcore"].read_bytes().startswith(b"\x7fELF")
    assert "EIP=" in evidence["registers.txt"].read_text()
    assert (facts["kind"], facts["problem"], facts["status"]) == ("hang", "node 1: nothing boots", "running")
    steps = facts["steps"]
    assert isinstance(steps, dict)
    assert {steps[name] for name in ("registers", "stop", "screen", "dump", "boot.sh")} == {"done"}
    assert steps["names"] == "the dump has no symbols"


@needs_qemu
def test_a_screen_that_is_not_there_is_not_asked_for(tmp_path: Path) -> None:
    """And of what is no failure of the kernel's no memory is kept, unless that was asked for."""
    evidence, facts = examined(tmp_path, bare(), lambda node: node.post_mortem(tmp_path / "seen"))
    assert not {"screen.png", "vmcore"} & set(evidence)
    assert facts["steps"] == {"registers": "done", "stop": "done", "dump": "not asked for", "boot.sh": "done"}


@needs_qemu
def test_an_emulator_that_does_not_answer_costs_its_limit(tmp_path: Path) -> None:
    async def stopped(node: ForeignNode) -> tuple[Evidence, ...]:
        os.kill(node.pid, signal.SIGSTOP)
        try:
            return await node.post_mortem(tmp_path / "seen", dumps="yes", limit=0.5)
        finally:
            os.kill(node.pid, signal.SIGCONT)

    evidence, facts = examined(tmp_path, bare(), stopped)
    assert set(evidence) == {"boot.sh", "post_mortem.json"}
    assert facts["steps"] == {"all": "given up after 0.5 s", "boot.sh": "done"}


@needs_qemu
@pytest.mark.parametrize(
    ("number", "remedy"), [(signal.SIGKILL, "out of memory"), (signal.SIGSEGV, "QEMU's own")]
)
def test_an_emulator_that_is_gone_leaves_its_files(
    tmp_path: Path, number: signal.Signals, remedy: str
) -> None:
    async def killed(node: ForeignNode) -> tuple[Evidence, ...]:
        os.kill(node.pid, number)
        with pytest.raises(NodeError) as caught:
            await node.failed
        assert caught.value.problem == f"node 1: QEMU ended (signal {number.value})"
        assert remedy in caught.value.remedy
        assert caught.value.kind == "emulator"
        return await node.post_mortem(tmp_path / "seen", dumps="yes")

    evidence, facts = examined(tmp_path, bare(), killed)
    assert set(evidence) == {"boot.sh", "post_mortem.json"}
    assert facts["steps"] == {"qemu": "it had ended", "boot.sh": "done"}
    assert facts["kind"] == "emulator"


@needs_qemu
def test_firmware_that_starts_nothing_is_told_from_a_kernel_that_is_silent(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.write_bytes(b"\xeb\xfe" * (1 << 19))  # it jumps to itself
    (tmp_path / "vars").write_bytes(b"\xff" * (1 << 16))

    async def waits(node: ForeignNode) -> tuple[Evidence, ...]:
        with pytest.raises(
            NodeError, match=r"node 1 did not greet within 0\.1 s, and nothing tells"
        ) as caught:
            await node.within(asyncio.sleep(60), 0.1, "greet")
        assert caught.value.kind == "firmware"
        node.files.console.write_text('BdsDxe: starting Boot0001 "UEFI Misc Device" from PciRoot(0x0)\n')
        with pytest.raises(KernelFailure, match=r"node 1 did not greet within 0\.1 s; see") as hung:
            await node.within(asyncio.sleep(60), 0.1, "greet")
        assert hung.value.kind == "hang"
        return await node.post_mortem(tmp_path / "seen")

    assert examined(tmp_path, bare(firmware=(code, tmp_path / "vars")), waits)[1]["status"] == "running"


@needs_qemu
def test_where_there_is_no_room_the_dump_is_left_out(tmp_path: Path) -> None:
    async def too_big(node: ForeignNode) -> tuple[Evidence, ...]:
        node.machine = bare(memory=1 << 60)
        return await node.post_mortem(tmp_path / "seen", dumps="yes")

    evidence, facts = examined(tmp_path, bare(), too_big)
    assert "vmcore" not in evidence
    steps = facts["steps"]
    assert isinstance(steps, dict)
    assert steps["dump"].startswith("left out: ")
    assert steps["registers"] == "done"


@needs_qemu
@pytest.mark.parametrize("error", [ValueError, KeyError, struct.error, UnicodeError, MemoryError])
def test_a_step_contains_whatever_it_raises(tmp_path: Path, error: type[Exception]) -> None:
    """What steps read is a guest's: none of it may end the run, in which other nodes are."""

    class Odd(ForeignNode):
        broken = ""

        @property
        def page(self) -> bytes:
            raise error("a page")

        def console_tail(self, lines: int = 10) -> str:
            if self.broken:
                raise error("a tail")
            return super().console_tail(lines)

    async def looked_at(node: ForeignNode) -> tuple[Evidence, ...]:
        return await node.post_mortem(tmp_path / "seen")

    async def told_of_nothing(node: ForeignNode) -> tuple[Evidence, ...]:
        assert isinstance(node, Odd)
        node.broken = "yes"
        assert "post_mortem.json" not in {one.name for one in await node.post_mortem(tmp_path / "again")}
        return ()

    evidence, facts = examined(tmp_path, bare(), looked_at, Odd)
    assert "boot.sh" not in evidence
    steps = facts["steps"]
    assert isinstance(steps, dict)
    assert steps["boot.sh"].startswith(f"{error.__name__}: ")
    assert steps["registers"] == steps["stop"] == "done"
    with pytest.raises(KeyError, match=r"post_mortem\.json"):
        examined(tmp_path, bare(), told_of_nothing, Odd)


@needs_qemu
def test_a_folder_that_cannot_be_written_spoils_nothing_else(tmp_path: Path) -> None:
    """It is told by what is missing; nothing is raised."""

    async def nowhere(node: ForeignNode) -> tuple[Evidence, ...]:
        (tmp_path / "file").touch()
        folder = tmp_path / "file" / "below"
        assert await node.post_mortem(folder, dumps="yes") == await node.post_mortem(folder) == ()
        return ()

    with pytest.raises(KeyError, match=r"post_mortem\.json"):
        examined(tmp_path, bare(), nowhere)
