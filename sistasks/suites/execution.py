"""What one execution of a suite has at hand, whatever runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.evidence.monitor import ResourceMonitor
    from sistasks.machine.examination import Examination
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
        examination: what nodes get that fail.
    """

    recipe: Recipe
    terminal: Terminal
    scratch: Path
    monitor: ResourceMonitor
    examination: Examination
