"""Arrows between packages run downwards only, and no file grows without end (docs/design.md)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "sistasks"
_ABOVE_SUITES = {"tasks", "fleet", "bisection", "verdicts", "report", "browse"}
# a package and those that it must not know
FORBIDDEN = {
    "statistics": {path.name for path in ROOT.iterdir() if path.is_dir()} - {"statistics"},
    "history": _ABOVE_SUITES | {"suites", "cluster", "machine", "guest", "profile", "evidence", "kernels"},
    "machine": _ABOVE_SUITES | {"suites", "cluster", "history", "profile"},
    "guest": _ABOVE_SUITES | {"suites", "cluster", "history", "profile"},
    "kernels": _ABOVE_SUITES | {"suites", "cluster", "history", "profile"},
    "protocols": _ABOVE_SUITES | {"suites", "cluster", "history", "machine", "profile", "kernels"},
    "consensus": {path.name for path in ROOT.iterdir() if path.is_dir()} - {"consensus"},
    "evidence": _ABOVE_SUITES | {"suites", "cluster", "machine", "profile", "kernels"},
    "cluster": _ABOVE_SUITES | {"suites", "history", "profile"},
    "profile": _ABOVE_SUITES | {"suites", "cluster", "machine", "kernels"},
    "suites": _ABOVE_SUITES,
    "verdicts": {"tasks", "fleet", "bisection", "report", "browse", "suites", "cluster", "machine"},
    "report": {"tasks", "fleet", "bisection", "browse", "suites", "cluster", "machine", "profile"},
    "browse": {"tasks", "fleet", "bisection", "report", "suites", "cluster", "machine", "profile"},
    "fleet": {"tasks", "bisection", "report", "browse"},
}


def _imported(path: Path) -> set[str]:
    """Packages of ours that a file imports when it runs; what only types need does not count."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {
            parts[1] for name in names if (parts := name.split("."))[0] == "sistasks" and len(parts) > 1
        }
    return found


@pytest.mark.parametrize("package", FORBIDDEN)
def test_arrows_run_downwards(package: str) -> None:
    wrong = {
        f"{path.relative_to(ROOT)}: {', '.join(sorted(above))}"
        for path in (ROOT / package).rglob("*.py")
        if (above := _imported(path) & FORBIDDEN[package])
    }
    assert not wrong


def test_no_file_is_beyond_four_hundred_lines_or_so() -> None:
    long = {
        str(path.relative_to(ROOT)): length
        for pattern in ("*.py", "*.c", "*.h")
        for path in ROOT.rglob(pattern)
        if (length := len(path.read_text().splitlines())) > 410
    }
    assert not long
