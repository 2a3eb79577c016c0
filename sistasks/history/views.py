"""The views of the history: for people, who ask it with SQL or browse it."""

from __future__ import annotations

from typing import Final

VIEWS: Final = (
    # every test of the newest run of each suite
    """CREATE VIEW latest_results AS
        SELECT
            runs.suite,
            runs.id AS run_id,
            runs.started_at,
            runs.status AS run_status,
            kernels.name AS kernel,
            kernels.release,
            results.node,
            results.test,
            results.status,
            results.target_met,
            results.duration,
            results.message
        FROM runs
        JOIN (SELECT max(id) AS id FROM runs GROUP BY suite) AS newest ON newest.id = runs.id
        JOIN kernels ON kernels.id = runs.kernel_id
        JOIN results ON results.run_id = runs.id""",
    # what every node has measured, with all that is needed to read it
    """CREATE VIEW metric_history AS
        SELECT
            summaries.metric,
            metrics.unit,
            metrics.better,
            summaries.run_id,
            runs.started_at,
            runs.suite,
            runs.status,
            runs.kernel_id,
            kernels.name AS kernel,
            kernels.release,
            runs.environment_id,
            environments.arch,
            environments.accel,
            environments.clock,
            summaries.node,
            summaries.count,
            summaries.mean,
            summaries.std,
            summaries.min,
            summaries.p50,
            summaries.p95,
            summaries.p99,
            summaries.max,
            metrics.target,
            metrics.target_statistic
        FROM summaries
        JOIN metrics ON metrics.name = summaries.metric
        JOIN runs ON runs.id = summaries.run_id
        JOIN kernels ON kernels.id = runs.kernel_id
        JOIN environments ON environments.id = runs.environment_id""",
    # the newest verdict on each metric of the newest judged run of each suite
    """CREATE VIEW latest_verdicts AS
        SELECT
            runs.suite,
            runs.id AS run_id,
            runs.started_at,
            kernels.name AS kernel,
            kernels.release,
            verdicts.metric,
            verdicts.outcome,
            verdicts.effect,
            verdicts.p,
            verdicts.q,
            verdicts.n,
            verdicts.k,
            verdicts.mde,
            verdicts.method,
            verdicts.baseline,
            verdicts.confirmed,
            verdicts.created_at
        FROM verdicts
        JOIN (SELECT max(id) AS id FROM verdicts GROUP BY run_id, metric) AS newest ON newest.id = verdicts.id
        JOIN runs ON runs.id = verdicts.run_id
        JOIN kernels ON kernels.id = runs.kernel_id
        WHERE runs.id IN (
            SELECT max(id) FROM runs WHERE id IN (SELECT run_id FROM verdicts) GROUP BY suite
        )""",
    # how far equal boots of one kernel in one environment lie apart; a boot is one node of one good run. deviation is
    # the mean distance from the mean, and spread the whole range, both as shares of the mean of the boots' medians
    """CREATE VIEW noise AS
        WITH boots AS (
            SELECT
                summaries.metric,
                runs.suite,
                runs.kernel_id,
                runs.environment_id,
                summaries.run_id,
                summaries.p50,
                avg(summaries.p50) OVER (
                    PARTITION BY summaries.metric, runs.suite, runs.kernel_id, runs.environment_id
                ) AS centre
            FROM summaries
            JOIN runs ON runs.id = summaries.run_id
            WHERE runs.status = 'ok' AND summaries.node > 0
        )
        SELECT
            boots.metric,
            metrics.unit,
            boots.suite,
            kernels.name AS kernel,
            kernels.release,
            boots.kernel_id,
            boots.environment_id,
            count(DISTINCT boots.run_id) AS runs,
            count(*) AS boots,
            boots.centre AS mean_p50,
            min(boots.p50) AS lowest_p50,
            max(boots.p50) AS highest_p50,
            avg(abs(boots.p50 - boots.centre)) / nullif(boots.centre, 0) AS deviation,
            (max(boots.p50) - min(boots.p50)) / nullif(boots.centre, 0) AS spread
        FROM boots
        JOIN metrics ON metrics.name = boots.metric
        JOIN kernels ON kernels.id = boots.kernel_id
        GROUP BY boots.metric, boots.suite, boots.kernel_id, boots.environment_id""",
)

# the verdicts in full: a metric is judged by several of its statistics
DETAILED_VERDICTS: Final = (
    "DROP VIEW latest_verdicts",
    """CREATE VIEW latest_verdicts AS
        SELECT
            runs.suite,
            runs.id AS run_id,
            runs.started_at,
            kernels.name AS kernel,
            kernels.release,
            verdicts.metric,
            verdicts.statistic,
            verdicts.outcome,
            verdicts.baseline_value,
            verdicts.value,
            verdicts.effect,
            verdicts.low,
            verdicts.high,
            verdicts.p,
            verdicts.q,
            verdicts.n,
            verdicts.k,
            verdicts.mde,
            verdicts.reason,
            verdicts.method,
            verdicts.baseline,
            verdicts.confirmed,
            verdicts.created_at
        FROM verdicts
        JOIN (SELECT max(id) AS id FROM verdicts GROUP BY run_id, metric, statistic) AS newest
            ON newest.id = verdicts.id
        JOIN runs ON runs.id = verdicts.run_id
        JOIN kernels ON kernels.id = runs.kernel_id
        WHERE runs.id IN (
            SELECT max(id) FROM runs WHERE id IN (SELECT run_id FROM verdicts) GROUP BY suite
        )""",
)

# the same noise, of the newest boots alone: over all of a long history it took minutes, and old noise is no news. Runs
# of one kind are named by a number, which is grouped by faster than hashes are
RECENT_NOISE: Final = (
    "DROP VIEW noise",
    """CREATE VIEW noise AS
        WITH recent AS MATERIALIZED (
            SELECT id, min(id) OVER (PARTITION BY suite, kernel_id, environment_id) AS kind
            FROM (SELECT *, sum(nodes) OVER (ORDER BY id DESC) AS boots FROM runs WHERE status = 'ok')
            WHERE boots <= 3000
        ),
        levels AS (
            SELECT
                summaries.metric,
                recent.kind,
                count(DISTINCT summaries.run_id) AS runs,
                count(*) AS boots,
                avg(summaries.p50) AS mean_p50,
                min(summaries.p50) AS lowest_p50,
                max(summaries.p50) AS highest_p50
            FROM recent
            CROSS JOIN summaries ON summaries.run_id = recent.id
            WHERE summaries.node > 0
            GROUP BY summaries.metric, recent.kind
        )
        SELECT
            levels.metric,
            metrics.unit,
            runs.suite,
            kernels.name AS kernel,
            kernels.release,
            runs.kernel_id,
            runs.environment_id,
            levels.runs,
            levels.boots,
            levels.mean_p50,
            levels.lowest_p50,
            levels.highest_p50,
            (
                SELECT avg(abs(summaries.p50 - levels.mean_p50))
                FROM recent
                CROSS JOIN summaries ON summaries.run_id = recent.id AND summaries.metric = levels.metric
                WHERE recent.kind = levels.kind AND summaries.node > 0
            ) / nullif(levels.mean_p50, 0) AS deviation,
            (levels.highest_p50 - levels.lowest_p50) / nullif(levels.mean_p50, 0) AS spread
        FROM levels
        JOIN runs ON runs.id = levels.kind
        JOIN metrics ON metrics.name = levels.metric
        JOIN kernels ON kernels.id = runs.kernel_id""",
)
