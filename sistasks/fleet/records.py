"""What a machine answers: records of their own module, so that any process of a fleet can read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sistasks.history.records import ArtifactRow
    from sistasks.suites.executed import Executed


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a machine makes of a job.

    Attributes:
        accelerator, qemu_version, host_cpu, host_cores, memory: of the machine; memory in bytes.
        clock: that its runs would have.
        inputs: `inputs_sha256` of each of the job's recipes.
        enforces: whether a missed target fails, likewise.
        environments: identity of the environment that runs of it have, likewise.
    """

    accelerator: str
    qemu_version: str
    host_cpu: str
    host_cores: int
    memory: int
    clock: str
    inputs: tuple[str, ...]
    enforces: tuple[bool, ...]
    environments: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A file of evidence on its way.

    Attributes:
        node, kind, name: as in `evidence.records.Evidence`.
        data: its content, as zstd.
    """

    node: int
    kind: str
    name: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """What a run gave.

    Attributes:
        done: without files of the machine that it was run on.
        parcels: what it left.
        staying: what is too large to be sent unasked, kept in the machine's own store.
        said: what a person would have seen there.
    """

    done: Executed
    parcels: tuple[Parcel, ...]
    staying: tuple[ArtifactRow, ...]
    said: str
