"""Queries to begin with: what people ask of a history of measurements.

Every parameter may be left empty, and then has a default. Those that look at many runs take the newest ones only, so
that they stay within Datasette's time limit on a long history.
"""

from __future__ import annotations

from typing import Final

from sistasks.browse.profile_queries import PROFILE_QUERIES
from sistasks.browse.query import Query
from sistasks.history.findings import SEVERITIES

# what a person sets stays in the partition; what changes beneath them is drift
_DRIFTING: Final = (
    "qemu_version", "machine", "cpu_model", "firmware_sha256", "guest_sha256", "host_cpu", "host_cores", "detail",
)  # fmt: skip
_SHOWN: Final = 60
_DRIFT: Final = " ||\n    ".join(
    f"iif(old.{name} IS new.{name}, '', '{name}: ' || coalesce(nullif(substr(old.{name}, 1, {_SHOWN}), ''), 'none')"
    f" || ' → ' || coalesce(nullif(substr(new.{name}, 1, {_SHOWN}), ''), 'none') || '; ')"
    for name in _DRIFTING
)
# 0 is the worst; what is no severity has none
_RANK: Final = " ".join(
    ["CASE {}", *(f"WHEN '{name}' THEN {rank}" for rank, name in enumerate(SEVERITIES)), "END"]
)

QUERIES: Final = {
    "history_of_metric": Query(
        title="History of a metric",
        description="One row for each run, the newest first: the median over its nodes of what each node measured.",
        parameters={
            "metric": "its name (default: the first of the newest run)",
            "environment": "the beginning of an environment's id (default: all)",
            "runs": "how many rows (default: 200)",
        },
        sql="""WITH asked AS (
    SELECT coalesce(nullif(:metric, ''), (
        SELECT metric FROM summaries WHERE run_id = (SELECT max(run_id) FROM summaries) ORDER BY metric LIMIT 1
    )) AS metric
),
taken AS (
    SELECT runs.* FROM asked CROSS JOIN runs
    WHERE substr(runs.environment_id, 1, length(:environment)) = :environment
        AND EXISTS (SELECT 1 FROM summaries WHERE summaries.metric = asked.metric AND summaries.run_id = runs.id)
    ORDER BY runs.id DESC
    LIMIT max(1, CAST(coalesce(nullif(:runs, ''), '200') AS INTEGER))
)
SELECT
    summaries.metric, metrics.unit, summaries.run_id, taken.started_at, taken.status, taken.kernel_id,
    kernels.name AS kernel, kernels.release, taken.environment_id, environments.clock, count(*) AS nodes,
    median(summaries.mean) AS mean, median(summaries.p50) AS p50, median(summaries.p95) AS p95,
    median(summaries.p99) AS p99, min(summaries.p50) AS lowest_p50, max(summaries.p50) AS highest_p50
FROM asked
CROSS JOIN taken
CROSS JOIN summaries ON summaries.metric = asked.metric AND summaries.run_id = taken.id
JOIN metrics ON metrics.name = summaries.metric
JOIN kernels ON kernels.id = taken.kernel_id
JOIN environments ON environments.id = taken.environment_id
GROUP BY taken.id
ORDER BY taken.id DESC""",
    ),
    "verdicts_now": Query(
        title="Latest verdicts",
        description="The newest verdict on each metric of the newest judged run of each suite, the worst first.",
        parameters={"outcome": "better, same, worse or unsure (default: all)"},
        sql="""SELECT
    suite, run_id, metric, statistic, outcome, effect, low, high, mde, baseline_value, value, reason, confirmed,
    kernel, release, created_at
FROM latest_verdicts
WHERE :outcome IN ('', outcome)
ORDER BY CASE outcome WHEN 'worse' THEN 0 WHEN 'unsure' THEN 1 WHEN 'better' THEN 2 ELSE 3 END,
    suite, metric, statistic""",
    ),
    "noise_ranking": Query(
        title="Noise and detectable effect",
        description="How far equal boots of one kernel in one environment lie apart, the noisiest first, beside the "
        "smallest effect that the latest verdict could have seen.",
        parameters={"runs": "how many of the newest good runs are looked at (default: 200)"},
        sql="""WITH recent AS (
    SELECT id, suite, kernel_id, environment_id FROM runs WHERE status = 'ok'
    ORDER BY id DESC LIMIT max(1, CAST(coalesce(nullif(:runs, ''), '200') AS INTEGER))
),
boots AS (
    SELECT
        summaries.metric, recent.suite, recent.kernel_id, recent.environment_id, summaries.run_id, summaries.p50,
        avg(summaries.p50) OVER (
            PARTITION BY summaries.metric, recent.suite, recent.kernel_id, recent.environment_id
        ) AS centre
    FROM recent
    CROSS JOIN summaries ON summaries.run_id = recent.id
    WHERE summaries.node > 0
)
SELECT
    boots.metric, metrics.unit, boots.suite, boots.kernel_id, boots.environment_id,
    count(DISTINCT boots.run_id) AS runs, count(*) AS boots, boots.centre AS mean_p50,
    avg(abs(boots.p50 - boots.centre)) / nullif(boots.centre, 0) AS deviation,
    (max(boots.p50) - min(boots.p50)) / nullif(boots.centre, 0) AS spread,
    (SELECT verdicts.mde FROM verdicts JOIN runs ON runs.id = verdicts.run_id
        WHERE verdicts.metric = boots.metric AND runs.environment_id = boots.environment_id
            AND verdicts.statistic = 'p50' AND verdicts.mde IS NOT NULL
        ORDER BY verdicts.id DESC LIMIT 1) AS mde,
    metrics.minimum_effect
FROM boots
JOIN metrics ON metrics.name = boots.metric
GROUP BY boots.metric, boots.suite, boots.kernel_id, boots.environment_id
ORDER BY deviation DESC, mde DESC""",
    ),
    "environment_drift": Query(
        title="Environment drift",
        description="Where the environment changed from one run to the next of the same suite, although architecture, "
        "accelerator, clock, way of booting, processors and memory were the same: such runs are not compared.",
        parameters={"runs": "how many of the newest runs are looked at (default: 2000)"},
        sql="""WITH recent AS (
    SELECT id, suite, kernel_id, environment_id FROM runs
    ORDER BY id DESC LIMIT max(1, CAST(coalesce(nullif(:runs, ''), '2000') AS INTEGER))
),
steps AS (
    SELECT
        recent.id AS run_id, recent.suite, recent.environment_id,
        lag(recent.id) OVER line AS before_run_id, lag(recent.environment_id) OVER line AS before
    FROM recent
    JOIN environments AS now ON now.id = recent.environment_id
    WINDOW line AS (
        PARTITION BY recent.suite, now.arch, now.accel, now.clock, now.boot, now.cpus, now.memory_bytes
        ORDER BY recent.id
    )
)
SELECT
    steps.run_id, runs.started_at, steps.suite, steps.before_run_id,
    changes AS change,
    steps.environment_id
FROM steps
JOIN runs ON runs.id = steps.run_id
JOIN environments AS old ON old.id = steps.before
JOIN environments AS new ON new.id = steps.environment_id
WHERE steps.before <> steps.environment_id
ORDER BY steps.run_id DESC""".replace("changes AS", f"{_DRIFT} AS"),
    ),
    "slowest_tests": Query(
        title="Slowest tests",
        description="How long each test takes on a node, the slowest first; run_id is the run of the longest.",
        parameters={"runs": "how many of the newest runs are looked at (default: 200)"},
        sql="""WITH recent AS (
    SELECT id, suite, kernel_id, environment_id FROM runs
    ORDER BY id DESC LIMIT max(1, CAST(coalesce(nullif(:runs, ''), '200') AS INTEGER))
)
SELECT
    recent.suite, results.test, count(*) AS results, avg(results.duration) AS mean_seconds,
    max(results.duration) AS longest_seconds, results.run_id, results.node
FROM recent
CROSS JOIN results ON results.run_id = recent.id
WHERE results.status <> 'skip'
GROUP BY recent.suite, results.test
ORDER BY mean_seconds DESC""",
    ),
    "flaky_tests": Query(
        title="Flaky tests",
        description="Tests that passed and did not pass with one kernel in one environment; run_id is the latest run "
        "that did not.",
        parameters={"runs": "how many of the newest runs are looked at (default: 500)"},
        sql="""WITH recent AS (
    SELECT id, suite, kernel_id, environment_id FROM runs
    ORDER BY id DESC LIMIT max(1, CAST(coalesce(nullif(:runs, ''), '500') AS INTEGER))
)
SELECT
    recent.suite, results.test,
    sum(results.status = 'pass') AS passed, sum(results.status = 'fail') AS failed,
    sum(results.status = 'error') AS errors, avg(results.status <> 'pass') AS share_not_passed,
    max(iif(results.status <> 'pass', results.run_id, NULL)) AS run_id, recent.kernel_id, recent.environment_id
FROM recent
CROSS JOIN results ON results.run_id = recent.id
WHERE results.status <> 'skip'
GROUP BY recent.suite, results.test, recent.kernel_id, recent.environment_id
HAVING passed > 0 AND failed + errors > 0
ORDER BY share_not_passed DESC""",
    ),
    "sample_histogram": Query(
        title="Samples of one run as a histogram",
        description="The raw samples of one metric on one node, counted; the last row takes all far outliers.",
        parameters={
            "run": "number of the run (default: the newest with samples)",
            "metric": "its name (default: the first of that run)",
            "node": "number of the node (default: the first)",
            "bins": "how many rows (default: 30)",
        },
        sql="""WITH run AS (
    SELECT CAST(coalesce(nullif(:run, ''), (SELECT max(run_id) FROM samples)) AS INTEGER) AS id
),
metric AS (
    SELECT coalesce(nullif(:metric, ''), (SELECT min(metric) FROM samples WHERE run_id = run.id)) AS name FROM run
),
one AS (
    SELECT samples.* FROM run, metric
    CROSS JOIN samples ON samples.run_id = run.id AND samples.metric = metric.name
    WHERE :node = '' OR samples.node = CAST(:node AS INTEGER)
    ORDER BY samples.node
    LIMIT 1
),
bins AS (
    SELECT
        one.run_id, one.node, one.metric, bin.key AS number, json_extract(bin.value, '$.low') AS low,
        json_extract(bin.value, '$.high') AS high, json_extract(bin.value, '$.samples') AS samples
    FROM one
    CROSS JOIN json_each(
        sample_histogram(encoding, data, count, max(1, CAST(coalesce(nullif(:bins, ''), '30') AS INTEGER)))
    ) AS bin
)
SELECT
    bins.run_id, bins.node, bins.metric, metrics.unit, bins.low, bins.high, bins.samples,
    replace(printf('%*s', CAST(round(40.0 * samples / max(samples) OVER ()) AS INTEGER), ''), ' ', '█') AS bar
FROM bins
JOIN metrics ON metrics.name = bins.metric
ORDER BY bins.number""",
    ),
    "run_resources": Query(
        title="Resources of a run",
        description="What each node of a run, and the host as node 0, used while it went on; averages are weighted by "
        "the time that each row stands for.",
        parameters={"run": "number of the run (default: the newest that was watched)"},
        sql="""WITH run AS (
    SELECT CAST(coalesce(nullif(:run, ''), (SELECT max(run_id) FROM resources)) AS INTEGER) AS id
)
SELECT
    resources.run_id, resources.node, sum(seconds) AS watched_seconds,
    coalesce(sum(cpu_percent * seconds) / sum(iif(cpu_percent IS NULL, NULL, seconds)), avg(cpu_percent)) AS mean_cpu,
    max(coalesce(cpu_peak, cpu_percent)) AS peak_cpu,
    sum(wait_percent * seconds) / sum(iif(wait_percent IS NULL, NULL, seconds)) AS mean_wait,
    sum(others_percent * seconds) / sum(iif(others_percent IS NULL, NULL, seconds)) AS mean_others,
    max(coalesce(rss_peak, rss)) AS peak_rss, max(read_bytes) AS read_bytes, max(write_bytes) AS write_bytes,
    max(net_rx) AS net_rx, max(net_tx) AS net_tx, max(threads) AS threads, max(fds) AS fds, avg(load1) AS load1,
    max(busiest) AS busiest, count(*) AS samples
FROM run
CROSS JOIN resources ON resources.run_id = run.id
GROUP BY resources.node
ORDER BY resources.node""",
    ),
    "failing_findings": Query(
        title="Failing findings",
        description="What fails in the newest run of each suite that looks for findings, the most severe first.",
        parameters={
            "severity": "this one and worse: critical, high, medium, low or info (default: info, which is all)",
            "category": "config, image, runtime, fuzz, network or vulnerability (default: all)",
        },
        sql=f"""SELECT
    severity, rule, title, evidence, verdict, node, reason, source, category, suite, run_id, kernel, release
FROM latest_findings
WHERE outcome = 'fail' AND :category IN ('', category)
    AND {_RANK.format("severity")} <= {_RANK.format("coalesce(nullif(:severity, ''), 'info')")}
ORDER BY {_RANK.format("severity")}, rule, node""",  # noqa: S608 - our own words
    ),
    "history_of_rule": Query(
        title="History of a rule",
        description="What a rule of the security suite came to, run by run, the newest first; node 0 is the kernel or "
        "the cluster as a whole, or every node alike.",
        parameters={
            "rule": "its name (default: a failing one of the newest run, if any fails)",
            "runs": "how many rows (default: 200)",
        },
        sql="""WITH asked AS (
    SELECT coalesce(nullif(:rule, ''), (
        SELECT rule FROM findings WHERE run_id = (SELECT max(run_id) FROM findings)
        ORDER BY outcome <> 'fail', rule LIMIT 1
    )) AS rule
)
SELECT
    findings.rule, findings.run_id, runs.started_at, runs.suite, findings.node, findings.severity, findings.outcome,
    (SELECT outcome FROM finding_verdicts WHERE run_id = findings.run_id AND rule = findings.rule
        ORDER BY id DESC LIMIT 1) AS verdict,
    findings.evidence, runs.kernel_id, kernels.name AS kernel, kernels.release, runs.environment_id
FROM asked
CROSS JOIN findings ON findings.rule = asked.rule
JOIN runs ON runs.id = findings.run_id
JOIN kernels ON kernels.id = runs.kernel_id
ORDER BY findings.run_id DESC, findings.node
LIMIT max(1, CAST(coalesce(nullif(:runs, ''), '200') AS INTEGER))""",
    ),
    "differing_findings": Query(
        title="Findings that differ",
        description="The newest verdict on each rule of the newest judged run of each suite, where the baseline was "
        "otherwise, the worst first.",
        parameters={"outcome": "worse, unsure, new or better (default: all)"},
        sql=f"""WITH newest AS (
    SELECT max(id) AS id FROM runs
    WHERE EXISTS (SELECT 1 FROM finding_verdicts WHERE run_id = runs.id) GROUP BY suite
)
SELECT
    finding_verdicts.rule, severity, outcome, was, now, reason, k, n, baseline, runs.suite, runs.id AS run_id,
    runs.kernel_id, kernels.name AS kernel, kernels.release, created_at
FROM newest
JOIN runs ON runs.id = newest.id
JOIN kernels ON kernels.id = runs.kernel_id
JOIN finding_verdicts ON finding_verdicts.id IN (
    SELECT max(id) FROM finding_verdicts WHERE run_id = runs.id GROUP BY rule
)
WHERE outcome <> 'same' AND :outcome IN ('', outcome)
ORDER BY CASE outcome WHEN 'worse' THEN 0 WHEN 'unsure' THEN 1 WHEN 'new' THEN 2 ELSE 3 END,
    {_RANK.format("severity")}, finding_verdicts.rule""",  # noqa: S608 - our own words
    ),
    **PROFILE_QUERIES,
}
