"""Showing the history: the report's files, and Datasette."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sistasks.layout import Layout

if TYPE_CHECKING:
    from sistasks.settings import Settings
    from sistasks.terminal import Terminal


def report(settings: Settings, terminal: Terminal) -> None:
    """Write the dashboard, the test page, JSON, JUnit and Markdown of the latest session.

    Raises:
        HistoryError: there is no history, or it cannot be read.
    """
    from sistasks.report.write import write_report

    for path in write_report(settings.db, settings.output):
        terminal.result(str(path))


def browse(settings: Settings, terminal: Terminal) -> None:
    """Serve the history to a browser on this machine until Ctrl-C.

    Raises:
        HistoryError: there is no history, or it cannot be read.
        UsageError: the port cannot be had.
    """
    from sistasks.browse.serve import serve

    serve(settings.db, settings.port, terminal.result, Layout(settings.output).artifacts)
