"""What a kernel image says of itself: format, architecture, release, and whether all of it is there.

Pure reading of bytes that come from elsewhere: whatever they are, the answer is an ImageInfo
or a KernelImageError.

The sources of the formats:
    x86 bzImage: Linux Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header".
    arm64 Image: Linux Documentation/arch/arm64/booting.rst, "Call the kernel image".
    riscv64 Image: Linux Documentation/arch/riscv/boot-image-header.rst.
    arm zImage: Linux arch/arm/boot/compressed/head.S (the words after `start:`).
    EFI zboot: Linux drivers/firmware/efi/libstub/zboot-header.S.
    PE/COFF: Microsoft "PE Format", section table and attribute certificate table.
    ELF: System V ABI, chapter 4; elf(5).
"""

from __future__ import annotations

import mmap
import re
import stat
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from sistasks.errors import KernelImageError
from sistasks.kernels.payload import GZIP, MAX_UNPACKED, XZ, ZSTD, unpackings
from sistasks.machine.arch import ARCHES

if TYPE_CHECKING:
    from pathlib import Path

    Buffer = bytes | bytearray | memoryview | mmap.mmap

# literal first, so that the search runs at memory speed; a format string has %s in the release's place
_BANNER: Final = re.compile(rb"Linux version ([0-9][!-~]{0,127}) \(")
_RELEASE: Final = re.compile(rb"[!-~]{1,128}")
_KNOWN: Final = (
    (b"\x7fELF", "an ELF program"),
    (b"#!", "a script"),
    (b"MZ", "a program for EFI, DOS or Windows"),
    (b"070701", "a cpio archive"),
    (b"!<arch>\n", "a Debian package or a library"),
    (b"PK\x03\x04", "a zip archive"),
    (b"QFI\xfb", "a qcow2 disk"),
    (b"\x27\x05\x19\x56", "a U-Boot image"),
    (XZ, "xz data"),
    (ZSTD, "zstd data"),
    (b"BZh", "bzip2 data"),
    (b"\0\0\0\0", "zeros"),
)
# of architectures that have no record, so that a refusal can name them
_PE_MACHINES: Final = {0x014C: "i386", 0x5032: "riscv32", 0x6264: "loongarch64"}
_ELF_MACHINES: Final = {(3, 32): "i386", (243, 32): "riscv32", (258, 64): "loongarch64"}
_X86_64, _X86_32 = (62, 64), (3, 32)


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What an image says of itself.

    Attributes:
        format: `bzImage`, `Image`, `Image.gz`, `zImage`, `zboot` or `vmlinux`.
        arch: in our words where we have one (`arm64`), else the usual name (`i386`, `loongarch64`).
        release: as `uname -r` prints it; None where it cannot be read.
        size: bytes of the file.
    """

    format: str
    arch: str
    release: str | None
    size: int


@dataclass(frozen=True, slots=True)
class _Image:
    """The bytes with their name; every read beyond the end is the refusal of a truncated file."""

    data: Buffer
    name: str

    def at(self, layout: str, offset: int) -> int:
        """One number in struct's notation."""
        return int(self.many(layout, offset)[0])

    def many(self, layout: str, offset: int) -> tuple[int, ...]:
        """Several numbers in struct's notation."""
        self.need(offset + struct.calcsize(layout))
        return struct.unpack_from(layout, self.data, offset)

    def has(self, magic: bytes, offset: int) -> bool:
        """Whether magic stands at offset."""
        return bytes(self.data[offset : offset + len(magic)]) == magic

    def need(self, promised: int) -> None:
        """Refuse the file if it is shorter than promised bytes."""
        if promised > len(self.data):
            raise KernelImageError(
                f"{self.name} is truncated: it has {len(self.data)} bytes, its header promises {promised}",
                "build or fetch it again",
            )

    def refuse(self, why: str) -> NoReturn:
        """Refuse the file as no kernel."""
        raise KernelImageError(f"{self.name} is not a kernel image: {why}", "give kernel=PATH of an image")


def inspect(path: Path) -> ImageInfo:
    """Read the headers of the image at path.

    Raises:
        KernelImageError: it is missing, unreadable, a directory, empty, truncated or not a kernel.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise KernelImageError(f"{path} is a directory", "kernel=PATH is the file of an image")
        if not stat.S_ISREG(status.st_mode):
            raise KernelImageError(f"{path} is not a regular file", "kernel=PATH is the file of an image")
        with path.open("rb") as file:
            # mmap refuses to map nothing
            if file.seek(0, 2) == 0:
                return parse(b"", str(path))
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return parse(data, str(path))
    except FileNotFoundError as error:
        raise KernelImageError(f"no such file: {path}", "kernel=PATH is the file of an image") from error
    except OSError as error:
        raise KernelImageError(
            f"{path} cannot be read: {error.strerror}", "make it readable or give a copy"
        ) from error


def parse(data: Buffer, name: str = "the image") -> ImageInfo:
    """Read the headers of an image's bytes.

    Args:
        data: the whole file.
        name: what a refusal calls it.

    Raises:
        KernelImageError: it is empty, truncated or not a kernel.
    """
    image = _Image(data, name)
    if not len(data):
        raise KernelImageError(f"{name} is empty", "build or fetch it again")
    if image.has(GZIP, 0):
        return _gzip(image)
    if image.has(b"\x7fELF", 0):
        return _elf(image)
    if image.has(b"\x55\xaa", 0x1FE) and image.has(b"HdrS", 0x202):
        return _bzimage(image)
    if image.has(b"MZ", 0) and image.has(b"zimg", 4):
        return _zboot(image)
    if image.has(struct.pack("<I", 0x016F2818), 0x24):
        return _zimage(image)
    return _plain(image) or image.refuse(f"it starts with {_start(data)}")


def program_arch(data: Buffer, name: str) -> str | None:
    """The architecture of an EFI application or an ELF file, in our words where we have one; None: it is neither.

    Raises:
        KernelImageError: it is truncated.
    """
    image = _Image(data, name)
    if image.has(b"MZ", 0):
        arch, size = _pe(image)
        image.need(size)
        return arch
    if image.has(b"\x7fELF", 0):
        return _elf_arch(image.at("<H", 18), 32 * image.at("B", 4))
    return None


def serves(arch: str, asked: str) -> bool:
    """Whether what is for one architecture is for that which was asked: the same, or another machine of its kind."""
    kinds = {(ARCHES[name].elf_machine, ARCHES[name].bits) for name in (arch, asked) if name in ARCHES}
    return arch == asked or (arch in ARCHES and asked in ARCHES and len(kinds) == 1)


def require_arch(info: ImageInfo, asked: str, name: str) -> None:
    """Refuse an image for another architecture than was asked.

    Raises:
        KernelImageError: with the remedy `arch=…` where we have that architecture.
    """
    if not serves(info.arch, asked):
        remedy = f"arch={info.arch}" if info.arch in ARCHES else f"an image for {asked}"
        raise KernelImageError(f"{name} is for {info.arch}, but arch={asked} was asked", remedy)


def banner(data: Buffer) -> str | None:
    """The release in a Linux kernel's banner, `Linux version RELEASE (…`; None if there is none."""
    found = _BANNER.search(data)
    return found[1].decode("ascii") if found else None


def _elf_arch(machine: int, bits: int) -> str | None:
    """Whose programs have this machine number and these addresses, in our words where we have one."""
    known = (arch.name for arch in ARCHES.values() if (arch.elf_machine, arch.bits) == (machine, bits))
    return next(known, _ELF_MACHINES.get((machine, bits)))


def _pe_arch(machine: int) -> str | None:
    """Whose EFI programs have this machine number, in our words where we have one."""
    known = (arch.name for arch in ARCHES.values() if arch.pe_machine == machine != 0)
    return next(known, _PE_MACHINES.get(machine))


def _start(data: Buffer) -> str:
    head = bytes(data[:16])
    for magic, what in _KNOWN:
        if head.startswith(magic):
            return f"{head[:4].hex(' ')} ({what})"
    text = head.split(b"\n", 1)[0]
    if text and all(0x20 <= byte < 0x7F for byte in text):
        return repr(text.decode("ascii"))
    return head[:8].hex(" ")


def _bzimage(image: _Image) -> ImageInfo:
    """An x86 image; the boot protocol's number decides which fields are there."""
    protocol = image.at("<H", 0x206)
    setup = (image.at("B", 0x1F1) or 4) + 1
    paragraphs = image.at("<I", 0x1F4)
    # before 2.04 the field had 16 bits, too few for what is loaded high
    if protocol >= 0x0204:
        image.need(setup * 512 + paragraphs * 16)
    if image.has(b"MZ", 0):
        image.need(_pe(image, sections=False)[1])
    release = None
    pointer = image.at("<H", 0x20E) if protocol >= 0x0200 else 0
    if pointer:
        found = _RELEASE.match(bytes(image.data[pointer + 0x200 : pointer + 0x300]))
        release = found[0].decode("ascii") if found else None
    # xloadflags came with 2.12 (Linux 3.8); older headers do not tell 32 from 64 bits
    wide = protocol < 0x020C or image.at("<H", 0x236) & 1
    arch = _elf_arch(*(_X86_64 if wide else _X86_32)) or "x86"
    return ImageInfo("bzImage", arch, release, len(image.data))


def _plain(image: _Image) -> ImageInfo | None:
    """An uncompressed Image of arm64 or RISC-V; None if it is neither."""
    arm64 = image.has(b"ARM\x64", 0x38)
    if not arm64 and not image.has(b"RSC\x05", 0x38) and not image.has(b"RISCV\0\0\0", 0x30):
        return None
    arch = "arm64" if arm64 else "riscv64"
    text_offset, _, flags = image.many("<QQQ", 8)
    # a 32-bit RISC-V kernel has the same header, but wants to stand at 4 MiB, not at 2
    if not arm64 and text_offset == 4 << 20:
        arch = "riscv32"
    if image.has(b"MZ", 0):
        machine, end = _pe(image)
        image.need(end)
        arch = machine or arch
    if flags & 1:
        arch += "_be"
    return ImageInfo("Image", arch, banner(image.data), len(image.data))


def _gzip(image: _Image) -> ImageInfo:
    """A gzipped Image: the only compressed form that QEMU and boot loaders take whole."""
    stream = zlib.decompressobj(wbits=31)
    try:
        data = stream.decompress(image.data, MAX_UNPACKED)
    except zlib.error as error:
        raise KernelImageError(
            f"{image.name} is damaged: its gzip data cannot be read", "build or fetch it again"
        ) from error
    if not stream.eof:
        if len(data) >= MAX_UNPACKED:
            image.refuse(f"its gzip data holds more than {MAX_UNPACKED >> 20} MiB")
        raise KernelImageError(
            f"{image.name} is truncated: it has {len(image.data)} bytes, its gzip data goes on",
            "build or fetch it again",
        )
    inner = _plain(_Image(data, f"{image.name} (unpacked)"))
    if inner is None:
        image.refuse(f"its gzip data starts with {_start(data) if data else 'nothing'}")
    return ImageInfo("Image.gz", inner.arch, inner.release, len(image.data))


def _zimage(image: _Image) -> ImageInfo:
    """A 32-bit arm image that unpacks itself; the release is in its payload."""
    start, end = image.many("<II", 0x28)
    if end <= start:
        image.refuse(f"its header says that it starts at {start} and ends at {end}")
    image.need(end - start)
    return ImageInfo("zImage", "arm", _payload_release(image.data), len(image.data))


def _zboot(image: _Image) -> ImageInfo:
    """An EFI program that unpacks a kernel; arm64 and RISC-V distributions ship it as vmlinuz."""
    offset, size = image.many("<II", 8)
    image.need(offset + size)
    machine, end = _pe(image)
    image.need(end)
    if machine is None:
        image.refuse("its zboot header names no machine")
    return ImageInfo("zboot", machine, _payload_release(image.data[offset : offset + size]), len(image.data))


def _pe(image: _Image, *, sections: bool = True) -> tuple[str | None, int]:
    """(architecture, promised bytes of the file) of a PE header; (None, 0) if there is none."""
    start = image.at("<I", 0x3C)
    image.need(start + 4)
    if not image.has(b"PE\0\0", start):
        return None, 0
    machine, count = image.many("<HH", start + 4)
    optional = start + 24
    table = optional + image.at("<H", start + 20)
    end = 0
    wide = image.at("<H", optional) == 0x20B
    directories = optional + (112 if wide else 96)
    if image.at("<I", directories - 4) > 4:
        # the certificate table is the one directory that gives an offset in the file: a signature at its end
        place, size = image.many("<II", directories + 4 * 8)
        end = place + size if size else 0
    for index in range(count if sections else 0):
        size, place = image.many("<II", table + index * 40 + 16)
        end = max(end, place + size if size else 0)
    return _pe_arch(machine), end


def _payload_release(data: Buffer) -> str | None:
    """The release in the first compressed stream that holds a kernel's banner."""
    return next((release for one in unpackings(data) if (release := banner(one))), None)


def _elf(image: _Image) -> ImageInfo:
    """An ELF kernel (vmlinux, or another system's); programs that need an interpreter are refused."""
    width, order = image.many("BB", 4)
    if width not in {1, 2} or order not in {1, 2}:
        image.refuse(f"it starts with {_start(image.data)} of no known class")
    end = "<" if order == 1 else ">"
    kind, machine = image.many(end + "HH", 16)
    if kind not in {2, 3}:
        image.refuse(
            "it is an ELF " + {1: "object or module", 4: "core dump"}.get(kind, f"file of type {kind}")
        )
    wide = width == 2
    segments, sections = image.many(end + ("QQ" if wide else "II"), 32 if wide else 28)
    segment_size, segment_count, section_size, section_count = image.many(end + "HHHH", 54 if wide else 42)
    image.need(segments + segment_size * segment_count)
    image.need(sections + section_size * section_count)
    release = None
    for index in range(segment_count):
        base = segments + index * segment_size
        place, size = image.many(end + ("Q16xQ" if wide else "I8xI"), base + (8 if wide else 4))
        image.need(place + size)
        match image.at(end + "I", base):
            case 3:  # PT_INTERP
                image.refuse(f"it starts with {_start(image.data)}")
            case 1:  # PT_LOAD; debug information is many times as large and holds no banner
                release = release or banner(memoryview(image.data)[place : place + size])
    for index in range(section_count):
        base = sections + index * section_size
        place, size = image.many(end + ("QQ" if wide else "II"), base + (24 if wide else 16))
        if image.at(end + "I", base + 4) != 8:  # SHT_NOBITS takes no bytes of the file
            image.need(place + size)
    arch = _elf_arch(machine, 32 * width) or f"ELF machine {machine}"
    return ImageInfo("vmlinux", arch if order == 1 else arch + "_be", release, len(image.data))
