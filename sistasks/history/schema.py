"""The tables, indexes and views of the history, as migrations that are applied once each and never changed.

To change the schema, append a migration; a released one stays as it is. Times are ISO-8601 UTC text, durations
seconds, sizes bytes, latencies ns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sistasks.errors import HistoryError
from sistasks.history.finding_tables import JUDGED_FINDINGS
from sistasks.history.profile_tables import PROFILES
from sistasks.history.views import DETAILED_VERDICTS, RECENT_NOISE, VIEWS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    from sqlite_utils import Database

# the name of our set in sqlite-utils' table of applied migrations
MIGRATION_SET: Final = "sistasks"

_STATISTIC: Final = "IN ('mean', 'std', 'min', 'p50', 'p95', 'p99', 'max')"

_RUNS: Final = (
    """CREATE TABLE environments (
        id TEXT PRIMARY KEY,
        arch TEXT NOT NULL,
        accel TEXT NOT NULL,
        clock TEXT NOT NULL CHECK (clock IN ('virtual', 'wall')),
        boot TEXT NOT NULL,
        qemu_version TEXT NOT NULL,
        machine TEXT NOT NULL,
        cpu_model TEXT NOT NULL,
        cpus INTEGER NOT NULL,
        memory_bytes INTEGER NOT NULL,
        firmware_sha256 TEXT,
        guest_sha256 TEXT NOT NULL,
        host_cpu TEXT,
        host_cores INTEGER,
        detail TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE kernels (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        release TEXT,
        arch TEXT NOT NULL,
        git_commit TEXT,
        git_parent TEXT,
        git_dirty INTEGER CHECK (git_dirty IN (0, 1)),
        config_sha256 TEXT,
        command_line TEXT NOT NULL,
        size INTEGER NOT NULL,
        path TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE sessions (
        id TEXT PRIMARY KEY,
        started_at TEXT NOT NULL,
        finished_at TEXT,
        command TEXT NOT NULL,
        host TEXT NOT NULL,
        detail TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE runs (
        id INTEGER PRIMARY KEY,
        session_id TEXT NOT NULL REFERENCES sessions (id),
        suite TEXT NOT NULL,
        kernel_id TEXT NOT NULL REFERENCES kernels (id),
        environment_id TEXT NOT NULL REFERENCES environments (id),
        inputs_sha256 TEXT NOT NULL,
        started_at TEXT NOT NULL,
        finished_at TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('ok', 'failed', 'error')),
        nodes INTEGER NOT NULL,
        iterations INTEGER NOT NULL,
        seed INTEGER NOT NULL,
        message TEXT NOT NULL
    ) STRICT""",
    # staleness is asked before every task: the answer comes from this index alone
    "CREATE INDEX runs_by_inputs ON runs (inputs_sha256, status)",
    "CREATE INDEX runs_by_suite ON runs (suite)",
    "CREATE INDEX runs_by_session ON runs (session_id)",
    "CREATE INDEX runs_by_kernel ON runs (kernel_id)",
    "CREATE INDEX runs_by_environment ON runs (environment_id)",
    """CREATE TABLE results (
        id INTEGER PRIMARY KEY,
        run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        node INTEGER NOT NULL,
        test TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('pass', 'fail', 'error', 'skip')),
        target_met INTEGER CHECK (target_met IN (0, 1)),
        duration REAL NOT NULL,
        message TEXT NOT NULL,
        UNIQUE (run_id, node, test)
    ) STRICT""",
    f"""CREATE TABLE metrics (
        name TEXT PRIMARY KEY,
        unit TEXT NOT NULL,
        better TEXT NOT NULL CHECK (better IN ('lower', 'higher')),
        target REAL,
        target_statistic TEXT CHECK (target_statistic {_STATISTIC}),
        industry TEXT NOT NULL,
        minimum_effect REAL NOT NULL,
        description TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE summaries (
        run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        node INTEGER NOT NULL,
        metric TEXT NOT NULL REFERENCES metrics (name),
        count INTEGER NOT NULL CHECK (count > 0),
        mean REAL NOT NULL,
        std REAL NOT NULL,
        min REAL NOT NULL,
        p50 REAL NOT NULL,
        p95 REAL NOT NULL,
        p99 REAL NOT NULL,
        max REAL NOT NULL,
        ci_low REAL,
        ci_high REAL,
        confidence REAL,
        PRIMARY KEY (run_id, node, metric)
    ) STRICT, WITHOUT ROWID""",
    # one metric over all runs, answered without touching the table
    "CREATE INDEX summaries_by_metric ON summaries (metric, run_id, node, count, mean, std, min, p50, p95, p99, max)",
    """CREATE TABLE samples (
        run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        node INTEGER NOT NULL,
        metric TEXT NOT NULL REFERENCES metrics (name),
        count INTEGER NOT NULL,
        encoding TEXT NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (run_id, node, metric)
    ) STRICT""",
    "CREATE INDEX samples_by_metric ON samples (metric, run_id)",
)

_EVIDENCE: Final = (
    """CREATE TABLE resources (
        run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        node INTEGER NOT NULL,
        at TEXT NOT NULL,
        cpu_percent REAL,
        rss INTEGER,
        vms INTEGER,
        read_bytes INTEGER,
        write_bytes INTEGER,
        net_rx INTEGER,
        net_tx INTEGER,
        threads INTEGER,
        fds INTEGER,
        load1 REAL,
        PRIMARY KEY (run_id, node, at)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE artifacts (
        id INTEGER PRIMARY KEY,
        run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        node INTEGER NOT NULL,
        kind TEXT NOT NULL,
        path TEXT NOT NULL,
        size INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        created_at TEXT NOT NULL,
        compressed INTEGER NOT NULL DEFAULT 0 CHECK (compressed IN (0, 1)),
        keep_until TEXT,
        detail TEXT NOT NULL DEFAULT ''
    ) STRICT""",
    "CREATE INDEX artifacts_by_run ON artifacts (run_id, node)",
    """CREATE TABLE crashes (
        id INTEGER PRIMARY KEY,
        run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        node INTEGER NOT NULL,
        kind TEXT NOT NULL,
        title TEXT NOT NULL,
        report TEXT NOT NULL,
        console_offset INTEGER
    ) STRICT""",
    "CREATE INDEX crashes_by_run ON crashes (run_id, node)",
)

_JUDGEMENTS: Final = (
    """CREATE TABLE verdicts (
        id INTEGER PRIMARY KEY,
        run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        metric TEXT NOT NULL REFERENCES metrics (name),
        outcome TEXT NOT NULL CHECK (outcome IN ('better', 'same', 'worse', 'unsure')),
        effect REAL,
        p REAL,
        q REAL,
        n INTEGER,
        k INTEGER,
        mde REAL,
        method TEXT NOT NULL,
        baseline TEXT NOT NULL,
        seed INTEGER,
        confirmed INTEGER CHECK (confirmed IN (0, 1)),
        created_at TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX verdicts_by_run ON verdicts (run_id, metric)",
    "CREATE INDEX verdicts_by_metric ON verdicts (metric)",
    # run_id is the first run after the change, before_run_id the last one before it
    """CREATE TABLE change_points (
        id INTEGER PRIMARY KEY,
        metric TEXT NOT NULL REFERENCES metrics (name),
        environment_id TEXT NOT NULL REFERENCES environments (id),
        run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        before_run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        effect REAL NOT NULL,
        p REAL NOT NULL,
        n INTEGER NOT NULL,
        advisory INTEGER NOT NULL DEFAULT 0 CHECK (advisory IN (0, 1)),
        method TEXT NOT NULL,
        seed INTEGER,
        created_at TEXT NOT NULL,
        UNIQUE (metric, environment_id, run_id)
    ) STRICT""",
    "CREATE INDEX change_points_by_run ON change_points (run_id)",
    "CREATE INDEX change_points_by_before_run ON change_points (before_run_id)",
    "CREATE INDEX change_points_by_environment ON change_points (environment_id)",
    # a remark of a person on a run, a kernel or a metric
    """CREATE TABLE annotations (
        id INTEGER PRIMARY KEY,
        run_id INTEGER REFERENCES runs (id) ON DELETE CASCADE,
        kernel_id TEXT REFERENCES kernels (id),
        metric TEXT REFERENCES metrics (name),
        kind TEXT NOT NULL,
        text TEXT NOT NULL,
        author TEXT NOT NULL,
        created_at TEXT NOT NULL,
        CHECK (coalesce(run_id, kernel_id, metric) IS NOT NULL)
    ) STRICT""",
    "CREATE INDEX annotations_by_run ON annotations (run_id)",
    "CREATE INDEX annotations_by_kernel ON annotations (kernel_id)",
    "CREATE INDEX annotations_by_metric ON annotations (metric)",
)

# what a verdict was about, in figures and in words: `statistic` of the metric, `effect` between `low` and `high`
_VERDICT_DETAIL: Final = (
    "ALTER TABLE verdicts ADD COLUMN statistic TEXT NOT NULL DEFAULT 'p50'",
    "ALTER TABLE verdicts ADD COLUMN baseline_value REAL",
    "ALTER TABLE verdicts ADD COLUMN value REAL",
    "ALTER TABLE verdicts ADD COLUMN low REAL",
    "ALTER TABLE verdicts ADD COLUMN high REAL",
    "ALTER TABLE verdicts ADD COLUMN reason TEXT NOT NULL DEFAULT ''",
    *DETAILED_VERDICTS,
)

# how well each percentile is known; empty where a node has too few samples for an end at this level
_PERCENTILE_INTERVALS: Final = tuple(
    f"ALTER TABLE summaries ADD COLUMN {statistic}_{end} REAL"
    for statistic in ("p50", "p95", "p99")
    for end in ("low", "high")
)

# each statistic has changes of its own; SQLite changes what is unique only by making the table anew
_CHANGES_BY_STATISTIC: Final = (
    """CREATE TABLE changes_by_statistic (
        id INTEGER PRIMARY KEY,
        metric TEXT NOT NULL REFERENCES metrics (name),
        statistic TEXT NOT NULL,
        environment_id TEXT NOT NULL REFERENCES environments (id),
        run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        before_run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        effect REAL NOT NULL,
        p REAL NOT NULL,
        n INTEGER NOT NULL,
        advisory INTEGER NOT NULL DEFAULT 0 CHECK (advisory IN (0, 1)),
        method TEXT NOT NULL,
        seed INTEGER,
        created_at TEXT NOT NULL,
        UNIQUE (metric, statistic, environment_id, run_id)
    ) STRICT""",
    """INSERT INTO changes_by_statistic
        SELECT id, metric, 'p50', environment_id, run_id, before_run_id, effect, p, n, advisory, method, seed,
            created_at
        FROM change_points""",
    "DROP TABLE change_points",
    "ALTER TABLE changes_by_statistic RENAME TO change_points",
    "CREATE INDEX change_points_by_run ON change_points (run_id)",
    "CREATE INDEX change_points_by_before_run ON change_points (before_run_id)",
    "CREATE INDEX change_points_by_environment ON change_points (environment_id)",
)

# how long a row stands for, its peaks, and what the host's processors, memory and disks were short of
_RESOURCES_IN_FULL: Final = tuple(
    f"ALTER TABLE resources ADD COLUMN {column}"
    for column in (
        "seconds REAL", "cpu_peak REAL", "rss_peak INTEGER", "wait_percent REAL", "memory_percent REAL",
        "memory_wait REAL", "io_wait REAL", "others_percent REAL", "steal_percent REAL", "net_percent REAL",
        "load5 REAL", "load15 REAL", "processors INTEGER", "busiest TEXT",
    )
)  # fmt: skip

# what a security suite looked at, and how it was; node 0 is the kernel or the cluster as a whole
_FINDINGS: Final = (
    """CREATE TABLE findings (
        id INTEGER PRIMARY KEY,
        run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        node INTEGER NOT NULL,
        rule TEXT NOT NULL,
        category TEXT NOT NULL,
        severity TEXT NOT NULL CHECK (severity IN ('info', 'low', 'medium', 'high', 'critical')),
        outcome TEXT NOT NULL CHECK (outcome IN ('pass', 'fail', 'skip', 'error')),
        title TEXT NOT NULL,
        evidence TEXT NOT NULL,
        source TEXT NOT NULL,
        UNIQUE (run_id, node, rule)
    ) STRICT""",
    "CREATE INDEX findings_by_rule ON findings (rule, run_id)",
)

# what plays a crash again: the seed and the episode of the fuzzing that it came in
_REPRODUCERS: Final = ("ALTER TABLE crashes ADD COLUMN reproducer TEXT NOT NULL DEFAULT ''",)

# name -> statements, in the order in which they are applied
MIGRATIONS: Final = {
    "0001_runs": _RUNS,
    "0002_evidence": _EVIDENCE,
    "0003_judgements": _JUDGEMENTS,
    "0004_views": VIEWS,
    "0005_verdict_detail": _VERDICT_DETAIL,
    "0006_percentile_intervals": _PERCENTILE_INTERVALS,
    "0007_recent_noise": RECENT_NOISE,
    "0008_changes_by_statistic": _CHANGES_BY_STATISTIC,
    "0009_resources_in_full": _RESOURCES_IN_FULL,
    "0010_findings": _FINDINGS,
    "0011_reproducers": _REPRODUCERS,
    "0012_judged_findings": JUDGED_FINDINGS,
    "0013_profiles": PROFILES,
}


def applied(connection: sqlite3.Connection, db: Path) -> tuple[str, ...]:
    """Names of the migrations that a database has, in the order in which it got them; empty for an empty database.

    It only reads, and needs no more than the standard library.

    Raises:
        HistoryError: a newer sistasks has written the database, or another program has.
    """
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    names: tuple[str, ...] = ()
    if "_sqlite_migrations" in tables:
        query = "SELECT name FROM _sqlite_migrations WHERE migration_set = ? ORDER BY rowid"
        names = tuple(name for (name,) in connection.execute(query, (MIGRATION_SET,)))
    if not names and tables:
        raise HistoryError(f"{db} is a database of another program", "choose another file with db=…")
    unknown = [name for name in names if name not in MIGRATIONS]
    if unknown:
        raise HistoryError(
            f"{db} was written by a newer sistasks: it has '{unknown[0]}', which this one does not know",
            "upgrade sistasks",
        )
    return names


def migrate(connection: sqlite3.Connection, db: Path) -> None:
    """Bring a database up to date within the transaction that is open on the connection.

    Args:
        connection: with a transaction that may write.
        db: its file, for messages.

    Raises:
        HistoryError: a newer sistasks has written the database, or another program has.
    """
    if len(applied(connection, db)) == len(MIGRATIONS):
        return
    # late, because it costs 0.1 s and a history that is up to date does not need it
    from sqlite_utils import Database, Migrations

    migrations = Migrations(MIGRATION_SET)
    for name, statements in MIGRATIONS.items():
        migrations(name=name)(_executes(statements))
    # within our transaction sqlite-utils' own become savepoints
    migrations.apply(Database(connection, recursive_triggers=False, execute_plugins=False))


def _executes(statements: tuple[str, ...]) -> Callable[[Database], None]:
    def migration(db: Database) -> None:
        for statement in statements:
            db.conn.execute(statement)

    return migration
