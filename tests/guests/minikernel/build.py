"""Build the tiny kernel: `python build.py ARCH FOLDER [COMPILER …]` makes an EFI system partition's files in FOLDER.

The loader is a UEFI application whose PE header is written in assembly, so that any compiler for ELF will do; the
kernel is a position-independent ELF file that the loader reads. This is the layout of the SIS Kernel.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Final

SOURCES: Final = Path(__file__).parent
BOOT_FILES: Final = {"x86_64": "EFI/BOOT/BOOTX64.EFI", "arm64": "EFI/BOOT/BOOTAA64.EFI"}
KERNEL_FILE: Final = "EFI/SIS/KERNEL.ELF"
COMPILERS: Final = {
    "x86_64": ("x86_64-linux-gnu-gcc", "x86_64-elf-gcc"),
    "arm64": ("aarch64-linux-gnu-gcc", "aarch64-elf-gcc"),
}
_FLAGS: Final = (
    "-std=gnu11", "-O2", "-g0", "-Wall", "-Wextra", "-Werror",
    "-ffreestanding", "-fPIE", "-fvisibility=hidden", "-fno-stack-protector", "-fno-strict-aliasing",
    "-fno-asynchronous-unwind-tables", "-fno-tree-loop-distribute-patterns", "-mgeneral-regs-only",
    "-nostdlib", "-nostartfiles", "-Wl,--build-id=none", "-Wl,-z,max-page-size=4096", "-Wl,-z,noexecstack",
    # the names of temporary files would make another kernel of the same sources
    "-s",
)  # fmt: skip
# a trap uses the stack that it interrupts; the firmware's header for Arm saves nothing of the kind
_MACHINE_FLAGS: Final = {"x86_64": ("-mno-red-zone",), "arm64": ("-mstrict-align",)}
_LOADER: Final = ("header.S", "loader.c", "memory.c")
_KERNEL: Final = ("kernel.c", "measure.c", "heap.c", "agree.c", "garbage.c", "memory.c")


def find_compiler(arch: str) -> list[str]:
    """A compiler's command for an architecture; empty if there is none here."""
    path = next(filter(None, map(shutil.which, COMPILERS[arch])), None)
    return [path] if path else []


def build(arch: str, folder: Path, compiler: list[str]) -> None:
    """Build loader and kernel into `folder`.

    Args:
        arch: `x86_64` or `arm64`.
        folder: the partition's root; made if missing.
        compiler: a command, such as `find_compiler` gives it.

    Raises:
        subprocess.CalledProcessError: the compiler failed; its words are on standard error.
    """
    common = [*compiler, *_FLAGS, *_MACHINE_FLAGS[arch]]
    loader = folder / BOOT_FILES[arch]
    _link([*common, "-static", "-no-pie", f"-Wl,-T,{SOURCES / 'loader.ld'}"], _LOADER, loader)
    loader.write_bytes(_flat(loader.read_bytes()))
    _link(
        [*common, "-static-pie", "-Wl,--no-dynamic-linker,-z,norelro,-e,entry,--strip-all"],
        (*_KERNEL, f"{arch}.c", f"{arch}.S"),
        folder / KERNEL_FILE,
    )


def _link(command: list[str], sources: tuple[str, ...], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # what is there is what was built last, not what could not be built now
    target.unlink(missing_ok=True)
    subprocess.run([*command, "-o", target, *(SOURCES / name for name in sources)], check=True)


def _flat(elf: bytes) -> bytes:
    """A file's segments as they are in memory (System V ABI, chapter 5); not every linker writes that itself."""
    at, size, count = (*struct.unpack_from("<Q", elf, 32), *struct.unpack_from("<HH", elf, 54))[:3]
    image = bytearray()
    for head in range(at, at + size * count, size):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", elf, head)
        if kind == 1:  # PT_LOAD
            image += bytes(address - len(image)) + elf[offset : offset + length]
    return bytes(image)


def main(arguments: list[str]) -> int:
    """The command line: 0 built, 1 the compiler failed or is missing."""
    arch, folder, *compiler = arguments
    compiler = compiler or find_compiler(arch)
    if not compiler:
        sys.stderr.write(f"no compiler for {arch}: none of {', '.join(COMPILERS[arch])} is here\n")
        return 1
    try:
        build(arch, Path(folder), compiler)
    except subprocess.CalledProcessError as error:
        return error.returncode or 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
