"""Datasette's metadata says something about everything that is there, and about nothing else."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from browsing import fill

from sistasks.browse.functions import register, sample_histogram, sample_values
from sistasks.browse.metadata import DATABASE, metadata
from sistasks.browse.queries import QUERIES
from sistasks.browse.tables import HIDDEN, TABLES
from sistasks.history.samples import encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sistasks.browse.query import Query


@pytest.fixture
def history(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    fill(tmp_path / "results.db", "plain")
    with closing(sqlite3.connect(tmp_path / "results.db")) as connection:
        connection.row_factory = sqlite3.Row
        register(connection)
        yield connection


def test_every_table_and_column_is_described_and_none_that_is_not_there(history: sqlite3.Connection) -> None:
    real = {
        name: [row["name"] for row in history.execute(f"PRAGMA table_info({name})")]
        for (name,) in history.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        if not name.startswith("sqlite_")
    }
    assert set(real) - set(HIDDEN) == set(TABLES)
    for name, table in TABLES.items():
        assert sorted(table.columns) == sorted(real[name]), name
        assert all(table.columns.values()), name
        assert table.title, name
        assert table.description, name
        for column in (*table.sortable, *table.facets, table.label, table.newest_first, table.sorted_by):
            assert column in {"", *real[name]}, (name, column)
        for column in (table.newest_first, table.sorted_by):
            assert column in {"", *table.sortable}, f"Datasette refuses to sort {name} by {column}"


def test_the_metadata_is_in_the_form_of_datasette() -> None:
    found = metadata()["databases"][DATABASE]
    assert found["tables"]["runs"]["sort_desc"] == "id"
    assert found["tables"]["kernels"]["label_column"] == "name"
    assert found["tables"]["_sqlite_migrations"] == {"hidden": True}
    assert "facets" not in found["tables"]["samples"]
    assert set(found["queries"]) == set(QUERIES)
    json.dumps(found)


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_queries_have_words_and_answer_without_parameters(query: Query, history: sqlite3.Connection) -> None:
    entry = query.as_metadata()
    assert entry["title"]
    assert entry["description"]
    assert all(f":{name}" in query.sql and f"{name}: " in entry["description"] for name in query.parameters)
    assert all("default" in meaning for meaning in query.parameters.values())
    rows = history.execute(query.sql, dict.fromkeys(query.parameters, "")).fetchall()
    if query is not QUERIES["environment_drift"] and query is not QUERIES["flaky_tests"]:
        assert rows


def _ask(history: sqlite3.Connection, name: str, **parameters: str) -> list[dict[str, Any]]:
    given = {**dict.fromkeys(QUERIES[name].parameters, ""), **parameters}
    return [dict(row) for row in history.execute(QUERIES[name].sql, given)]


def test_the_history_of_a_metric_has_medians_over_nodes(history: sqlite3.Connection) -> None:
    rows = _ask(history, "history_of_metric", metric="plain")
    assert [(row["run_id"], row["nodes"], row["p50"]) for row in rows] == [
        (3, 2, 3001.5), (2, 2, 2001.5), (1, 2, 1001.5),
    ]  # fmt: skip
    assert len(_ask(history, "history_of_metric", environment="pla", runs="2")) == 2
    assert _ask(history, "history_of_metric", environment="x") == []
    assert _ask(history, "history_of_metric", metric="no such") == []


def test_drift_is_what_changes_beneath_equal_choices(history: sqlite3.Connection) -> None:
    history.execute("INSERT INTO environments SELECT 'new', arch, accel, clock, boot, '9.1', machine, cpu_model, cpus, "
                    "memory_bytes, NULL, guest_sha256, host_cpu, host_cores, detail FROM environments")  # fmt: skip
    history.execute("UPDATE runs SET environment_id = 'new' WHERE id = 3")
    (row,) = _ask(history, "environment_drift")
    assert (row["run_id"], row["before_run_id"], row["environment_id"]) == (3, 2, "new")
    assert row["change"] == "qemu_version: plain → 9.1; firmware_sha256: plain → none; "


def test_a_test_is_flaky_when_one_kernel_passes_and_fails_it(history: sqlite3.Connection) -> None:
    assert _ask(history, "flaky_tests") == []
    history.execute("UPDATE results SET status = 'pass' WHERE run_id <> 2")
    (row,) = _ask(history, "flaky_tests")
    assert (row["passed"], row["failed"], row["errors"], row["run_id"]) == (4, 2, 0, 2)


def test_the_histogram_counts_every_sample_once(history: sqlite3.Connection) -> None:
    rows = _ask(history, "sample_histogram", run="2", node="2", bins="7")
    assert sum(row["samples"] for row in rows) == 100
    assert (rows[0]["run_id"], rows[0]["node"], rows[0]["low"], rows[-1]["high"]) == (2, 2, 2020, 2026)
    assert max(len(row["bar"]) for row in rows) == 40
    assert _ask(history, "sample_histogram", run="99") == []


def test_outliers_do_not_press_all_others_together() -> None:
    encoding, data = encode([*range(1000), 10**9])
    rows = json.loads(sample_histogram(encoding, data, 1001, 10) or "")
    assert len(rows) == 10
    assert sum(row["samples"] for row in rows) == 1001
    assert rows[0]["high"] < 101
    assert rows[-1]["high"] == 10**9


def test_samples_come_back_from_sql(history: sqlite3.Connection) -> None:
    query = "SELECT value FROM samples, json_each(sample_values(encoding, data, count)) WHERE run_id = 1 AND node = 2"
    assert [value for (value,) in history.execute(query)] == [1020 + number % 7 for number in range(100)]


@pytest.mark.parametrize(
    "given",
    [(None, None, None), ("transposed-zlib", b"damaged", 3), ("other", b"", 0), (1, 2, 3), ("a", "b", 1)],
)
def test_what_is_no_sample_set_is_null(given: tuple[Any, Any, Any]) -> None:
    assert sample_values(*given) is None
    assert sample_histogram(*given, 10) is None


def test_a_histogram_of_one_value_of_none_and_of_no_bins() -> None:
    assert sample_histogram(*encode([]), 0, 5) == "[]"
    rows = json.loads(sample_histogram(*encode([7, 7, 7]), 3, 4) or "")
    assert sum(row["samples"] for row in rows) == 3
    for bins in (0, -1, 10**9, None, "3"):
        assert sample_histogram(*encode([1, 2]), 2, bins) is None


def test_median_leaves_out_what_is_no_number(history: sqlite3.Connection) -> None:
    query = "SELECT median(column1) FROM (VALUES (3), (NULL), ('x'), (1), (2.5))"
    assert history.execute(query).fetchone()[0] == 2.5
    assert history.execute("SELECT median(1) WHERE 0").fetchone()[0] is None


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, sistasks.browse.serve, sistasks.browse.metadata; "
        "print(sorted({'datasette', 'numpy', 'uvicorn', 'jinja2', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
