"""What the security suites look for: rules, as the TOML files beside this module tell them.

Each file `rules/<category>.toml` holds `[[rule]]` tables with `name`, `severity`, `title`, `reason`, `source`; what
else stands there is for those who look.
"""

from __future__ import annotations

import functools
import hashlib
import tomllib
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SEVERITIES: Final = ("info", "low", "medium", "high", "critical")
CATEGORIES: Final = ("config", "image", "runtime", "fuzz", "network", "vulnerability")
_TEXTS: Final = ("name", "severity", "title", "reason", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule.

    Attributes:
        name: `category.what`, the same in every run.
        category: one of CATEGORIES, the first word of its name.
        severity: of its failure, one of SEVERITIES.
        title: what is asked for, in a few words.
        reason: why.
        source: who asks for it.
        more: what else its table says.
    """

    name: str
    category: str
    severity: str
    title: str
    reason: str
    source: str
    more: Mapping[str, Any] = field(default_factory=dict, hash=False)


@functools.cache
def load(category: str) -> dict[str, Rule]:
    """The rules of a category's file by name; none where it has no file."""
    file = files(__package__) / "rules" / f"{category}.toml"
    if not file.is_file():
        return {}
    found = {}
    for table in tomllib.loads(file.read_text(encoding="utf-8"))["rule"]:
        texts = {name: " ".join(table.pop(name).split()) for name in _TEXTS}
        # a running node may tell of what is no matter of its own: vulnerabilities, for one
        found[texts["name"]] = Rule(category=texts["name"].partition(".")[0], more=table, **texts)
    return found


@functools.cache
def digest() -> str:
    """SHA-256 of all rules' files."""
    sha256 = hashlib.sha256()
    for category in CATEGORIES:
        file = files(__package__) / "rules" / f"{category}.toml"
        sha256.update(file.read_bytes() if file.is_file() else b"")
    return sha256.hexdigest()


@functools.cache
def all_rules() -> dict[str, Rule]:
    """Every rule by name."""
    return {name: rule for category in CATEGORIES for name, rule in load(category).items()}
