"""A node as data, and QEMU's command line as a pure function of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.guest.plan import PAGE_SIZE
from sistasks.machine.confinement import Confinement, Named

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.machine.arch import Arch
    from sistasks.machine.confinement import Files

PLAN_ADDRESS: Final = "0x5"
WATCHDOG_ADDRESS: Final = "0x6"
RESULTS_ADDRESS: Final = "0x7"
NETWORK_ADDRESS: Final = "0x8"
ESP_ADDRESS: Final = "0x9"
DISPLAY_ADDRESS: Final = "0xa"
# every node boots on the same day: no test may depend on today
CLOCK_BASE: Final = "2024-01-01T00:00:00"
MARK: Final = "sistasks"


class Role(enum.Enum):
    """How a node comes to be."""

    COLD = "cold"
    TEMPLATE = "template"
    CLONE = "clone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a node is made of; equal for every node of a run, and for the template that they are cloned from.

    Attributes:
        arch: the architecture's record.
        qemu: QEMU's program.
        accel: `tcg`, `kvm` or `hvf`.
        cpu: QEMU's CPU model.
        cpus: processors.
        memory: bytes.
        clock: `virtual` or `wall`.
        kernel: the image; None where the firmware finds it on the ESP.
        initramfs: the guest, or what a foreign kernel gets in its place; None: there is none.
        esp: a folder that the firmware sees as the EFI system partition of a disk, which nobody can write.
        agent: our agent runs in it: there is a page for its plan, a watchdog and a line for its results. Without it the
            machine is bare, its console takes what is typed, and the kernel command line is all in `arguments`.
        firmware: (code, variables) for a boot through UEFI; None boots the kernel directly.
        results_line: `virtio` (virtio-serial, for a kernel that has it) or `serial` (a second serial line).
        arguments: more kernel command line, which makes it another kernel under test.
        network: each node has a virtio-net on a port of a switch.
        seed: of the random numbers that QEMU gives its guest: where firmware or kernel ask for a seed, for one.
        display: it has a screen, which nobody sees but a picture is taken of when it fails.
        confinement: what QEMU may not do; it changes nothing in the machine.
        plugin: counts what nodes execute, where they have a file for it; it changes nothing in the machine.
    """

    arch: Arch
    qemu: Path
    accel: str
    cpu: str
    cpus: int
    memory: int
    clock: str
    kernel: Path | None = None
    initramfs: Path | None = None
    esp: Path | None = None
    agent: bool = True
    firmware: tuple[Path, Path] | None = None
    results_line: str = "serial"
    arguments: tuple[str, ...] = ()
    network: bool = False
    seed: int = 1
    display: bool = False
    confinement: Confinement = Confinement()
    plugin: Path | None = None

    @property
    def boot(self) -> str:
        """`uefi` or `direct`."""
        return "direct" if self.firmware is None else "uefi"

    def kernel_command_line(self) -> str:
        """What the kernel gets."""
        return " ".join([*([self.base_command_line()] if self.agent else []), *self.arguments])

    def base_command_line(self) -> str:
        """What every kernel gets on this machine; a panic ends it at once, so that it cannot pass for a hang."""
        parts = [f"console={self.arch.console}"] if self.arch.console else []
        parts += ["panic=-1", *self.arch.kernel_arguments]
        if self.clock == "virtual":
            parts += self.arch.repeat_arguments
        return " ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """One node: a machine, its role, and the files and descriptors that are its own.

    Attributes:
        machine: what it is made of.
        role: cold, template or clone.
        name: shown to QEMU; carries the mark by which leftovers are found.
        plan: the file that holds the plan's page; None without an agent.
        network: descriptor of a connected socket, the port of a switch, that QEMU inherits; -1 without one.
        mac: its address there. Clones take the template's with its state: the agent then gives each its own.
        ram: the template's memory (template: written; clone: mapped private).
        qmp: descriptor of a connected socket that QEMU inherits.
        console, results: descriptors of pipes that QEMU inherits. Pipes, not sockets: a serial line writes byte by
            byte, and a socket full of single bytes would make the guest wait for the host. Without an agent there are
            no results, and the console is a connected socket, for a pipe has one way only.
        firmware: descriptor of a pipe where firmware that has a device for it writes its debug output; -1: nowhere.
        profile: descriptor of a file that the machine's plugin writes its counts to; -1: nothing is counted.
    """

    machine: Machine
    role: Role
    name: str
    plan: Path | None = None
    qmp: int
    console: int
    results: int = -1
    network: int = -1
    mac: str = "52:54:77:00:00:00"
    ram: Path | None = None
    firmware: int = -1
    profile: int = -1


def _comma(name: str) -> str:
    """QEMU doubles commas in option values."""
    return name.replace(",", ",,")


def _pipe(name: str, descriptor: int) -> list[str]:
    return ["-chardev", f"file,id={name},path=/dev/fd/{descriptor},append=on"]


def _results_line(machine: Machine) -> list[str]:
    if machine.results_line == "serial":
        return ["-device", f"pci-serial,chardev=results,addr={RESULTS_ADDRESS}"]
    return [
        # without ioeventfd the guest's write is served at once, not when QEMU's main loop comes round to it
        "-device", f"virtio-serial-pci,ioeventfd=off,max_ports=2,addr={RESULTS_ADDRESS}",
        "-device", "virtserialport,chardev=results,name=sistasks.results",
    ]  # fmt: skip


def _processors(machine: Machine) -> str:
    """The value of -smp.

    Where a machine can have one processor only, QEMU emulates it without memory barriers (7.2: accel/tcg sets
    CF_PARALLEL by the most processors that there can be). But virtio-net's queues are worked on by another thread: on a
    busy host it missed the kernel's word that there is more to send, and the node was mute from then on. So there is
    room for a second processor, which never comes.
    """
    if machine.network and machine.accel == "tcg" and machine.cpus == 1:
        return "1,maxcpus=2"
    return str(machine.cpus)


def _lines(spec: NodeSpec, files: Files) -> list[str]:
    """The serial line, and what the agent has beside it."""
    if not spec.machine.agent or spec.plan is None:
        return ["-chardev", f"socket,id=console,fd={spec.console}", "-serial", "chardev:console"]
    return [
        *_pipe("console", spec.console), "-serial", "chardev:console",
        *_pipe("results", spec.results), *_results_line(spec.machine),
        "-object",
        f"memory-backend-file,id=plan,size={PAGE_SIZE},mem-path={_comma(files.change(spec.plan))},"
        f"share={'off' if spec.role is Role.CLONE else 'on'}",
        "-device", f"ivshmem-plain,memdev=plan,master=on,addr={PLAN_ADDRESS}",
        "-device", f"i6300esb,addr={WATCHDOG_ADDRESS}",
    ]  # fmt: skip


def _image(machine: Machine, files: Files) -> list[str]:
    """What is booted."""
    options: list[str] = []
    if machine.esp is not None:
        options += [
            "-blockdev", f"driver=vvfat,node-name=esp,read-only=on,dir={_comma(files.read(machine.esp))}",
            # first: the firmware tries no other way before
            "-device", f"virtio-blk-pci,drive=esp,bootindex=0,addr={ESP_ADDRESS}",
            # nor does it wait five seconds for a key, as that of arm64 else does
            "-boot", "menu=on,splash-time=0",
        ]  # fmt: skip
    if machine.kernel is not None:
        options += ["-kernel", files.read(machine.kernel)]
        if machine.initramfs is not None:
            options += ["-initrd", files.read(machine.initramfs)]
        if words := machine.kernel_command_line():
            options += ["-append", words]
    return options


def _network(spec: NodeSpec) -> list[str]:
    if not spec.machine.network:
        return []
    return [
        "-netdev", f"stream,id=network,server=off,addr.type=fd,addr.str={spec.network}",
        "-device", f"virtio-net-pci,netdev=network,romfile=,mac={spec.mac},addr={NETWORK_ADDRESS}",
    ]  # fmt: skip


def _memory(spec: NodeSpec, files: Files) -> list[str]:
    machine = spec.machine
    size = f"{machine.memory >> 20}M"
    base = ",".join(filter(None, (machine.arch.machine, machine.arch.quiet)))
    if spec.ram is None:
        return ["-machine", base, "-m", size]
    share = "on" if spec.role is Role.TEMPLATE else "off"
    backend = (
        f"memory-backend-file,id=ram,size={size},mem-path={_comma(files.change(spec.ram))},share={share}"
    )
    return ["-object", backend, "-machine", f"{base},memory-backend=ram", "-m", size]


def _firmware(spec: NodeSpec, files: Files) -> list[str]:
    machine = spec.machine
    if machine.firmware is None:
        return []
    code, variables = machine.firmware
    options = [
        "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={_comma(files.read(code))}",
        # each node writes its own variables, and they go with it
        "-drive", f"if=pflash,unit=1,format=raw,snapshot=on,file={_comma(files.read(variables))}",
    ]  # fmt: skip
    if machine.arch.firmware_log and spec.firmware >= 0:
        options += [
            *_pipe("firmware", spec.firmware),
            "-device",
            f"{machine.arch.firmware_log},chardev=firmware",
        ]
    return options


def command_line(spec: NodeSpec, files: Files | None = None) -> list[str]:
    """QEMU's command line for a node.

    Args:
        spec: the node.
        files: what QEMU is to call files; by their names if None.
    """
    machine = spec.machine
    files = files or Named()
    command = [
        str(machine.qemu), "-name", f"{spec.name},debug-threads=off",
        "-nodefaults", "-no-user-config", "-display", "none", "-nic", "none", "-no-reboot",
        # a guest that ends stands still, its memory and its registers as they were, until we have looked
        "-action", "shutdown=pause,watchdog=pause",
        "-accel", machine.accel, "-cpu", machine.cpu, "-smp", _processors(machine),
        *_memory(spec, files),
        "-rtc", f"base={CLOCK_BASE},clock=vm", "-seed", str(machine.seed),
    ]  # fmt: skip
    if machine.confinement.sandbox:
        command += ["-sandbox", machine.confinement.sandbox]
    if machine.plugin is not None and spec.profile >= 0:
        command += ["-plugin", f"file={_comma(files.read(machine.plugin))},fd={spec.profile}"]
    if machine.clock == "virtual":
        command += ["-icount", "shift=0,sleep=off"]
    command += [
        "-chardev", f"socket,id=qmp,fd={spec.qmp}", "-mon", "chardev=qmp,mode=control",
        *_lines(spec, files),
        *_network(spec),
        *_firmware(spec, files),
    ]  # fmt: skip
    if machine.display:
        command += ["-device", f"{machine.arch.display},addr={DISPLAY_ADDRESS}"]
    if spec.role is Role.CLONE:
        # its kernel is in the template's memory: loading the image again would cost each clone its size
        return [*command, "-incoming", "defer"]
    # connected before the guest runs, so that no early output is lost
    return [*command, *_image(machine, files), "-S"]
