"""The archive: the same bytes whatever the order, read by the real cpio and by a reader apart from the writer."""

from __future__ import annotations

import shutil
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sistasks.guest.initramfs import Entry, character_device, directory, file, pack

if TYPE_CHECKING:
    import random
    from pathlib import Path

NAMES = st.lists(
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=12
    ).filter(lambda part: part not in {".", "..", "TRAILER!!!"}),
    min_size=1,
    max_size=3,
).map("/".join)
ENTRIES = st.dictionaries(NAMES, st.binary(max_size=40), max_size=8).map(
    # what lies below another is left out: a file is no folder
    lambda files: [
        file(name, data, executable=len(data) % 2 == 0)
        for name, data in files.items()
        if not any(other.startswith(name + "/") for other in files)
    ]
)


def unpack(archive: bytes) -> list[tuple[str, list[int], bytes]]:
    """(name, the thirteen numbers of the header, data) of each record, after the kernel's description of newc."""
    found, at = [], 0
    while True:
        assert archive[at : at + 6] == b"070701"
        numbers = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        size, name_size = numbers[6], numbers[11]
        name = archive[at + 110 : at + 110 + name_size]
        assert name.endswith(b"\0")
        begin = (at + 110 + name_size + 3) // 4 * 4
        found.append((name[:-1].decode(), numbers, archive[begin : begin + size]))
        at = (begin + size + 3) // 4 * 4
        if name == b"TRAILER!!!\0":
            assert not archive[at:].strip(b"\0")
            return found


@given(ENTRIES, st.randoms(use_true_random=False))
def test_the_order_makes_no_difference(entries: list[Entry], chance: random.Random) -> None:
    archive = pack(entries)
    shuffled = list(entries)
    chance.shuffle(shuffled)
    assert pack(shuffled) == archive
    assert pack(iter(reversed(entries))) == archive
    assert len(archive) % 512 == 0


@settings(deadline=None)
@given(ENTRIES)
def test_everything_is_in_it_once_with_the_folders_above(entries: list[Entry]) -> None:
    *records, trailer = unpack(pack(entries))
    assert trailer[0] == "TRAILER!!!"
    names = [name for name, _, _ in records]
    assert len(set(names)) == len(names)
    assert {name: data for name, numbers, data in records if stat.S_ISREG(numbers[1])} == {
        entry.name: entry.data for entry in entries
    }
    for position, name in enumerate(names):
        above = name.rpartition("/")[0]
        assert not above or above in names[:position], "the kernel makes no folders by itself"
    inodes = [numbers[0] for _, numbers, _ in records]
    assert len(set(inodes)) == len(inodes)
    for _, (_, _, uid, gid, _, mtime, *_, check), _ in records:
        assert (uid, gid, mtime, check) == (0, 0, 0, 0)


EXAMPLE = (
    file("init", b"\x7fELF" + bytes(1001), executable=True),
    file("modules/list", b"a.ko\n"),
    file("modules/deep/a.ko", b""),
    character_device("dev/console", 5, 1),
    directory("proc"),
)


@pytest.mark.skipif(shutil.which("cpio") is None, reason="cpio is not installed here")
def test_the_real_cpio_reads_it() -> None:
    listing = subprocess.run(
        ["cpio", "-itv", "--quiet", "--numeric-uid-gid"], input=pack(EXAMPLE), capture_output=True, check=True
    )
    assert listing.stderr == b""
    rows = [line.split() for line in listing.stdout.decode().splitlines()]
    table = {row[-1]: (row[0], row[1], row[2], row[3], " ".join(row[4:-4])) for row in rows}
    assert table == {
        "dev": ("drwxr-xr-x", "2", "0", "0", "0"),
        "dev/console": ("crw-------", "1", "0", "0", "5, 1"),
        "init": ("-rwxr-xr-x", "1", "0", "0", "1005"),
        "modules": ("drwxr-xr-x", "2", "0", "0", "0"),
        "modules/deep": ("drwxr-xr-x", "2", "0", "0", "0"),
        "modules/deep/a.ko": ("-rw-r--r--", "1", "0", "0", "0"),
        "modules/list": ("-rw-r--r--", "1", "0", "0", "5"),
        "proc": ("drwxr-xr-x", "2", "0", "0", "0"),
    }


@pytest.mark.skipif(shutil.which("cpio") is None, reason="cpio is not installed here")
def test_the_real_cpio_unpacks_it(tmp_path: Path) -> None:
    plain = [entry for entry in EXAMPLE if not stat.S_ISCHR(entry.mode)]
    subprocess.run(["cpio", "-idm", "--quiet"], input=pack(plain), cwd=tmp_path, check=True)
    for entry in plain:
        path = tmp_path / entry.name
        if stat.S_ISDIR(entry.mode):
            assert path.is_dir()
        else:
            assert path.read_bytes() == entry.data
            assert path.stat().st_mtime == 0


def test_a_device_has_its_numbers() -> None:
    _, (name, numbers, data), _ = unpack(pack([character_device("dev/console", 5, 1)]))
    assert name == "dev/console"
    assert numbers[1] == stat.S_IFCHR | 0o600
    assert numbers[9:11] == [5, 1]
    assert data == b""


def test_nothing_is_an_archive_too() -> None:
    assert [name for name, _, _ in unpack(pack([]))] == ["TRAILER!!!"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "/init",
        "init/",
        "a//b",
        ".",
        "..",
        "./init",
        "a/../b",
        "a/./b",
        "in\0it",
        "TRAILER!!!",
        "\udce4",
    ],
)
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"initramfs entry|surrogates"):
        pack([file(name, b"")])


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="'init' is given twice"):
        pack([file("init", b"a"), file("init", b"b")])


@pytest.mark.parametrize("order", [1, -1])
def test_what_lies_below_a_file_is_refused(order: int) -> None:
    with pytest.raises(ValueError, match="'a' is not a directory"):
        pack([file("a", b""), file("a/b/c", b"")][::order])


def test_a_folder_that_is_given_keeps_its_mode() -> None:
    records = unpack(pack([file("tmp/x", b""), Entry("tmp", stat.S_IFDIR | 0o1777)]))
    assert [numbers[1] for name, numbers, _ in records if name == "tmp"] == [stat.S_IFDIR | 0o1777]
