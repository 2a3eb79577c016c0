"""Queries on what functions execute: profiles are packed, and here they are functions again."""

from __future__ import annotations

from typing import Final

from sistasks.browse.query import Query

_WHERE: Final = {
    "test": "its name (default: all)",
    "phase": "of the test (default: all)",
    "functions": "how many of each phase (default: 20)",
}
_MOST: Final = "max(1, CAST(coalesce(nullif(:functions, ''), '20') AS INTEGER))"

PROFILE_QUERIES: Final = {
    "functions_of_run": Query(
        title="Functions of a run",
        description="What each function executed in each phase of a test, its own instructions, for each sample; nodes "
        "are taken together.",
        parameters={
            "run": "number of the run (default: the newest that was counted)",
            "node": "number of the node (default: all)",
            **_WHERE,
        },
        sql=f"""WITH run AS (
    SELECT id, iterations FROM runs
    WHERE id = CAST(coalesce(nullif(:run, ''), (SELECT max(run_id) FROM profiles)) AS INTEGER)
),
taken AS (
    SELECT profiles.* FROM run CROSS JOIN profiles ON profiles.run_id = run.id
    WHERE (:node = '' OR node = CAST(:node AS INTEGER)) AND :test IN ('', test) AND :phase IN ('', phase)
),
packed AS (
    SELECT test, phase, count(*) * iterations AS samples, profile_functions(encoding, data, functions) AS whole
    FROM taken CROSS JOIN run
    GROUP BY test, phase
),
counted AS (
    SELECT
        test, phase, json_extract(counts.value, '$[0]') AS function,
        json_extract(counts.value, '$[1]') * 1.0 / samples AS instructions,
        json_extract(counts.value, '$[2]') * 1.0 / samples AS calls
    FROM packed CROSS JOIN json_each(whole) AS counts
),
ranked AS (
    SELECT
        *, row_number() OVER (PARTITION BY test, phase ORDER BY instructions DESC, function) AS place,
        instructions / nullif(sum(instructions) OVER (PARTITION BY test, phase), 0) AS share
    FROM counted
)
SELECT
    run.id AS run_id, test, phase, functions.name AS function, round(instructions, 3) AS instructions, share,
    round(calls, 4) AS calls
FROM run
CROSS JOIN ranked
JOIN functions ON functions.id = ranked.function
WHERE place <= {_MOST}
ORDER BY test, phase, place""",  # noqa: S608 - our own words
    ),
    "functions_that_differ": Query(
        title="Functions that differ",
        description="Which functions execute more or less in one run than in another, phase by phase, the largest "
        "change first, with its share of the whole change; figures are for each sample, of nodes that both have.",
        parameters={
            "base": "number of the run before (default: the newest earlier one like head that was counted)",
            "head": "number of the run after (default: the newest that was counted)",
            **_WHERE,
        },
        sql=f"""WITH head AS (
    SELECT id, suite, environment_id, iterations FROM runs
    WHERE id = CAST(coalesce(nullif(:head, ''), (SELECT max(run_id) FROM profiles)) AS INTEGER)
),
base AS (
    SELECT id, iterations FROM runs WHERE id = CAST(coalesce(nullif(:base, ''), (
        SELECT max(runs.id) FROM head JOIN runs USING (suite, environment_id)
        WHERE runs.id < head.id AND EXISTS (SELECT 1 FROM profiles WHERE run_id = runs.id)
    )) AS INTEGER)
),
packed AS (
    SELECT
        test, phase, count(*) AS nodes, profile_functions(old.encoding, old.data, old.functions) AS old,
        profile_functions(new.encoding, new.data, new.functions) AS new
    FROM head CROSS JOIN base
    JOIN profiles AS new ON new.run_id = head.id
    JOIN profiles AS old USING (node, test, phase)
    WHERE old.run_id = base.id AND :test IN ('', test) AND :phase IN ('', phase)
    GROUP BY test, phase
),
counted AS (
    SELECT
        test, phase, nodes, json_extract(counts.value, '$[0]') AS function, json_extract(counts.value, '$[1]') AS old,
        json_extract(counts.value, '$[2]') AS old_calls, 0 AS new, 0 AS new_calls
    FROM packed CROSS JOIN json_each(old) AS counts
    UNION ALL
    SELECT
        test, phase, nodes, json_extract(counts.value, '$[0]'), 0, 0, json_extract(counts.value, '$[1]'),
        json_extract(counts.value, '$[2]')
    FROM packed CROSS JOIN json_each(new) AS counts
),
summed AS (
    SELECT
        test, phase, function, total(old) / (nodes * base.iterations) AS old,
        total(new) / (nodes * head.iterations) AS new, total(old_calls) / (nodes * base.iterations) AS old_calls,
        total(new_calls) / (nodes * head.iterations) AS new_calls
    FROM counted CROSS JOIN base CROSS JOIN head
    GROUP BY test, phase, function
),
ranked AS (
    SELECT
        *, row_number() OVER (PARTITION BY test, phase ORDER BY abs(new - old) DESC, function) AS place,
        (new - old) / nullif(sum(new - old) OVER (PARTITION BY test, phase), 0) AS share
    FROM summed
    WHERE new <> old
)
SELECT
    base.id AS before_run_id, head.id AS run_id, test, phase, functions.name AS function,
    round(old, 3) AS instructions_before, round(new, 3) AS instructions_now, round(new - old, 3) AS change, share,
    round(old_calls, 4) AS calls_before, round(new_calls, 4) AS calls_now
FROM base CROSS JOIN head
CROSS JOIN ranked
JOIN functions ON functions.id = ranked.function
WHERE place <= {_MOST}
ORDER BY test, phase, place""",  # noqa: S608 - our own words
    ),
}
