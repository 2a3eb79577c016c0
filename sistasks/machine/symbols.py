"""The symbols of a template's kernel, from a clone that is asked for nothing else: runs pay only when they need them.

Clones of a template have its memory, so addresses are the same in all of them, wherever the kernel put itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from sistasks.errors import NodeError
from sistasks.evidence.symbols import from_text
from sistasks.guest.plan import SYMBOLS, VMCOREINFO, Plan
from sistasks.machine.node import Node, NodeFiles
from sistasks.machine.spec import Role

if TYPE_CHECKING:
    from sistasks.evidence.symbols import Symbols
    from sistasks.machine.spec import Machine
    from sistasks.machine.template import Template

_LIMIT: Final = 60.0
_asking: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]] = WeakKeyDictionary()


async def symbols(
    template: Template, machine: Machine, *, scratch: Path, session: str, limit: float = _LIMIT
) -> Path:
    """The kernel's functions as /proc/kallsyms tells them (`ADDRESS TYPE NAME`), asked once and kept with the template.

    Beside it lies `vmcoreinfo`: what the kernel says in /sys/kernel/vmcoreinfo, where it has that.

    Args:
        template: what the clone is made of.
        machine: likewise.
        scratch: a folder for what lives only meanwhile.
        session: the mark of this session.
        limit: seconds that the clone may take.

    Raises:
        NodeError: the clone did not tell.
        KernelFailure: its kernel failed.
    """
    kept = template.ram.parent / SYMBOLS
    if kept.is_file():
        return kept
    # clones that hang together ask together: one answer is enough for all
    async with _asking.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
        return kept if kept.is_file() else await _ask(template, machine, scratch, session, limit)


async def _ask(template: Template, machine: Machine, scratch: Path, session: str, limit: float) -> Path:
    kept = template.ram.parent / SYMBOLS
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="symbols-") as name:
        folder = Path(name)
        plan = Plan(node=0, seed=0, aligned=machine.clock == "virtual", symbols=True)
        files = NodeFiles(plan=folder / "plan", console=folder / "log", stderr=folder / "qemu.log")
        async with Node(
            0, machine, Role.CLONE, plan, files, session=session, ram=template.ram, state=template.state,
            first_frame=template.first_frame,
        ) as node:  # fmt: skip
            await node.start()
            await node.go()
            results = await node.wait_done(limit)
        paths = results.files.paths if results.files is not None else {}
        if SYMBOLS not in paths:
            raise NodeError("the kernel does not tell its symbols", "it has no CONFIG_KALLSYMS")
        for wanted in (VMCOREINFO, SYMBOLS):
            if wanted in paths:
                _keep(paths[wanted], kept.with_name(wanted))
    return kept


async def table(template: Template, machine: Machine, *, scratch: Path, session: str) -> Symbols:
    """The same, to look functions up in.

    Raises:
        NodeError, KernelFailure, OSError: as `symbols`, or what was kept cannot be read.
    """
    path = await symbols(template, machine, scratch=scratch, session=session)
    return from_text(path.read_text(errors="replace"))


def _keep(path: Path, target: Path) -> None:
    """Put a file in its place, whole, from wherever it is; another session may have done so."""
    new = target.with_name(f".{target.name}-{os.getpid()}")
    try:
        shutil.copyfile(path, new)
        new.replace(target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
