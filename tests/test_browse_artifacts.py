"""Artifacts in the browser: the real server streams them, and nothing that a guest wrote can act on a page."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

import evidence_parts as parts
import pytest
from browsing import browsing, fill

from sistasks.evidence.artifacts import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from browsing import Site

HTML: Final = b"<html><script>parent.evil()</script>"
PNG: Final = b"\x89PNG\r\n\x1a\n<script>"
CORE: Final = b"\x7fELF" + bytes(3_000_000)
SHA: Final = "ab" * 32


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("out") / "artifacts")


@pytest.fixture(scope="module")
def site(store: Store) -> Iterator[Site]:
    db = store.root.parent / "results.db"
    kept = (
        parts.put(store, HTML, name='x"\r\nset-cookie: a=b\0../../console.html.log'),
        parts.put(store, PNG, kind="screenshots", name="screen.png"),
        parts.put(store, CORE, kind="core_dumps", name="vm.core"),
        parts.put(store, b"\n\r\r\n", kind="captures", name="net.pcapng"),
        parts.put(store, HTML, kind="traces", name="evil.html"),
        parts.put(store, b"damaged", name="a.log"),
        parts.put(store, b"gone", name="b.log"),
        parts.put(store, b"linked", name="c.log"),
    )
    parts.write(db, *kept)
    (store.root / kept[5].path).write_bytes(b"Damaged")
    (store.root / kept[6].path).unlink()
    (store.root / kept[7].path).unlink()
    (store.root / kept[7].path).symlink_to(db)
    with browsing(db, store.root) as running:
        yield running


def test_text_is_shown_as_text_and_nothing_else(site: Site) -> None:
    headers, body = site.raw("/-/artifact/1")
    assert body == HTML
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert headers["content-length"] == str(len(HTML))
    assert "set-cookie" not in headers
    assert (
        headers["content-disposition"] == 'inline; filename="node-1-x_set-cookie_a_b_.._.._console.html.log"'
    )


@pytest.mark.parametrize(
    ("number", "content_type", "shown", "content"),
    [
        (2, "image/png", "inline", PNG),
        (3, "application/octet-stream", "attachment", CORE),
        (4, "application/vnd.tcpdump.pcap", "attachment", b"\n\r\r\n"),
        (5, "application/octet-stream", "attachment", HTML),
    ],
)
def test_each_kind_has_its_type(
    site: Site, number: int, content_type: str, shown: str, content: bytes
) -> None:
    headers, body = site.raw(f"/-/artifact/{number}")
    assert (headers["content-type"], body) == (content_type, content)
    assert headers["content-disposition"].split(";")[0] == shown
    assert "sandbox" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_what_cannot_be_shown_is_said(site: Site) -> None:
    for address, status, words in (
        ("6", 500, "is not what was kept: its SHA-256 is another one"),
        ("7", 410, "is no longer in"),
        ("8", 500, "cannot be read"),
        ("99", 404, "No artifact has such a number"),
        ("x", 404, "No artifact has such a number"),
        (f"{2**70}", 404, "No artifact has such a number"),
        ("-1", 404, "No artifact has such a number"),
    ):
        found, text = site.get(f"/-/artifact/{address}")
        assert (found, words in re.sub(r"&#39;", "'", text)) == (status, True), (address, found, text)
        assert "Traceback" not in text


def test_pages_lead_to_it(site: Site) -> None:
    _, text = site.get("/results/artifacts")
    assert '<a href="/-/artifact/3" title="core_dumps/' in text
    _, text = site.get("/-/run/1")
    assert '<a href="/-/artifact/2">screenshots</a> of node 1: screen.png' in text
    assert 'href="/results/artifacts/2"' in text


def test_a_path_of_the_history_leads_nowhere_else(tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    paths = (
        "/etc/passwd", "../results.db", f"logs/ab/../../../{SHA}", f"logs/ab/{SHA}/../../x", "kernels/abababababab/x",
        "",
    )  # fmt: skip
    fill(db, "2026-01-31T23:59:59.000000Z", runs=len(paths))
    with closing(sqlite3.connect(db)) as connection, connection:
        for number, path in enumerate(paths, 1):
            connection.execute("UPDATE artifacts SET path = ?, sha256 = ? WHERE id = ?", (path, SHA, number))
    store = Store(tmp_path / "artifacts")
    parts.put(store)
    with browsing(db, store.root) as running:
        for number in range(1, len(paths) + 1):
            status, text = running.get(f"/-/artifact/{number}")
            assert (status, "is no place of the store" in text) == (404, True), paths[number - 1]


def test_without_a_store_nothing_is_read(tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    parts.write(db, parts.put(Store(tmp_path / "artifacts")))
    with browsing(db) as running:
        assert running.get("/-/artifact/1")[0] == 404
