"""Evidence from Python: what test cases left, found again, read, verified, bundled and thinned out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sistasks import evidence_steps
from sistasks.evidence.artifacts import Store
from sistasks.history.artifacts import StoredArtifact, artifacts_of
from sistasks.history.cases import runs_of_test_case
from sistasks.layout import Layout
from sistasks.settings import resolve

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.evidence.artifacts import KindStatistics
    from sistasks.evidence.sweep import Files, Packed, Rows
    from sistasks.runner import Environment, TestResult
    from sistasks.settings import Settings


@dataclass(frozen=True, slots=True)
class ArtifactCollector:
    """What is kept of the runs of one history. Nodes are collected from as they end; here it is found again.

    Attributes:
        settings: where the store and the history are, and how long evidence is kept.
    """

    settings: Settings

    @property
    def store(self) -> Store:
        """Where the files are."""
        return Store(Layout(self.settings.output).artifacts)

    @property
    def db(self) -> Path:
        """The history that names them."""
        return self.settings.db

    def collect_artifacts(self, result: TestResult) -> tuple[StoredArtifact, ...]:
        """What a test case's execution left."""
        return result.artifacts

    def get_artifacts_for_test(self, test_id: str) -> tuple[StoredArtifact, ...]:
        """What all executions of a test case have left, the oldest first.

        Raises:
            HistoryError: the history cannot be read.
        """
        runs = runs_of_test_case(self.db, test_id)
        return tuple(item for run in runs for item in artifacts_of(self.db, run))

    def read(self, artifact: StoredArtifact) -> bytes:
        """An artifact's content, verified.

        Raises:
            ArtifactError: it is not what was kept, or no longer there.
        """
        with self.store.open(artifact.row) as file:
            return file.read()

    def get_statistics(self) -> tuple[KindStatistics, ...]:
        """How many files and bytes of each kind are in the store, as `doit artifacts` shows them."""
        return self.store.statistics()

    def create_archive(self, run_id: int) -> Path:
        """A run as one file, with its samples and artifacts, verified; as `doit archive run=` makes it.

        Raises:
            UsageError: the history has no such run.
            ArchiveError: artifacts of the run are gone or damaged; the file is there and has the others.
            HistoryError: the history cannot be read.
            OSError: there is no room.
        """
        bundle = evidence_steps.make_bundle(self.settings, run_id)
        bundle.require_all()
        return bundle.path

    def apply_retention(self) -> tuple[Rows | Files | Packed, ...]:
        """Remove what is beyond `keep_days`, `keep_artifacts` and `keep_bytes`, and compress what is cold.

        Returns:
            What became of rows, of files, and what was compressed, as `doit cleanup` says it; nothing where the store
            holds nothing.

        Raises:
            HistoryError: the history cannot be read or written.
            OSError: the store cannot be written.
        """
        return tuple(evidence_steps.retention(self.settings))


def get_artifact_collector(environment: Environment | None = None) -> ArtifactCollector:
    """The collector of a project's artifacts.

    Args:
        environment: of the runner; None: as `doit` would find it in this folder.
    """
    return ArtifactCollector(resolve() if environment is None else environment.settings)
