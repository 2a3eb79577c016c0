"""An architecture is one frozen record: all that differs between them, and nothing that does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Probe:
    """How the probe's tiny guest is built and booted, and how QEMU ends if it succeeded.

    Attributes:
        address: where it lies in memory.
        source: its assembly: a file in `probe/`, or any other by an absolute path; empty: the architecture's name
            with `.S`.
        flags: for the compiler.
        zig: zig's name of its target, where that is another one than the architecture's.
        devices: for QEMU; `trace` is the chardev that the letters go to.
        exit_code: QEMU's, after success.
    """

    address: int
    source: str = ""
    flags: tuple[str, ...] = ()
    zig: str = ""
    devices: tuple[str, ...] = ("-serial", "chardev:trace")
    exit_code: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arch:
    """What QEMU, the distribution and the compiler call one architecture.

    Attributes:
        name: our word for it, as in `arch=arm64`.
        other_names: what `uname -m` and others call it.
        elf_machine: `e_machine` of its programs (System V ABI, "ELF Header").
        bits: of its programs' addresses, 32 or 64: one machine number may serve both.
        pe_machine: `Machine` of its EFI programs (Microsoft "PE Format", "Machine Types"); 0: there are none.
        qemu: the emulator's program.
        machine: QEMU's machine type with its fixed options; part of what runs must share to be compared.
        quiet: more options of the machine, which switch off what no number depends on.
        cpu: the CPU model under emulation; hardware acceleration uses `host`.
        guarded_cpu: the CPU model under emulation that has the protections which a kernel may use, for suites that look
            at them; empty: `cpu`, whatever that has.
        console: the kernel's name of the first serial line; empty where the machine's device tree tells it, because
            the name depends on which other serial lines are found first.
        kernel_arguments: what this architecture needs on every kernel command line.
        repeat_arguments: what must be added for runs that repeat to the bit.
        compiler: programs that can build the agent, the best first (`{cc} -static`).
        zig: the target's name for `zig cc`, where no such program exists.
        cycles: a C expression, the value of a counter that starts with the machine and that the agent may read;
            empty: as its clock.c knows. Without one the stages of a boot cannot be measured.
        packages: per package manager, what `setup` installs: emulator, firmware, a compiler with a C library (zig where
            the distribution has none for this architecture).
        linux: what the kernel's own make calls it (`ARCH=`).
        linux_image: the image that QEMU boots, in the folder of a kernel's build.
        linux_config: what a kernel's build must have for this machine: a fragment in `kernels/config/`, or any other
            file by an absolute path; empty: the name with `.config`.
        debian: Debian's name of the architecture.
        debian_kernel: Debian's package that points to the kernel under `kernel=debian`.
        debian_since: Debian's release that first has the architecture, where older ones are still about.
        probe: the smallest guest, which proves an accelerator; None: nothing is proven, so it is emulated.
        boot_file: what its UEFI firmware boots from a disk where nobody has told it anything else (UEFI Specification
            2.10, 3.5.1.1); empty: no kernel can be given as an EFI system partition.
        firmware_targets: the (architecture, machine) of QEMU's firmware descriptors; empty: no UEFI.
        firmware_places: (code, variables) where packages of distributions without descriptors have them; `{share}`
            is QEMU's own share/qemu, where its builds from source and Homebrew put theirs.
        firmware_size: bytes of each flash chip, where the machine demands that an image fills it; else 0.
        firmware_memory: bytes that a guest must have for the firmware to start.
        firmware_log: the device that the firmware writes its debug output to, if there is one.
        display: the device of a machine that has a screen.
        without_firmware: of an architecture without UEFI: how its kernels boot, and what to do.
        virtual_cpus: processors that the virtual clock can repeat with.
    """

    name: str
    other_names: tuple[str, ...] = ()
    elf_machine: int
    bits: int = 64
    pe_machine: int = 0
    qemu: str
    machine: str
    quiet: str = ""
    cpu: str
    guarded_cpu: str = ""
    console: str
    kernel_arguments: tuple[str, ...] = ()
    repeat_arguments: tuple[str, ...] = ("nokaslr", "random.trust_cpu=off")
    compiler: tuple[str, ...]
    zig: str
    cycles: str = ""
    packages: dict[str, tuple[str, ...]]
    linux: str
    linux_image: str
    linux_config: str = ""
    debian: str
    debian_kernel: str
    debian_since: str = ""
    probe: Probe | None = None
    boot_file: str = ""
    firmware_targets: tuple[str, str] = ("", "")
    firmware_places: tuple[tuple[str, str], ...] = ()
    firmware_size: int = 0
    firmware_memory: int = 0
    firmware_log: str = ""
    display: str = "virtio-gpu-pci"
    without_firmware: str = ""
    virtual_cpus: int = 1


X86_64: Final = Arch(
    name="x86_64",
    other_names=("amd64", "x86-64", "x64"),
    elf_machine=62,
    pe_machine=0x8664,
    qemu="qemu-system-x86_64",
    # with an HPET the kernel's clock gains tens of milliseconds on the cycle counter before it has calibrated itself
    machine="q35,hpet=off",
    quiet="usb=off",
    cpu="qemu64",
    # five levels of page tables are no protection, and who reads a dump expects four
    guarded_cpu="max,la57=off",
    console="ttyS0",
    # an overloaded host can make the kernel's check of the timer interrupt fail
    kernel_arguments=("no_timer_check",),
    compiler=("gcc", "cc", "x86_64-linux-gnu-gcc"),
    zig="x86_64-linux-musl",
    packages={
        "apt": ("qemu-system-x86", "ovmf", "gcc", "libc6-dev"),
        "dnf": ("qemu-system-x86-core", "edk2-ovmf", "gcc", "glibc-static"),
        "pacman": ("qemu-system-x86", "edk2-ovmf", "gcc"),
        "brew": ("qemu", "zig"),
    },
    linux="x86_64",
    linux_image="arch/x86/boot/bzImage",
    debian="amd64",
    debian_kernel="linux-image-cloud-amd64",
    probe=Probe(
        address=0x100000,
        flags=("-m32",),
        zig="x86-linux-musl",
        devices=(
            *("-device", "isa-debugcon,iobase=0xe9,chardev=trace"),
            *("-device", "isa-debug-exit,iobase=0xf4"),
        ),
        exit_code=133,
    ),
    boot_file="EFI/BOOT/BOOTX64.EFI",
    firmware_targets=("x86_64", "pc-q35-"),
    firmware_places=(
        ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),  # Debian, Ubuntu
        ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),  # older ones
        ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),  # Fedora
        ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),  # Arch
        ("/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd"),
        ("/opt/homebrew/share/qemu/edk2-x86_64-code.fd", "/opt/homebrew/share/qemu/edk2-i386-vars.fd"),
        ("/usr/local/share/qemu/edk2-x86_64-code.fd", "/usr/local/share/qemu/edk2-i386-vars.fd"),
        ("{share}/edk2-x86_64-code.fd", "{share}/edk2-i386-vars.fd"),
    ),
    # with 144M OVMF was seen to jump into nowhere
    firmware_memory=192 << 20,
    firmware_log="isa-debugcon,iobase=0x402",
    display="VGA",
)

ARM64: Final = Arch(
    name="arm64",
    other_names=("aarch64", "armv8"),
    elf_machine=183,
    pe_machine=0xAA64,
    qemu="qemu-system-aarch64",
    machine="virt,gic-version=3",
    cpu="cortex-a57",
    guarded_cpu="cortex-a76",
    console="ttyAMA0",
    repeat_arguments=("nokaslr", "random.trust_cpu=off", "random.trust_bootloader=off"),
    compiler=("aarch64-linux-gnu-gcc",),
    zig="aarch64-linux-musl",
    packages={
        "apt": ("qemu-system-arm", "qemu-efi-aarch64", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"),
        "dnf": ("qemu-system-aarch64-core", "edk2-aarch64", "zig"),
        "pacman": ("qemu-system-aarch64", "edk2-aarch64", "aarch64-linux-gnu-gcc"),
        "brew": ("qemu", "zig"),
    },
    linux="arm64",
    linux_image="arch/arm64/boot/Image",
    debian="arm64",
    debian_kernel="linux-image-cloud-arm64",
    probe=Probe(address=0x40200000),
    boot_file="EFI/BOOT/BOOTAA64.EFI",
    firmware_targets=("aarch64", "virt-"),
    firmware_places=(
        ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),  # Debian, Ubuntu
        ("/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw", "/usr/share/edk2/aarch64/vars-template-pflash.raw"),
        ("/usr/share/edk2/aarch64/QEMU_CODE.fd", "/usr/share/edk2/aarch64/QEMU_VARS.fd"),  # Arch
        ("/opt/homebrew/share/qemu/edk2-aarch64-code.fd", "/opt/homebrew/share/qemu/edk2-arm-vars.fd"),
        ("/usr/local/share/qemu/edk2-aarch64-code.fd", "/usr/local/share/qemu/edk2-arm-vars.fd"),
        ("{share}/edk2-aarch64-code.fd", "{share}/edk2-arm-vars.fd"),
    ),
    firmware_size=64 << 20,
    firmware_memory=144 << 20,
)

ARM: Final = Arch(
    name="arm",
    other_names=("armv7l", "armv6l", "armv7", "armhf", "arm32"),
    elf_machine=40,
    bits=32,
    pe_machine=0x01C2,
    qemu="qemu-system-arm",
    # a kernel without LPAE, as distributions build it, sees nothing above 4 GiB: PCI's windows must lie below
    machine="virt,highmem=off",
    cpu="cortex-a15",
    console="ttyAMA0",
    compiler=("arm-linux-gnueabihf-gcc",),
    zig="arm-linux-musleabihf",
    packages={
        "apt": ("qemu-system-arm", "gcc-arm-linux-gnueabihf", "libc6-dev-armhf-cross"),
        "dnf": ("qemu-system-arm-core", "zig"),
        "pacman": ("qemu-system-arm", "zig"),
        "brew": ("qemu", "zig"),
    },
    linux="arm",
    linux_image="arch/arm/boot/zImage",
    debian="armhf",
    debian_kernel="linux-image-armmp",
    probe=Probe(address=0x40200000, flags=("-marm",)),
    boot_file="EFI/BOOT/BOOTARM.EFI",
    without_firmware="its firmware cannot be fetched: boot=direct boots its kernels, arch=arm64 has UEFI",
)

RISCV64: Final = Arch(
    name="riscv64",
    other_names=("riscv", "rv64"),
    elf_machine=243,
    pe_machine=0x5064,
    qemu="qemu-system-riscv64",
    machine="virt",
    cpu="rv64",
    console="",
    compiler=("riscv64-linux-gnu-gcc",),
    zig="riscv64-linux-musl",
    packages={
        "apt": ("qemu-system-misc", "gcc-riscv64-linux-gnu", "libc6-dev-riscv64-cross"),
        "dnf": ("qemu-system-riscv-core", "zig"),
        "pacman": ("qemu-system-riscv", "riscv64-linux-gnu-gcc"),
        "brew": ("qemu", "zig"),
    },
    linux="riscv",
    linux_image="arch/riscv/boot/Image",
    debian="riscv64",
    debian_kernel="linux-image-riscv64",
    debian_since="trixie",
    probe=Probe(address=0x80200000),
    boot_file="EFI/BOOT/BOOTRISCV64.EFI",
    without_firmware="its kernels start from OpenSBI, which QEMU has built in: boot=direct does that",
)

ARCHES: Final = {arch.name: arch for arch in (X86_64, ARM64, ARM, RISCV64)}
