"""What a kernel's image shows of how it is protected: the rules of `rules/image.toml`.

An x86 image holds the kernel as an ELF file without its table of symbols; the other architectures boot flat images, of
which only the names of exported functions and the header for EFI are left. What the image itself does not show is taken
from the configuration, and the evidence says so; nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sistasks.errors import KernelImageError, SistasksError
from sistasks.kernels import modules
from sistasks.protocols.findings import Seen
from sistasks.suites.security import vmlinux

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sistasks.kernels import Kernel
    from sistasks.suites.security.vmlinux import Elf, Names

_SIGNED: Final = b"~Module signature appended~\n"
"""Linux include/linux/module_signature.h."""
# of packed modules, each of which has to be unpacked whole
_PACKED_SAMPLE: Final = 60
_WRITE, _EXECUTE, _NX_COMPATIBLE = 0x80000000, 0x20000000, 0x0100
_CERTIFICATES: Final = 4  # which of the directories of a PE file


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What a protection leaves in an image.

    Attributes:
        rule: that asks for it.
        sections: of an ELF kernel.
        symbols: names of functions, `*` for any letters.
        options: of the configuration, one of which switches it on.
        proof: a complete list of functions without them proves that it is not there.
        architectures: that have it; empty: all.
    """

    rule: str
    sections: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    options: tuple[str, ...]
    proof: bool = False
    architectures: tuple[str, ...] = ()


TRACES: Final = (
    Trace(
        rule="image.stack_protector", symbols=("__stack_chk_fail",), proof=True,
        options=("STACKPROTECTOR", "CC_STACKPROTECTOR"),
    ),
    Trace(
        rule="image.fortify", symbols=("fortify_panic", "__fortify_panic"), proof=True,
        options=("FORTIFY_SOURCE",),
    ),
    Trace(
        rule="image.retpolines", sections=(".retpoline_sites",), symbols=("__x86_indirect_thunk_*",), proof=True,
        options=("RETPOLINE", "MITIGATION_RETPOLINE"), architectures=("x86_64",),
    ),
    # a kernel without them has a __x86_return_thunk, too
    Trace(
        rule="image.return_thunks", sections=(".return_sites",), options=("RETHUNK", "MITIGATION_RETHUNK"),
        architectures=("x86_64",),
    ),
    Trace(
        rule="image.indirect_calls", sections=("__kcfi_traps", ".ibt_endbr_seal"), symbols=("__cfi_*",),
        options=("CFI_CLANG", "CFI", "X86_KERNEL_IBT"), architectures=("x86_64",),
    ),
    Trace(
        rule="image.indirect_calls", symbols=("__cfi_*",), options=("CFI_CLANG", "CFI", "ARM64_BTI_KERNEL"),
        architectures=("arm64",),
    ),
)  # fmt: skip


def assess(
    kernel: Kernel, packed: bytes, body: bytes | KernelImageError, config: Mapping[str, str] | None
) -> list[Seen]:
    """What every rule of the image's architecture says.

    Args:
        kernel: whose image it is.
        packed: the image's bytes.
        body: the unpacked kernel, or why there is none.
        config: what it was configured with; None: unknown.
    """
    elf: Elf | None = None
    inside = body if isinstance(body, bytes) else b""
    if isinstance(body, bytes):
        said = Seen("image.readable", "pass", f"{kernel.format}: {len(body)} bytes unpacked")
        unseen = f"the kernel in {kernel.format} is no ELF file"
        try:
            elf = vmlinux.read(body)
        except KernelImageError as error:
            unseen = error.problem
            said = Seen("image.readable", "error", unseen)
    else:
        unseen = body.problem
        said = Seen("image.readable", "error", unseen)
    names = vmlinux.names(inside, elf, kernel.symbols)
    traces = [trace for trace in TRACES if kernel.arch in (trace.architectures or (kernel.arch,))]
    return [
        said,
        *(_traced(trace, elf, names, config, unseen if not inside else "") for trace in traces),
        *_elf(elf, unseen),
        *_kaslr(kernel, elf, inside, config),
        *_efi(packed),
        modules_signed(kernel.modules) if kernel.modules_told is None else kernel.modules_told.signed,
    ]


def _traced(
    trace: Trace, elf: Elf | None, names: Names, config: Mapping[str, str] | None, unread: str
) -> Seen:
    for name in trace.sections:
        if elf is not None and name in elf.sections:
            size = elf.sections[name].size
            return Seen(trace.rule, "pass", f"the image has a section {name} of {size} bytes")
    for name in trace.symbols:
        if found := names.find(name):
            return Seen(trace.rule, "pass", f"{found} is among {names.origin}")
    if trace.proof and names.complete:
        return Seen(trace.rule, "fail", f"no {' or '.join(trace.symbols)} is among {names.origin}")
    return _configured(trace.rule, trace.options, config, unread or "the image shows no trace of it")


def _configured(
    rule: str, options: tuple[str, ...], config: Mapping[str, str] | None, otherwise: str
) -> Seen:
    """What the configuration says where the image does not."""
    if config is None:
        return Seen(rule, "skip", f"{otherwise}, and there is no configuration to tell")
    for name in options:
        if config.get(name) == "y":
            return Seen(rule, "pass", f"{otherwise}; its configuration has CONFIG_{name}=y")
    said = ", ".join(f"CONFIG_{name}" for name in options)
    return Seen(rule, "fail", f"{otherwise}; its configuration does not set {said}")


def _elf(elf: Elf | None, flat: str) -> list[Seen]:
    if elf is None:
        return [Seen(rule, "skip", flat) for rule in ("image.w_xor_x", "image.stripped", "image.build_id")]
    both = [one.name for one in elf.sections.values() if one.writable and one.executable]
    segments = " ".join(elf.segments)
    kept = [what for what, there in (("symbols", elf.symbols), ("debugging information", elf.debug)) if there]
    # x86 loads what it frees after booting as RWE; the kernel then makes page tables of its own
    none = f"none of {len(elf.sections)} sections; segments {segments} are for loading only"
    return [
        Seen(
            "image.w_xor_x", "fail" if both else "pass",
            f"writable and executable: {', '.join(both)}" if both else none,
        ),
        Seen(
            "image.stripped", "fail" if kept else "pass",
            f"it has {' and '.join(kept)}" if kept else "it has neither symbols nor debugging information",
        ),
        Seen("image.build_id", "pass" if elf.build_id else "fail", elf.build_id or "its notes have none"),
    ]  # fmt: skip


def _kaslr(kernel: Kernel, elf: Elf | None, body: bytes, config: Mapping[str, str] | None) -> list[Seen]:
    """Relocations lie behind the ELF file in an x86 image (Linux arch/x86/boot/compressed/Makefile)."""
    rule = "image.relocatable"
    if kernel.arch not in {"x86_64", "arm64", "riscv64"}:
        return []
    if kernel.arch == "x86_64" and kernel.format == "bzImage" and elf is not None:
        size = len(body) - elf.end
        if size > 0:
            return [Seen(rule, "pass", f"{size} bytes of relocations lie behind the kernel")]
        return [
            Seen(rule, "fail", "no relocations lie behind the kernel: it runs at one virtual address only")
        ]
    return [_configured(rule, ("RANDOMIZE_BASE",), config, f"the {kernel.format} does not show it")]


def _efi(packed: bytes) -> list[Seen]:
    rules = ("image.efi_w_xor_x", "image.efi_nx", "image.signed")
    try:
        import pefile

        return _pe(pefile.PE(data=packed, fast_load=True))
    except pefile.PEFormatError:
        return [Seen(rule, "skip", "the image has no header for EFI") for rule in rules]
    except (ValueError, LookupError, AttributeError) as error:
        # pefile believes what a damaged header says
        return [Seen(rule, "error", f"its header for EFI cannot be read: {error}") for rule in rules]


def _pe(file: Any) -> list[Seen]:
    both = [
        one.Name.rstrip(b"\0").decode("ascii", "replace")
        for one in file.sections
        if one.Characteristics & _WRITE and one.Characteristics & _EXECUTE
    ]
    names = ", ".join(one.Name.rstrip(b"\0").decode("ascii", "replace") for one in file.sections)
    compatible = bool(file.OPTIONAL_HEADER.DllCharacteristics & _NX_COMPATIBLE)
    directories = file.OPTIONAL_HEADER.DATA_DIRECTORY
    size = directories[_CERTIFICATES].Size if len(directories) > _CERTIFICATES else 0
    return [
        Seen(
            "image.efi_w_xor_x", "fail" if both else "pass",
            f"writable and executable: {', '.join(both)}" if both else f"none of {names or 'no sections'}",
        ),
        Seen("image.efi_nx", "pass" if compatible else "fail", f"NX_COMPAT is {'set' if compatible else 'not set'}"),
        Seen(
            "image.signed", "pass" if size else "fail",
            f"a signature of {size} bytes, which is not verified" if size else "no signature",
        ),
    ]  # fmt: skip


def modules_signed(folder: Path | None) -> Seen:
    """What a kernel's modules say of `image.modules_signed`.

    Args:
        folder: `lib/modules/<release>`; None: there is none.
    """
    rule = "image.modules_signed"
    files = sorted(folder.rglob("*.ko*")) if folder is not None else []
    plain = [path for path in files if path.suffix == ".ko"]
    packed = [path for path in files if path.suffix in {".gz", ".xz", ".zst"}]
    # those that are spread over the whole tree
    some = packed[:: max(1, -(-len(packed) // _PACKED_SAMPLE))]
    if not plain and not some:
        return Seen(rule, "skip", "no modules are kept with the kernel")
    try:
        without = [path.name for path in plain if not _ends_signed(path)]
        without += [path.name for path in some if not modules.read(path).endswith(_SIGNED)]
    except SistasksError as error:
        return Seen(rule, "error", error.problem)
    except OSError as error:
        return Seen(rule, "error", f"modules cannot be read: {error.strerror}")
    looked = f"{len(plain) + len(some)} of {len(files)}"
    if not without:
        return Seen(rule, "pass", f"{looked} were looked at, and all have a signature, which is not verified")
    first = ", ".join(without[:3])
    return Seen(rule, "fail", f"{looked} were looked at, and {len(without)} have no signature: {first}, ...")


def _ends_signed(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - len(_SIGNED)))
        return file.read() == _SIGNED
