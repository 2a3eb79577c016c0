"""QEMU's command line: a pure function, the parts that matter for each role and clock, and read by the real QEMU."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import string
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_kernel_image import bzimage

from sistasks.machine.arch import ARCHES, ARM64, RISCV64, X86_64
from sistasks.machine.spec import MARK, Machine, NodeSpec, Role, command_line

MACHINE = Machine(
    arch=X86_64,
    qemu=Path("/usr/bin/qemu-system-x86_64"),
    accel="tcg",
    cpu="qemu64",
    cpus=1,
    memory=64 << 20,
    clock="virtual",
    kernel=Path("/k/bzImage"),
    initramfs=Path("/g/initramfs.cpio"),
)
COLD = NodeSpec(
    machine=MACHINE,
    role=Role.COLD,
    name="sistasks-s-node-1",
    plan=Path("/p/1.plan"),
    qmp=3,
    console=4,
    results=5,
)
TEMPLATE = replace(COLD, role=Role.TEMPLATE, ram=Path("/t/ram"))
CLONE = replace(COLD, role=Role.CLONE, ram=Path("/t/ram"))
ROLES = (COLD, TEMPLATE, CLONE)
FIRMWARE = (Path("/f/code.fd"), Path("/f/vars.fd"))


def values(spec: NodeSpec, option: str) -> list[str]:
    """What follows each use of the option."""
    return [value for name, value in itertools.pairwise(command_line(spec)) if name == option]


def on(spec: NodeSpec, **changes: object) -> NodeSpec:
    return replace(spec, machine=replace(spec.machine, **changes))  # type: ignore[arg-type]


def test_the_whole_command_of_a_cold_node() -> None:
    assert command_line(COLD) == [
        "/usr/bin/qemu-system-x86_64", "-name", "sistasks-s-node-1,debug-threads=off",
        "-nodefaults", "-no-user-config", "-display", "none", "-nic", "none", "-no-reboot",
        "-action", "shutdown=pause,watchdog=pause",
        "-accel", "tcg", "-cpu", "qemu64", "-smp", "1",
        "-machine", f"{X86_64.machine},usb=off", "-m", "64M",
        "-rtc", "base=2024-01-01T00:00:00,clock=vm", "-seed", "1",
        "-icount", "shift=0,sleep=off",
        "-chardev", "socket,id=qmp,fd=3", "-mon", "chardev=qmp,mode=control",
        "-chardev", "file,id=console,path=/dev/fd/4,append=on", "-serial", "chardev:console",
        "-chardev", "file,id=results,path=/dev/fd/5,append=on",
        "-device", "pci-serial,chardev=results,addr=0x7",
        "-object", "memory-backend-file,id=plan,size=16384,mem-path=/p/1.plan,share=on",
        "-device", "ivshmem-plain,memdev=plan,master=on,addr=0x5",
        "-device", "i6300esb,addr=0x6",
        "-kernel", "/k/bzImage", "-initrd", "/g/initramfs.cpio",
        "-append", "console=ttyS0 panic=-1 no_timer_check nokaslr random.trust_cpu=off",
        "-S",
    ]  # fmt: skip


def test_the_whole_command_of_a_foreign_kernel_on_an_esp() -> None:
    machine = replace(
        MACHINE, arch=ARM64, clock="wall", kernel=None, initramfs=None, esp=Path("/e, s:p"), agent=False,
        firmware=FIRMWARE,
    )  # fmt: skip
    spec = NodeSpec(machine=machine, role=Role.COLD, name="sistasks-s-node-1", qmp=3, console=4)
    assert command_line(spec) == [
        "/usr/bin/qemu-system-x86_64", "-name", "sistasks-s-node-1,debug-threads=off",
        "-nodefaults", "-no-user-config", "-display", "none", "-nic", "none", "-no-reboot",
        "-action", "shutdown=pause,watchdog=pause",
        "-accel", "tcg", "-cpu", "qemu64", "-smp", "1",
        "-machine", ARM64.machine, "-m", "64M",
        "-rtc", "base=2024-01-01T00:00:00,clock=vm", "-seed", "1",
        "-chardev", "socket,id=qmp,fd=3", "-mon", "chardev=qmp,mode=control",
        "-chardev", "socket,id=console,fd=4", "-serial", "chardev:console",
        "-drive", "if=pflash,unit=0,format=raw,readonly=on,file=/f/code.fd",
        "-drive", "if=pflash,unit=1,format=raw,snapshot=on,file=/f/vars.fd",
        "-blockdev", "driver=vvfat,node-name=esp,read-only=on,dir=/e,, s:p",
        "-device", "virtio-blk-pci,drive=esp,bootindex=0,addr=0x9",
        "-boot", "menu=on,splash-time=0",
        "-S",
    ]  # fmt: skip


def test_a_foreign_kernel_gets_only_what_was_written_for_it() -> None:
    foreign = on(COLD, agent=False, initramfs=None, arguments=("kunit.enable=1",))
    assert values(foreign, "-append") == ["kunit.enable=1"]
    assert "-initrd" not in command_line(foreign)
    assert "-append" not in command_line(on(COLD, agent=False))
    for node in (foreign, on(COLD, agent=False)):
        assert not any(
            "ivshmem" in word or "i6300esb" in word or "results" in word for word in command_line(node)
        )
        assert values(node, "-kernel") == ["/k/bzImage"]


def test_it_is_a_pure_function() -> None:
    for spec in ROLES:
        assert command_line(spec) == command_line(spec)


def test_only_the_virtual_clock_counts_instructions() -> None:
    for spec in ROLES:
        wall = on(spec, clock="wall")
        assert values(spec, "-icount") == ["shift=0,sleep=off"]
        assert "-icount" not in command_line(wall)
    assert values(on(COLD, clock="wall"), "-append") == ["console=ttyS0 panic=-1 no_timer_check"]


def test_a_clone_waits_for_its_state_and_all_others_for_go() -> None:
    assert values(CLONE, "-incoming") == ["defer"]
    assert "-S" not in command_line(CLONE)
    for spec in (COLD, TEMPLATE):
        assert "-S" in command_line(spec)
        assert "-incoming" not in command_line(spec)


def test_memory_is_shared_by_the_template_and_private_in_clones() -> None:
    ram = "memory-backend-file,id=ram,size=64M,mem-path=/t/ram,share="
    assert values(TEMPLATE, "-object")[0] == ram + "on"
    assert values(CLONE, "-object")[0] == ram + "off"
    for spec in (TEMPLATE, CLONE):
        assert values(spec, "-machine")[0].endswith(",memory-backend=ram")
    assert not any("id=ram" in value for value in values(COLD, "-object"))


def test_the_plan_is_private_in_clones() -> None:
    # a shared page is refused by the clone's incoming migration
    for spec, share in ((COLD, "on"), (TEMPLATE, "on"), (CLONE, "off")):
        expected = f"memory-backend-file,id=plan,size=16384,mem-path=/p/1.plan,share={share}"
        assert values(spec, "-object")[-1] == expected


def test_a_clone_differs_from_its_template_in_nothing_that_its_state_knows() -> None:
    def devices(spec: NodeSpec) -> list[str]:
        command = command_line(spec)
        end = command.index("-incoming" if spec.role is Role.CLONE else "-kernel")
        return [word.replace("share=on", "share=off") for word in command[:end]]

    assert devices(TEMPLATE) == devices(CLONE)


def test_a_clone_has_its_kernel_from_the_template() -> None:
    assert not {"-kernel", "-initrd", "-append"} & set(command_line(CLONE))
    for spec in (COLD, TEMPLATE):
        assert values(spec, "-kernel") == ["/k/bzImage"]
        assert values(spec, "-initrd") == ["/g/initramfs.cpio"]


@pytest.mark.parametrize("arch", ARCHES.values(), ids=lambda arch: arch.name)
def test_no_node_has_a_network(arch: object) -> None:
    for spec in ROLES:
        node = on(spec, arch=arch)
        assert values(node, "-nic") == ["none"]
        assert "-nodefaults" in command_line(node)
        assert not {"-net", "-netdev"} & set(command_line(node))
        assert not any("-net" in device for device in values(node, "-device"))


@pytest.mark.parametrize("arch", ARCHES.values(), ids=lambda arch: arch.name)
def test_each_architecture_has_its_own(arch: object) -> None:
    node = on(COLD, arch=arch)
    record = node.machine.arch
    assert values(node, "-machine")[0].startswith(record.machine)
    words = values(node, "-append")[0].split()
    for word in ("panic=-1", *record.kernel_arguments, *record.repeat_arguments):
        assert word in words
    # riscv64: which number the first serial line gets depends on the kernel, and the device tree tells it
    consoles = [f"console={record.console}"] if record is not RISCV64 else []
    assert [word for word in words if word.startswith("console=")] == consoles
    assert ("usb=off" in values(node, "-machine")[0]) == (record is X86_64)


def test_firmware_code_is_read_only_and_variables_are_a_snapshot() -> None:
    assert "-drive" not in command_line(COLD)
    for spec in ROLES:
        uefi = on(spec, firmware=FIRMWARE)
        assert values(uefi, "-drive") == [
            "if=pflash,unit=0,format=raw,readonly=on,file=/f/code.fd",
            "if=pflash,unit=1,format=raw,snapshot=on,file=/f/vars.fd",
        ]
    assert (MACHINE.boot, replace(MACHINE, firmware=FIRMWARE).boot) == ("direct", "uefi")


def test_the_firmware_log_is_where_a_pc_has_one() -> None:
    uefi = replace(on(COLD, firmware=FIRMWARE), firmware=9)
    assert "file,id=firmware,path=/dev/fd/9,append=on" in values(uefi, "-chardev")
    assert "isa-debugcon,iobase=0x402,chardev=firmware" in values(uefi, "-device")
    for spec in (replace(COLD, firmware=9), on(uefi, arch=ARM64), on(COLD, firmware=FIRMWARE)):
        assert not any("firmware" in value for value in values(spec, "-chardev"))


def test_more_arguments_come_last() -> None:
    assert values(on(COLD, arguments=("quiet", "panic=5")), "-append")[0].endswith(" quiet panic=5")


def test_the_name_carries_the_mark_of_the_spec() -> None:
    marked = replace(COLD, name=f"{MARK}-20240101T000000-7-node-3")
    assert values(marked, "-name") == ["sistasks-20240101T000000-7-node-3,debug-threads=off"]


def read_options(text: str) -> dict[str, str]:
    """QEMU's own reading of option values: a doubled comma is a comma."""
    parts = text.replace(",,", "\0").split(",")
    return dict(part.replace("\0", ",").partition("=")[::2] for part in parts)


PATHS = st.text(string.ascii_letters + "µ ,.=-_/", min_size=1, max_size=30).map(lambda text: Path("/", text))


@given(PATHS, PATHS, PATHS, PATHS, PATHS)
def test_commas_in_paths_are_doubled(ram: Path, plan: Path, code: Path, variables: Path, image: Path) -> None:
    spec = replace(on(CLONE, firmware=(code, variables), kernel=image, initramfs=image), ram=ram, plan=plan)
    read = [read_options(value) for value in values(spec, "-object")]
    assert [Path(options["mem-path"]) for options in read] == [ram, plan]
    read = [read_options(value) for value in values(spec, "-drive")]
    assert [Path(options["file"]) for options in read] == [code, variables]
    cold = replace(spec, role=Role.COLD)
    assert values(cold, "-kernel") == values(cold, "-initrd") == [str(image)], "these take a path as it is"


SPECS = st.builds(
    NodeSpec,
    machine=st.builds(
        Machine,
        arch=st.sampled_from(list(ARCHES.values())),
        qemu=PATHS,
        accel=st.sampled_from(["tcg", "kvm", "hvf"]),
        cpu=st.sampled_from(["qemu64", "host", "cortex-a57"]),
        cpus=st.integers(1, 64),
        memory=st.integers(16, 4096).map(lambda mebibytes: mebibytes << 20),
        clock=st.sampled_from(["virtual", "wall"]),
        kernel=PATHS,
        initramfs=PATHS,
        firmware=st.none() | st.tuples(PATHS, PATHS),
        arguments=st.lists(st.from_regex(r"[a-z.]{1,9}=[a-z]{0,5}", fullmatch=True), max_size=3).map(tuple),
    ),
    role=st.sampled_from(Role),
    name=st.from_regex(r"sistasks-[0-9]{1,9}-node-[0-9]{1,4}", fullmatch=True),
    plan=PATHS,
    qmp=st.integers(3, 1000),
    console=st.integers(3, 1000),
    results=st.integers(3, 1000),
    ram=st.none() | PATHS,
    firmware=st.integers(-1, 1000),
)


@given(SPECS)
def test_no_argument_is_ever_empty(spec: NodeSpec) -> None:
    command = command_line(spec)
    assert all(command)
    assert all("\0" not in word for word in command)
    assert command.count("-append") == command.count("-kernel") == command.count("-S")
    assert ("-S" in command) != ("-incoming" in command)
    assert ("-icount" in command) == (spec.machine.clock == "virtual")


@pytest.mark.skipif(shutil.which(X86_64.qemu) is None, reason=f"{X86_64.qemu} is not installed here")
@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("uefi", [False, True])
def test_qemu_takes_it_with_commas_and_blanks_in_every_path(
    tmp_path: Path, role: Role, *, uefi: bool
) -> None:
    folder = tmp_path / "a, b=c"
    folder.mkdir()
    (folder / "kernel").write_bytes(bzimage())
    (folder / "initramfs").write_bytes(bytes(512))
    (folder / "node.plan").write_bytes(bytes(16384))
    for name, size in (("code", 1 << 20), ("vars", 1 << 16)):
        (folder / name).write_bytes(b"\xff" * size)
    machine = replace(
        MACHINE,
        qemu=Path(str(shutil.which(X86_64.qemu))),
        memory=32 << 20,
        kernel=folder / "kernel",
        initramfs=folder / "initramfs",
        firmware=(folder / "code", folder / "vars") if uefi else None,
    )
    ours, theirs = socket.socketpair()
    with ExitStack() as stack:
        stack.enter_context(ours)
        stack.enter_context(theirs)
        pipes = [os.pipe(), os.pipe(), os.pipe()]
        for pipe in pipes:
            stack.callback(os.close, pipe[0])
            stack.callback(os.close, pipe[1])
        spec = NodeSpec(
            machine=machine,
            role=role,
            name=f"{MARK}-test-of-the-command-line",
            plan=folder / "node.plan",
            qmp=theirs.fileno(),
            console=pipes[0][1],
            results=pipes[1][1],
            ram=None if role is Role.COLD else folder / "ram",
            firmware=pipes[2][1] if uefi else -1,
        )
        for command in ("qmp_capabilities", "query-name", "quit"):
            ours.send(json.dumps({"execute": command}).encode())
        done = subprocess.run(
            command_line(spec),
            pass_fds=[theirs.fileno(), *(pipe[1] for pipe in pipes)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = ours.recv(1 << 16).decode()
    assert (done.returncode, done.stderr) == (0, "")
    assert f'"name": "{spec.name}"' in said
    assert (folder / "ram").exists() == (role is not Role.COLD)
