"""What nodes tell: the state of a victim, and what became of probes (written by guest/agent/penetration)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS: Final = ("u", "p", "t")
"""Probes by UDP, ICMP (ping) and TCP."""
WORDS: Final = {"u": "UDP", "p": "ICMP", "t": "TCP"}
_PROBE: Final = re.compile(r"([upt])([0-9]{1,19}):([0-9]{1,19})")
_COUNTER: Final = re.compile(r"([A-Za-z0-9]{1,64}):(-?[0-9]{1,20})")
_NUMBER: Final = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe.

    Attributes:
        kind: one of KINDS.
        sent: by the prober's clock, ns.
        took: until its answer, ns; 0: there was none.
    """

    kind: str
    sent: int
    took: int


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A victim at one moment.

    Attributes:
        taken: packets that a program has got and should not have.
        neighbours: lines of its table of neighbours.
        poisoned: 1 where a neighbour has another address than it was given.
        addresses: its IPv6 addresses.
        fragments: bytes that wait for the rest of their packets.
        available: KiB of its memory that are available.
        counters: of its kernel, those that are not 0.
    """

    taken: int = 0
    neighbours: int = 0
    poisoned: int = 0
    addresses: int = 0
    fragments: int = 0
    available: int = 0
    counters: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A strike that has ended.

    Attributes:
        sent: frames that went out.
        refused: frames that the attacker's own kernel did not send.
        took_ns: how long it took.
    """

    sent: int
    refused: int
    took_ns: int


def probes(text: str) -> list[Probe]:
    """Read the probes of an event.

    Raises:
        ValueError: a word of it is none.
    """
    found = []
    for word in text.split():
        match = _PROBE.fullmatch(word)
        if match is None:
            raise ValueError(f"{word[:80]!r} is no probe")
        found.append(Probe(match[1], int(match[2]), int(match[3])))
    return found


def ended(fields: Mapping[str, str]) -> Ended:
    """Read how a strike has ended.

    Raises:
        ValueError: the attacker does not know it, or something is missing or no number.
    """
    if fields.get("known") != "1":
        raise ValueError("it does not know this attack")
    return Ended(**_numbers(fields, ("sent", "refused", "took_ns")))


def state(fields: Mapping[str, str]) -> State:
    """Read the state of a victim.

    Raises:
        ValueError: something of it is missing, or no number.
    """
    counters = {}
    for word in fields.get("counters", "").split():
        match = _COUNTER.fullmatch(word)
        if match is None:
            raise ValueError(f"{word[:80]!r} is no counter")
        counters[match[1]] = int(match[2])
    names = ("taken", "neighbours", "poisoned", "addresses", "fragments", "available")
    return State(**_numbers(fields, names), counters=counters)


def _numbers(fields: Mapping[str, str], names: tuple[str, ...]) -> dict[str, int]:
    found = {}
    for name in names:
        value = fields.get(name, "")
        if not _NUMBER.fullmatch(value):
            raise ValueError(f"{name}={value[:80]!r} is no number")
        found[name] = int(value)
    return found
