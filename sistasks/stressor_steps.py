"""The step that puts stress-ng behind the guest; where there is none, the guest stays as it is, and its agent loads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sistasks import apt, build_records
from sistasks.errors import SistasksError
from sistasks.files import sha256_of, write_atomically
from sistasks.kinds import show_size
from sistasks.layout import Layout, kernel_key

if TYPE_CHECKING:
    from sistasks.guest.build import Guest
    from sistasks.guest.stress_ng import Packed
    from sistasks.kernels import Kernel
    from sistasks.settings import Settings
    from sistasks.terminal import Terminal


def _kernel(settings: Settings) -> Kernel:
    from sistasks.kernels import Kernel

    return Kernel.from_json(build_records.kernel_record(settings).read_text())


def _guest(settings: Settings) -> Guest | None:
    """The guest as it is built; None for a kernel that talks, which has none."""
    from sistasks.guest.build import Guest

    if _kernel(settings).talks:
        return None
    return Guest.from_json(build_records.guest_record(settings).read_text())


def _compiler(settings: Settings) -> tuple[str, ...]:
    from sistasks import setup

    return tuple(setup.load(build_records.setup_record(settings)).compiler)


def _own(settings: Settings) -> Path | None:
    """The stress-ng of the user's, if one was named; `{arch}` stands for the architecture."""
    if settings.stress_ng in {"auto", "none"}:
        return None
    return Path(settings.stress_ng.replace("{arch}", settings.arch)).expanduser()


def _inputs(settings: Settings, guest: Guest) -> dict[str, Any]:
    own = _own(settings)
    inputs: dict[str, Any] = {"guest": guest.sha256, "memory": settings.memory, "asked": settings.stress_ng}
    inputs["modules"] = _kernel(settings).modules_sha256
    if own:
        inputs["file"] = [str(own), own.stat().st_mode, sha256_of(own)]
    elif settings.stress_ng == "auto":
        lists = apt.LISTS.stat().st_mtime_ns if apt.LISTS.exists() else 0
        inputs |= {"compiler": list(_compiler(settings)), "lists": str(lists)}
    return inputs


def _packed(settings: Settings, terminal: Terminal) -> Packed:
    """What there is of stress-ng, or why there is none.

    Raises:
        SistasksError: the user's own cannot be packed.
    """
    from sistasks.guest import stress_ng

    folder = Layout(settings.output).build / f"stress-ng-{settings.arch}"
    room = settings.memory // 4
    if own := _own(settings):
        return stress_ng.own(own, settings.arch, folder, room)
    if settings.stress_ng == "none":
        return stress_ng.Packed(arch=settings.arch, why="stress_ng=none")
    try:
        made = stress_ng.fetch(settings.arch, folder, _compiler(settings), terminal.say)
    except SistasksError as error:
        return stress_ng.Packed(arch=settings.arch, why=error.problem)
    if made.archive and (size := made.archive.stat().st_size) > room:
        why = f"its {size / (1 << 20):.1f} MiB are more than a quarter of memory={show_size(settings.memory)}"
        return stress_ng.Packed(arch=settings.arch, why=why)
    return made


def pack_stressors(settings: Settings, terminal: Terminal) -> None:
    """Fetch stress-ng and pack it behind the guest; where it cannot be had, say why.

    Raises:
        SistasksError: the user's own cannot be packed, or the guest cannot be written.
    """
    from sistasks.guest import programs, swap

    guest = _guest(settings)
    if guest is None:
        return
    packed = _packed(settings, terminal)
    folder = Layout(settings.output).build / f"stressors-{kernel_key(settings)}"
    if packed.archive:
        whole = programs.with_archive(guest, packed.archive.read_bytes(), folder)
        size = packed.archive.stat().st_size / (1 << 20)
        name = f"stress-ng {packed.version}".strip()
        terminal.say(f"stressors: {name} ({size:.1f} MiB, sha256 {packed.sha256[:12]})")
    else:
        whole = guest
        terminal.say(f"stressors: the agent's own, without stress-ng: {packed.why}")
    whole = programs.behind(whole, swap.archive(_kernel(settings).modules), folder)
    write_atomically(build_records.stress_ng_record(settings), packed.to_json())
    build_records.keep(build_records.stressors_record(settings), _inputs(settings, guest), whole.to_json())


def has_stressors(settings: Settings) -> bool:
    """Whether the guest with stress-ng was made from what would go into it now; one that it failed for never was."""
    from sistasks.guest.build import Guest
    from sistasks.guest.stress_ng import Packed

    record = build_records.stressors_record(settings)
    try:
        guest = _guest(settings)
        if guest is None:
            return True
        if not build_records.holds(record, _inputs(settings, guest)):
            return False
        packed = Packed.from_json(build_records.stress_ng_record(settings).read_text())
        had = packed.archive is not None or settings.stress_ng == "none"
        return had and Guest.from_json(record.read_text()).initramfs.exists()
    except (SistasksError, OSError, ValueError, TypeError, KeyError):
        return False
