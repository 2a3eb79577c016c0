"""What a killed session left: nodes found by their mark, scratch by its owner. History and artifacts stay."""

from __future__ import annotations

import contextlib
import itertools
import re
import shutil
from typing import TYPE_CHECKING, Final

from sistasks.layout import Layout
from sistasks.machine.confinement import is_users
from sistasks.machine.spec import MARK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psutil

    from sistasks.settings import Settings
    from sistasks.terminal import Terminal

# the session's mark ends in the id of the process that started it
_NAME: Final = re.compile(rf"^{MARK}-(\d{{8}}T\d{{6}}-(\d+))-node-(\d+)(?:,|$)")
_SCRATCH: Final = re.compile(r"(\d{8}T\d{6})-(\d+)$")
_GRACE: Final = 3.0


def owner_lives(owner: int, children: int | None = None) -> bool:
    """Whether the process that started a session is still that process."""
    import psutil

    try:
        process = psutil.Process(owner)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return children is None or any(child.pid == children for child in process.children())
    except psutil.NoSuchProcess:
        return False


def leftovers() -> Iterator[psutil.Process]:
    """Our nodes whose session is gone: known by the name that we gave to QEMU, and by their owner's end."""
    import psutil

    for process in psutil.process_iter():
        try:
            if not is_users(process.uids().real):
                continue
            command = process.cmdline()
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        for option, value in itertools.pairwise(command):
            match = _NAME.match(value) if option == "-name" else None
            if match and not owner_lives(int(match[2]), process.pid):
                yield process
                break


def cleanup(settings: Settings, terminal: Terminal) -> None:
    """End nodes that a killed session left and remove its scratch; the history and artifacts are never touched."""
    import psutil

    processes = list(leftovers())
    for process in processes:
        terminal.say(f"cleanup: ending node process {process.pid}")
        with contextlib.suppress(psutil.NoSuchProcess):  # it may end by itself meanwhile
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=_GRACE)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    _, alive = psutil.wait_procs(alive, timeout=_GRACE)
    folders = list(_dead_scratch(Layout(settings.output)))
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    removed = sum(not folder.exists() for folder in folders)
    terminal.say(
        f"cleanup: {len(processes) - len(alive)} node processes ended, {removed} scratch folders removed"
    )


def _dead_scratch(layout: Layout) -> Iterator[Path]:
    for parent in (layout.scratch, layout.templates):
        for folder in parent.iterdir() if parent.is_dir() else ():
            is_scratch = parent == layout.scratch or folder.name.startswith(".new-")
            match = _SCRATCH.search(folder.name)
            if is_scratch and match and not owner_lives(int(match[2])):
                yield folder
