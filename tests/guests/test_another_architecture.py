"""An architecture that the package does not have: all that the project adds is the record of docs/extending.md.

A 32-bit x86, for its emulator comes with that of x86_64. It wants its compiler (`apt install gcc-i686-linux-gnu
libc6-dev-i386-cross`, or the wheel of zig), a mirror that has its kernel, and ANOTHER_ARCHITECTURE=1.
"""

from __future__ import annotations

import os
import runpy
import shutil
from typing import TYPE_CHECKING

import pytest
from extending_page import type_all, write
from guest_project import SMALL, Project, rows
from test_architectures import NO_KERNEL

from sistasks import tools
from sistasks.machine.arch import ARCHES, Arch
from sistasks.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.guest


# of Debian's kernel what takes half of an emulated boot: tests of its cryptography, and a search for ISA cards
QUICK = (*SMALL, "arguments=cryptomgr.notests noisapnp")


def samples(db: Path, run: int) -> dict[tuple[int, str], bytes]:
    found = rows(db, "select run_id, node, metric, data from samples")
    return {(node, metric): data for of, node, metric, data in found if of == run}


def record(dodo: Path) -> Arch:
    """What the page's dodo.py adds."""
    known = dict(ARCHES)
    alone = dodo.with_name("record.py")
    alone.write_text(dodo.read_text().partition("from sistasks.tasks")[0])
    try:
        runpy.run_path(str(alone))
        (added,) = ARCHES.keys() - known.keys()
        return ARCHES[added]
    finally:
        ARCHES.clear()
        ARCHES.update(known)


@pytest.fixture(scope="module")
def i386(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with the record, and a guest of what it names."""
    if not os.environ.get("ANOTHER_ARCHITECTURE"):
        pytest.skip("set ANOTHER_ARCHITECTURE to measure one that the package does not have")
    folder = tmp_path_factory.mktemp("i386")
    write(folder, "i386/")
    for part in tools.missing(record(folder / "dodo.py"), Settings()):
        pytest.skip(part.error.problem)
    project = Project(folder)
    done = project.doit("guest", "arch=i386", *SMALL, limit=300)
    if done.returncode == 2 and any(words in done.stderr for words in NO_KERNEL):
        pytest.skip(done.stderr.splitlines()[0])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "i386 has no probe that could prove another" in done.stdout
    return project


def test_a_record_is_all_that_it_takes(i386: Project, tmp_path: Path) -> None:
    # both clocks, each with a template of its own
    type_all(i386, "i386/run", *QUICK)
    db = i386.folder / "results.db"
    assert rows(db, "select arch, clock, accel, cpu_model from environments order by clock") == [
        ("i386", "virtual", "tcg", "qemu32"), ("i386", "wall", "tcg", "qemu32"),
    ]  # fmt: skip
    assert {arch for (arch,) in rows(db, "select arch from kernels")} == {"i386"}

    # the same samples from a template that is frozen anew
    shutil.rmtree(i386.folder / "target/testing/templates")
    again = tmp_path / "again.db"
    words = ("performance", "nodes=2", "arch=i386", "clock=virtual", f"db={again}", *QUICK)
    done = i386.doit(*words, limit=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "template: frozen" in done.stdout
    first = samples(db, 1)
    assert len(first) == 2 * 7
    assert samples(again, 1) == first
    assert samples(db, 2).keys() == first.keys()
    assert samples(db, 2) != first, "on the wall clock they do not repeat"


def test_what_it_does_not_have_is_said(i386: Project) -> None:
    done = i386.doit("performance", "arch=i386", "boot=uefi")
    assert done.returncode == 3
    assert "boot=uefi cannot be with arch=i386; boot=direct boots its kernels" in done.stderr
    done = i386.doit("setup", "arch=i386", "accel=kvm")
    assert done.returncode == 3
    assert "accel=kvm cannot be with arch=i386 on" in done.stderr
    # other words for it, and what is like them
    done = i386.doit("setup", "arch=i686")
    assert done.returncode == 3
    assert "did you mean 'i386'?" in done.stderr


def test_without_a_counter_the_stages_of_a_boot_are_an_error_that_names_them(i386: Project) -> None:
    dodo = i386.folder / "dodo.py"
    dodo.write_text(dodo.read_text().replace('name="i386",', 'name="i386", cycles="0",'))
    done = i386.doit("boot", "arch=i386", "clock=virtual", *QUICK, limit=200)
    assert done.returncode == 2
    assert "guest: " in done.stdout, "the agent is built anew"
    assert "boot.firmware, boot.kernel and boot.userspace need a cycle counter" in done.stderr + done.stdout
    assert rows(i386.folder / "results.db", "select count(*) from summaries where metric like 'boot.%'") == [
        (0,)
    ]
