"""Where everything lies below `output`: one place, so that nothing is looked for by guessing."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.settings import Settings

_PLAIN: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below the output folder; asking for one makes nothing."""

    output: Path

    @property
    def logs(self) -> Path:
        """One console log a node: `node_N.log`."""
        return self.output / "qemu" / "logs"

    @property
    def results(self) -> tuple[Path, Path]:
        """The two folders that hold the JSON results, as their readers expect."""
        return self.output / "qemu" / "results", self.output / "orchestrator"

    @property
    def orchestrator_log(self) -> Path:
        """Everything that was said, with times."""
        return self.output / "orchestrator" / "orchestrator.log"

    @property
    def build(self) -> Path:
        """Build products and their records."""
        return self.output / "build"

    @property
    def setup(self) -> Path:
        """The record of what was found on this machine."""
        return self.build / "setup.json"

    @property
    def templates(self) -> Path:
        """Frozen templates, a folder each."""
        return self.output / "templates"

    @property
    def profiles(self) -> Path:
        """The plugin that counts instructions, and the agent with its names."""
        return self.build / "profile"

    @property
    def artifacts(self) -> Path:
        """The store of what is kept as evidence."""
        return self.output / "artifacts"

    @property
    def archives(self) -> Path:
        """Bundles of whole runs."""
        return self.output / "archives"

    @property
    def captures(self) -> Path:
        """What went over networks, one file a run."""
        return self.artifacts / "captures"

    def kept_kernels(self, db: Path) -> Path:
        """Kernels that the baselines of a history name, content-addressed; each history has its own."""
        return self.artifacts / "kernels" / hashlib.sha256(str(db.resolve()).encode()).hexdigest()[:12]

    @property
    def scratch(self) -> Path:
        """What only running sessions need, a folder each."""
        return self.output / "run"

    @property
    def doit_state(self) -> Path:
        """Doit's own database."""
        return self.build / "doit.sqlite3"


def kernel_key(settings: Settings) -> str:
    """A file name for the kernel that the settings ask for: readable, and different for different paths."""
    return f"{plain_name(settings.kernel)}-{settings.arch}"


def plain_name(text: str) -> str:
    """A text as a part of a name that any tool takes: readable, and different for different texts."""
    plain = _PLAIN.sub("-", text).strip("-")[-40:]
    return plain if plain == text else plain + "-" + hashlib.sha256(text.encode()).hexdigest()[:8]
