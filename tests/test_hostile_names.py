"""Names that come from a guest are words, never paths: whatever they are, nothing is written but where we mean it."""

from __future__ import annotations

import dataclasses
import io
import tarfile
from typing import TYPE_CHECKING

import history_records as records
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sistasks.evidence.archive import write_archive
from sistasks.evidence.artifacts import Store
from sistasks.guest.frames import FilePart, FrameError, encode_part
from sistasks.history.records import CrashRow, MetricRow, ResultRow, SampleSet
from sistasks.history.store import write_run
from sistasks.machine.received import ReceivedFiles
from sistasks.report import write_report

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = (
    "../../../../pwned", "/etc/../pwned", "a/../../pwned", "..", ".", "~root", "C:\\pwned", "$(touch pwned)", "pw\nned",
    "<img src=pwned>", "-rf", "x" * 300,
)  # fmt: skip


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def written(folder: Path, name: str) -> tuple[set[str], list[str]]:
    """All that a run, its report and its bundle leave in a folder, where everything is called by this name."""
    folder.mkdir()
    db, store, out = folder / "results.db", Store(folder / "store"), folder / "out" / "put"
    metric = MetricRow(name=name, unit=name, better="lower", description=name)
    values = SampleSet(node=1, metric=name, values=(1, 2, 3))
    console = folder / "console"
    console.write_text(name)
    run = records.run(
        results=(ResultRow(node=1, test=name, status="fail", message=name),),
        samples=(values,),
        summaries=(records.summary(1, name),),
        crashes=(CrashRow(node=1, kind="panic", title=name, report=name, console_offset=0),),
        kernel=dataclasses.replace(records.run().kernel, release=name),
        message=name,
    )
    number = write_run(db, records.session(), run, [metric])
    write_report(db, out)
    assert write_archive(folder / "bundle.tar.zst", db, number, store) == []
    with (
        (folder / "bundle.tar.zst").open("rb") as packed,
        zstandard.ZstdDecompressor().stream_reader(packed) as stream,
    ):
        members = tarfile.open(fileobj=io.BytesIO(stream.read())).getnames()  # noqa: SIM115 - it is in memory
    return files(folder), members


@pytest.mark.parametrize("name", HOSTILE)
def test_reports_and_bundles_have_the_names_that_we_give(tmp_path: Path, name: str) -> None:
    plain = written(tmp_path / "plain", "context_switch")
    assert written(tmp_path / "hostile", name) == plain
    assert {path.name for path in tmp_path.iterdir()} == {"plain", "hostile"}


@given(st.sampled_from(HOSTILE) | st.text(min_size=1).filter(lambda name: "\0" not in name), st.booleans())
def test_files_of_a_guest_lie_in_its_folder(
    tmp_path_factory: pytest.TempPathFactory, name: str, asked: bool
) -> None:
    """What was asked for goes there under a name that a folder can have; what was not is refused."""
    folder = tmp_path_factory.mktemp("guest") / "node"
    folder.mkdir()
    received = ReceivedFiles(folder, "node_1.", {name[:8]: 10} if asked else {"wanted": 10})
    try:
        received.take(encode_part(FilePart(name[:8], 0, b"data")))
    except (FrameError, UnicodeEncodeError):
        assert files(folder) == set()
    else:
        (path,) = folder.iterdir()
        assert path.name.startswith("node_1.")
        assert path.read_bytes() == b"data"
    assert [path.name for path in folder.parent.iterdir()] == ["node"]
