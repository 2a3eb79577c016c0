"""A verdict as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# each is a metric of its own: a change may move the tail alone
STATISTICS: Final = ("p50", "p95", "p99")
OUTCOMES: Final = ("better", "same", "worse", "unsure")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome for one statistic of one metric.

    Attributes:
        metric, statistic: what was judged; `statistic` is of one node's samples.
        outcome: `better`, `same`, `worse` or `unsure`.
        reason: in words; never empty for `unsure`.
        unit, better: the metric's.
        baseline_value, value: medians over boots, in the metric's unit; None where there is none.
        effect: relative change of the value, 0.031 for +3.1 %; None where it cannot be told.
        low, high: interval of the effect (wall clock: 99 %, of the shift; virtual clock: range over the nodes).
        p, q: probability of such a shift by chance, and after accounting for how many metrics there are; on fresh
            boots, for how many were flagged.
        n, k: boots of the baseline and of the run.
        mde: the smallest relative effect that could have been seen.
        method: what decided.
        baseline: what it was judged against, in words with run numbers.
        confirmed: whether fresh boots of both kernels agreed; None where that is not needed.
        seed: of the resampling, None where there was none.
        spread: standard deviation of the logarithm between boots of one session; None where it was not needed.
    """

    metric: str
    statistic: str
    outcome: str
    reason: str = ""
    unit: str = ""
    better: str = "lower"
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
    seed: int | None = None
    spread: float | None = None

    @property
    def name(self) -> str:
        """`context_switch.latency p95`; the median is the metric itself."""
        return self.metric if self.statistic == "p50" else f"{self.metric} {self.statistic}"

    @property
    def regressed(self) -> bool:
        """Worse, and nothing left to confirm."""
        return self.outcome == "worse" and self.confirmed is not False
