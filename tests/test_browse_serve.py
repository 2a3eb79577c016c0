"""The real server on a real history: pages, JSON, reading only, live, and every way in which it cannot start."""

from __future__ import annotations

import dataclasses
import itertools
import re
import signal
import socket
import sqlite3
import subprocess
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import history_records as records
import pytest
import report_history
from browsing import browsing, command, fill

from sistasks.browse.queries import QUERIES
from sistasks.browse.tables import TABLES
from sistasks.history import schema
from sistasks.history.connection import prepare, reading
from sistasks.history.store import write_run
from sistasks.units import show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from browsing import Site

HOSTILE = (
    "'\"><evil onevil=1></svg></title></textarea></script><script>console.error('evil')</script>\0{{7*7}}"
    + ("ж" * 5000)
)
OUR_PAGES = ("/", "/-/metrics", "/-/run/2", "/-/kernel/plain", "/-/metric/plain")
JSON_PAGES = ("/-/start.json", *(f"{page}.json" for page in OUR_PAGES[1:]))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    # a name that must not be read as a part of an address
    db = tmp_path_factory.mktemp("browse") / "my results#1?.db"
    fill(db, "plain")
    with browsing(db) as running:
        yield running


@pytest.mark.parametrize("page", OUR_PAGES)
def test_our_pages(site: Site, page: str) -> None:
    status, text = site.get(page)
    assert status == 200
    assert ("sis-chart" in text) == (page not in {"/", "/-/metrics"})
    assert "sis-spark" in text or page.startswith("/-/metric/")
    assert "✕ worse" in text
    assert not re.findall(r"(?:src|href|action)=[\"']?(?:https?:)?//", text.replace(site.url, "")), (
        "nothing leads away"
    )


def test_a_run_links_to_all_that_belongs_to_it(site: Site) -> None:
    _, text = site.get("/-/run/2")
    for link in (
        "/-/run/1", "/-/run/3", "/-/kernel/plain", "/-/metric/plain?", "/results/environments/plain",
        "/results/sessions/plain", "/results/artifacts/2", "/results/samples?run_id=2", "/-/run/2.json",
    ):  # fmt: skip
        assert f'href="{link}' in text, link
    assert "samples of node 1" in text
    assert "samples of node 2" in site.get("/-/run/2?node=2")[1]


def test_how_well_a_figure_is_known_is_beside_it(tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    report_history.write_runs(db, 1)
    with browsing(db) as known:
        page, text = known.json("/-/run/1.json"), known.get("/-/run/1")[1]
        (switch, rate) = page["metrics"]
        assert (switch["confidence"], rate["confidence"]) == (0.99, 0.99)
        low, high = switch["intervals"]["p95"]
        assert low < switch["p95"] < high
        assert switch["intervals"]["p99"][1] is None
        assert f"{show(low, 'ns')} to {show(high, 'ns')}" in text
        assert "at 99 %" in text
        assert switch["too_few"] == ["400 samples are too few for the upper end of p99 at 99 %: it needs 528"]
        assert switch["too_few"][0] in text
        (point,) = known.json(f"/-/metric/{report_history.SWITCH}.json?statistic=p95")["points"]
        assert point["interval"] == [low, high]
        assert (
            f"{show(low, 'ns')} to {show(high, 'ns')}"
            in known.get(f"/-/metric/{report_history.SWITCH}?statistic=p95")[1]
        )
        (point,) = known.json(f"/-/metric/{report_history.SWITCH}.json?statistic=std")["points"]
        assert point["interval"] == [None, None]


def test_a_metric_shows_one_environment_and_one_statistic(site: Site) -> None:
    page = site.json("/-/metric/plain.json")
    assert [(point["run_id"], point["value"], point["low"], point["high"]) for point in page["points"]] == [
        (1, 1001.5, 1001, 1002), (2, 2001.5, 2001, 2002), (3, 3001.5, 3001, 3002),
    ]  # fmt: skip
    assert page["points"][0]["outcome"] == "worse"
    assert page["environment"]["id"] == "plain"
    assert [change["run_id"] for change in page["changes"]] == [3]
    assert page["earlier"] is None
    page = site.json("/-/metric/plain.json?before=3&statistic=p99&environment=nowhere")
    assert (page["statistic"], [point["value"] for point in page["points"]]) == ("p99", [1, 1])
    assert site.json("/-/metric/plain.json?statistic=id;drop&before=x")["statistic"] == "p50"


@pytest.mark.parametrize("page", JSON_PAGES)
def test_our_pages_as_json(site: Site, page: str) -> None:
    assert site.json(page)


def test_every_table_and_query_as_page_and_as_json(site: Site) -> None:
    for name in (*TABLES, *QUERIES):
        status, text = site.get(f"/results/{name}")
        assert status == 200, name
        assert (TABLES.get(name) or QUERIES[name]).title in text
        rows = site.json(f"/results/{name}.json?_shape=array")
        assert rows or name in {"environment_drift", "flaky_tests"}, name


def test_tables_link_to_our_pages_and_tell_outcomes(site: Site) -> None:
    _, text = site.get("/results/verdicts")
    assert '<a href="/-/run/3" title="3 plain">3 plain</a>' in text
    assert '<a href="/-/metric/plain"' in text
    assert "✕ worse" in text
    assert "relative change: 0.031 is +3.1 %" in text, "columns are described"
    assert '<a href="/-/kernel/plain"' in site.get("/results/kernels")[1], "the first column, too"


def test_what_is_not_there_is_said(site: Site) -> None:
    for page in ("/-/run/99", "/-/run/x", "/-/run/-1", f"/-/run/{2**70}", "/-/kernel/x", "/-/metric/x", "/x"):
        status, text = site.get(page)
        assert status == 404, page
        assert "Traceback" not in text


@pytest.mark.parametrize(
    "query",
    [
        "delete from runs",
        "with x as (select 1) delete from runs",
        "with x as (select 1) insert into sessions select * from sessions",
        "attach database 'other.db' as other",
        "pragma journal_mode = delete",
        "pragma query_only = 0",
        "vacuum into 'other.db'",
        "select load_extension('libc.so.6')",
        "select writefile('x', 'y')",
        "select 1; drop table runs",
    ],
)
def test_reading_is_all_that_it_allows(site: Site, query: str) -> None:
    status, answer = site.sql(query)
    assert status == 400
    assert answer["ok"] is False
    assert site.sql("select count(*) as n from runs") == (200, [{"n": 3}])


def test_the_file_is_not_given_away_and_posts_change_nothing(site: Site) -> None:
    assert site.get("/results.db")[0] == 403
    assert site.get("/_internal")[0] == 403
    assert site.get("/_memory")[0] == 404


def test_a_query_has_a_time_limit(site: Site) -> None:
    endless = "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c"
    status, answer = site.sql(endless)
    assert status == 400
    assert "too long" in answer["error"]


def test_only_names_of_this_machine_are_answered(site: Site) -> None:
    assert site.get("/", Host="evil.example")[0] == 421
    assert site.get("/", Host="evil.example:8001")[0] == 421
    for host in ("localhost:9000", "127.0.0.1", "[::1]:8001", "LOCALHOST"):
        assert site.get("/-/metrics", Host=host)[0] == 200, host


def test_what_the_document_asks_for_is_answered(tmp_path: Path) -> None:
    text = (Path(__file__).parent.parent / "docs/browse.md").read_text()
    asked = re.findall(r"curl -s 'http://127\.0\.0\.1:8001(\S+)'", text)
    assert len(asked) > 5
    write_run(tmp_path / "results.db", records.session(), records.run(), records.METRICS)
    with browsing(tmp_path / "results.db") as site:
        for path in asked:
            assert site.json(path) or re.search("verdicts|differ", path), path
        page = site.json("/-/metric/context_switch.latency.json")
    keys = re.findall(r"^\| `(\w+)`(?:, `(\w+)`)? \|", text.split("| key of")[1], re.MULTILINE)
    assert {key for pair in keys for key in pair if key} <= set(page)
    named = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", text, re.MULTILINE)
    assert {name: re.findall(r"`(\w+)`", parameters) for name, parameters in named} == {
        name: list(query.parameters) for name, query in QUERIES.items()
    }


def test_a_run_that_is_written_meanwhile_shows_on_reload(tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    first = records.run()
    write_run(db, records.session(), first, records.METRICS)
    with browsing(db) as site:
        assert len(site.json("/-/start.json")["runs"]) == 1
        later = dataclasses.replace(first, status="failed", message="it panicked")
        run_id = write_run(db, records.session("later"), later, records.METRICS)
        assert site.json("/-/start.json")["runs"][0]["run_id"] == run_id
        status, text = site.get(f"/-/run/{run_id}")
        assert status == 200
        assert "it panicked" in text
        assert "✕ failed" in text
        with closing(sqlite3.connect(db)) as connection, connection:  # nobody holds a lock
            connection.execute("DELETE FROM runs WHERE id = 1")
        assert site.sql("select count(*) as n from runs") == (200, [{"n": 1}])


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(name for name, _ in attrs)}


def test_hostile_text_in_every_column_is_escaped(tmp_path: Path) -> None:
    fill(tmp_path / "results.db", HOSTILE)
    with browsing(tmp_path / "results.db") as site:
        start = site.get("/")[1]
        paths = re.findall(r'href="(/-/(?:metric|kernel|run)/[^"]+)"', start)
        assert any(len(path) > 10_000 for path in paths), (
            "the metric and the kernel have their pages all the same"
        )
        pages = {*paths, "/", "/-/metrics", "/-/run/1", *(f"/results/{name}" for name in (*TABLES, *QUERIES))}
        for page in pages:
            status, text = site.get(page)
            assert status == 200, page[:100]
            tags = _Tags()
            tags.feed(text)
            assert not tags.found & {"evil", "onevil"}, page[:100]
            assert "<script>console.error" not in text, page[:100]
            assert "49ж" not in text, page[:100]
        assert (
            site.json(f"{next(path for path in paths if '/metric/' in path)}.json")["metric"]["name"]
            == HOSTILE
        )


def _refused(db: Path, port: int = 0) -> tuple[int, str]:
    done = subprocess.run(command(db, port), capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.returncode, done.stderr


def test_no_history_yet(tmp_path: Path) -> None:
    assert _refused(tmp_path / "results.db") == (
        2, f"there is no history yet: {tmp_path}/results.db is not there or empty; make a run: doit test\n"
    )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_history_is_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("this is no database, and long enough to be looked at as if it were one\n" * 20)
    before = text.read_bytes()
    assert "is not a database" in _refused(text)[1]
    assert text.read_bytes() == before
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    before = other.read_bytes()
    assert "is a database of another program" in _refused(other)[1]
    assert other.read_bytes() == before


def test_a_history_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    fill(db, "plain")
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('sistasks', '9999_future', '')"
        )
        connection.execute("PRAGMA journal_mode = DELETE")
    before = db.read_bytes()
    code, words = _refused(db)
    assert code == 2
    assert "was written by a newer sistasks" in words
    assert db.read_bytes() == before


def test_a_history_of_an_older_version_is_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = tmp_path / "results.db"
    oldest = dict(itertools.islice(schema.MIGRATIONS.items(), 4))
    monkeypatch.setattr(schema, "MIGRATIONS", oldest)
    prepare(db)
    monkeypatch.undo()
    with browsing(db) as site:
        assert site.get("/")[0] == 200
        assert site.json("/results/verdicts_now.json?_shape=array") == []
    with reading(db) as connection:
        assert connection is not None
        assert len(schema.applied(connection, db)) == len(schema.MIGRATIONS) > len(oldest)


def test_a_history_without_runs_says_how_to_make_one(tmp_path: Path) -> None:
    fill(tmp_path / "results.db", "plain", runs=2)
    with closing(sqlite3.connect(tmp_path / "results.db")) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        for table in ("runs", "annotations", "metrics"):
            connection.execute(f"DELETE FROM {table}")  # noqa: S608 -- names of ours
    with browsing(tmp_path / "results.db") as site:
        status, text = site.get("/")
        assert status == 200
        assert "No run yet" in text
        assert site.get("/-/kernel/plain")[0] == 200
        for name in QUERIES:
            assert site.get(f"/results/{name}")[0] == 200, name


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    fill(tmp_path / "results.db", "plain")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, words = _refused(tmp_path / "results.db", port)
    assert code == 3
    assert words == f"port {port} cannot be had: in use; choose another one with port=…\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    fill(tmp_path / "results.db", "plain")
    with browsing(tmp_path / "results.db") as site:
        assert site.get("/-/metrics")[0] == 200
        site.process.send_signal(number)
        out, errors = site.process.communicate(timeout=30)
        assert (site.process.returncode, out, errors) == (0, "ended\n", "")


def test_it_listens_on_loopback_only(site: Site) -> None:
    port = int(site.url.rsplit(":", 1)[1])
    with socket.socket() as other:  # another loopback address is free: the server has only its own
        other.bind(("127.0.0.2", port))
