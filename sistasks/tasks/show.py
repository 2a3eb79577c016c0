"""Showing the history: report and Datasette."""

from __future__ import annotations

from typing import Any

from sistasks import show_steps
from sistasks.tasks.actions import action
from sistasks.tasks.build import NO_CAPTURE


def task_report() -> dict[str, Any]:
    """Write the dashboard, JSON, JUnit and Markdown of the latest session."""
    return {"actions": [action(show_steps.report)], "io": NO_CAPTURE}


def task_browse() -> dict[str, Any]:
    """Show the history in a browser on this machine (Datasette, port=8001)."""
    return {"actions": [action(show_steps.browse)], "io": NO_CAPTURE}
