"""What one execution of a suite has at hand, whatever runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sistasks.machine.examination import Examination

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.evidence.monitor import ResourceMonitor
    from sistasks.suites.recipe import Recipe
    from sistasks.terminal import Terminal


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution.

    Attributes:
        recipe: what it is made of.
        terminal: where to say things.
        scratch: what lives only as long as it does.
        monitor: watches what the nodes use.
    """

    recipe: Recipe
    terminal: Terminal
    scratch: Path
    monitor: ResourceMonitor

    @property
    def examination(self) -> Examination:
        """What nodes get that fail."""
        return Examination(self.scratch / "evidence", self.recipe.settings.dumps)
