"""What a canned query is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One canned query.

    Attributes:
        title, description: for people.
        sql: one SELECT; a parameter that is left empty arrives as ''.
        parameters: name -> what it is, and what it is when left empty.
    """

    title: str
    description: str
    sql: str
    parameters: dict[str, str] = field(default_factory=dict)

    def as_metadata(self) -> dict[str, Any]:
        """As Datasette's metadata has it."""
        words = " ".join(f"{name}: {meaning}." for name, meaning in self.parameters.items())
        return {
            "title": self.title,
            "description": f"{self.description} {words}".strip(),
            "sql": self.sql,
            "params": list(self.parameters),
            "hide_sql": True,
        }
