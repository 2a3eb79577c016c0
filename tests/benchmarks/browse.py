"""How long the pages of a long history take: one command, one table, each page beside a trivial one of the same server.

    python tests/benchmarks/browse.py [ROUNDS]

The history has 1,000,000 summaries: 10,000 runs of 10 nodes by 10 metrics. Requests of all pages take turns, so that
what else the machine does meets them alike. Times are those of a client on the same machine: server time and transport.
"""

from __future__ import annotations

import http.client
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from long_history import RUNS, fill

sys.path.append(str(Path(__file__).parent.parent))

from browsing import browsing  # type: ignore[import-not-found,unused-ignore]

TRIVIAL: Final = "/-/sistasks.css"
# milliseconds that a page may take at most, by the median of the rounds
BOUND: Final = 100.0
OURS: Final = {
    "metric": "/-/metric/context_switch.latency",
    "metric, p99, early runs": "/-/metric/context_switch.latency?statistic=p99&before=2000",
    "metric, rare environment": f"/-/metric/throughput.rate?environment={7:064x}",
    "metric as JSON": "/-/metric/context_switch.latency.json",
    "metrics": "/-/metrics",
    "start": "/",
    "run": f"/-/run/{RUNS}",
    "kernel": f"/-/kernel/{400:064x}",
    "query: history of a metric": "/results/history_of_metric.json?metric=context_switch.latency",
    "table: runs": "/results/runs",
    "view: noise": "/results/noise",
}


def main(rounds: int) -> int:
    """Measure and print; 1 if a page takes longer than its bound."""
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "results.db"
        begun = time.perf_counter()
        summaries = fill(db)
        print(
            f"{summaries:,} summaries, {db.stat().st_size / 1e6:.0f} MB, made in {time.perf_counter() - begun:.1f} s"
        )
        with browsing(db) as site:
            times = _measure(site.url.removeprefix("http://"), {"trivial": TRIVIAL, **OURS}, rounds)
    trivial = statistics.median(times.pop("trivial"))
    print(
        f"trivial page: {trivial:.2f} ms\n\n{'page':<28}{'median ms':>10}{'p95 ms':>9}{'x trivial':>11}   bound"
    )
    kept = True
    for name, taken in times.items():
        middle, slow = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
        good = middle <= BOUND
        kept &= good
        print(
            f"{name:<28}{middle:>10.1f}{slow:>9.1f}{middle / trivial:>11.1f}   {'kept' if good else 'BROKEN'}"
        )
    return 0 if kept else 1


def _measure(host: str, pages: dict[str, str], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each request, after one round that warms up."""
    times: dict[str, list[float]] = {name: [] for name in pages}
    with closing(http.client.HTTPConnection(host, timeout=60)) as connection:
        for number in range(rounds + 1):
            for name, page in pages.items():
                begun = time.perf_counter()
                connection.request("GET", page)
                response = connection.getresponse()
                response.read()
                taken = (time.perf_counter() - begun) * 1000
                if response.status != 200:
                    sys.exit(f"{page}: status {response.status}")
                if number:
                    times[name].append(taken)
    return times


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 30))
