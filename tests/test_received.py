"""Files from a guest: those that were asked for, whole and in order, under names of ours; all else is refused."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sistasks.guest.frames import FilePart, Frame, FrameError, FrameType, encode_part
from sistasks.machine.received import ReceivedFiles
from sistasks.machine.results import GuestResults

if TYPE_CHECKING:
    from pathlib import Path


def part(name: str, offset: int, data: bytes) -> bytes:
    return encode_part(FilePart(name, offset, data))


def received(folder: Path) -> ReceivedFiles:
    return ReceivedFiles(folder, "node_1.", {"context_switch": 10, "../up": 10, "kallsyms": 10})


def test_a_file_is_kept_under_a_name_of_ours(tmp_path: Path) -> None:
    (tmp_path / "node_1.context_switch.trace.txt").write_text("of the run before")
    files = received(tmp_path)
    for payload in (
        part("context_switch", 0, b"abc"),
        part("../up", 0, b""),
        part("context_switch", 3, b"d"),
    ):
        files.take(payload)
    files.take(part("kallsyms", 0, b"k"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "node_1.context_switch.trace.txt": b"abcd", "node_1.___up.trace.txt": b"", "node_1.kallsyms.txt": b"k",
    }  # fmt: skip
    assert files.paths["context_switch"] == tmp_path / "node_1.context_switch.trace.txt"


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (part("boot", 0, b"x"), "the file boot came, and nobody asked for it"),
        (part("../../etc/passwd", 0, b"x"), "and nobody asked for it"),
        (part("context_switch", 1, b"x"), "byte 0 is missing"),
        (part("context_switch", 0, b"x" * 11), "more than 10 bytes came"),
        (b"\0\0\0\0\0", "without its name"),
    ],
)
def test_what_was_not_asked_for_is_refused(tmp_path: Path, payload: bytes, problem: str) -> None:
    with pytest.raises(FrameError, match=problem):
        received(tmp_path).take(payload)
    assert list(tmp_path.iterdir()) == []


def test_a_file_to_somebody_who_asked_for_none_is_refused() -> None:
    with pytest.raises(FrameError, match="nobody asked for"):
        GuestResults().take(Frame(FrameType.FILE, 0, part("a", 0, b"x")))


_NUMBERS = itertools.count()


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 4), st.binary(max_size=4)), max_size=9
    )
)
def test_never_more_than_asked_is_on_the_disk(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[str, int, bytes]]
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"received{next(_NUMBERS)}"
    folder.mkdir()
    files = ReceivedFiles(folder, "", {"a": 5, "b": 0})
    expected = {"a": b"", "b": b""}
    for name, offset, data in parts:
        fits = name in expected and offset == len(expected[name])
        if fits and offset + len(data) <= files.room[name]:
            files.take(part(name, offset, data))
            expected[name] += data
        else:
            with pytest.raises(FrameError):
                files.take(part(name, offset, data))
    assert {path: path.read_bytes() for path in folder.iterdir()} == {
        files.paths[name]: expected[name] for name in files.paths
    }
