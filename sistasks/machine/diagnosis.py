"""What a failed node leaves, looked at before it is ended: each step bounded in time, none needed by the next."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from sistasks.errors import KernelFailure, SistasksError
from sistasks.evidence.records import Evidence
from sistasks.machine import by_hand, kallsyms, vmcore
from sistasks.machine.processors import look, place

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from sistasks.machine.emulator import Emulator
    from sistasks.machine.processors import Processor
    from sistasks.machine.spec import NodeSpec

LIMIT: Final = 60.0
"""Seconds that all of it may take."""
_ANSWER: Final = 5.0
_ROOM: Final = 64 << 20
_TAIL: Final = 20
_BUFFER: Final = 1 << 20
_FACTS: Final = "post_mortem.json"
_CORE: Final = "vmcore"
_WORDS: Final = 500
_SILENT: Final = "QEMU does not answer"


@dataclass(slots=True)
class _Findings:
    """What was found until now.

    Attributes:
        steps: name -> `done`, or why it was left out.
    """

    number: int
    folder: Path
    steps: dict[str, str] = field(default_factory=dict)
    evidence: list[Evidence] = field(default_factory=list)
    processors: list[Processor] = field(default_factory=list)
    core: vmcore.Vmcore | None = None
    status: str = ""
    silent: bool = False

    def add(self, kind: str, path: Path, name: str) -> None:
        self.evidence.append(Evidence(node=self.number, kind=kind, path=path, name=name))


async def diagnose(
    emulator: Emulator,
    folder: Path,
    *,
    error: SistasksError | None = None,
    dumps: str = "auto",
    limit: float = LIMIT,
) -> tuple[Evidence, ...]:
    """Collect what a node leaves; if QEMU is gone, its files only.

    The guest is stopped and not let go again. A step that fails is told in `post_mortem.json`, and the next goes on.

    Args:
        emulator: the node.
        folder: gets the files that are made here; made if it is not there.
        error: why the node failed.
        dumps: `yes`, `no`, or `auto`: a dump of its memory where the kernel failed.
        limit: seconds for all of it, a QEMU that does not answer included.
    """
    found = _Findings(emulator.number, folder)
    begun = time.monotonic()
    dump = dumps == "yes" or (dumps == "auto" and isinstance(error, KernelFailure))
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    for path, name in emulator.written():
        found.add("logs", path, name)
    try:
        async with asyncio.timeout(limit):
            if emulator.running:
                await _look_inside(emulator, found, dump=dump)
            else:
                found.steps["qemu"] = "it had ended"
    except TimeoutError:
        found.steps["all"] = f"given up after {limit:g} s"
    spec, name = emulator.spec, "boot.sh"
    if spec is not None:
        await _step(found, name, lambda: _script(found, name, spec, emulator.page))
    await _step(
        found,
        _FACTS,
        lambda: _write(found, "metadata", _FACTS, _told(emulator, found, error, time.monotonic() - begun)),
    )
    return tuple(found.evidence)


async def _look_inside(emulator: Emulator, found: _Findings, *, dump: bool) -> None:
    await _step(found, "registers", lambda: _registers(emulator, found), _ANSWER)
    await _step(found, "stop", lambda: emulator.monitor.execute("stop"), _ANSWER)
    if emulator.machine.display:
        await _step(found, "screen", lambda: _screen(emulator, found), _ANSWER)
    if not dump:
        found.steps["dump"] = "not asked for"
    elif found.silent:
        found.steps["dump"] = _SILENT
    else:
        await _step(found, "dump", lambda: _dump(emulator, found))
        if found.core is not None:
            await _step(found, "names", lambda: _name(found, found.folder / _CORE))


async def _step(
    found: _Findings, name: str, work: Callable[[], Awaitable[Any]], limit: float | None = None
) -> None:
    """One step; what goes wrong is told, and an emulator that has not answered once is not asked again."""
    if found.silent and limit is not None:
        found.steps[name] = _SILENT
        return
    try:
        async with asyncio.timeout(limit):
            await work()
    except TimeoutError:
        found.silent = True
        found.steps[name] = f"no answer within {limit} s"
    except (SistasksError, OSError) as failure:
        found.steps[name] = str(failure)
    except Exception as failure:  # noqa: BLE001 - what a step reads is a guest's: one bad byte would end the whole run
        found.steps[name] = f"{type(failure).__name__}: {failure}"[:_WORDS]
    else:
        found.steps.setdefault(name, "done")


async def _registers(emulator: Emulator, found: _Findings) -> None:
    found.status = str((await emulator.monitor.execute("query-status"))["status"])
    found.processors, text = await look(emulator.monitor, emulator.pid, emulator.symbols)
    await _write(found, "logs", "registers.txt", text)


async def _write(found: _Findings, kind: str, name: str, text: str) -> None:
    path = found.folder / name
    path.write_text(text.replace("\r", ""), encoding="utf-8", errors="surrogateescape")
    found.add(kind, path, name)


async def _script(found: _Findings, name: str, spec: NodeSpec, page: bytes) -> None:
    text = await asyncio.to_thread(by_hand.script, spec, page)  # it reads the whole of the images
    await _write(found, "metadata", name, text)


async def _screen(emulator: Emulator, found: _Findings) -> None:
    path = found.folder / "screen.png"
    with path.open("wb") as file:
        await emulator.monitor.screen(file.fileno())
    found.add("screenshots", path, path.name)


async def _dump(emulator: Emulator, found: _Findings) -> None:
    """The memory; QEMU writes it into a socket, and a thread takes it from there."""
    free, needed = shutil.disk_usage(found.folder).free, emulator.machine.memory + _ROOM
    if free < needed:
        found.steps["dump"] = f"left out: {free >> 20} MB are free, up to {needed >> 20} MB may be needed"
        return
    path = found.folder / _CORE
    scratch = path.with_suffix(".new")
    ours, theirs = socket.socketpair()
    try:
        with ours:
            with theirs:
                await emulator.monitor.give_descriptor("dump", theirs.fileno())
            reading = asyncio.ensure_future(asyncio.to_thread(_take, ours, scratch))
            written = False
            try:
                await emulator.monitor.execute("dump-guest-memory", paging=False, protocol="fd:dump")
                written = True
            finally:
                if not written:
                    _shut(ours)  # else the thread waited for more
                await asyncio.wait([reading])
            found.core = reading.result()
        scratch.replace(path)
        found.add("core_dumps", path, path.name)
    finally:
        scratch.unlink(missing_ok=True)


async def _name(found: _Findings, path: Path) -> None:
    """Only the dump tells where the kernel lies, and how it calls what is there."""
    core = found.core
    if core is not None:
        found.processors = await asyncio.to_thread(_named, path, core, found.processors)
        if not any(one.function for one in found.processors):
            found.steps["names"] = "the dump has no symbols"


def _named(path: Path, core: vmcore.Vmcore, processors: list[Processor]) -> list[Processor]:
    with kallsyms.Memory(path) as memory:
        symbols = kallsyms.read(memory, core)
        return [
            replace(
                one,
                function=one.function or place(symbols, one.address),
                stack=kallsyms.stack(memory, symbols, one.stack_pointer),
            )
            for one in processors
        ]


def _take(line: socket.socket, path: Path) -> vmcore.Vmcore:
    """Write what QEMU sends, to its end."""
    try:
        with os.fdopen(line.fileno(), "rb", buffering=_BUFFER, closefd=False) as stream:
            core = vmcore.write(stream, path)
            while stream.read(_BUFFER):
                pass
            return core
    finally:
        _shut(line)  # else QEMU waited for us, where a disk is full


def _shut(line: socket.socket) -> None:
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


def _plain(processor: Processor) -> dict[str, Any]:
    numbers = {name: f"{getattr(processor, name):#x}" for name in ("address", "stack_pointer")}
    return {**asdict(processor), **numbers, "doing": processor.doing}


def _told(emulator: Emulator, found: _Findings, error: SistasksError | None, seconds: float) -> str:
    core = found.core
    facts: dict[str, Any] = {
        "node": emulator.number,
        "name": emulator.name,
        "kind": error.kind if error else "",
        "problem": error.problem if error else "",
        "status": found.status,
        "processors": [_plain(one) for one in found.processors],
        "steps": found.steps,
        "seconds": round(seconds, 3),
        "console": emulator.console_tail(_TAIL).splitlines(),
        "command": emulator.command,
    }
    if core is not None:
        facts["vmcore"] = {
            "bytes": core.size, "stored": core.stored, "vmcoreinfo": bool(core.info), "mapped": core.mapped,
            "kernel_offset": f"{core.kernel_offset:#x}" if core.kernel_offset is not None else "",
            "release": core.info.get("OSRELEASE", ""),
        }  # fmt: skip
    return json.dumps(facts, indent=2) + "\n"
