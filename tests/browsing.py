"""The real server in a process of its own, and histories to show."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sistasks.history.connection import prepare
from sistasks.history.profiles import COLUMNS
from sistasks.history.samples import encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_SERVE: Final = """
import sys
from pathlib import Path
from sistasks.browse.serve import serve
from sistasks.errors import SistasksError
try:
    artifacts = Path(sys.argv[3]) if sys.argv[3:] else None
    serve(Path(sys.argv[1]), int(sys.argv[2]), lambda line: print(line, flush=True), artifacts)
except SistasksError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""
# what the schema allows where it does not allow any text
_CHOSEN: Final = {
    "clock": "wall", "status": "fail", "better": "lower", "outcome": "worse", "target_statistic": "p99",
    "statistic": "p50", "severity": "critical", "was": "pass", "now": "fail",
}  # fmt: skip


def command(db: Path, port: int = 0, artifacts: Path | None = None) -> list[str]:
    """How the server is started."""
    return [
        sys.executable,
        "-c",
        _SERVE,
        str(db),
        str(port),
        *([] if artifacts is None else [str(artifacts)]),
    ]


@dataclass(frozen=True)
class Site:
    """A running server."""

    url: str
    process: subprocess.Popen[str]

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        """A page: status and text; redirects are followed."""
        request = urllib.request.Request(self.url + path, headers=headers)  # noqa: S310 -- the server's own address
        try:
            with _OPENER.open(request, timeout=60) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def raw(self, path: str) -> tuple[Mapping[str, str], bytes]:
        """A file: headers, with small letters, and bytes."""
        with _OPENER.open(self.url + path, timeout=60) as response:
            return {name.lower(): value for name, value in response.headers.items()}, response.read()

    def json(self, path: str) -> Any:
        """A page as JSON."""
        status, text = self.get(path)
        assert status == 200, text
        return json.loads(text)

    def sql(self, query: str) -> tuple[int, Any]:
        """What the answer to a query of a person is."""
        status, text = self.get("/results.json?" + urllib.parse.urlencode({"sql": query, "_shape": "array"}))
        return status, json.loads(text)


# a proxy of this machine has no business with its own address
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextlib.contextmanager
def browsing(db: Path, artifacts: Path | None = None) -> Iterator[Site]:
    """Serve a history on a free port until the end of the block."""
    started = command(db, artifacts=artifacts)
    with subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("http://127.0.0.1:"), process.stderr and process.stderr.read()
            yield Site(line.split()[0].rstrip("/"), process)
        finally:
            process.terminate()
            process.communicate(timeout=30)


def fill(db: Path, text: str, *, runs: int = 3) -> None:
    """A history with rows in every table, and the text in every column that takes any text."""
    prepare(db)
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        for table in ("kernels", "environments", "sessions", "metrics", "functions"):
            _insert(connection, table, text)
        _insert(connection, "functions", text, name=f"{text} more")
        for run in range(1, runs + 1):
            _insert(connection, "runs", text, id=run, nodes=2)
            for node in (1, 2):
                values = [1000 * run + 10 * node + number % 7 for number in range(100)]
                encoding, data = encode(values)
                _insert(connection, "results", text, run_id=run, node=node)
                _insert(connection, "summaries", text, run_id=run, node=node, p50=1000.0 * run + node)
                _insert(
                    connection,
                    "samples",
                    text,
                    run_id=run,
                    node=node,
                    count=100,
                    encoding=encoding,
                    data=data,
                )
                _insert(connection, "resources", text, run_id=run, node=node)
                # of two functions: their numbers, instructions (the second has more in each run), and the other counts
                encoding, data = encode([1, 2, 100, 100 * run, 1, run, *[0] * 2 * (len(COLUMNS) - 2)])
                _insert(
                    connection,
                    "profiles",
                    text,
                    run_id=run,
                    node=node,
                    functions=2,
                    encoding=encoding,
                    data=data,
                )
            for table in ("verdicts", "artifacts", "crashes", "annotations", "finding_verdicts"):
                _insert(connection, table, text, run_id=run)
            _insert(connection, "findings", text, run_id=run, outcome="fail")
        _insert(connection, "change_points", text, run_id=runs, before_run_id=runs - 1)


def _insert(connection: sqlite3.Connection, table: str, text: str, **given: Any) -> None:
    row: dict[str, Any] = {}
    for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table})"):
        if kind == "TEXT":
            row[name] = _CHOSEN.get(name, text)
        elif name != "id":
            row[name] = 1
    if table == "runs":
        row["status"] = "ok"
    row.update(given)
    marks = ", ".join(f":{name}" for name in row)
    # the names are those of the schema; the values are bound
    connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", row)  # noqa: S608 - our own names
