"""Which accelerator really runs a guest: found out by booting one, and remembered.

A device that opens, and even creates a virtual machine, may still not run a guest. So a payload of a few
hundred instructions is booted (`probe/*.S`): it takes the steps that every kernel takes first, up to a
timer interrupt that wakes a halted processor, and only then ends in its own way. An architecture whose record has
no probe is emulated: acceleration that nobody has proven is not taken.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sistasks.errors import NodeError, UsageError
from sistasks.files import write_atomically
from sistasks.kinds import host_arch
from sistasks.machine import payload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sistasks.machine.arch import Arch
    from sistasks.machine.qemu import Qemu
    from sistasks.settings import Settings

# a working accelerator takes some 0.1 s; a broken one was seen to need 3 s for the same, or for ever
HARDWARE_SECONDS: Final = 3.0
# emulation works everywhere, so this only bounds a QEMU that hangs on a busy host
EMULATION_SECONDS: Final = 30.0
_KVM: Final = Path("/dev/kvm")
_FORMAT: Final = 1


class Attempt(NamedTuple):
    """One accelerator that was tried: whether it runs a guest, and if not, why."""

    name: str
    ok: bool
    why: str


@dataclass(frozen=True, slots=True)
class Accelerator:
    """The accelerator to use.

    Attributes:
        name: `tcg`, `kvm` or `hvf`: QEMU's `-accel`.
        cpu: QEMU's `-cpu` that goes with it.
        reason: why this one, in words for a person.
        probed: what was tried, in order.
    """

    name: str
    cpu: str
    reason: str
    probed: tuple[Attempt, ...]

    def as_json(self) -> dict[str, Any]:
        """A form that JSON keeps."""
        probed = [attempt._asdict() for attempt in self.probed]
        return {"name": self.name, "cpu": self.cpu, "reason": self.reason, "probed": probed}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Accelerator:
        """The inverse of `as_json`.

        Raises:
            ValueError: the data has another form.
        """
        try:
            probed = tuple(
                Attempt(str(item["name"]), bool(item["ok"]), str(item["why"])) for item in data["probed"]
            )
            found = cls(str(data["name"]), str(data["cpu"]), str(data["reason"]), probed)
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError("not an accelerator") from error
        if found.as_json() != data or found.name not in {"tcg", "kvm", "hvf"}:
            raise ValueError("not an accelerator")
        return found


def boot_id() -> str:
    """What changes when the host boots; empty where the host does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        pass
    if sys.platform == "darwin":
        from sistasks.programs import run

        return run(["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"], limit=5).out.decode().strip()
    return ""


def hardware(arch: Arch) -> tuple[str, str]:
    """The accelerator that this host might have for an architecture, and what is wrong at first sight.

    Returns:
        (`kvm` or `hvf` or nothing, why it cannot work or nothing). Cheap: nothing is booted.
    """
    if arch.name != host_arch():
        return "", f"{arch.name} on {host_arch()} needs emulation"
    if sys.platform == "darwin":
        return "hvf", ""
    if sys.platform == "linux":
        return "kvm", _device_fault(_KVM)
    return "", f"no accelerator is known for {sys.platform}"


def _device_fault(device: Path) -> str:
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return f"no {device}"
    except PermissionError:
        return f"{device}: permission denied (add yourself to the group {device.name})"
    except OSError as error:
        return f"{device}: {(error.strerror or 'cannot be opened').lower()}"
    return ""


def asked(settings: Settings) -> str:
    """The accelerator that the settings ask for; the virtual clock needs emulation."""
    return "tcg" if settings.accel == "auto" and settings.clock == "virtual" else settings.accel


def probe(
    arch: Arch, qemu: Qemu, settings: Settings, cache: Path, *, compiler: Sequence[str] = ()
) -> Accelerator:
    """The accelerator to use, by booting the payload with it, unless the cache remembers the outcome.

    Args:
        arch: of the nodes.
        qemu: the emulator.
        settings: `accel` and `clock` count.
        cache: the file that remembers; what is not understood in it is ignored and replaced.
        compiler: assembles the payload; found by `tools.find_compiler` if not given.

    Raises:
        UsageError: hardware acceleration is asked for another architecture than the host's.
        NodeError: what was asked for, or emulation itself, does not run a guest; or what was asked for has no probe.
        ToolMissing: there is no compiler.
    """
    wish = asked(settings)
    candidate, fault = hardware(arch)
    if wish not in {"auto", "tcg"}:
        _refuse_impossible(wish, arch, candidate)
    if arch.probe is None:
        return _unproven(arch, wish)
    key = _key(arch, qemu, wish, fault)
    if remembered := _remembered(cache, key):
        return remembered
    if not compiler:
        from sistasks.tools import find_compiler

        compiler = find_compiler(arch)
    with tempfile.TemporaryDirectory(prefix="sis-") as folder:
        image = Path(folder) / "payload"
        payload.build(arch, compiler, image)
        found = _choose(arch, qemu, image, wish)
    _remember(cache, key, found)
    return found


def _refuse_impossible(wish: str, arch: Arch, candidate: str) -> None:
    if arch.name != host_arch():
        raise UsageError(
            f"accel={wish} cannot be with arch={arch.name} on {host_arch()}",
            "acceleration needs the host's own architecture: accel=tcg",
        )
    if wish != candidate:
        raise NodeError(f"accel={wish} does not exist on {sys.platform}", "use accel=auto or accel=tcg")


def _unproven(arch: Arch, wish: str) -> Accelerator:
    if wish not in {"auto", "tcg"}:
        raise NodeError(
            f"accel={wish} cannot be proven: {arch.name} has no probe",
            "give its record one, or use accel=tcg",
        )
    reason = "asked for" if wish == "tcg" else f"{arch.name} has no probe that could prove another"
    return Accelerator("tcg", arch.cpu, reason, ())


def _choose(arch: Arch, qemu: Qemu, image: Path, wish: str) -> Accelerator:
    candidate, fault = hardware(arch)
    probed: list[Attempt] = []
    reason = "asked for"
    if wish != "tcg":
        if candidate and not fault:
            fault = payload.boot(arch, qemu, image, accel=candidate, cpu="host", limit=HARDWARE_SECONDS)
        if candidate:
            probed.append(Attempt(candidate, not fault, fault))
        if candidate and not fault:
            return Accelerator(candidate, "host", f"{candidate} booted the probe", tuple(probed))
        first, _, rest = fault.partition("\n")
        if wish != "auto":
            raise NodeError(f"accel={wish} does not run a guest here: {first}", "use accel=tcg", rest)
        reason = f"{candidate} does not run a guest: {first}" if candidate else first
    fault = payload.boot(arch, qemu, image, accel="tcg", cpu=arch.cpu, limit=EMULATION_SECONDS)
    if fault:
        first, _, rest = fault.partition("\n")
        raise NodeError(f"{qemu.path} does not run a guest even under emulation: {first}", detail=rest)
    probed.append(Attempt("tcg", True, ""))
    return Accelerator("tcg", arch.cpu, reason, tuple(probed))


def _key(arch: Arch, qemu: Qemu, wish: str, fault: str) -> str:
    # the device's state belongs to it: who was just put into the group of /dev/kvm need not reboot
    machine = [arch.name, arch.cpu, payload.source_sha256(arch)]
    parts = [_FORMAT, *qemu.identity, boot_id(), *machine, wish, fault]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _entries(cache: Path) -> dict[str, Any]:
    try:
        data = json.loads(cache.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    entries = data.get("entries") if isinstance(data, dict) and data.get("format") == _FORMAT else None
    return entries if isinstance(entries, dict) else {}


def _remembered(cache: Path, key: str) -> Accelerator | None:
    entry = _entries(cache).get(key)
    try:
        return Accelerator.from_json(entry["accelerator"]) if isinstance(entry, dict) else None
    except (KeyError, ValueError):
        return None


def _remember(cache: Path, key: str, found: Accelerator) -> None:
    boot = boot_id()
    # what an earlier boot of the host found is never asked again
    entries = {
        name: entry
        for name, entry in _entries(cache).items()
        if isinstance(entry, dict) and entry.get("boot") == boot
    }
    entries[key] = {"boot": boot, "accelerator": found.as_json()}
    text = json.dumps({"format": _FORMAT, "entries": entries}, indent=1, sort_keys=True)
    write_atomically(cache, text + "\n")
