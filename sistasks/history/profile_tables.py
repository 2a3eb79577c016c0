"""What was counted of tests, and the names of functions: a migration of the history."""

from __future__ import annotations

from typing import Final

# what each function executed in a phase of a test (history/profiles.py)
PROFILES: Final = (
    "CREATE TABLE functions (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT",
    """CREATE TABLE profiles (
        run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        node INTEGER NOT NULL,
        test TEXT NOT NULL,
        phase TEXT NOT NULL,
        metrics TEXT NOT NULL,
        instructions INTEGER NOT NULL,
        calls INTEGER NOT NULL,
        blocks INTEGER NOT NULL,
        accesses INTEGER NOT NULL,
        functions INTEGER NOT NULL,
        encoding TEXT NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (run_id, node, test, phase)
    ) STRICT""",
)
