"""What a node's process may not do: a real QEMU and real processes, and as root those of other users."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from sistasks.errors import ToolMissing
from sistasks.machine import confinement, qemu
from sistasks.machine.arch import ARCHES
from sistasks.machine.confinement import (
    GROUP,
    SANDBOX,
    Confinement,
    Handed,
    Identity,
    Named,
    confine,
    device_groups,
    environment,
    is_users,
    obstacle,
    probe,
    user_of,
)
from sistasks.machine.spec import MARK
from sistasks.programs import run, start
from sistasks.settings import resolve
from sistasks.upkeep import leftovers

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = resolve({}, environ={}, pyproject=Path("/nonexistent"))
NODE = Identity(user_of(1), GROUP)
HINDERED = obstacle("tcg")
drops = pytest.mark.skipif(HINDERED != "", reason=f"processes of other users cannot be had: {HINDERED}")
SHELL = "/bin/sh"


@pytest.fixture
def program() -> Path:
    try:
        return qemu.locate(ARCHES[SETTINGS.arch], "auto")
    except ToolMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as made:
        yield made


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A folder that only its owner can go through."""
    folder = tmp_path / "secret"
    folder.mkdir(mode=0o700)
    return folder


def test_this_qemu_bears_all_of_the_sandbox(program: Path) -> None:
    sandbox, hindered = probe(program, "tcg")
    assert sandbox == SANDBOX
    if not HINDERED:
        assert hindered == ""


def test_a_qemu_without_a_sandbox_goes_without(tmp_path: Path, program: Path) -> None:
    without = tmp_path / "qemu"
    refuses = 'case "$*" in *-sandbox*) echo "qemu: -sandbox: no such option" >&2; exit 1;; esac'
    without.write_text(f'#!/bin/sh\n{refuses}\nexec {program} "$@"\n')
    without.chmod(0o755)
    assert probe(without, "tcg")[0] == ""


@drops
def test_a_qemu_that_others_cannot_reach_says_why(secret: Path, program: Path) -> None:
    hidden = secret / "qemu"
    hidden.symlink_to(program)
    assert probe(hidden, "tcg") == (SANDBOX, "permission denied")


@drops
def test_a_process_of_a_node_has_no_rights_at_all(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("x")
    mine.chmod(0o600)
    code = f"grep -E '^(Uid|Gid|Groups|CapEff|CapPrm|NoNewPrivs)' /proc/self/status; cat {mine}; kill -0 {os.getpid()}"
    ended = run([SHELL, "-c", code], limit=20, identity=NODE)
    told = {line.split(":")[0]: line.split(":")[1].split() for line in ended.out.decode().splitlines()}
    assert told == {
        "Uid": [str(NODE.user)] * 4, "Gid": [str(GROUP)] * 4, "Groups": [], "CapEff": ["0" * 16],
        "CapPrm": ["0" * 16], "NoNewPrivs": ["1"],
    }  # fmt: skip
    assert ended.err.lower().count(b"permi") == 2


@drops
def test_a_process_of_another_user_dies_with_its_parent() -> None:
    """The kernel forgets the signal when a process changes its user: it is asked for afterwards."""
    code = (
        "import os, signal, sys\n"
        "from sistasks.machine.confinement import GROUP, Identity, user_of\n"
        "from sistasks.programs import start\n"
        "child = start(['/bin/sleep', '300'], identity=Identity(user_of(1), GROUP))\n"
        "print(child.pid, flush=True)\n"
        "signal.pause()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    assert psutil.wait_procs([child], timeout=20)[1] == []


@drops
def test_files_below_a_private_folder_are_reached_and_nothing_else_is(
    secret: Path, stack: contextlib.ExitStack
) -> None:
    public, private, page = secret / "public", secret / "private", secret / "page"
    for path, mode in ((public, 0o644), (private, 0o600), (page, 0o644)):
        path.write_text(path.name)
        path.chmod(mode)
    volume = secret / "esp"
    (volume / "EFI").mkdir(parents=True, mode=0o700)
    (volume / "EFI" / "boot").write_text("loader")
    (volume / "EFI").chmod(0o700)
    reading, writing = os.pipe()
    stack.callback(os.close, reading)
    stack.callback(os.close, writing)
    handed = Handed(stack, NODE)
    handed.own([writing])
    names = [handed.read(public), handed.read(private), handed.change(page), handed.read(volume)]
    code = (
        f"cat {names[0]} {names[1]} {names[2]} {names[3]}/EFI/boot; echo changed 1<> {names[2]};"
        f"echo through > /dev/fd/{writing}; echo no > {names[0]}; echo no > {names[1]}; cat {public}"
    )
    ended = run(
        [SHELL, "-c", code], limit=20, pass_fds=[*handed.descriptors, writing], identity=NODE, folder=secret
    )
    assert ended.out == b"publicprivatepageloader"
    assert os.read(reading, 100) == b"through\n"
    assert (public.read_text(), private.read_text(), page.read_text()) == ("public", "private", "changed\n")
    assert ended.err.lower().count(b"denied") >= 3 - ended.err.lower().count(b"not permitted")
    status = page.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o660, GROUP)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600, "what is not ours to change stays as it is"


@drops
def test_leftovers_of_other_users_are_found(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    name = f"{MARK}-20240101T000000-{dead.pid}-node-1"
    node = start([SHELL, "-c", "read _", "-name", name], identity=NODE, stdin=subprocess.PIPE)
    try:
        assert node.pid in {process.pid for process in leftovers()}
    finally:
        node.kill()
        node.communicate()


def test_a_user_that_cannot_be_had_is_one_sentence() -> None:
    if os.geteuid() == 0:
        pytest.skip("root can be anybody")
    with pytest.raises(PermissionError, match="rights cannot be taken"):
        start(["true"], identity=NODE)


WITHOUT = """
import contextlib, sys
from pathlib import Path
from sistasks.errors import NodeError
from sistasks.machine.confinement import GROUP, Handed, Identity, obstacle, user_of
print(obstacle("tcg"))
with contextlib.ExitStack() as stack:
    try:
        Handed(stack, Identity(user_of(1), GROUP)).change(Path(sys.argv[1]))
    except NodeError as error:
        print(error)
"""


@drops
def test_a_root_that_cannot_give_files_away_says_so(tmp_path: Path) -> None:
    """As in containers, and on file systems without owners."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("no setpriv (util-linux)")
    ended = run(
        [setpriv, "--bounding-set=-setuid,-chown", sys.executable, "-c", WITHOUT, tmp_path / "f"],
        limit=20,
    )
    assert ended.err == b""
    assert ended.out.decode().splitlines() == [
        "root lacks CAP_CHOWN, CAP_SETUID here",
        f"{tmp_path}/f cannot be given to the user of a node: Operation not permitted; "
        "user=keep, or set output= to another file system",
    ]


def test_nodes_have_users_of_their_own_as_far_as_there_are_some() -> None:
    users = {user_of(number) for number in range(1, 201)}
    assert len(users) == 200
    assert user_of(201) == user_of(1), "as SECURITY.md says"
    assert all(60706 <= user <= 61183 for user in {*users, GROUP})
    assert is_users(os.getuid())
    assert is_users(user_of(7)) is (os.getuid() == 0)
    assert not is_users(os.getuid() + 1)


def test_confinement_follows_what_was_found() -> None:
    assert confine(SANDBOX, "tcg", "", keep=False) == Confinement(SANDBOX, True)
    assert confine(SANDBOX, "tcg", "", keep=True) == Confinement(SANDBOX)
    assert confine("", "tcg", "not root anyway", keep=False) == Confinement()
    assert Confinement(SANDBOX).identity(1) is None
    assert Confinement("", True, (5,)).identity(3) == Identity(user_of(3), GROUP, (5,))


@pytest.mark.parametrize(
    ("mode", "group", "groups"),
    [(0o666, 0, ()), (0o660, 0, None), (0o660, 36, (36,)), (0o600, 36, None), (0o640, 36, None)],
)
def test_a_device_may_need_a_group(
    tmp_path: Path, mode: int, group: int, groups: tuple[int, ...] | None
) -> None:
    device = tmp_path / "kvm"
    device.touch()
    device.chmod(mode)
    if os.geteuid() == 0:
        os.chown(device, -1, group)
    elif group != device.stat().st_gid and groups is not None and groups:
        groups = (device.stat().st_gid,)
    if os.geteuid() != 0 and group == 0 and groups is None:
        pytest.skip("the group root needs root")
    assert device_groups(device) == groups
    assert device_groups(tmp_path / "none") is None


def test_numbers_that_a_container_does_not_have(tmp_path: Path) -> None:
    table = tmp_path / "uid_map"
    for text, mapped in (
        ("0 0 4294967295\n", True),
        ("0 1000 1\n1 100000 65536\n", True),
        ("0 0 60950\n", False),
        ("0 0 1\n", False),
    ):
        table.write_text(text)
        assert confinement._mapped(table) is mapped


def test_the_environment_holds_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI_TOKEN", "secret")
    monkeypatch.setenv("TMPDIR", "/mine")
    assert "CI_TOKEN" not in environment(None)
    assert environment(None)["PATH"] == os.environ["PATH"]
    assert environment(None)["TMPDIR"] == "/mine"
    assert "TMPDIR" not in environment(NODE)


def test_without_another_user_files_keep_their_names() -> None:
    assert Named().read(Path("/a,b")) == Named().change(Path("/a,b")) == "/a,b"
