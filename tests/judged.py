"""Histories to judge: runs of made-up kernels whose figures a test gives."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import re
from typing import TYPE_CHECKING, Any, Final

import history_records as records

from sistasks import gate_steps
from sistasks.errors import SistasksError
from sistasks.history.kin import noted
from sistasks.history.records import KernelRow, MetricRow, SampleSet
from sistasks.history.store import write_run
from sistasks.layout import Layout
from sistasks.settings import Settings
from sistasks.terminal import Terminal
from sistasks.verdicts.baseline import open_history

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sistasks.verdicts.baseline import RunInfo

SWITCH, RATE = "context_switch.latency", "throughput.rate"
METRICS: Final = (
    MetricRow(name=SWITCH, unit="ns", better="lower", minimum_effect=0.05),
    MetricRow(name=RATE, unit="ops/s", better="higher", minimum_effect=0.05),
)
NEITHER: Final[dict[str, list[float]]] = {}


def kernel_id(name: str) -> str:
    return hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()


def write(
    db: Path,
    values: Mapping[str, Sequence[float]],
    kernel: str = "old",
    *,
    clock: str = "virtual",
    dirty: bool | None = None,
    session: str = "s",
    metrics: Sequence[MetricRow] = METRICS,
    **changes: Any,
) -> int:
    """A run; `values` are each metric's medians on node 1, 2, …; p95 is a tenth more, p99 a fifth.

    Of how many samples they are is six, but where `counts` says something else; `mine@2` is another build of the kernel
    `mine`; `asked` are the kernels that the session was asked for together.
    """
    counts, asked = changes.pop("counts", {}), changes.pop("asked", ())
    nodes = changes.pop("nodes", max((len(row) for row in values.values()), default=1))
    row = KernelRow(
        id=kernel_id(kernel), name=re.sub(r"@\d+$", "", kernel), arch="x86_64", git_dirty=dirty, size=1,
        path="/boot/vmlinuz",
    )  # fmt: skip
    summaries = tuple(
        records.summary(node, metric, p50=value, p95=value * 1.1, p99=value * 1.2, count=count)
        for metric, of_nodes in values.items()
        for node, (value, count) in enumerate(
            zip(of_nodes, counts.get(metric, [6] * len(of_nodes)), strict=True), 1
        )
    )
    samples = tuple(
        SampleSet(node=one.node, metric=one.metric, values=(int(one.p50), int(one.p50) + 1))
        for one in summaries
    )
    run = records.run(
        nodes,
        **{
            "kernel": row, "environment": records.environment(clock=clock), "summaries": summaries, "samples": samples,
            **changes,
        },
    )  # fmt: skip
    written = dataclasses.replace(records.session(), id=session, detail=noted(asked))
    return write_run(db, written, run, metrics)


def run_info(db: Path, number: int) -> RunInfo:
    with open_history(db) as history:
        return history.run(number)


def baseline(db: Path, number: int, **options: bool) -> list[int]:
    """Numbers of the runs that a run is judged against."""
    with open_history(db) as history:
        return [run.id for run in history.baseline_runs(history.run(number), **options)]


def told(
    db: Path, step: Callable[[Settings, Terminal], None] = gate_steps.gate, **variables: Any
) -> tuple[int, str]:
    """Exit code of a step, and what it said."""
    settings = Settings(db=db, output=db.parent / "out", given=frozenset(variables), **variables)
    said = io.StringIO()
    with Terminal(settings, Layout(settings.output), said) as terminal:
        try:
            step(settings, terminal)
        except SistasksError as error:
            return error.exit_code, f"{said.getvalue()}{error}"
    return 0, said.getvalue()


def accept(db: Path, number: int, note: str = "") -> tuple[int, str]:
    return told(db, gate_steps.accept, run=number, note=note)
