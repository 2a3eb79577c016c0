"""What one execution of a suite has at hand, whatever runs it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sistasks.cluster.nodes import Cluster
from sistasks.layout import Layout
from sistasks.machine.examination import Examination
from sistasks.session import SESSION_ID, session_logs

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.evidence.monitor import ResourceMonitor
    from sistasks.machine.template import Template
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
        examination: what nodes get that fail; None: they are just ended.
        again: it is the second one, for the host or we failed the first.
        tries: how often a single node may be brought up, where the host or we failed it.
        place: of the nodes' logs among those of the session.
    """

    recipe: Recipe
    terminal: Terminal
    scratch: Path
    monitor: ResourceMonitor
    examination: Examination | None
    again: bool = False
    tries: int = 2
    place: str = ""

    def second(self) -> Execution:
        """Another one after this, whose files do not lie in this one's place."""
        examination = self.examination
        if examination is not None:
            folder = examination.folder
            examination = Examination(folder.with_name(f"{folder.name}.again"), examination.dumps)
        return replace(self, examination=examination, again=True)

    def logs(self, name: str = "") -> Path:
        """The folder of the nodes' logs.

        Args:
            name: of the suite's own, where it has one.
        """
        folder = session_logs(Layout(self.recipe.settings.output)) / (self.place or name)
        return folder / "again" if self.again else folder

    def cluster(self, template: Template | None, logs: str = "", *, timeout: float | None = None) -> Cluster:
        """Nodes each for itself, as many at once as there are processors.

        Args:
            template: what they are cloned from; None boots each one.
            logs: the name of the suite's own folder of logs, where it has one.
            timeout: seconds that a node may take; the recipe's if None.
        """
        recipe = self.recipe
        return Cluster(
            machine=recipe.machine, template=template, logs=self.logs(logs), scratch=self.scratch, session=SESSION_ID,
            slots=recipe.slots, timeout=recipe.timeout if timeout is None else timeout,
            examination=self.examination, tries=self.tries,
        )  # fmt: skip
