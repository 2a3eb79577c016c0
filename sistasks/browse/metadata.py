"""Datasette's metadata, made from the code that knows: tables, columns, queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sistasks.browse.queries import QUERIES
from sistasks.browse.tables import HIDDEN, TABLES

if TYPE_CHECKING:
    from sistasks.browse.columns import Table

# the history's name in addresses, whatever its file is called: links and programs that read JSON rely on it
DATABASE: Final = "results"
TITLE: Final = "sistasks: the history"


def metadata() -> dict[str, Any]:
    """What `Datasette(metadata=…)` takes; the form is that of Datasette 0.65's metadata.json."""
    tables: dict[str, dict[str, Any]] = {name: _table(table) for name, table in TABLES.items()}
    tables.update({name: {"hidden": True} for name in HIDDEN})
    return {
        "title": TITLE,
        "description": "Real kernels in real QEMU nodes, measured inside the guests.",
        "databases": {
            DATABASE: {
                "title": "Tables and queries",
                "description": "Everything that was measured. Each page is JSON, too: with .json behind its address.",
                "queries": {name: query.as_metadata() for name, query in QUERIES.items()},
                "tables": tables,
            }
        },
    }


def _table(table: Table) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "title": table.title,
        "description": table.description,
        "columns": table.columns,
        "sortable_columns": list(table.sortable),
    }
    if table.newest_first:
        entry["sort_desc"] = table.newest_first
    if table.sorted_by:
        entry["sort"] = table.sorted_by
    if table.label:
        entry["label_column"] = table.label
    if table.facets:
        entry["facets"] = list(table.facets)
    return entry
