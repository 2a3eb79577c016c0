"""What is evidence, as data: a file somewhere on the host that says how a node ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

# the folders of the store
KINDS: Final = ("logs", "core_dumps", "traces", "screenshots", "captures", "kernels", "metadata")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One file.

    Attributes:
        node: whose; 0 for the cluster's.
        kind: one of KINDS.
        path: where it is now; the store copies it.
        name: what a person calls it, `console.log`; its suffix tells what is in it.
    """

    node: int
    kind: str
    path: Path
    name: str
