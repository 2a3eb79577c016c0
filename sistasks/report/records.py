"""What a report is made of: runs with all that the history knows of them, and what follows from that by arithmetic."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sistasks.history.findings import by_category, by_rule, worth_a_look
from sistasks.layout import plain_name

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from sistasks.evidence.score import Assessment
    from sistasks.evidence.usage import PerformanceMetrics
    from sistasks.history.findings import FindingVerdict, RuleOutcome
    from sistasks.history.records import MetricRow, ResourceRow, StoredRun, SummaryRow
    from sistasks.history.samples import Samples
    from sistasks.report.profiles import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRow:
    """The newest verdict on one statistic of a metric; the columns of the table `verdicts`."""

    metric: str
    statistic: str = "p50"
    outcome: str
    reason: str = ""
    baseline_value: float | None = None
    value: float | None = None
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    q: float | None = None
    n: int | None = None
    k: int | None = None
    mde: float | None = None
    method: str = ""
    baseline: str = ""
    confirmed: bool | None = None

    @property
    def name(self) -> str:
        """The metric and, unless it is the median, the statistic."""
        return self.metric if self.statistic == "p50" else f"{self.metric} {self.statistic}"

    @property
    def regressed(self) -> bool:
        """Worse, and nothing left to confirm."""
        return self.outcome == "worse" and self.confirmed is not False


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """One run in a metric's history.

    Attributes:
        started_at: UTC.
        kernel: its name and release.
        values: each node's median, in the metric's unit.
        outcome: of the newest verdict on its median; empty if it was not judged.
    """

    run_id: int
    started_at: dt.datetime
    kernel: str
    values: tuple[float, ...]
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricReport:
    """One metric of one run.

    Attributes:
        definition: unit, direction, target.
        summaries: of each node that measured it, by node.
        samples: of all nodes, shape (count,), int64; None where none are kept.
        problem: why there are no samples, or not all; empty where they are all there.
        history: runs of the same suite in the same environment, oldest first, this run the last.
        changes: indices into `history` of the first run after each change point.
    """

    definition: MetricRow
    summaries: tuple[SummaryRow, ...]
    samples: Samples | None
    problem: str
    history: tuple[PastRun, ...]
    changes: tuple[int, ...]

    def middle(self, statistic: str) -> float:
        """The median over the nodes of a statistic that each node has of its own samples."""
        return statistics.median(float(getattr(row, statistic)) for row in self.summaries)

    def interval(self, statistic: str) -> tuple[float | None, float | None]:
        """The interval of a statistic of one node, in the middle of the nodes; None for an end that is not known."""
        from sistasks.statistics.intervals import middle_ends

        name = "ci" if statistic == "mean" else statistic
        lows, highs = (
            [getattr(row, f"{name}_{end}", None) for row in self.summaries] for end in ("low", "high")
        )
        return middle_ends(lows, highs)

    @property
    def confidence(self) -> float | None:
        """The level of the intervals; None where there are none."""
        return self.summaries[0].confidence

    @property
    def too_few(self) -> tuple[str, ...]:
        """Which ends the node with the fewest samples has too few for."""
        from sistasks.statistics.intervals import missing_ends

        fewest = min(row.count for row in self.summaries)
        if self.confidence is None:
            return ()
        return tuple(
            words for name in ("p50", "p95", "p99") for words in missing_ends(name, fewest, self.confidence)
        )

    @property
    def one_sample(self) -> bool:
        """Whether there is nothing to distribute: one sample on one node."""
        return len(self.summaries) == 1 and self.summaries[0].count == 1

    @property
    def statistic(self) -> str:
        """The statistic that the target is for; the median where there is no target."""
        return self.definition.target_statistic or "p50"

    @property
    def met(self) -> bool | None:
        """Whether the target is met by the median over the nodes; None where there is no target."""
        if self.definition.target is None:
            return None
        value = self.middle(self.statistic)
        lower = self.definition.better == "lower"
        return value <= self.definition.target if lower else value >= self.definition.target


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """One run, with all that the history knows of it.

    Attributes:
        run: with its results.
        kernel, environment: the columns of the tables `kernels` and `environments`.
        command: what was typed.
        host: where.
        accepted: a person took the run as the new normal: what got worse was meant.
        apart: what tells it from other runs of its suite: `kernel`, `arch`, `boot`, `environment`; titles name it.
        finding_verdicts: the newest on each rule, what got worse first.
        crashes: rows of `crashes`.
        resources: what the nodes and the host (node 0) used, over time.
        profile: what functions executed, and which of them verdicts come from.
    """

    run: StoredRun
    kernel: Mapping[str, Any]
    environment: Mapping[str, Any]
    command: str
    host: str
    accepted: bool
    apart: Mapping[str, str]
    metrics: tuple[MetricReport, ...]
    verdicts: tuple[VerdictRow, ...]
    finding_verdicts: tuple[FindingVerdict, ...]
    crashes: tuple[Mapping[str, Any], ...]
    resources: tuple[ResourceRow, ...]
    profile: Profile

    @property
    def usage(self) -> Mapping[int, PerformanceMetrics]:
        """Node (0: the host) -> what it used; empty where nothing was watched."""
        from sistasks.evidence.usage import summarise

        return summarise(self.resources)

    @property
    def served(self) -> Assessment | None:
        """How well the host served the nodes; None where nothing was watched."""
        from sistasks.evidence.score import assess

        return assess(self.usage)

    @property
    def spoilt(self) -> str:
        """Why figures of the wall clock are not the kernel's alone, in words; empty if they are."""
        served = self.served
        disturbed = served is not None and served.bottleneck == "host" and self.environment["clock"] == "wall"
        return served.words if served is not None and disturbed else ""

    @property
    def host_cpu(self) -> list[float]:
        """Percent of the host's processors over time, few enough for a sparkline."""
        from sistasks.evidence.usage import course

        return course(self.resources, 0, "cpu_percent")

    @cached_property
    def rules(self) -> Sequence[RuleOutcome]:
        """What each rule came to, the most severe failures first."""
        return by_rule(self.run.findings)

    @property
    def rules_by_category(self) -> Mapping[str, Sequence[RuleOutcome]]:
        """The same by category."""
        return by_category(self.rules)

    @property
    def differing(self) -> Sequence[FindingVerdict]:
        """Verdicts on findings that a person must see."""
        return worth_a_look(self.finding_verdicts)

    @property
    def changed(self) -> Mapping[str, str]:
        """Rule -> verdict, of what fails or could not be told now and did not before."""
        return {one.rule: one.outcome for one in self.differing if one.outcome != "better"}

    @property
    def title(self) -> str:
        """The suite, and what tells the run from others of it: kernel, architecture, way of booting."""
        spoken = {"boot": "{} boot", "environment": "environment {}"}
        words = [spoken.get(name, "{}").format(word) for name, word in self.apart.items()]
        return f"{self.run.suite} ({', '.join(words)})" if words else self.run.suite

    @property
    def way(self) -> str:
        """The same where its files name it; those of the boot suite always name the way of booting."""
        words = {**self.apart, "boot": self.environment["boot"]} if self.run.suite == "boot" else self.apart
        return "-".join(plain_name(word) for word in words.values())

    @property
    def kernel_title(self) -> str:
        """The kernel's name and release; the beginning of its hash where no release is known."""
        return kernel_title(self.kernel)

    def count(self, status: str) -> int:
        """How many tests ended so."""
        return sum(result.status == status for result in self.run.results)

    @property
    def enforced(self) -> bool:
        """Whether a missed target failed its test: by what happened where one was missed, else by the default rule."""
        missed = {result.status for result in self.run.results if result.target_met is False}
        if missed & {"pass", "fail"}:
            return "pass" not in missed
        return self.environment["clock"] == "wall" and self.environment["accel"] in {"kvm", "hvf"}

    @property
    def clock_words(self) -> str:
        """What the clock's figures mean."""
        if self.environment["clock"] == "virtual":
            return "virtual clock: one instruction counts as 1 ns, and figures repeat to the bit"
        if self.environment["accel"] in {"kvm", "hvf"}:
            return "wall clock, with hardware acceleration"
        return "wall clock, on an emulated processor"

    @property
    def target_words(self) -> str:
        """Whether a missed target fails, and why not."""
        if self.enforced:
            return "targets are enforced: a missed one fails its test"
        if self.environment["clock"] == "virtual":
            return "targets are reported, not enforced: an emulated nanosecond proves no claim about hardware"
        if self.environment["accel"] not in {"kvm", "hvf"}:
            return "targets are reported, not enforced: the machine is emulated"
        return "targets are reported, not enforced"


def kernel_title(row: Mapping[str, Any]) -> str:
    """A kernel's name and release; the beginning of its hash where no release is known."""
    return f"{row['name']} {row['release'] or str(row['id'])[:12]}"


def all_of(runs: Sequence[RunReport], status: str) -> int:
    """How many tests of all runs ended so."""
    return sum(run.count(status) for run in runs)
