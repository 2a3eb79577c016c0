"""The history: SQLite with migrations, one transaction for one run, and quick questions."""
