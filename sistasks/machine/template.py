"""Templates: a node booted once and frozen; its clones share its memory until they write."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from sistasks.errors import NodeError, SistasksError
from sistasks.guest.plan import Plan
from sistasks.machine.examination import examine
from sistasks.machine.node import Node, NodeFiles
from sistasks.machine.spec import Role
from sistasks.scratch import scratch_folder

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.machine.examination import Examination
    from sistasks.machine.spec import Machine

_RECORD: Final = "template.json"
_KEEP: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A frozen node.

    Attributes:
        key: the identity of all that it was made of.
        ram: its memory, mapped by clones.
        state: its devices.
        memory: bytes of `ram`.
        state_size: bytes of `state`.
        first_frame: the sequence number of the first frame that a clone sends.
        hello: what the guest said about itself before it was frozen.
    """

    key: str
    ram: Path
    state: Path
    memory: int
    state_size: int
    first_frame: int
    hello: dict[str, str]


def _from_record(folder: Path) -> Template:
    record: dict[str, Any] = json.loads((folder / _RECORD).read_text())
    return Template(**{**record, "ram": folder / "ram", "state": folder / "state"})


def load(templates: Path, key: str) -> Template | None:
    """The template of that key, if it is there and whole."""
    folder = templates / key
    try:
        template = _from_record(folder)
        whole = (
            template.ram.stat().st_size == template.memory
            and template.state.stat().st_size == template.state_size
        )
    except (OSError, ValueError, TypeError):
        return None
    if not whole or template.key != key:
        return None
    with contextlib.suppress(OSError):
        os.utime(folder)  # used now: pruned last
    return template


async def freeze(
    machine: Machine,
    key: str,
    templates: Path,
    *,
    session: str,
    log: Path,
    limit: float,
    examination: Examination | None = None,
) -> Template:
    """Boot a node of this machine, freeze it, and keep it under its key.

    Args:
        machine: what it is made of.
        key: its identity.
        templates: the folder of all templates.
        session: the mark of this session.
        log: where the console goes.
        limit: seconds that the boot may take.
        examination: what a boot gets that fails; the errors carry what was found. None: it is just ended.

    Raises:
        KernelFailure: the kernel panicked or ended.
        NodeError: it did not get ready, or the template cannot be written.
    """
    final = templates / key
    try:
        with scratch_folder(templates / f".new-{session}") as scratch:
            template = await _freeze_into(
                scratch, machine, key, session=session, log=log, limit=limit, examination=examination
            )
            if not _put(scratch, final) and (theirs := load(templates, key)) is not None:
                return theirs
    except OSError as error:
        raise NodeError(
            f"the template cannot be kept in {templates}: {error.strerror}", "make room, or set output="
        ) from error
    prune(templates)
    return replace(template, ram=final / "ram", state=final / "state")


def _put(scratch: Path, final: Path) -> bool:
    """Give a template its place; false if another session has put a whole one there meanwhile.

    What others may be cloning from is never taken away: a folder can only be renamed over an empty one.
    """
    try:
        scratch.rename(final)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
        if load(final.parent, final.name) is not None:
            return False
        shutil.rmtree(final, ignore_errors=True)
        scratch.rename(final)
    return True


async def _freeze_into(
    folder: Path,
    machine: Machine,
    key: str,
    *,
    session: str,
    log: Path,
    limit: float,
    examination: Examination | None,
) -> Template:
    ram, state = folder / "ram", folder / "state"
    with ram.open("wb") as file:
        file.truncate(machine.memory)
    refuse_full_disk(folder, machine.memory)
    log.parent.mkdir(parents=True, exist_ok=True)
    plan = Plan(node=0, seed=0, freeze=True, aligned=machine.clock == "virtual")
    files = NodeFiles(
        plan=folder / "plan",
        console=log,
        stderr=log.with_suffix(".qemu.log"),
        firmware_log=log.with_suffix(".firmware.log") if machine.firmware else None,
    )
    async with Node(0, machine, Role.TEMPLATE, plan, files, session=session, ram=ram, state=state) as node:
        try:
            await node.start()
            await node.freeze(limit)
        except SistasksError as failure:
            await examine(examination, node, failure)
            raise
        hello, first_frame = node.results.hello, node.next_frame
    template = Template(
        key=key, ram=ram, state=state, memory=machine.memory, state_size=state.stat().st_size,
        first_frame=first_frame, hello=hello,
    )  # fmt: skip
    record = {name: value for name, value in asdict(template).items() if name not in {"ram", "state"}}
    (folder / _RECORD).write_text(json.dumps(record, indent=2) + "\n")
    return template


def refuse_full_disk(folder: Path, memory: int) -> None:
    """A guest's write to its memory file cannot fail politely when the disk is full: it would be killed.

    Args:
        folder: of the template; the one above must be there.
        memory: of the node, in bytes.

    Raises:
        NodeError: there is no room for it.
    """
    free = shutil.disk_usage(folder.parent).free
    if free < memory + (64 << 20):
        raise NodeError(
            f"{folder.parent} has {free >> 20} MB free, a template of {memory >> 20} MB needs more",
            "make room, lower memory=, or set output=",
        )


def prune(templates: Path, keep: int = _KEEP) -> None:
    """Remove all but the templates that were used last; running clones keep the memory that they have mapped."""
    folders = [path for path in templates.iterdir() if path.is_dir() and not path.name.startswith(".")]
    for folder in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)[keep:]:
        shutil.rmtree(folder, ignore_errors=True)
