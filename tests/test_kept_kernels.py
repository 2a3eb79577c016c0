from __future__ import annotations

import dataclasses
import json
import os
from typing import TYPE_CHECKING

import pytest
from judged import NEITHER, SWITCH, accept, baseline, kernel_id, write

from sistasks.evidence import kernels
from sistasks.files import sha256_of
from sistasks.history.read import recent_kernels
from sistasks.verdicts.records import Verdict
from sistasks.verdicts.store import write_verdicts

if TYPE_CHECKING:
    from pathlib import Path

SAME = {SWITCH: [1000.0]}


def kept(
    folder: Path, name: str, image: bytes = b"", initramfs: bytes = b"guest", guest: str = "g"
) -> kernels.KeptKernel:
    files = [folder.parent / f"{name}-image", folder.parent / f"{name}-initramfs"]
    for path, data in zip(files, (image or name.encode(), initramfs), strict=True):
        path.write_bytes(data)
    kernel = kernels.KeptKernel(
        id=kernel_id(name), image=sha256_of(files[0]), initramfs=sha256_of(files[1]), guest=guest,
        arguments=("quiet", "x=1"), results_line="virtio",
    )  # fmt: skip
    kernels.keep(folder, kernel, *files)
    return kernel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kernels"


def test_what_was_kept_is_found(folder: Path) -> None:
    kernel = kept(folder, "a")
    assert kernels.find(folder, kernel.id, "g") == kernel
    assert kernels.find(folder, "0" * 64, "g") is None
    assert kernels.find(folder / "none", kernel.id, "g") is None
    assert (folder / kernel.image).read_bytes() == b"a"


def test_what_is_new_is_told_from_what_was_kept_before(folder: Path, tmp_path: Path) -> None:
    one = kept(folder, "a")
    files = folder / one.image, folder / one.initramfs
    assert not kernels.keep(folder, one, *files)
    assert kernels.keep(folder, dataclasses.replace(one, guest="another"), *files)


def test_equal_files_are_kept_once(folder: Path) -> None:
    one, two = kept(folder, "a"), kept(folder, "b", image=b"a")
    assert one.image == two.image
    assert len(list(folder.iterdir())) == 4, "an image, an initramfs and two records"
    before = (folder / one.image).stat().st_ino
    kept(folder, "a")
    assert (folder / one.image).stat().st_ino == before


@pytest.mark.parametrize("data", [b"", b"b", b"longer"])
def test_a_file_that_is_not_what_it_is_called(folder: Path, data: bytes) -> None:
    kernel = kept(folder, "a")
    (folder / kernel.image).write_bytes(data)
    assert kernels.find(folder, kernel.id, "g") is None
    kept(folder, "a")
    assert kernels.find(folder, kernel.id, "g") == kernel, "it is kept again"


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"id": 1}', "\xff"])
def test_a_record_that_is_none(folder: Path, text: str) -> None:
    kernel = kept(folder, "a")
    (folder / f"{kernel.id}.g.json").write_text(text, encoding="latin-1")
    assert kernels.find(folder, kernel.id, "g") is None
    kernels.prune(folder, {kernel.id})
    assert kernels.find(folder, kernel.id, "g") is None


def test_a_record_of_another_kernel(folder: Path) -> None:
    kernel = kept(folder, "a")
    record = json.dumps(dataclasses.asdict(dataclasses.replace(kernel, id="other")))
    (folder / f"{kernel.id}.g.json").write_text(record)
    assert kernels.find(folder, kernel.id, "g") is None


def test_what_nobody_names_is_removed(folder: Path) -> None:
    one, two = kept(folder, "a"), kept(folder, "b")
    kernels.prune(folder, set())
    assert kernels.find(folder, one.id, "g") == one, "a run that is just being written may need it"
    for record in folder.glob("*.json"):
        os.utime(record, (0, 0))
    kernels.prune(folder, {two.id})
    assert kernels.find(folder, one.id, "g") is None
    assert kernels.find(folder, two.id, "g") == two
    assert {path.name for path in folder.iterdir()} == {two.image, two.initramfs, f"{two.id}.g.json"}
    kernels.prune(folder, set())
    assert list(folder.iterdir()) == []
    kernels.prune(folder / "none", set())


def test_a_kernel_is_kept_with_each_of_its_guests_the_newest_for_longest(folder: Path) -> None:
    some = [kept(folder, "a", initramfs=b"guest %d" % n, guest=f"{n}") for n in range(7)]
    assert [kernels.find(folder, one.id, one.guest) for one in some] == some
    for age, one in enumerate(reversed(some)):
        os.utime(folder / f"{one.id}.{one.guest}.json", (1000 - age, 1000 - age))
    kernels.prune(folder, {some[0].id})
    assert [kernels.find(folder, one.id, one.guest) for one in some] == [None, None, None, *some[3:]]
    assert len(list(folder.iterdir())) == 4 + 1 + 4, "the files of the others are gone"


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "results.db"


def names(db: Path, runs: int) -> set[str]:
    known = {kernel_id(name): name for name in "abcdefgh"}
    return {known[found] for found in recent_kernels(db, runs)}


def test_kernels_that_baselines_may_name(db: Path) -> None:
    assert recent_kernels(db, 3) == set()
    for kernel in "abcde":
        write(db, SAME, kernel)
    write(db, NEITHER, "f", status="failed")
    write(db, SAME, "g", suite="boot")
    assert names(db, 2) == {"c", "d", "e", "g"}, "of e's baseline: c and d; of the next kernel's: d and e"


def test_a_kernel_measured_often_does_not_push_out_what_it_is_judged_by(db: Path) -> None:
    write(db, SAME, "a")
    write(db, SAME, "b")
    for _ in range(5):
        write(db, SAME, "c")
    assert names(db, 2) == {"a", "b", "c"}
    assert baseline(db, 7) == [2, 1]


def test_kernels_that_got_worse_do_not_push_out_what_they_are_judged_by(db: Path) -> None:
    write(db, SAME, "a")
    for number, kernel in enumerate("bcdef", 2):
        write(db, SAME, kernel)
        write_verdicts(
            db, number, [Verdict(metric=SWITCH, statistic="p50", outcome="worse", method="m", baseline="b")]
        )
    assert names(db, 2) == {"a", "f"}
    assert baseline(db, write(db, SAME, "g")) == [1]
    accept(db, 6)
    assert names(db, 2) == {"a", "f", "g"}


def test_kernels_of_edited_sources_are_no_baseline(db: Path) -> None:
    write(db, SAME, "a")
    for kernel in "bcd":
        write(db, SAME, kernel, dirty=True)
    assert names(db, 2) == {"a", "d"}
