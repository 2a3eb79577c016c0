"""All files of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sistasks.files import write_atomically
from sistasks.history.exports import results_name
from sistasks.layout import Layout
from sistasks.report.collect import collect
from sistasks.report.exports import industry_report, json_text, results_text
from sistasks.report.junit import junit
from sistasks.report.pages import dashboard, results_page

if TYPE_CHECKING:
    from pathlib import Path


def write_report(db: Path, output: Path) -> list[Path]:
    """Write the report of the latest run of each suite.

    Everything is made before the first file is written, so that a history that cannot be read leaves the files of the
    last report as they are.

    Args:
        db: the history.
        output: the folder below which the files have their places.

    Returns:
        The files, the dashboard first.

    Raises:
        HistoryError: there are no runs yet, or the history cannot be read.
        OSError: a file cannot be written.
    """
    runs = collect(db)
    results, orchestrator = Layout(output).results
    files = {
        orchestrator / "validation_dashboard.html": dashboard(runs),
        results / "test_report.html": results_page(runs),
        orchestrator / "industry_validation_report.json": json_text(industry_report(runs)),
        output / "junit.xml": junit(runs, {run.run.id: run.verdicts for run in runs}),
    }
    for run in runs:
        for folder in (results, orchestrator):
            files[folder / results_name(run.run.suite, run.way)] = results_text(run)
    for path, words in files.items():
        write_atomically(path, words)
    return list(files)
