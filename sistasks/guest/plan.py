"""What one node is asked to do, as the page that the agent maps (read by guest/agent/plan.c)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PAGE_SIZE: Final = 4096
TESTS_MAX: Final = 511


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One node's plan.

    Attributes:
        node: the node's number, from 1; 0 for a template.
        seed: the run's seed + the node number.
        tests: names of the agent's tests, in order.
        iterations: samples of each test.
        freeze: this node becomes a template.
        aligned: virtual clock: begin tests on boundaries that no host input can move.
        hold: stay up after the tests until the host ends the node.
    """

    node: int
    seed: int
    tests: tuple[str, ...] = ()
    iterations: int = 0
    freeze: bool = False
    aligned: bool = False
    hold: bool = False

    def page(self) -> bytes:
        """The page, `PAGE_SIZE` bytes: `SISPLAN1 <length> <FNV-1a 64 of the rest>`, then `key=value` lines.

        Raises:
            ValueError: a test's name would be read otherwise, or the names are too long for the agent.
        """
        for name in self.tests:
            if not name.isprintable() or not name.strip() or "," in name:
                raise ValueError(f"{name!r} cannot be the name of a test")
        tests = ",".join(self.tests)
        if len(tests.encode()) > TESTS_MAX:
            raise ValueError(f"a plan names at most {TESTS_MAX} bytes of tests")
        body = (
            f"node={self.node}\nseed={self.seed}\nfreeze={int(self.freeze)}\naligned={int(self.aligned)}\n"
            f"hold={int(self.hold)}\niterations={self.iterations}\ntests={tests}\n"
        ).encode()
        digest = 0xCBF29CE484222325
        for byte in body:
            digest = (digest ^ byte) * 0x100000001B3 % (1 << 64)
        return (b"SISPLAN1 %d %016x\n" % (len(body), digest) + body).ljust(PAGE_SIZE, b"\0")
