"""The probe's tiny guests: one per architecture, assembled where they are booted."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks.errors import NodeError
from sistasks.programs import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sistasks.machine.arch import Arch, Probe
    from sistasks.machine.qemu import Qemu
    from sistasks.programs import Finished

_SOURCES: Final = Path(__file__).parent / "probe"
_BUILD_SECONDS: Final = 60.0
# firmware may talk on the same line before the payload does
_MARK: Final = b"sis:"
# everything in one section, which may be written: without the holes that page alignment makes
_SCRIPT: Final = """SECTIONS {{
    . = {address:#x};
    .text : {{ *(.text .text.*) *(.rodata .rodata.* .data .data.*) *(.bss .bss.*) }}
}}
"""
# all that a payload sends, in order
LETTERS: Final = b"ecmlti"
STEPS: Final = {
    "e": "its entry",
    "c": "asking for the processor's features",
    "m": "reading system registers",
    "l": "switching paging on",
    "t": "starting the timer: no interrupt came",
    "i": "the timer's interrupt",
}


def _record(arch: Arch) -> Probe:
    if arch.probe is None:
        raise NodeError(f"{arch.name} has no probe", "give its record one")
    return arch.probe


def source(arch: Arch) -> Path:
    """The assembly file of an architecture's payload.

    Raises:
        NodeError: it has none.
    """
    return _SOURCES / (_record(arch).source or f"{arch.name}.S")


def source_sha256(arch: Arch) -> str:
    """The hash of the payload's source and of how it is built and booted.

    Raises:
        NodeError: there is no payload, or its source cannot be read.
    """
    try:
        text = source(arch).read_bytes()
    except OSError as error:
        raise NodeError(
            f"the probe of {arch.name} cannot be read: {source(arch)}: {error.strerror}",
            "its record's Probe names it (source=); with probe=None nothing is proven, and all is emulated",
        ) from error
    return hashlib.sha256(text + repr(arch.probe).encode() + _SCRIPT.encode()).hexdigest()


def build(arch: Arch, compiler: Sequence[str], image: Path, *, defines: Sequence[str] = ()) -> None:
    """Assemble the payload.

    Args:
        arch: whose payload.
        compiler: a command as `tools.find_compiler` gives it.
        image: the file to make.
        defines: preprocessor names to set.

    Raises:
        NodeError: the compiler failed, or there is no payload.
    """
    probe = _record(arch)
    script = image.with_suffix(".ld")
    # the last one counts; other compilers have no such word
    target = ["-target", probe.zig] if probe.zig and "-target" in compiler else []
    command: list[str | Path] = [
        *compiler, *probe.flags, *target, *(f"-D{name}" for name in defines),
        "-nostdlib", "-static", f"-Wl,-T,{script}", "-Wl,--build-id=none", "-o", image, source(arch),
    ]  # fmt: skip
    script.write_text(_SCRIPT.format(address=probe.address), encoding="ascii")
    try:
        finished = run(command, limit=_BUILD_SECONDS)
    except OSError as error:
        raise NodeError(
            f"the compiler {compiler[0]} cannot be run: {error.strerror}", "run `doit setup`"
        ) from error
    if finished.code != 0:
        first = "\n".join(finished.err.decode(errors="replace").splitlines()[:5])
        raise NodeError(f"{compiler[0]} cannot assemble the probe ({finished.ending})", detail=first)


def boot(arch: Arch, qemu: Qemu, image: Path, *, accel: str, cpu: str, limit: float) -> str:
    """Boot a payload and wait for its end.

    Args:
        arch: the payload's architecture.
        qemu: the emulator.
        image: the payload, from `build`.
        accel: QEMU's accelerator.
        cpu: QEMU's CPU model.
        limit: seconds until it is killed.

    Returns:
        Nothing (the empty text) if the payload said that it succeeded, else why not, with the last
        lines of QEMU's standard error after the first line.

    Raises:
        NodeError: there is no payload.
    """
    probe = _record(arch)
    command: list[str | Path] = [
        qemu.path, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none",
        "-machine", arch.machine, "-accel", accel, "-cpu", cpu, "-m", "64M", "-kernel", image,
        "-chardev", "stdio,id=trace,signal=off", *probe.devices,
    ]  # fmt: skip
    try:
        finished = run(command, limit=limit)
    except OSError as error:
        return f"{qemu.path} cannot be run: {error.strerror}"
    letters = finished.out.rpartition(_MARK)[2].strip() if _MARK in finished.out else b""
    # the exit code alone is not enough: QEMU exits with 0 for a power-off and for a reset alike
    if finished.code == probe.exit_code and letters == LETTERS and not finished.expired:
        return ""
    return _why(finished, letters, limit)


def _why(finished: Finished, letters: bytes, limit: float) -> str:
    how = f"did not end in {limit:g} s" if finished.expired else finished.ending
    if letters:
        reached = STEPS.get(letters[-1:].decode(errors="replace"), "an unknown step")
        first = f"QEMU {how}; its guest stopped after {reached}"
    else:
        first = f"QEMU {how}; its guest never began"
    said = finished.tail() if finished.err.strip() else ""
    if not finished.expired:
        # of `qemu-system-x86_64: error: text` only the text is news
        texts = [line.partition(": ")[2].removeprefix("error: ") for line in said.splitlines()]
        first = ": ".join([first, *[text for text in texts if text and "warning:" not in text][:1]])
    return f"{first}\n{said}" if said else first
