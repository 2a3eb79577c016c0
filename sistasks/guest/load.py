"""What a node is told of the load that it is to put on its kernel (read by guest/agent/stress/phases.c and tool.c)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

STRESSORS_MAX: Final = 16
LINE_MAX: Final = 399
"""What the agent has room for: stressors of a class, and bytes of the line of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The load of a node.

    Attributes:
        seconds: class -> how long its load lasts.
        stressors: class -> lines `NAME ARGUMENTS` for stress-ng; `N%` stands for N hundredths of the memory that is
            available when the load begins.
        skipped: class -> why it is not run.
        patience: seconds in which the probe must answer, and after which a load should long have ended.
        settle: seconds in which everything must be back after a load.
        own: the agent's own stressors, also where there is stress-ng.
        plant: a fault by which a test sees that it is noticed: `flip` (one bit of what a stressor of the agent's has
            written) or `leak` (a process that does not end); empty: none.
        count: nodes on the switch.
        network: their IPv4 network in host order; node n has network + n.
    """

    seconds: Mapping[str, float]
    stressors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    patience: float = 60.0
    settle: float = 30.0
    own: bool = False
    plant: str = ""
    count: int = 0
    network: int = 0

    def lines(self) -> str:
        """Its part of the plan's page.

        Raises:
            ValueError: more stressors, or longer lines, than the agent has room for.
        """
        keys = {
            "stress_patience_ms": str(round(self.patience * 1000)),
            "stress_settle_ms": str(round(self.settle * 1000)),
        }
        for name, seconds in self.seconds.items():
            keys[f"stress_{name}_ms"] = str(round(seconds * 1000))
            lines = self.stressors.get(name, ())
            if len(lines) > STRESSORS_MAX or any(len(line) > LINE_MAX for line in lines):
                raise ValueError(f"{name} has more than the agent has room for")
            keys |= {f"stress_{name}_{index}": line for index, line in enumerate(lines)}
        keys |= {f"stress_{name}_skip": why for name, why in self.skipped.items()}
        if self.own:
            keys["stress_own"] = "1"
        if self.plant:
            keys["stress_plant"] = self.plant
        if self.count:
            keys |= {"stress_count": str(self.count), "stress_network": str(self.network)}
        return "".join(f"{key}={value}\n" for key, value in keys.items())
