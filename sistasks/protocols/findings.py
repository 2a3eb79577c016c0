"""What a guest has seen of a rule: lines `FINDING <rule> <outcome> <evidence>` (written by guest/agent/findings.c)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

OUTCOMES: Final = ("pass", "fail", "skip", "error")
EVIDENCE_MAX: Final = 2000
"""Letters of evidence that are kept."""
MARK: Final = "FINDING "
_LINE: Final = re.compile(r"FINDING ([a-z0-9_.-]{1,80}) (pass|fail|skip|error)(?: (.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one rule.

    Attributes:
        rule: its name.
        outcome: one of OUTCOMES.
        evidence: in words; may be empty.
    """

    rule: str
    outcome: str
    evidence: str = ""


def parse(line: str) -> Seen:
    """Read a line without control characters.

    Raises:
        ValueError: it is none, or names no outcome.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError("no line of the form FINDING <rule> <outcome> <evidence>")
    return Seen(match[1], match[2], (match[3] or "").strip()[:EVIDENCE_MAX])
