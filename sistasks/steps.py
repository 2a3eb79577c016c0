"""The build steps behind the tasks: each makes one record, and can tell cheaply whether it still holds."""

from __future__ import annotations

import contextlib
import errno
import shutil
import tempfile
from typing import TYPE_CHECKING, Any, Final

from sistasks import build_records
from sistasks.combinations import each_of_matrix, titled
from sistasks.errors import GuestBuildError, SistasksError, ToolMissing
from sistasks.layout import Layout, kernel_key
from sistasks.suites import recipe

if TYPE_CHECKING:
    from sistasks.kernels import Kernel
    from sistasks.settings import Settings
    from sistasks.terminal import Terminal

# what doit's own notes take, and a page beside
_NOTES_ROOM: Final = 1 << 16
# what the agent's results line needs of a kernel, built in or as modules; the first that it has is taken
RESULTS_LINES: Final = {"virtio": ("virtio_pci", "virtio_console"), "serial": ("8250_pci",)}
# and what a node on a switch needs of it
NETWORK: Final = ("virtio_pci", "virtio_net")


def set_up(settings: Settings, terminal: Terminal) -> None:
    """Find or install what is missing, prove the accelerator, show the table.

    Raises:
        SistasksError: something is missing and cannot be installed without asking, or no guest runs.
    """
    from rich import box
    from rich.table import Table

    from sistasks import setup

    record = setup.setup(settings, build_records.setup_record(settings), terminal.say)
    table = Table(title=titled("setup", settings), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("part", "found", "note"):
        table.add_column(heading, overflow="fold")
    for row in record.rows:
        table.add_row(row.part, row.where if row.found else "missing", row.note)
    terminal.table(table)


def is_set_up(settings: Settings) -> bool:
    """Whether the machine is still as `setup` found it."""
    from sistasks import setup

    try:
        return setup.current(setup.load(build_records.setup_record(settings)), settings)
    except SistasksError:
        return False


def _firmware_inputs(settings: Settings) -> dict[str, Any]:
    return {"arch": settings.arch, "firmware": settings.firmware, "mirror": settings.firmware_mirror}


def find_firmware(settings: Settings, terminal: Terminal) -> None:
    """Find, fetch and verify the UEFI firmware of the architecture.

    Raises:
        SistasksError: there is none, or it is not what was pinned.
    """
    from sistasks import firmware, tools
    from sistasks.machine.arch import ARCHES

    arch = ARCHES[settings.arch]
    if not firmware.has_uefi(arch):
        terminal.say(f"firmware: {arch.name} boots without UEFI")
        return
    build = Layout(settings.output).build
    if settings.firmware == "auto" and not firmware.is_installed(arch, settings):
        wanted = tools.packages(arch, "firmware")
        terminal.say(f"firmware: installing {' '.join(wanted.get('apt', ()))}")
        with contextlib.suppress(ToolMissing):  # then the pinned one is fetched
            tools.install(wanted, build / "setup-install.log")
    found = firmware.find(arch, settings, build / "firmware")
    build_records.keep(build_records.firmware_record(settings), _firmware_inputs(settings), found.to_json())
    terminal.say(f"firmware: {found.code} ({found.source}, sha256 {found.code_sha256[:12]})")


def has_firmware(settings: Settings) -> bool:
    """Whether the firmware that was found is still there."""
    from sistasks.firmware import Firmware, has_uefi
    from sistasks.machine.arch import ARCHES

    record = build_records.firmware_record(settings)
    if not has_uefi(ARCHES[settings.arch]):
        return True
    if not build_records.holds(record, _firmware_inputs(settings)):
        return False
    try:
        found = Firmware.from_json(record.read_text())
    except (SistasksError, ValueError, TypeError, KeyError):
        return False
    return found.code.exists() and found.vars.exists()


def check_kernels(settings: Settings, terminal: Terminal) -> None:  # noqa: ARG001 - a step's signature
    """Refuse several kernels of which one is not known, before anything is built for the others.

    Raises:
        UsageError: one is neither a name nor a file.
    """
    from sistasks.kernels import provider
    from sistasks.kernels.names import known

    for one in each_of_matrix(settings):
        if not known(one.kernel, one.kernels):
            provider(one)


def provide_kernel(settings: Settings, terminal: Terminal) -> None:
    """Get the kernel that was asked for and identify it.

    Raises:
        SistasksError: it cannot be had, is no kernel, or is for another architecture.
    """
    from sistasks import kernels

    provider = kernels.provider(settings)
    inputs = provider.describe(settings)
    name = inputs.get("name", inputs["provider"])
    folder = Layout(settings.output).build / "kernels" / f"{name}-{settings.arch}"
    kernel = provider.provide(settings, folder, terminal.say)
    # after the provider's work: fetching may have renewed what the description speaks of
    build_records.keep(build_records.kernel_record(settings), provider.describe(settings), kernel.to_json())
    release = kernel.release or "release unknown"
    terminal.say(f"kernel: {kernel.name} {release} ({kernel.format}, sha256 {kernel.sha256[:12]})")


def has_kernel(settings: Settings) -> bool:
    """Whether the kernel's record still tells the truth about its file."""
    from sistasks import kernels

    record = build_records.kernel_record(settings)
    try:
        inputs = kernels.provider(settings).describe(settings)
        return (
            build_records.holds(record, inputs)
            and kernels.Kernel.from_json(record.read_text()).image.exists()
        )
    except (SistasksError, OSError, ValueError, TypeError, KeyError):
        return False


def _kernel(settings: Settings) -> Kernel:
    from sistasks.kernels import Kernel

    return Kernel.from_json(build_records.kernel_record(settings).read_text())


def needs_firmware(settings: Settings) -> bool:
    """Whether every suite's nodes go through UEFI: it was asked for, or the kernel may be booted from an ESP."""
    entry = settings.kernels.get(settings.kernel)
    return settings.boot == "uefi" or (entry is not None and entry.kind == "command")


def _guest_inputs(settings: Settings) -> dict[str, Any]:
    from sistasks import setup
    from sistasks.files import sha256_of
    from sistasks.guest import build

    kernel = _kernel(settings)
    return {
        "sources": {str(path.relative_to(build.AGENT)): sha256_of(path) for path in build.sources()},
        "flags": build.flags(settings.arch),
        "compiler": list(setup.load(build_records.setup_record(settings)).compiler),
        "modules": str(kernel.modules) if kernel.modules else "",
        "modules_sha256": kernel.modules_sha256,
        "release": kernel.release or "",
        "wanted": {**RESULTS_LINES, "network": NETWORK},
    }


def _packed(kernel: Kernel, wanted: tuple[str, ...]) -> list[tuple[str, bytes]] | None:
    """The modules for what is wanted, in load order; None where the kernel has not all of it."""
    from sistasks.kernels import modules

    if kernel.modules is None:  # nothing is known of its drivers
        return []
    closure = modules.closure(kernel.modules, wanted)
    if closure.missing:
        return None
    return [(path.name.split(".ko")[0] + ".ko", modules.read(path)) for path in closure.files]


def _results_line(kernel: Kernel) -> tuple[str, list[tuple[str, bytes]]]:
    """The line that the kernel can send results on, and the modules that it needs for it, in load order."""
    for line, wanted in RESULTS_LINES.items():
        packed = _packed(kernel, wanted)
        if packed is not None and kernel.modules is not None:
            return line, packed
    return "serial", []  # most kernels have a serial line


def build_guest(settings: Settings, terminal: Terminal) -> None:
    """Compile the agent and pack the initramfs.

    Raises:
        SistasksError: the compiler refuses, or a module cannot be read.
    """
    from sistasks import setup
    from sistasks.guest import build

    kernel = _kernel(settings)
    if kernel.talks:
        terminal.say(f"guest: none of ours, {kernel.name} talks on its console")
        return
    compiler = setup.load(build_records.setup_record(settings)).compiler
    folder = Layout(settings.output).build / f"guest-{kernel_key(settings)}"
    line, packed = _results_line(kernel)
    network = _packed(kernel, NETWORK)
    try:
        guest = build.build(settings.arch, compiler, folder, packed, results_line=line, network=network)
    except OSError as error:
        raise GuestBuildError(
            f"{folder} cannot be written: {error.strerror}", "make room, or set output="
        ) from error
    build_records.keep(build_records.guest_record(settings), _guest_inputs(settings), guest.to_json())
    with_modules = f", {len(packed)} modules" if packed else ""
    terminal.say(f"guest: {guest.initramfs} (sha256 {guest.sha256[:12]}{with_modules})")


def has_guest(settings: Settings) -> bool:
    """Whether the guest was made from what would go into it now."""
    from sistasks.guest.build import Guest

    record = build_records.guest_record(settings)
    try:
        if _kernel(settings).talks:
            return True
        return (
            build_records.holds(record, _guest_inputs(settings))
            and Guest.from_json(record.read_text()).initramfs.exists()
        )
    except (SistasksError, OSError, ValueError, TypeError, KeyError):
        return False


def _program_inputs(settings: Settings) -> dict[str, Any]:
    from sistasks.files import sha256_of
    from sistasks.guest.build import Guest

    files = {}
    for name, program in settings.programs.items():
        path = program.file(settings.arch)
        files[name] = [str(path), path.stat().st_mode, sha256_of(path)]
    guest = Guest.from_json(build_records.guest_record(settings).read_text())
    return {"guest": guest.sha256, "programs": files, "memory": settings.memory}


def pack_programs(settings: Settings, terminal: Terminal) -> None:
    """Pack the user's programs behind the guest.

    Raises:
        SistasksError: one is not there, or is no program for the guest.
    """
    from sistasks.guest import programs
    from sistasks.guest.build import Guest

    if _kernel(settings).talks:
        return
    bare = Guest.from_json(build_records.guest_record(settings).read_text())
    archive = programs.archive(settings.programs.values(), settings.arch, settings.memory)
    folder = Layout(settings.output).build / f"programs-{kernel_key(settings)}"
    guest = programs.with_archive(bare, archive, folder)
    build_records.keep(build_records.programs_record(settings), _program_inputs(settings), guest.to_json())
    names = ", ".join(settings.programs)
    terminal.say(f"programs: {names} ({len(archive) >> 10} KiB, sha256 {guest.sha256[:12]})")


def has_programs(settings: Settings) -> bool:
    """Whether the packed programs are those that are there now."""
    from sistasks.guest.build import Guest

    record = build_records.programs_record(settings)
    try:
        if _kernel(settings).talks:
            return True
        packed = Guest.from_json(record.read_text()).initramfs
        return build_records.holds(record, _program_inputs(settings)) and packed.exists()
    except (SistasksError, OSError, ValueError, TypeError, KeyError):
        return False


def make_template(settings: Settings, terminal: Terminal) -> None:
    """Freeze the template that nodes are cloned from.

    Raises:
        SistasksError: the kernel does not get ready.
    """
    from sistasks.suites import run

    made = recipe.Recipe.load(settings)
    made.verify()
    if made.guest is None:
        terminal.say(f"template: none, nodes of {made.kernel_name} are booted one by one")
        return
    template = run.ensure_template(made, terminal)
    terminal.say(f"template: {template.ram.parent}")


def has_template(settings: Settings) -> bool:
    """Whether that template is there and whole."""
    from sistasks.machine import template

    try:
        made = recipe.Recipe.load(settings)
        key = made.template_key()
    except (SistasksError, OSError, ValueError, TypeError, KeyError):
        return False
    if made.guest is None:
        return True
    return template.load(Layout(settings.output).templates, key) is not None


def forget_template(settings: Settings) -> None:
    """Remove the template, so that asking for the step again really boots."""
    try:
        key = recipe.Recipe.load(settings).template_key()
    except (SistasksError, OSError, ValueError):
        return
    shutil.rmtree(Layout(settings.output).templates / key, ignore_errors=True)


def require_output(settings: Settings) -> None:
    """Make the output folder, or say why it cannot be.

    Raises:
        ToolMissing: it cannot be made or written to.
    """
    layout = Layout(settings.output)
    try:
        layout.build.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=layout.build) as probe:
            # doit makes its notes before anything else; a folder that has them may be full, and `cleanup` still go
            probe.write(bytes(0 if layout.doit_state.exists() else _NOTES_ROOM))
    except OSError as error:
        raise ToolMissing(
            f"output={settings.output} cannot be written: {error.strerror}",
            "make room there, or set output="
            if error.errno == errno.ENOSPC
            else "set output= to a folder of yours",
        ) from error
