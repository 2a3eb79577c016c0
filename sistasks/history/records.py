"""One run as data: what is written to the history and what is read from it.

The fields are the columns of the tables of the same names, in the same units: times are aware datetimes, durations
seconds, sizes bytes, latencies ns.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from sistasks.history.profiles import ProfileRecord


def utc_text(moment: dt.datetime) -> str:
    """A moment as the history writes it: `2026-01-31T23:59:59.000000Z`, of fixed width, so that text sorts as time.

    Raises:
        ValueError: the moment does not say its time zone.
    """
    if moment.utcoffset() is None:
        raise ValueError(f"{moment} does not say its time zone")
    text = moment.astimezone(dt.UTC).isoformat(timespec="microseconds")
    return text.removesuffix("+00:00") + "Z"


def identity(fields: Mapping[str, str | int | None]) -> str:
    """The SHA-256, in hex, of what must be equal for two runs to be comparable.

    It is taken over canonical JSON: keys sorted, no whitespace, everything beyond ASCII escaped, whole numbers exact
    (RFC 8785 without its floats).

    Raises:
        TypeError: a value is not text, a whole number or None. Floats are refused because they are measured, and what
            was measured is never the same twice.
    """
    for name, value in fields.items():
        if value is not None and not isinstance(value, str | int):
            raise TypeError(f"{name}={value!r} cannot be part of an identity")
    text = json.dumps(dict(fields), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """One invocation of doit; `finished_at` follows from the last run that it wrote."""

    id: str
    started_at: dt.datetime
    command: str
    host: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRow:
    """A kernel image; `id` is its SHA-256. What is not known is None."""

    id: str
    name: str
    arch: str
    size: int
    path: str
    release: str | None = None
    git_commit: str | None = None
    git_parent: str | None = None
    git_dirty: bool | None = None
    config_sha256: str | None = None
    command_line: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentRow:
    """What must be equal for two runs to be comparable; `id` is the `identity` of all the other fields.

    Under the virtual clock the host's fields are empty, because the numbers agree across hosts.

    Raises:
        ValueError: the id is not the identity of the other fields.
    """

    id: str
    arch: str
    accel: str
    clock: str
    boot: str
    qemu_version: str
    machine: str
    cpu_model: str
    cpus: int
    memory_bytes: int
    firmware_sha256: str | None = None
    guest_sha256: str
    host_cpu: str | None = None
    host_cores: int | None = None
    detail: str = ""

    def __post_init__(self) -> None:
        fields = {name: getattr(self, name) for name in self.__slots__ if name != "id"}
        if self.id != identity(fields):
            raise ValueError(f"environment {self.id[:12]} is not the identity of its fields")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """What a metric is: a unit, which direction is better (`lower` or `higher`), and perhaps a target.

    Attributes:
        name: `test.quantity`.
        target_statistic: which column of `summaries` the target is for.
        industry: what others reach, in words.
        minimum_effect: the smallest relative change worth a verdict; 0.05 is 5 %.
    """

    name: str
    unit: str
    better: str
    target: float | None = None
    target_statistic: str | None = None
    industry: str = ""
    minimum_effect: float = 0.0
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """How one test ended on one node; node 0 is the cluster.

    Attributes:
        status: `pass`, `fail`, `error` or `skip`.
        target_met: None where there is no target or nothing was measured.
        duration: seconds.
    """

    node: int
    test: str
    status: str
    target_met: bool | None = None
    duration: float = 0.0
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRow:
    """One metric on one node (0: the cluster), in the metric's unit.

    `ci_low` and `ci_high` are the interval of the mean, `p50_low` and so on those of the percentiles, all of the level
    `confidence`. None: it was not computed, or there are too few samples for this end at this level.
    """

    node: int
    metric: str
    count: int
    mean: float
    std: float
    min: float
    p50: float
    p95: float
    p99: float
    max: float
    ci_low: float | None = None
    ci_high: float | None = None
    confidence: float | None = None
    p50_low: float | None = None
    p50_high: float | None = None
    p95_low: float | None = None
    p95_high: float | None = None
    p99_low: float | None = None
    p99_high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSet:
    """Every raw sample of one metric on one node, in order and in the metric's unit.

    Attributes:
        values: shape (count,), all whole numbers of 64 bits or all floats.
    """

    node: int
    metric: str
    values: Sequence[int] | Sequence[float] | npt.NDArray[np.int64] | npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashRow:
    """One complaint of a kernel.

    Attributes:
        kind, title, report: as `evidence.crashes` recognised it.
        console_offset: of its first byte in the node's console; None where it did not come over one.
        reproducer: what `doit reproduce` plays again; empty where it did not come in an episode of fuzzing.
    """

    node: int
    kind: str
    title: str
    report: str
    console_offset: int | None = None
    reproducer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRow:
    """What a node's process (0: the host) used up to a moment; what the machine does not tell is None.

    Attributes:
        at: the end of the time that the row stands for.
        cpu_percent: of one processor (a node) or of all together (the host), in the mean of that time.
        cpu_peak: the most of any sample in it.
        rss: bytes, in the mean of that time; of the host, those that are not available.
        rss_peak: the most of any sample.
        vms, threads, fds: the most of any sample; bytes, and how many.
        read_bytes, write_bytes, net_rx, net_tx: bytes since the first row.
        load1, load5, load15: the host's load averages.
        seconds: how long that time was; None: nothing was before.
        wait_percent: how long it wanted a processor and had none, of one processor, all its threads together (a node);
            how much of the time anybody did (the host).
        memory_percent: rss of the host's memory.
        memory_wait, io_wait: percent of the time in which anybody on the host waited for memory, for disks.
        others_percent, steal_percent: of the host's processors, what neither the nodes nor this program used, and what
            the machine below the host took.
        net_percent: of what its busiest network card can carry.
        processors: of the host.
        busiest: which other programs used the host's processors, in words.
    """

    node: int
    at: dt.datetime
    cpu_percent: float | None = None
    rss: int | None = None
    vms: int | None = None
    read_bytes: int | None = None
    write_bytes: int | None = None
    net_rx: int | None = None
    net_tx: int | None = None
    threads: int | None = None
    fds: int | None = None
    load1: float | None = None
    seconds: float | None = None
    cpu_peak: float | None = None
    rss_peak: int | None = None
    wait_percent: float | None = None
    memory_percent: float | None = None
    memory_wait: float | None = None
    io_wait: float | None = None
    others_percent: float | None = None
    steal_percent: float | None = None
    net_percent: float | None = None
    load5: float | None = None
    load15: float | None = None
    processors: int | None = None
    busiest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRow:
    """A file that the store keeps.

    Attributes:
        node: 0 for the cluster's.
        kind: the store's folder.
        path: within the store.
        size, sha256: of the content as it was collected, whether or not it has been compressed since.
        compressed: it is kept as zstd.
        keep_until: None: as the retention says.
        detail: its name for a person, and more, as JSON.
    """

    node: int
    kind: str
    path: str
    size: int
    sha256: str
    created_at: dt.datetime
    compressed: bool = False
    keep_until: dt.datetime | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingRow:
    """What one rule of the security suite came to.

    Attributes:
        node: 0 for the kernel or the cluster as a whole.
        rule: its name, the same in every run.
        category: `config`, `image`, `runtime`, `fuzz`, `network` or `vulnerability`.
        severity: of a failure: `info`, `low`, `medium`, `high` or `critical`.
        outcome: `pass`, `fail`, `skip` or `error`.
        title: what is asked for, in words.
        evidence: what was seen.
        source: who asks for it.
        reason: why, in words.
    """

    node: int
    rule: str
    category: str
    severity: str
    outcome: str
    title: str
    evidence: str = ""
    source: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One execution of one suite on one cluster: all that goes into the history at once.

    Attributes:
        inputs_sha256: what the run was made of; staleness is asked by it.
        status: `ok`, `failed` (the kernel under test) or `error` (the tool or the machine).
        message: why it is not `ok`, in one line.
        remarks: what else is to be known of it, for its annotations: (kind, text).
    """

    suite: str
    kernel: KernelRow
    environment: EnvironmentRow
    inputs_sha256: str
    started_at: dt.datetime
    finished_at: dt.datetime
    status: str
    nodes: int
    iterations: int
    seed: int
    message: str = ""
    results: tuple[ResultRow, ...] = ()
    summaries: tuple[SummaryRow, ...] = ()
    samples: tuple[SampleSet, ...] = ()
    crashes: tuple[CrashRow, ...] = ()
    resources: tuple[ResourceRow, ...] = ()
    artifacts: tuple[ArtifactRow, ...] = ()
    findings: tuple[FindingRow, ...] = ()
    profiles: tuple[ProfileRecord, ...] = ()
    remarks: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """A run as the history has it, without its samples, which are read one set at a time."""

    id: int
    session_id: str
    suite: str
    kernel_id: str
    environment_id: str
    inputs_sha256: str
    started_at: dt.datetime
    finished_at: dt.datetime
    status: str
    nodes: int
    iterations: int
    seed: int
    message: str
    results: tuple[ResultRow, ...]
    summaries: tuple[SummaryRow, ...]
    findings: tuple[FindingRow, ...] = ()
