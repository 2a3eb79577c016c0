"""The report in a real browser: it is there, it is readable, and it asks for nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pytest
import report_history
from browser import Browser, address_of, browser
from test_report_pages import make_hostile

from sistasks.report import write_report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGES: Final = ("orchestrator/validation_dashboard.html", "qemu/results/test_report.html")
VIEWS: Final[dict[str, dict[str, Any]]] = {
    "light": {},
    "dark": {"scheme": "dark"},
    "phone": {"width": 390, "mobile": True},
    "narrow": {"width": 320, "mobile": True},
}
# pairs of words in one chart that lie over each other by more than 4 pixels both ways
OVERLAPS: Final = """[...document.querySelectorAll('.sis-chart')].flatMap(chart => {
    const words = [...chart.querySelectorAll('text')].filter(word => word.textContent.trim());
    const boxes = words.map(word => word.getBoundingClientRect());
    return words.flatMap((word, i) => words.slice(i + 1).filter((_, j) => {
        const a = boxes[i], b = boxes[i + 1 + j];
        return Math.min(a.right, b.right) - Math.max(a.left, b.left) > 4
            && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4;
    }).map(other => word.textContent + ' | ' + other.textContent));
})"""
# words of a chart that leave its drawing
OUTSIDE: Final = """[...document.querySelectorAll('.sis-chart')].flatMap(chart => {
    const area = chart.getBoundingClientRect();
    return [...chart.querySelectorAll('text')].filter(word => {
        const box = word.getBoundingClientRect();
        return box.width && (box.left < area.left - 1 || box.right > area.right + 1);
    }).map(word => word.textContent);
})"""
SMALLEST: Final = """Math.min(...[...document.querySelectorAll('.sis-chart text')]
    .filter(word => word.textContent.trim()).map(word =>
        parseFloat(getComputedStyle(word).fontSize) * word.ownerSVGElement.getBoundingClientRect().width / 480))"""


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Output folders: of a usual history, and of one with hostile text everywhere."""
    folder = tmp_path_factory.mktemp("reports")
    for kind in ("usual", "hostile"):
        db = folder / f"{kind}.db"
        report_history.write_everything(db)
        report_history.write_security(db)
        if kind == "hostile":
            make_hostile(db)
        write_report(db, folder / kind)
    return {kind: folder / kind for kind in ("usual", "hostile")}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    ("kind", "view"), [*(("usual", view) for view in VIEWS), ("hostile", "light"), ("hostile", "narrow")]
)
def test_nothing_is_asked_for_nothing_complains_nothing_sticks_out(
    tab: Browser, reports: dict[str, Path], tmp_path: Path, kind: str, page: str, view: str
) -> None:
    path = reports[kind] / page
    tab.open(address_of(path), **VIEWS[view])
    tab.run("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert tab.requests == [address_of(path)]
    assert tab.complaints == []
    assert tab.run("document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert tab.run("document.scripts.length") == 0
    # kept by pytest for whoever wants to look
    tab.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("view", VIEWS)
def test_charts_are_there_and_can_be_read(tab: Browser, reports: dict[str, Path], view: str) -> None:
    tab.open(address_of(reports["usual"] / PAGES[0]), **VIEWS[view])
    sizes = tab.run(
        "[...document.querySelectorAll('.sis-chart')].map(chart => chart.getBoundingClientRect().height)"
    )
    assert len(sizes) == 7
    assert min(sizes) > 120
    assert tab.run("document.querySelectorAll('.sis-spark').length") == 2, "of a target, and of the host"
    assert tab.run(OVERLAPS) == []
    assert tab.run(OUTSIDE) == []
    assert tab.run(SMALLEST) >= 9.5


def shade(tab: Browser, script: str) -> int:
    """How bright a colour is, from 0 to 765."""
    colour = tab.run(script)
    return sum(int(part) for part in re.findall(r"\d+", colour)[:3])


def test_dark_is_dark_and_paper_is_white(tab: Browser, reports: dict[str, Path], tmp_path: Path) -> None:
    paper, ink = "getComputedStyle(document.body).backgroundColor", "getComputedStyle(document.body).color"
    address = address_of(reports["usual"] / PAGES[0])
    tab.open(address, scheme="light")
    assert shade(tab, paper) - shade(tab, ink) > 500
    tab.open(address, scheme="dark")
    assert shade(tab, ink) - shade(tab, paper) > 500
    word = "getComputedStyle(document.querySelector('.sis-chart text')).fill"
    assert shade(tab, word) > 500
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    tab.ask("Emulation.setEmulatedMedia", media="print", features=features)
    assert shade(tab, paper) - shade(tab, ink) > 500
    assert shade(tab, word) < 200
    tab.print_to(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    tab.ask("Emulation.setEmulatedMedia", media="", features=[])


def test_every_link_leads_to_a_place_on_the_page(tab: Browser, reports: dict[str, Path]) -> None:
    tab.open(address_of(reports["usual"] / PAGES[0]))
    lost = "[...document.links].filter(link => !document.querySelector(link.getAttribute('href'))).length"
    assert (tab.run("document.links.length"), tab.run(lost)) == (8, 0)
