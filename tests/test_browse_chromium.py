"""The pages in a real browser: a silent console, no request that leaves the machine, and the charts are there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import evidence_parts as parts
import pytest
from browsing import browsing, fill
from webserver import Server, serving

from sistasks.evidence.artifacts import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from browsing import Site

CHROMIUM: Final = shutil.which("chromium")
FLAGS: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--no-proxy-server", "--enable-logging=stderr",
    # the browser itself asks its maker for the time, updates and accounts all the same
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)  # fmt: skip
EVIL: Final = "</title></script><script>console.error('evil')</script>"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@dataclass(frozen=True)
class View:
    """What the browser made of a page: its document, its console, and the hosts that the page asked."""

    document: str
    console: list[str]
    hosts: set[str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    db = tmp_path_factory.mktemp("chromium") / "results.db"
    fill(db, f"plain {EVIL}")
    with browsing(db) as running:
        yield running


def look(folder: Path, url: str) -> View:
    """Open a page in a fresh browser."""
    log = folder / "net.json"
    done = subprocess.run(
        [str(CHROMIUM), *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", "--dump-dom", url],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    events = json.loads(log.read_text())
    kinds = events["constants"]["logEventTypes"]
    asked = {
        event["params"]["url"]
        for event in events["events"]
        if event["type"] == kinds["URL_REQUEST_START_JOB"] and _is_of_the_page(event.get("params", {}))
    }
    assert url in asked, "the log has what was asked"
    hosts = {urlsplit(each).netloc for each in asked if urlsplit(each).scheme != "data"}
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return View(done.stdout, console, hosts)


def _is_of_the_page(request: dict[str, Any]) -> bool:
    """Whether a page made a request, or is what was asked for; what the browser asks for itself has no origin."""
    return (
        request.get("request_type") == "main frame"
        or request.get("initiator", "not an origin") != "not an origin"
    )


@pytest.mark.parametrize(
    ("page", "charts"), [("/", 0), ("/-/run/3", 3), ("metric", 2), ("/results?sql=select+*+from+runs", 0)]
)
def test_a_page_in_the_browser(site: Site, tmp_path: Path, page: str, charts: int) -> None:
    if page == "metric":
        found = re.search(r'href="(/-/metric/[^"]+)"', site.get("/")[1])
        assert found
        page = found[1]
    view = look(tmp_path, site.url + page)
    assert view.console == []
    assert view.hosts == {urlsplit(site.url).netloc}
    assert view.document.count('<svg class="sis-chart') == charts
    assert "evil" in view.document, "as text"


def test_a_log_that_a_guest_wrote_is_text(tmp_path: Path) -> None:
    store = Store(tmp_path / "out" / "artifacts")
    log = f"<!DOCTYPE html><title>{EVIL}<img src='http://elsewhere.invalid/x.png' onerror='console.error(1)'>".encode()
    db = tmp_path / "results.db"
    parts.write(db, parts.put(store, log, kind="traces", name="console.html"), parts.put(store, log))
    with browsing(db, store.root) as running:
        view = look(tmp_path, f"{running.url}/-/artifact/2")
        assert (view.console, view.hosts) == ([], {urlsplit(running.url).netloc})
    assert "&lt;script&gt;console.error('evil')" in view.document


def test_the_browser_would_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: a page with an error and a picture from elsewhere is seen to have them."""
    body = b"<!DOCTYPE html><script>console.error('heard')</script><img src='http://elsewhere.invalid/x.png'>"
    with serving(Server(body, ranges=False), monkeypatch) as server:
        view = look(tmp_path, server.url)
        assert any("heard" in line for line in view.console)
        assert view.hosts == {urlsplit(server.url).netloc, "elsewhere.invalid"}
