"""The command that boots a node again, by hand: one shell script, with nothing of us around it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks.machine.confinement import Confinement
from sistasks.machine.spec import Role, command_line

if TYPE_CHECKING:
    from sistasks.machine.spec import Machine, NodeSpec

_HEAD: Final = """#!/bin/sh
# Boots {name} again: its console is this terminal, ^A x ends it, more options of QEMU's may follow (-s: gdb).
# What else it wrote is in a folder of its own, which it tells. QEMU runs as whoever calls this.
set -eu
"""
_SAME: Final = """same() {
  command -v sha256sum >/dev/null && sums=sha256sum || sums="shasum -a 256"
  sum=$(cat "$2" 2>/dev/null | $sums)
  [ "${sum%% *}" = "$1" ] && return
  echo "$2 is not what this node booted: it was built anew or is gone" >&2
  exit 1
}
"""
_SCRATCH: Final = """folder=$(mktemp -d)
echo "in $folder" >&2
"""
_PLAN: Final = """base64 -d <<'END' | gzip -d >"$folder/plan"
{plan}
END
"""
# stands in the command for the folder, which only the script knows
_FOLDER: Final = "/@folder@"
_QMP: Final = "id=qmp,"
# every node's processes are told by that mark and are ended with its session; this one is nobody's
_NAME: Final = "by-hand"


def script(spec: NodeSpec, plan: bytes = b"") -> str:
    """The script.

    A clone is booted as its template was, for the template's memory is not kept; a network leads nowhere.

    Args:
        spec: the node.
        plan: the page that its agent reads.
    """
    folder = Path(_FOLDER)
    machine = spec.machine
    machine = replace(
        machine,
        confinement=Confinement(machine.confinement.sandbox),
        kernel=_absolute(machine.kernel),
        initramfs=_absolute(machine.initramfs),
        esp=_absolute(machine.esp),
    )
    alone = replace(
        spec,
        machine=machine,
        role=Role.COLD,
        name=f"{_NAME}-{spec.name.rpartition('-node-')[2]}",
        ram=None,
        plan=folder / "plan" if spec.plan else None,
    )
    words = _without_us(command_line(alone), alone)
    quoted = [_quoted(word) for word in words]
    lines: list[str] = []
    for word in quoted:
        if lines and not word.startswith("-"):
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    text = _HEAD.format(name=spec.name)
    if sums := [(path, sha256) for path in _images(machine) if (sha256 := _sha256(path))]:
        text += _SAME + "".join(f"same {sha256} {shlex.quote(str(path))}\n" for path, sha256 in sums)
    text += _SCRATCH
    if spec.plan:
        packed = base64.encodebytes(gzip.compress(plan, mtime=0)).decode().strip()
        text += _PLAN.format(plan=packed)
    return text + "exec " + " \\\n  ".join([*lines, '"$@"']) + "\n"


def _images(machine: Machine) -> list[Path]:
    """What is booted; the next build writes over it."""
    inside = sorted(path for path in machine.esp.rglob("*") if path.is_file()) if machine.esp else []
    return [path for path in (machine.kernel, machine.initramfs, *inside) if path]


def _sha256(path: Path) -> str:
    """Of a file; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _absolute(path: Path | None) -> Path | None:
    return path.absolute() if path else None


def _quoted(word: str) -> str:
    parts = word.split(_FOLDER)
    return '"$folder"'.join(shlex.quote(part) if part else "" for part in parts)


def _without_us(command: list[str], spec: NodeSpec) -> list[str]:
    """The command with files and the terminal in place of descriptors that only we had."""
    changed = {
        f"file,id=console,path=/dev/fd/{spec.console},append=on": "stdio,id=console,mux=on,signal=off",
        f"socket,id=console,fd={spec.console}": "stdio,id=console,mux=on,signal=off",
        f"file,id=results,path=/dev/fd/{spec.results},append=on": f"file,id=results,path={_FOLDER}/results",
        f"file,id=firmware,path=/dev/fd/{spec.firmware},append=on": f"file,id=firmware,path={_FOLDER}/firmware.log",
        f"stream,id=network,server=off,addr.type=fd,addr.str={spec.network}": "hubport,id=network,hubid=0",
        "shutdown=pause,watchdog=pause": "watchdog=pause",
    }
    words: list[str] = []
    left_out = {f"socket,{_QMP}fd={spec.qmp}", "chardev=qmp,mode=control"}
    for word in command:
        if word in left_out:
            words.pop()  # its option
        elif word != "-S":
            words.append(changed.get(word, word))
    return [*words, "-mon", "chardev=console,mode=readline"]
