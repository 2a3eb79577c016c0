"""Evidence from Python: what test cases left, found again, read and verified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sistasks.evidence.artifacts import Store
from sistasks.history.artifacts import StoredArtifact, artifacts_of
from sistasks.history.cases import runs_of_test_case
from sistasks.layout import Layout
from sistasks.settings import resolve

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.runner import Environment, TestResult


@dataclass(frozen=True, slots=True)
class ArtifactCollector:
    """What is kept of the runs of one history. Nodes are collected from as they end; here it is found again.

    Attributes:
        store: where the files are.
        db: the history that names them.
    """

    store: Store
    db: Path

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


def get_artifact_collector(environment: Environment | None = None) -> ArtifactCollector:
    """The collector of a project's artifacts.

    Args:
        environment: of the runner; None: as `doit` would find it in this folder.
    """
    settings = resolve() if environment is None else environment.settings
    return ArtifactCollector(Store(Layout(settings.output).artifacts), settings.db)
