"""What this machine has for the work: found, installed where that asks nobody, proven, and written down."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sistasks import tools
from sistasks.errors import SistasksError, ToolMissing
from sistasks.files import write_atomically
from sistasks.kinds import host_cpus
from sistasks.machine import accelerator, confinement, qemu
from sistasks.machine.accelerator import Accelerator
from sistasks.machine.arch import ARCHES

if TYPE_CHECKING:
    from collections.abc import Callable

    from sistasks.distributions import Part
    from sistasks.settings import Settings

_FORMAT: Final = 1
_REMEDY: Final = "run `doit setup`"


class Row(NamedTuple):
    """One line of the table: a part, whether it is there, its version or place, and what to know."""

    part: str
    found: bool
    where: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupRecord:
    """What `setup` found, as other parts use it.

    Attributes:
        arch: of the nodes, our word.
        qemu_path: the emulator, absolute.
        qemu_version: as it says it.
        accelerator: what nodes run on, and why.
        sandbox: the system calls that this QEMU can do without, as its option `-sandbox`; empty where it has none.
        hindered: why nodes cannot run as users that own nothing; empty: they can.
        compiler: the command that links static programs for `arch`.
        host_cpu: the host's processor in its maker's words.
        host_cores: processors that we may use.
        rows: the table.
        asked: the settings that led here.
        holds: what must stay true on the host for the record to hold.
    """

    arch: str
    qemu_path: str
    qemu_version: str
    accelerator: Accelerator
    sandbox: str
    hindered: str
    compiler: tuple[str, ...]
    host_cpu: str
    host_cores: int
    rows: tuple[Row, ...]
    asked: dict[str, str]
    holds: dict[str, str | int]

    def as_json(self) -> dict[str, Any]:
        """A form that JSON keeps, with a mark by which `load` knows it."""
        data = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return data | {
            "sistasks_setup": _FORMAT,
            "accelerator": self.accelerator.as_json(),
            "compiler": list(self.compiler),
            "rows": [list(row) for row in self.rows],
        }

    @classmethod
    def from_json(cls, data: Any) -> SetupRecord:
        """The inverse of `as_json`.

        Raises:
            ValueError: the data has another form.
        """
        try:
            values = {item.name: data[item.name] for item in dataclasses.fields(cls)}
            values["accelerator"] = Accelerator.from_json(values["accelerator"])
            values["compiler"] = tuple(map(str, values["compiler"]))
            values["rows"] = tuple(Row(*row) for row in values["rows"])
            record = cls(**values)
            alike = record.as_json() == data and record.arch in ARCHES and bool(record.compiler)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise ValueError("not a setup record") from error
        if not alike:
            raise ValueError("not a setup record")
        return record


def host_cpu() -> str:
    """The host processor's model, such as `AMD EPYC 7B13`; never empty."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    # x86 and riscv, old arm, and boards that name only themselves
    for wanted in ("model name", "uarch", "Processor", "Hardware", "Model"):
        for line in text.splitlines():
            name, colon, value = line.partition(":")
            if colon and name.strip() == wanted and value.strip():
                return " ".join(value.split())
    if sys.platform == "darwin":
        from sistasks.programs import run

        brand = run(["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"], limit=5).out.decode().strip()
        if brand:
            return brand
    return platform.processor() or platform.machine() or "unknown"


def setup(settings: Settings, target: Path, say: Callable[[str], None]) -> SetupRecord:
    """Find or install what the settings' architecture needs, prove it, and write the record.

    Args:
        settings: `arch`, `qemu`, `accel`, `clock` and `firmware` count.
        target: the record's file; the accelerator's memory and the package manager's log lie beside it.
        say: takes one line for each thing that takes time.

    Raises:
        ToolMissing: something is missing and cannot be installed without asking.
        NodeError: QEMU does not run a guest.
        UsageError: the asked accelerator cannot be with the architecture.
    """
    arch = ARCHES[settings.arch]
    installed = _install_missing(settings, target.with_name("setup-install.log"), say)
    program = qemu.find(arch, settings)
    compiler = tools.find_compiler(arch)
    parts = _python_parts()
    if arch.probe is not None:
        say(f"booting a probe in {program.path.name}")
    found = accelerator.probe(
        arch, program, settings, target.with_name("accelerator.json"), compiler=compiler
    )
    rows = [
        Row("QEMU", True, f"{program.version_text}, {program.path}", _note("emulator", installed)),
        Row("compiler", True, shlex.join(compiler), _note("compiler", installed) or _passed_over(compiler)),
        Row("Python parts", True, ", ".join(f"{part.name} {part.found}" for part in parts), ""),
        Row("accelerator", True, f"{found.name}, cpu {found.cpu}", found.reason),
        Row("host", True, f"{host_cpus()} x {host_cpu()}", ""),
        _confinement(*(confined := confinement.probe(program.path, found.name))),
    ]
    record = SetupRecord(
        arch=arch.name,
        qemu_path=str(program.path),
        qemu_version=program.version_text,
        accelerator=found,
        sandbox=confined[0],
        hindered=confined[1],
        compiler=compiler,
        host_cpu=host_cpu(),
        host_cores=host_cpus(),
        rows=tuple(rows),
        asked=_asked(settings),
        holds=_holds(settings, program.path),
    )
    write_atomically(target, json.dumps(record.as_json(), indent=1, sort_keys=True) + "\n")
    return record


def _install_missing(settings: Settings, log: Path, say: Callable[[str], None]) -> list[str]:
    """Install what is missing; the names of the parts that were."""
    arch = ARCHES[settings.arch]
    absent = tools.missing(arch, settings)
    if not absent:
        return []
    for part in absent:
        if not part.packages:
            raise part.error
    parts = [part.part for part in absent]
    if settings.firmware == "auto":
        # the one moment at which packages are fetched anyway; what it lacks later, `doit firmware` gets
        parts.append("firmware")
    wanted = {
        manager: tuple(dict.fromkeys(name for part in parts for name in tools.packages(arch, part)[manager]))
        for manager in arch.packages
    }
    for part in absent:
        say(part.error.problem)
    say(f"installing {' '.join(wanted.get(tools.package_manager() or 'apt', ()))}")
    tools.install(wanted, log)
    return parts


def _note(part: str, installed: list[str]) -> str:
    return "installed now" if part in installed else ""


def _passed_over(compiler: tuple[str, ...]) -> str:
    """That CC was asked and is not what is used."""
    asked = os.environ.get("CC", "").split()
    used = not asked or Path(asked[0]).name == Path(compiler[0]).name
    return "" if used else f"CC={asked[0]} builds no static programs for this architecture"


def _confinement(sandbox: str, hindered: str) -> Row:
    calls = "QEMU's system calls are filtered" if sandbox else "this QEMU cannot filter its system calls"
    return Row("confinement", True, calls, f"each node as a user of its own: {hindered or 'yes'}")


def _python_parts() -> list[Part]:
    # importing this costs more than all the rest here
    from sistasks import distributions

    parts = distributions.check_ours()
    if faulty := [part for part in parts if part.fault]:
        wanted = [f"{part.name}{part.wanted}" for part in faulty]
        lines = [
            f"{part.name}: wanted {part.wanted or 'any version'}, found {part.found or 'none'}: {part.fault}"
            for part in faulty
        ]
        raise ToolMissing(
            f"{len(faulty)} Python part{'s' if len(faulty) > 1 else ''} cannot be used",
            f"run {shlex.join([sys.executable, '-m', 'pip', 'install', *wanted])}",
            "\n".join(lines),
        )
    return parts


def _asked(settings: Settings) -> dict[str, str]:
    return {
        "arch": settings.arch,
        # a dodo.py may have changed it
        "record": hashlib.sha256(repr(ARCHES[settings.arch]).encode()).hexdigest(),
        "qemu": settings.qemu,
        "accel": accelerator.asked(settings),
        "compiler": os.environ.get("CC", ""),
    }


def _holds(settings: Settings, program: Path) -> dict[str, str | int]:
    """What a record rests on, read anew; nothing is run."""
    status = program.stat()
    return {
        "qemu_path": str(program),
        "qemu_size": status.st_size,
        "qemu_mtime_ns": status.st_mtime_ns,
        "boot": accelerator.boot_id(),
        "device": accelerator.hardware(ARCHES[settings.arch])[1],
        "host_cpu": host_cpu(),
        "host_cores": host_cpus(),
        "user": confinement.obstacle("tcg"),
    }


def current(record: SetupRecord, settings: Settings) -> bool:
    """Whether the record still holds, without running anything: a few milliseconds."""
    try:
        program = qemu.locate(ARCHES[settings.arch], settings.qemu)
        holds = _holds(settings, program)
    except (SistasksError, OSError):
        return False
    return (
        record.asked == _asked(settings)
        and record.holds == holds
        and shutil.which(record.compiler[0]) is not None
    )


def load(target: Path) -> SetupRecord:
    """The record that `setup` wrote.

    Raises:
        ToolMissing: there is none, it cannot be read, or it is not ours.
    """
    try:
        return SetupRecord.from_json(json.loads(target.read_bytes()))
    except FileNotFoundError:
        raise ToolMissing(f"{target} does not exist: this machine was not set up", _REMEDY) from None
    except OSError as error:
        raise ToolMissing(f"{target} cannot be read: {error.strerror}", _REMEDY) from error
    except (ValueError, RecursionError):
        raise ToolMissing(f"{target} is not a record of setup", _REMEDY) from None
