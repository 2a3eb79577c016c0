"""An architecture is one frozen record: all that differs between them, and nothing that does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Arch:
    """What QEMU, the distribution and the compiler call one architecture.

    Attributes:
        name: our word for it, as in `arch=arm64`.
        qemu: the emulator's program.
        machine: QEMU's machine type with its fixed options.
        cpu: the CPU model under emulation; hardware acceleration uses `host`.
        console: the kernel's name of the first serial line.
        kernel_arguments: what this architecture needs on every kernel command line.
        repeat_arguments: what must be added for runs that repeat to the bit.
        compiler: programs that can build the agent, the best first (`{cc} -static`).
        packages: per package manager, what `setup` installs: emulator, firmware, cross compiler.
        linux: what the kernel's own make calls it (`ARCH=`).
        linux_image: the image that QEMU boots, in the folder of a kernel's build.
        debian: Debian's name of the architecture.
        debian_kernel: Debian's package that points to the kernel under `kernel=debian`.
        firmware_targets: the (architecture, machine) of QEMU's firmware descriptors; empty: no UEFI.
        firmware_memory: bytes that a guest must have for the firmware to start.
        virtual_cpus: processors that the virtual clock can repeat with.
    """

    name: str
    qemu: str
    machine: str
    cpu: str
    console: str
    kernel_arguments: tuple[str, ...] = ()
    repeat_arguments: tuple[str, ...] = ("nokaslr", "random.trust_cpu=off")
    compiler: tuple[str, ...]
    packages: dict[str, tuple[str, ...]]
    linux: str
    linux_image: str
    debian: str
    debian_kernel: str
    firmware_targets: tuple[str, str] = ("", "")
    firmware_memory: int = 0
    virtual_cpus: int = 1


X86_64: Final = Arch(
    name="x86_64",
    qemu="qemu-system-x86_64",
    # with an HPET the kernel's clock gains tens of milliseconds on the cycle counter before it has calibrated itself
    machine="q35,hpet=off",
    cpu="qemu64",
    console="ttyS0",
    # an overloaded host can make the kernel's check of the timer interrupt fail
    kernel_arguments=("no_timer_check",),
    compiler=("gcc", "cc", "x86_64-linux-gnu-gcc"),
    packages={
        "apt": ("qemu-system-x86", "ovmf", "gcc", "libc6-dev"),
        "dnf": ("qemu-system-x86-core", "edk2-ovmf", "gcc", "glibc-static"),
        "pacman": ("qemu-system-x86", "edk2-ovmf", "gcc"),
        "brew": ("qemu", "x86_64-elf-gcc"),
    },
    linux="x86_64",
    linux_image="arch/x86/boot/bzImage",
    debian="amd64",
    debian_kernel="linux-image-cloud-amd64",
    firmware_targets=("x86_64", "pc-q35-"),
    firmware_memory=144 << 20,
)

ARM64: Final = Arch(
    name="arm64",
    qemu="qemu-system-aarch64",
    machine="virt,gic-version=3",
    cpu="cortex-a57",
    console="ttyAMA0",
    repeat_arguments=("nokaslr", "random.trust_cpu=off", "random.trust_bootloader=off"),
    compiler=("aarch64-linux-gnu-gcc",),
    packages={
        "apt": ("qemu-system-arm", "qemu-efi-aarch64", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"),
        "dnf": ("qemu-system-aarch64-core", "edk2-aarch64", "gcc-aarch64-linux-gnu"),
        "pacman": ("qemu-system-aarch64", "edk2-aarch64", "aarch64-linux-gnu-gcc"),
        "brew": ("qemu", "aarch64-elf-gcc"),
    },
    linux="arm64",
    linux_image="arch/arm64/boot/Image",
    debian="arm64",
    debian_kernel="linux-image-cloud-arm64",
    firmware_targets=("aarch64", "virt-"),
    firmware_memory=144 << 20,
)

ARM: Final = Arch(
    name="arm",
    qemu="qemu-system-arm",
    # a kernel without LPAE, as distributions build it, sees nothing above 4 GiB: PCI's windows must lie below
    machine="virt,highmem=off",
    cpu="cortex-a15",
    console="ttyAMA0",
    compiler=("arm-linux-gnueabihf-gcc",),
    packages={
        "apt": ("qemu-system-arm", "gcc-arm-linux-gnueabihf", "libc6-dev-armhf-cross"),
        "dnf": ("qemu-system-arm-core", "gcc-arm-linux-gnu"),
        "pacman": ("qemu-system-arm", "arm-none-linux-gnueabihf-gcc"),
        "brew": ("qemu", "arm-none-eabi-gcc"),
    },
    linux="arm",
    linux_image="arch/arm/boot/zImage",
    debian="armhf",
    debian_kernel="linux-image-armmp",
)

RISCV64: Final = Arch(
    name="riscv64",
    qemu="qemu-system-riscv64",
    machine="virt",
    cpu="rv64",
    console="ttyS0",
    compiler=("riscv64-linux-gnu-gcc",),
    packages={
        "apt": ("qemu-system-misc", "gcc-riscv64-linux-gnu", "libc6-dev-riscv64-cross"),
        "dnf": ("qemu-system-riscv-core", "gcc-riscv64-linux-gnu"),
        "pacman": ("qemu-system-riscv", "riscv64-linux-gnu-gcc"),
        "brew": ("qemu", "riscv64-elf-gcc"),
    },
    linux="riscv",
    linux_image="arch/riscv/boot/Image",
    debian="riscv64",
    debian_kernel="linux-image-riscv64",
)

ARCHES: Final = {arch.name: arch for arch in (X86_64, ARM64, ARM, RISCV64)}
