"""What a node's emulator may not do: system calls that it never needs, and, started by root, anything that root may.

A guest is hostile until proven otherwise, and whoever breaks out of it finds himself in QEMU's process. So that process
filters its own system calls (`-sandbox`), and where we are root it runs as a user that owns nothing: a number
between those that distributions give to accounts and those that systemd gives to services, which needs no account
(https://systemd.io/UIDS-GIDS: 60706 to 61183 are unused; above 65535 many containers have no numbers). A process may
look into others of its user, so nodes have different numbers, as far as there are some: see SECURITY.md.

Such a user cannot go through folders of root's. What QEMU is to open it therefore gets as descriptors, and opens it as
`/dev/fd/N`: that asks for the rights to the file itself, not to the folders above it.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from sistasks.errors import NodeError

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Sequence

# everything that QEMU knows to refuse; threads it may make, other programs it may not start
SANDBOX: Final = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
# files that several nodes of a session write or map: a template's memory
GROUP: Final = 60900
_FIRST_USER: Final = 60901
_USERS: Final = 200
# capabilities(7): CHOWN, KILL, SETGID, SETUID; the parent-death signal to another user needs KILL
_CAPABILITIES: Final = {0: "CAP_CHOWN", 5: "CAP_KILL", 6: "CAP_SETGID", 7: "CAP_SETUID"}
_KVM: Final = Path("/dev/kvm")
# what a program needs to be found and loaded; everything else (tokens of a CI, for one) is no business of a guest's
_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "QEMU_MODULE_DIR")
_FOLDERS_FOR_TEMPORARY_FILES: Final = ("TMPDIR", "TMP", "TEMP")


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a process runs as.

    Attributes:
        user, group: numbers; no account need have them.
        groups: more groups, such as that of an accelerator's device.
    """

    user: int
    group: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Confinement:
    """How far a machine's emulators are confined.

    Attributes:
        sandbox: the value of QEMU's `-sandbox`; empty where this QEMU has none.
        drops: nodes run as users that own nothing.
        groups: groups that they need nevertheless.
    """

    sandbox: str = ""
    drops: bool = False
    groups: tuple[int, ...] = ()

    def identity(self, number: int) -> Identity | None:
        """Whom the node of this number runs as; None: as we do."""
        return Identity(user_of(number), GROUP, self.groups) if self.drops else None


def user_of(number: int) -> int:
    """The user of a node; every 200th has the same, and templates (node 0) have that of node 200."""
    return _FIRST_USER + number % _USERS


def is_users(user: int) -> bool:
    """Whether a process of this user may be a node of ours."""
    ours = os.getuid()
    return user == ours or (ours == 0 and _FIRST_USER <= user < _FIRST_USER + _USERS)


def obstacle(accelerator: str) -> str:
    """Why nodes cannot run as users that own nothing, at first sight; empty where nothing is in the way.

    Args:
        accelerator: `tcg`, `kvm` or `hvf`.
    """
    if sys.platform != "linux":
        return f"not done on {sys.platform}"
    if os.geteuid() != 0:
        return "not root anyway"
    status = Path("/proc/self/status").read_text(encoding="ascii")
    held = int(status.partition("CapEff:")[2].split()[0], 16)
    if missing := [name for bit, name in _CAPABILITIES.items() if not held >> bit & 1]:
        return f"root lacks {', '.join(missing)} here"
    if not all(_mapped(Path(f"/proc/self/{kind}_map")) for kind in ("uid", "gid")):
        return f"the users {_FIRST_USER} to {_FIRST_USER + _USERS - 1} do not exist in this container"
    if accelerator == "kvm" and device_groups(_KVM) is None:
        return f"only root may open {_KVM}"
    return ""


def _mapped(table: Path) -> bool:
    """Whether our numbers mean something in this user namespace (user_namespaces(7))."""
    rows = [[int(word) for word in line.split()] for line in table.read_text(encoding="ascii").splitlines()]
    return any(first <= GROUP and first + count >= _FIRST_USER + _USERS for first, _, count in rows)


def device_groups(device: Path) -> tuple[int, ...] | None:
    """The groups that open a device for reading and writing; None: no group that we would give a node does."""
    try:
        status = device.stat()
    except OSError:
        return None
    if status.st_mode & 0o006 == 0o006:
        return ()
    # who is in root's group can read much that is nobody's business
    return (status.st_gid,) if status.st_mode & 0o060 == 0o060 and status.st_gid != 0 else None


def probe(qemu: Path, accelerator: str) -> tuple[str, str]:
    """How far this QEMU can be confined, by running it so.

    Args:
        qemu: the program.
        accelerator: `tcg`, `kvm` or `hvf`.

    Returns:
        (`-sandbox`'s value, empty where this QEMU has none; why nodes cannot run as other users, empty if they can).
    """
    sandbox = "" if _fault([str(qemu), "-sandbox", SANDBOX], accelerator, None) else SANDBOX
    if hindered := obstacle(accelerator):
        return sandbox, hindered
    command = [str(qemu), *(["-sandbox", sandbox] if sandbox else [])]
    other = confine(sandbox, accelerator, "", keep=False).identity(1)
    return sandbox, _fault(command, accelerator, other)


def confine(sandbox: str, accelerator: str, hindered: str, *, keep: bool) -> Confinement:
    """The confinement of a session's nodes.

    Args:
        sandbox: what this QEMU was found to bear.
        accelerator: `tcg`, `kvm` or `hvf`.
        hindered: why nodes cannot run as other users; empty: they can.
        keep: they shall not.
    """
    if keep or hindered:
        return Confinement(sandbox)
    groups = device_groups(_KVM) if accelerator == "kvm" else ()
    return Confinement(sandbox) if groups is None else Confinement(sandbox, True, groups)


def environment(identity: Identity | None) -> dict[str, str]:
    """The environment of a node's process; folders for temporary files are ours only."""
    names = _ENVIRONMENT if identity else (*_ENVIRONMENT, *_FOLDERS_FOR_TEMPORARY_FILES)
    return {name: os.environ[name] for name in names if name in os.environ}


class Files(Protocol):
    """What QEMU is to call a file."""

    def read(self, path: Path) -> str:
        """A file or folder that it reads."""

    def change(self, path: Path) -> str:
        """A file that it writes or maps."""


class Named:
    """Files are called by their names."""

    def read(self, path: Path) -> str:
        """The path."""
        return str(path)

    def change(self, path: Path) -> str:
        """The path."""
        return str(path)


class Handed:
    """Files are handed over as descriptors.

    Args:
        stack: closes our side of them.
        identity: who is to open them.
    """

    def __init__(self, stack: contextlib.ExitStack, identity: Identity) -> None:
        self._stack = stack
        self._identity = identity
        self.descriptors: list[int] = []

    def own(self, descriptors: Sequence[int]) -> None:
        """Let the node open the ends of its pipes again, as files."""
        for descriptor in descriptors:
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                os.fchown(descriptor, self._identity.user, self._identity.group)

    def read(self, path: Path) -> str:
        """A file that not everybody may read is handed over as a copy in memory that nobody can change."""
        descriptor = self._open(path, os.O_RDONLY)
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            _open_to_readers(path)
        elif not mode & stat.S_IROTH:
            descriptor = self._copy(descriptor, path.name)
        return self._give(descriptor)

    def change(self, path: Path) -> str:
        """The file, made if it is not there, goes to the nodes' group; others have no right to it.

        Raises:
            NodeError: files cannot change their group where it lies.
        """
        descriptor = self._open(path, os.O_RDWR | os.O_CREAT)
        try:
            os.fchown(descriptor, -1, self._identity.group)
            os.fchmod(descriptor, 0o660)
        except OSError as error:
            raise NodeError(
                f"{path} cannot be given to the user of a node: {error.strerror}",
                "user=keep, or set output= to another file system",
            ) from error
        return self._give(descriptor)

    def _open(self, path: Path, flags: int) -> int:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
        self._stack.callback(os.close, descriptor)
        return descriptor

    def _copy(self, source: int, name: str) -> int:
        copy = os.memfd_create(name[:200], os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self._stack.callback(os.close, copy)
        offset = 0
        while sent := os.sendfile(copy, source, offset, 1 << 30):
            offset += sent
        os.fchmod(copy, 0o444)
        fcntl.fcntl(copy, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        return copy

    def _give(self, descriptor: int) -> str:
        self.descriptors.append(descriptor)
        return f"/dev/fd/{descriptor}"


def _open_to_readers(folder: Path) -> None:
    """Let everybody who has reached a build product of ours read it; the folders above it stay as they are."""
    for path in (folder, *folder.rglob("*")):
        mode = path.lstat().st_mode
        wanted = 0o555 if stat.S_ISDIR(mode) else 0o444
        if not stat.S_ISLNK(mode) and mode & wanted != wanted:
            path.chmod(stat.S_IMODE(mode) | wanted)


def _fault(command: Sequence[str], accelerator: str, identity: Identity | None) -> str:
    """Why a QEMU does not answer with these options, as this user; empty if it does."""
    from sistasks.programs import run

    ask = b'{"execute": "qmp_capabilities"}\n{"execute": "quit"}\n'
    machine = ["-machine", f"none,accel={accelerator}", "-nodefaults", "-no-user-config", "-display", "none"]
    try:
        ended = run([*command, *machine, "-qmp", "stdio"], limit=10.0, stdin=ask, identity=identity)
    except OSError as error:
        return (error.strerror or str(error)).lower()
    if ended.code == 0 and b'"return"' in ended.out:
        return ""
    return ended.tail(1) or ended.ending
