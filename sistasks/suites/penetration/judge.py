"""What one scenario has come to: pure, from what was sent, what the victim tells, and what became of the probes."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

from sistasks.protocols.findings import Seen
from sistasks.suites.penetration.told import KINDS, WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sistasks.suites.penetration.scenarios import Scenario
    from sistasks.suites.penetration.told import Probe, State

TIMED: Final = ("u", "p")
"""Probes whose time is one way there and back; a TCP connection takes more of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Probes by the host's clock: `sent` and `took` in ns.

    Attributes:
        before: sent in quiet.
        begin, end: of the strike.
        probes: by whoever watches, before it, meanwhile and after.
    """

    before: Sequence[Probe]
    begin: int
    end: int
    probes: Sequence[Probe] = ()

    @property
    def rest(self) -> Mapping[str, float]:
        """Kind -> median time in quiet, of those that were answered."""
        return {kind: median(found) for kind in KINDS if (found := times(self.before, kind))}

    @property
    def meanwhile(self) -> list[Probe]:
        """Those that were sent during the strike."""
        return [probe for probe in self.probes if self.begin <= probe.sent <= self.end]

    @property
    def connections(self) -> list[Probe]:
        """TCP's that were under way during the strike."""
        over = [probe for probe in self.probes if probe.kind == "t" and probe.sent <= self.end]
        return [probe for probe in over if not probe.took or probe.sent + probe.took >= self.begin]

    def recovery(self) -> int | None:
        """Ns from the strike's end until an answer came as soon as twice the median in quiet; None: it never did."""
        rest = self.rest
        back = [
            probe.sent + probe.took - self.end
            for probe in self.probes
            if probe.took and probe.kind in TIMED and probe.sent + probe.took >= self.end
            and probe.took <= 2 * rest.get(probe.kind, 0)
        ]  # fmt: skip
        return min(back, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """One scenario as it went.

    Attributes:
        victim, sent, refused: who, how many frames, and how many the attacker's own kernel did not send.
        delivered: frames that the switch has brought the victim from the attacker meanwhile; where the attacker asks
            for echoes itself, these are among them.
        pings: echo requests that the victim may have answered.
        before, after: the victim's state.
        timed: what became of the probes.
        renewed: it took connections again only after it had listened anew.
        lingering: bytes of fragments that were still held when the host stopped waiting.
    """

    victim: int
    sent: int
    refused: int
    delivered: int
    pings: int
    before: State
    after: State
    timed: Timed
    renewed: bool = False
    lingering: int = 0


def times(probes: Iterable[Probe], kind: str = "") -> list[int]:
    """How long answers took, ns; of a kind, or of those in TIMED."""
    kinds = (kind,) if kind else TIMED
    return [probe.took for probe in probes if probe.took and probe.kind in kinds]


def answered(probes: Sequence[Probe]) -> int | None:
    """Probes that were answered, of a million; None: there were none."""
    return round(1e6 * sum(bool(probe.took) for probe in probes) / len(probes)) if probes else None


def seen(scenario: Scenario, struck: Struck) -> Seen:
    """What is to be said of the scenario's rule."""
    if not struck.sent:  # the attacker's own echo requests may well have come
        why = f"its own kernel refused all {struck.refused}" if struck.refused else "it did not come to it"
        return Seen(scenario.rule, "error", f"the attacker sent no frame: {why}")
    if not struck.delivered:
        return Seen(scenario.rule, "error", f"none of {struck.sent} frames came to node {struck.victim}")
    wrong = _wrong(scenario, struck)
    return Seen(scenario.rule, "fail" if wrong else "pass", "; ".join([*wrong, *_evidence(scenario, struck)]))


def _wrong(scenario: Scenario, struck: Struck) -> list[str]:
    before, after = struck.before, struck.after
    found = []
    if scenario.refused and after.taken > before.taken:
        found.append(f"{after.taken - before.taken} of the packets reached a program")
    if scenario.unchanged:
        grown = getattr(after, scenario.unchanged) - getattr(before, scenario.unchanged)
        if grown > 0:
            found.append(f"{scenario.unchanged}: {grown} more than before")
    if struck.lingering:
        found.append(f"fragments still hold {struck.lingering} bytes")
    if scenario.silent and (replies := _grown(struck, "IcmpOutEchoReps") - struck.pings) > 0:
        found.append(f"{replies} echo requests to all were answered")
    asked = struck.timed.connections
    if scenario.open and asked and not any(probe.took for probe in asked):
        found.append("no connection that was asked for meanwhile was taken")
    if struck.renewed:
        found.append("no connection was taken afterwards until the port was opened anew")
    if scenario.flood and struck.timed.recovery() is None:
        found.append("answers did not become as quick again as twice their time before")
    return found


def _evidence(scenario: Scenario, struck: Struck) -> list[str]:
    said = [f"{struck.sent} frames sent to node {struck.victim}, {struck.delivered} delivered by the switch"]
    if struck.refused:
        said.append(f"{struck.refused} more were refused by the attacker's own kernel")
    counted = [f"{name} +{more}" for name in scenario.counters if (more := _grown(struck, name))]
    if counted:
        said.append("the victim counted " + ", ".join(counted))
    meanwhile = struck.timed.meanwhile
    shares = []
    for kind in KINDS:
        some = [probe for probe in meanwhile if probe.kind == kind]
        if some:
            shares.append(f"{sum(bool(probe.took) for probe in some)}/{len(some)} {WORDS[kind]}")
    if shares:
        said.append("answered meanwhile: " + ", ".join(shares))
    if scenario.flood and (back := struck.timed.recovery()) is not None:
        said.append(f"as quick as before after {back / 1e6:.1f} ms")
    return said


def _grown(struck: Struck, name: str) -> int:
    return struck.after.counters.get(name, 0) - struck.before.counters.get(name, 0)
