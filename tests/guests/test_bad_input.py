"""What a person may get wrong: one sentence, the right exit code, and nothing is left or half done."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from guest_project import DODO, SMALL, Project, rows

from sistasks.firmware import Firmware
from sistasks.history.connection import prepare
from sistasks.kernels import Kernel

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

pytestmark = pytest.mark.guest

BUILD = "target/testing/build"


def refused(done: subprocess.CompletedProcess[str], code: int, *says: str) -> None:
    """It ended with this code and one sentence that has these words."""
    everything = done.stdout + done.stderr
    assert done.returncode == code, everything
    assert "Traceback" not in everything
    sentence, *detail = done.stderr.splitlines()
    for words in says:
        assert words in sentence
    assert all(line.startswith("    ") for line in detail), "one sentence, its detail indented"


def scratch(folder: Path) -> list[Path]:
    return [*folder.glob("target/testing/run/*"), *folder.glob("target/testing/templates/.new-*")]


@pytest.fixture
def empty(tmp_path: Path) -> Project:
    """A project in which nothing was done yet."""
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "dodo.py").write_text(DODO)
    return Project(folder)


@contextlib.contextmanager
def tampered(path: Path) -> Iterator[None]:
    """The file with one byte changed."""
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[len(changed) // 2] ^= 1
    path.write_bytes(changed)
    try:
        yield
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("nodes=0", "nodes is a whole number from 1 to 1000"),
        ("nodes=-1", "nodes is a whole number from 1 to 1000"),
        ("nodes=1e9", "nodes is a whole number from 1 to 1000"),
        ("nodes=abc", "nodes is a whole number from 1 to 1000"),
        ("memory=1M", "memory is a size from 16M to "),
        ("memory=512G", "memory is a size from 16M to "),
        ("cpus=0", "cpus is a whole number from 1 to "),
        ("timeout=0", "timeout is a number from 0.1 to 86400"),
        ("node=3", "did you mean 'nodes'?"),
    ],
)
def test_a_value_that_cannot_be(empty: Project, variable: str, says: str) -> None:
    refused(empty.doit("performance", variable), 3, variable.split("=", maxsplit=1)[0], says)
    left = {path.name for path in empty.folder.iterdir()} - {"__pycache__"}
    assert left == {"dodo.py"}, "nothing was done"


OLD = '#!/bin/sh\necho "QEMU emulator version 5.2.0"\n'


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        (None, 0, "does not exist"),
        (OLD, 0o755, "is QEMU 5.2.0, needed is 7.2 or later"),
        (OLD, 0o644, "is not executable"),
        ("#!/bin/sh\necho hello\n", 0o755, "is not QEMU"),
        ("not a program", 0o755, "cannot be run: Exec format error"),
    ],
)
@pytest.mark.parametrize("how", ["variable", "environment"])
def test_a_qemu_that_cannot_be_used(
    project: Project, tmp_path: Path, text: str | None, mode: int, says: str, how: str
) -> None:
    qemu, db = tmp_path / "qemu", tmp_path / "results.db"
    if text is not None:
        qemu.write_text(text)
        qemu.chmod(mode)
    arguments = ["performance", "nodes=1", f"db={db}", *SMALL]
    if how == "variable":
        done = project.doit(*arguments, f"qemu={qemu}")
    else:
        done = project.doit(*arguments, SIS_QEMU_PATH=str(qemu))
    refused(done, 2, "setup: ", str(qemu), says)
    assert not db.exists()


def arm64_image() -> bytes:
    """A small arm64 image (Linux, Documentation/arch/arm64/booting.rst, "Call the kernel image")."""
    banner = b"Linux version 6.9.1-test (me@here) #1 SMP\n\0"
    header = struct.pack("<IIQQQQQQ4sI", 0, 0, 0, 0x9000, 0xA, 0, 0, 0, b"ARM\x64", 0)
    return header.ljust(0x1000, b"\0") + banner.ljust(0x1000, b"\0")


def test_a_kernel_that_is_none(project: Project, tmp_path: Path) -> None:
    real = Kernel.from_json(next((project.folder / BUILD).glob("kernel-debian-*.json")).read_text()).image
    whole = real.read_bytes()
    db = tmp_path / "results.db"
    cases = {
        "text": (b"hello, this is no kernel\n", "is not a kernel image"),
        "nothing": (b"", "is empty"),
        "half": (whole[: len(whole) // 2], "is truncated"),
        "other": (arm64_image(), "is for arm64, but arch=x86_64 was asked"),
    }
    for name, (data, says) in cases.items():
        image = tmp_path / name
        image.write_bytes(data)
        done = project.doit("performance", "nodes=1", f"db={db}", f"kernel={image}", *SMALL)
        refused(done, 3, "kernel: ", str(image), says)
        assert not list((project.folder / BUILD).glob(f"kernel-*{name}*")), "no record of what is no kernel"
    missing = project.doit("kernel", f"kernel={tmp_path}/missing")
    refused(missing, 3, "kernel: ", "no such file")
    assert not db.exists()


def test_firmware_that_is_missing(project: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    done = project.doit("boot", f"db={db}", "firmware=/nonexistent", *SMALL)
    refused(done, 2, "firmware: ", "/nonexistent", "give raw images: firmware=CODE,VARS")
    assert not db.exists()


def test_firmware_that_changed_after_it_was_found(project: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    assert project.doit("firmware").returncode == 0
    found = Firmware.from_json(next((project.folder / BUILD).glob("firmware-*.json")).read_text())
    code, variables = (Path(shutil.copy(path, tmp_path)) for path in (found.code, found.vars))
    own = f"firmware={code},{variables}"
    assert project.doit("firmware", own).returncode == 0
    for path in (code, variables):
        with tampered(path):
            done = project.doit("boot", f"db={db}", own, *SMALL)
        refused(done, 2, "boot: ", str(path))
    assert rows(db, "select count(*) from runs") == [(0,)], "nothing was run, not even what needs no firmware"
    assert project.doit("firmware").returncode == 0


@pytest.mark.parametrize("step", ["kernel", "guest"])
def test_a_file_that_changed_after_it_was_built(project: Project, tmp_path: Path, step: str) -> None:
    db = tmp_path / "results.db"
    folder = project.folder / BUILD
    pattern = "guest-debian-*/initramfs.cpio" if step == "guest" else "kernels/debian-*/*/boot/vmlinuz-*"
    (path,) = folder.glob(pattern)
    with tampered(path):
        done = project.doit("performance", "nodes=1", f"db={db}", *SMALL)
    refused(done, 2, "performance: ", path.name, "has been changed", f"`doit -a {step}` makes it anew")
    assert rows(db, "select count(*) from runs") == [(0,)]
    after = project.doit("performance", "nodes=1", f"db={db}", *SMALL)
    assert after.returncode == 0, after.stderr


def test_a_compiler_that_fails(project: Project, tmp_path: Path) -> None:
    """It can do what setup tries, and not the agent."""
    compiler = tmp_path / "cc"
    compiler.write_text(
        '#!/bin/sh\ncase "$*" in *trial*) exec gcc "$@";; esac\necho "agent.c:1: boom" >&2\nexit 1\n'
    )
    compiler.chmod(0o755)
    built = next((project.folder / BUILD).glob("guest-debian-*/initramfs.cpio"))
    before = built.read_bytes()
    done = project.doit("guest", CC=str(compiler))
    refused(done, 2, f"guest: {compiler} cannot build the agent (exit 1)")
    assert done.stderr.splitlines()[1:] == ["    agent.c:1: boom"]
    assert [path.name for path in built.parent.iterdir()] == ["initramfs.cpio"]
    assert built.read_bytes() == before
    assert project.doit("guest").returncode == 0


def test_memory_in_range_in_which_nothing_boots(project: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    done = project.doit("performance", "nodes=1", f"db={db}", "memory=32M", "iterations=100")
    refused(
        done,
        1,
        "performance: the template: ",
        "memory=32M may be too little",
        "try memory=128M",
        "template.log",
    )
    assert scratch(project.folder) == []
    assert rows(db, "select runs.status, node from runs join results on run_id = runs.id group by node") == [
        ("failed", 0)
    ]


def test_a_timeout_shorter_than_the_boot(project: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    done = project.doit("performance", "nodes=1", f"db={db}", "memory=131M", "iterations=100", "timeout=0.3")
    refused(done, 1, "performance: the template ", " within 0.9 s", "raise timeout=")
    assert scratch(project.folder) == []
    assert rows(db, "select kind from crashes") == [("hang",)]


def test_a_timeout_shorter_than_the_tests(project: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    arguments = ("performance", "nodes=2", f"db={db}", "memory=128M", "iterations=100000", "timeout=0.3")
    refused(
        project.doit(*arguments),
        1,
        "performance: ",
        "did not finish the test context_switch within 0.9 s: processor 0 is ",
        "raise timeout=",
    )
    said = "node 1, context_switch: did not finish the test context_switch within 0.9 s: processor 0 is "
    [(status, message)] = rows(db, "select status, message from runs")
    assert (status, message.startswith(said)) == ("failed", True), message
    assert rows(db, "select count(*) from results where status = 'pass'") == [(0,)]
    assert rows(db, "select count(*) from summaries") == [(0,)]


@pytest.mark.parametrize("where", ["a file", "below a file", "/proc/sistasks"])
def test_output_that_cannot_be_written(empty: Project, tmp_path: Path, where: str) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    output = {"a file": str(file), "below a file": f"{file}/out"}.get(where, where)
    refused(
        empty.doit("performance", f"output={output}"), 3, f"output={output} cannot be written", "set output="
    )
    assert file.read_text() == "mine"
    assert not (empty.folder / "target").exists()


def test_a_history_that_cannot_be_used(project: Project, tmp_path: Path) -> None:
    """It is refused before a node runs, not after the work."""
    text = tmp_path / "text.db"
    text.write_text("this is no database, whatever its name says\n" * 100)
    other = tmp_path / "other.db"
    rows(other, "create table theirs (a)")
    newer = tmp_path / "newer.db"
    prepare(newer)
    with contextlib.closing(sqlite3.connect(newer)) as connection, connection:
        connection.execute(
            "insert into _sqlite_migrations (migration_set, name, applied_at) values ('sistasks', '0099_new', '')"
        )
    cases = {
        tmp_path: "is a directory, and the history is a file",
        text: "is not a database",
        other: "is a database of another program",
        newer: "was written by a newer sistasks",
        text / "results.db": "Not a directory",
        Path("/proc/sistasks/results.db"): "cannot be used as the history",
    }
    for db, says in cases.items():
        before = db.read_bytes() if db.is_file() else b""
        done = project.doit("performance", "nodes=1", f"db={db}", *SMALL)
        refused(done, 2, "performance: ", str(db), says)
        assert "cloned" not in done.stdout, "no node ran in vain"
        assert (db.read_bytes() if db.is_file() else b"") == before
