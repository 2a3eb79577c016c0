"""One root for every error that a person may see; each renders its own sentence and its remedy.

Exit codes (the contract): 1 a test failed, 2 the tool or the machine failed, 3 wrong usage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sistasks.evidence.crashes import Crash
    from sistasks.evidence.records import Evidence


class SistasksError(Exception):
    """The tool or the machine failed (exit code 2).

    Args:
        problem: one clause that names the value or the thing, without a full stop.
        remedy: what the person can do about it; one clause, may be empty.
        detail: more lines (a log's tail, a compiler's first lines), shown indented below the sentence.
        kind: of a node: how it ended: `panic`, `hang`, `reboot`, `power_off`, `firmware`, `emulator`; else empty.
    """

    exit_code = 2

    def __init__(self, problem: str, remedy: str = "", detail: str = "", *, kind: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.detail = detail
        self.kind = kind
        self.crashes: tuple[Crash, ...] = ()
        self.evidence: tuple[Evidence, ...] = ()

    def take_from(self, crashes: Sequence[Crash], evidence: Sequence[Evidence]) -> None:
        """Carry what a node has left that is gone when this is heard of.

        Args:
            crashes: what its kernel complained of.
            evidence: files that tell more.
        """
        self.crashes += tuple(crashes)
        self.evidence += tuple(evidence)

    def __str__(self) -> str:
        """The sentence: problem; remedy."""
        sentence = f"{self.problem}; {self.remedy}" if self.remedy else self.problem
        if self.detail:
            sentence += "\n" + "\n".join(f"    {line}" for line in self.detail.splitlines())
        return sentence


class UsageError(SistasksError):
    """The person asked for something that cannot be (exit code 3)."""

    exit_code = 3


class KernelFailure(SistasksError):
    """The kernel under test failed: it panicked, ended or gave a wrong answer (exit code 1)."""

    exit_code = 1


class NotReproduced(SistasksError):
    """A crash that was played again did not come (exit code 1)."""

    exit_code = 1


class PoweredOff(KernelFailure):
    """A kernel that we did not tell to switched its machine off; for some that is how they end their work."""


class ToolMissing(SistasksError):
    """A program that the work needs is not there or not usable."""


class FetchError(SistasksError):
    """A download failed or is not what was pinned."""


class FirmwareError(SistasksError):
    """Firmware is missing, or is not the firmware that was verified."""


class KernelImageError(SistasksError):
    """A file given as a kernel cannot be booted as one."""

    exit_code = 3


class GuestBuildError(SistasksError):
    """The agent or the initramfs could not be built."""


class FileChanged(SistasksError):
    """A file is not what the record of its making says."""


class NodeError(SistasksError):
    """A node failed for reasons of ours or of the host."""


class FleetError(SistasksError):
    """The scheduler or a worker of a fleet cannot be used, or was lost."""


class HistoryError(SistasksError):
    """results.db cannot be used."""


class ArtifactError(SistasksError):
    """A file cannot be kept as evidence, or is not the one that was kept."""


class ArtifactGone(ArtifactError):
    """The store no longer has a file that the history names."""


class ArchiveError(SistasksError):
    """A bundle of a run is not whole."""
