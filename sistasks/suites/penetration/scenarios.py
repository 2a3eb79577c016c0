"""What is sent to whom: the rules of rules/network.toml as scenarios."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.suites.security.rules import load

if TYPE_CHECKING:
    from sistasks.suites.security.rules import Rule

ATTACKER: Final = 1
_FRAMES: Final = 160
_MILLISECONDS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One scenario; what its words mean stands in rules/network.toml.

    Attributes:
        name: as the attacker knows it.
        frames, milliseconds: when it ends, whichever comes first.
        flood, refused, memory, silent, open, ipv6: what is asked of it.
        unchanged: what the victim tells of itself that may not grow; empty: nothing.
        counters: of the victim's kernel, told as evidence.
    """

    name: str
    frames: int = _FRAMES
    milliseconds: int = _MILLISECONDS
    flood: bool = False
    refused: bool = False
    memory: bool = False
    silent: bool = False
    open: bool = False
    ipv6: bool = False
    unchanged: str = ""
    counters: tuple[str, ...] = ()

    @property
    def rule(self) -> str:
        """The name of its rule."""
        return f"network.{self.name}"

    @classmethod
    def of(cls, rule: Rule) -> Scenario:
        """The scenario that a rule describes.

        Raises:
            TypeError: it has a key that no scenario has.
        """
        more = dict(rule.more)
        counters = tuple(more.pop("counters", ()))
        return cls(name=rule.name.removeprefix("network."), counters=counters, **more)


def scenarios() -> tuple[Scenario, ...]:
    """All of them, in the order in which they are run: that of the file."""
    return tuple(Scenario.of(rule) for rule in load("network").values())


@dataclass(frozen=True, slots=True)
class Cast:
    """Who does what in one scenario; the attacker is always ATTACKER."""

    victim: int
    prober: int


def cast(place: int, count: int) -> Cast:
    """Who does what: every other node is the victim in its turn, and the next one watches it.

    Args:
        place: of the scenario among all.
        count: nodes; of two, the attacker must watch, too.
    """
    others = [number for number in range(1, count + 1) if number != ATTACKER]
    at = place % len(others)
    return Cast(others[at], others[(at + 1) % len(others)] if len(others) > 1 else ATTACKER)
