"""The settings of this doit invocation, and doit's own."""

from __future__ import annotations

from typing import Any

from doit import doit_cmd
from doit.exceptions import InvalidDodoFile

from sistasks import settings as settings_module
from sistasks import steps
from sistasks.errors import SistasksError
from sistasks.layout import Layout
from sistasks.tasks.reporter import Reporter

# doit ignores variables that nobody asks for; only its own table tells which were given
COMMAND_LINE: dict[str, str] = dict(getattr(doit_cmd, "_CMDLINE_VARS", None) or {})


def _resolve() -> settings_module.Settings:
    """Refuse unknown names and bad values before any task exists (doit exits 3 on this exception)."""
    try:
        settings = settings_module.resolve(COMMAND_LINE)
        steps.require_output(settings)
    except SistasksError as error:
        raise InvalidDodoFile(str(error)) from error
    return settings


SETTINGS = _resolve()
LAYOUT = Layout(SETTINGS.output)

DOIT_CONFIG: dict[str, Any] = {
    "default_tasks": ["test"],
    "backend": "sqlite3",
    "dep_file": str(LAYOUT.doit_state),
    "reporter": Reporter,
    "verbosity": 2,
}
