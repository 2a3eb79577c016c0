"""What the gate says of findings, and a view of the latest ones: a migration of the history."""

from __future__ import annotations

from typing import Final

# why a rule asks for what it asks for goes with what came of it: the rules of later versions are others
JUDGED_FINDINGS: Final = (
    "ALTER TABLE findings ADD COLUMN reason TEXT NOT NULL DEFAULT ''",
    # a rule is no metric, and what came of it no figure: it has verdicts of its own
    """CREATE TABLE finding_verdicts (
        id INTEGER PRIMARY KEY,
        run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        rule TEXT NOT NULL,
        severity TEXT NOT NULL CHECK (severity IN ('info', 'low', 'medium', 'high', 'critical')),
        outcome TEXT NOT NULL CHECK (outcome IN ('better', 'same', 'worse', 'unsure', 'new')),
        was TEXT CHECK (was IN ('pass', 'fail', 'skip', 'error')),
        now TEXT CHECK (now IN ('pass', 'fail', 'skip', 'error')),
        k INTEGER,
        n INTEGER,
        reason TEXT NOT NULL,
        baseline TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX finding_verdicts_by_run ON finding_verdicts (run_id, rule)",
    # whatever the newest run of each suite that looks for findings came to, with the newest verdict on it
    """CREATE VIEW latest_findings AS
        SELECT
            runs.suite,
            runs.id AS run_id,
            runs.started_at,
            kernels.name AS kernel,
            kernels.release,
            findings.node,
            findings.rule,
            findings.category,
            findings.severity,
            findings.outcome,
            (
                SELECT outcome FROM finding_verdicts
                WHERE run_id = findings.run_id AND rule = findings.rule ORDER BY id DESC LIMIT 1
            ) AS verdict,
            findings.title,
            findings.evidence,
            findings.reason,
            findings.source
        FROM (
            SELECT max(id) AS id FROM runs
            WHERE EXISTS (SELECT 1 FROM findings WHERE run_id = runs.id) GROUP BY suite
        ) AS newest
        JOIN runs ON runs.id = newest.id
        JOIN kernels ON kernels.id = runs.kernel_id
        JOIN findings ON findings.run_id = runs.id""",
)
