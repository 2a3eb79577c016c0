"""One module for each parser that reads a guest's bytes; `run.py` beside it fuzzes them.

A module has `fuzz(data)`, which raises only where a promise is broken, and `seeds()`: inputs to begin with. What a
fuzzer has found lies in `found/NAME/`, and is tried by `tests/test_fuzz_corpus.py` for ever.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

FOUND: Final = Path(__file__).parent / "found"
NAMES: Final = (
    "frames", "samples", "results", "console", "lines", "sis", "metric", "ktap", "lava", "events", "decisions",
    "measured", "switch", "crashes", "vmcore", "kallsyms", "registers", "files",
)  # fmt: skip


class Target(Protocol):
    """One parser under test."""

    def fuzz(self, data: bytes) -> None:
        """Feed it; raises if a promise is broken."""

    def seeds(self) -> Iterable[bytes]:
        """Inputs that reach deep."""


def target(name: str) -> Target:
    """The module of that name."""
    return cast("Target", importlib.import_module(f"fuzz.{name}"))
