"""Evidence from Python: the same statistics, bundles and retention as those of the tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import evidence_parts as parts
import pytest
from evidence_parts import LOG, put, rows

from sistasks.api import ArtifactCollector, Environment, get_artifact_collector
from sistasks.errors import ArchiveError, UsageError
from sistasks.evidence.archive import verify
from sistasks.evidence.artifacts import Store
from sistasks.evidence.sweep import Files, Packed, Rows

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def collector(tmp_path: Path) -> ArtifactCollector:
    """Of a store with a young run's log and an old run's core dump."""
    out, db = tmp_path / "out", tmp_path / "results.db"
    store = Store(out / "artifacts", db)
    parts.write(db, put(store))
    parts.write(db, put(store, b"core", kind="core_dumps", name="vmcore"), days=40)
    parts.age(store, 2)
    return get_artifact_collector(Environment(output=out, db=db))


def test_statistics_are_of_every_kind(collector: ArtifactCollector) -> None:
    found = {kind.kind: (kind.files, kind.content) for kind in collector.get_statistics() if kind.files}
    assert found == {"logs": (1, len(LOG)), "core_dumps": (1, 4)}


def test_a_run_becomes_a_bundle(collector: ArtifactCollector) -> None:
    path = collector.create_archive(1)
    assert path.parent == collector.settings.output / "archives"
    assert verify(path).run_id == 1
    with pytest.raises(UsageError, match="run 3 is not in"):
        collector.create_archive(3)


def test_what_a_bundle_lacks_is_told_and_the_rest_is_in_it(collector: ArtifactCollector) -> None:
    (log,) = [path for path in (collector.store.root / "logs").rglob("*") if path.is_file()]
    log.unlink()
    with pytest.raises(ArchiveError, match="lacks 1 of the run's artifacts"):
        collector.create_archive(1)
    (path,) = (collector.settings.output / "archives").iterdir()
    assert verify(path).run_id == 1


def test_retention_is_that_of_cleanup(collector: ArtifactCollector) -> None:
    gone, removed, packed = collector.apply_retention()
    assert isinstance(gone, Rows)
    assert gone.gone == {"older than 30 days": 1}
    assert isinstance(removed, Files)
    assert removed.removed == 1
    assert isinstance(packed, Packed)
    assert packed.files == 1, "the log is cold"
    assert rows(collector.db, "select kind from artifacts") == [("logs",)]


def test_an_empty_store_has_nothing_to_retain(tmp_path: Path) -> None:
    collector = get_artifact_collector(Environment(output=tmp_path / "out", db=tmp_path / "results.db"))
    assert collector.apply_retention() == ()
    assert not collector.db.exists()
