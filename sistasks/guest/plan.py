"""What one node is asked to do, as the page that the agent maps (read by guest/agent/plan.c)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sistasks.guest.load import Load
    from sistasks.guest.place import Place
    from sistasks.guest.programs import Program

PAGE_SIZE: Final = 16384
TESTS_MAX: Final = 511
# most nodes of one cluster, and bytes of the secret that two of them share (agent: replica.h, test_distributed.c)
REPLICAS_MAX: Final = 128
SECRET_SIZE: Final = 16
_SYMBOLS_ROOM: Final = 32 << 20
MARK_SIZE: Final = 4
"""The page's last bytes are the agent's: the number of the test under way, little endian, from 1; 0: none."""
FUZZ_CALLS: Final = 1000
SYMBOLS: Final = "kallsyms"
VMCOREINFO: Final = "vmcoreinfo"
"""Names of the files that `symbols` brings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """What a node that is one replica of a cluster is told beside its tests.

    Attributes:
        count: replicas of the cluster, at most REPLICAS_MAX.
        cluster_seed: the run's seed, equal for all.
        secrets: what this node shares with node 1, 2, ... (with itself too), SECRET_SIZE bytes each.
        network: the network's IPv4 address in host order; node n has network + n.
        timeouts: test -> patience before a leader is given up, in seconds.
        report: seconds between two words of progress.
        protocol: `pbft` or `hotstuff`.
        pipeline: decisions under way at once.
        decisions: test -> commands after which nobody proposes more; without it there is no end.
        quorum: 0: as the protocol needs; else what this node takes for one, right or wrong.
        authenticate: messages carry MACs and are refused without.
        treasons: test -> what this replica does to the others in it.
    """

    count: int
    cluster_seed: int
    secrets: tuple[bytes, ...]
    network: int
    timeouts: dict[str, float]
    report: float
    protocol: str = "pbft"
    pipeline: int = 1
    quorum: int = 0
    authenticate: bool = True
    decisions: dict[str, int] = field(default_factory=dict)
    treasons: dict[str, str] = field(default_factory=dict)

    def lines(self) -> str:
        """Its part of the plan's page."""
        own = {f"{test}_timeout_ms": round(seconds * 1000) for test, seconds in self.timeouts.items()}
        own |= {f"{test}_decisions": count for test, count in self.decisions.items()}
        words = own | {f"{test}_treason": treason for test, treason in self.treasons.items()}
        lines = "".join(f"{key}={value}\n" for key, value in words.items())
        return (
            f"count={self.count}\ncluster_seed={self.cluster_seed}\nquorum={self.quorum}\n{lines}"
            f"report_ms={max(1, round(self.report * 1000))}\nprotocol={self.protocol}\npipeline={self.pipeline}\n"
            f"network={self.network}\nauthenticate={int(self.authenticate)}\n"
            f"keys={''.join(secret.hex() for secret in self.secrets)}\n"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fuzz:
    """What the agent's test `fuzzing` is told; what its calls are follows from the plan's seed and an episode's number.

    Attributes:
        episodes: how many.
        first: the number of the first of them, from 1.
        calls: system calls of each.
    """

    episodes: int
    first: int = 1
    calls: int = FUZZ_CALLS

    def lines(self) -> str:
        """Its part of the plan's page."""
        return f"fuzz_episodes={self.episodes}\nfuzz_first={self.first}\nfuzz_calls={self.calls}\n"


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
        replica: its part in a cluster, where it has one.
        place: on a switch, where it needs to know no more of the others.
        programs: those of the user's among the tests.
        fuzz: what the test `fuzzing` does, where it is among them.
        prints: tests of the agent that print METRIC lines, as programs do.
        load: that it puts on its kernel, for tests that do.
        trace: `yes`, `function` or `events`: what the kernel does in each test is sent, too; `no`: it is not.
        trace_room: bytes of text that the trace of a test may have.
        beat: seconds of the guest's clock that a test may take (a program its own limit, if that is longer) until the
            watchdog stops the machine; 0: for ever. A limit that it cannot count to (2082 s) has no beat: the host's
            own limit is all there is.
        symbols: the kernel's functions and where its vmcoreinfo lies are sent before the tests.
    """

    node: int
    seed: int
    tests: tuple[str, ...] = ()
    iterations: int = 0
    freeze: bool = False
    aligned: bool = False
    hold: bool = False
    replica: Replica | None = None
    place: Place | None = None
    programs: tuple[Program, ...] = ()
    fuzz: Fuzz | None = None
    prints: tuple[str, ...] = ()
    load: Load | None = None
    trace: str = "no"
    trace_room: int = 0
    beat: float = 0.0
    symbols: bool = False

    @property
    def files(self) -> dict[str, int]:
        """Files that the guest is asked for: name -> most bytes."""
        asked = dict.fromkeys(self.tests, self.trace_room) if self.trace != "no" else {}
        return asked | ({SYMBOLS: _SYMBOLS_ROOM, VMCOREINFO: 1 << 15} if self.symbols else {})

    def _more(self) -> str:
        """Lines that few plans have."""
        lines = f"trace={self.trace}\ntrace_room={self.trace_room}\n" if self.trace != "no" else ""
        lines += self.fuzz.lines() if self.fuzz is not None else ""
        lines += f"beat_ms={max(1, round(self.beat * 1000))}\n" if self.beat else ""
        lines += "" if self.load is None else self.load.lines()
        return lines + ("symbols=1\n" if self.symbols else "")

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
            + ("" if self.replica is None else self.replica.lines())
            + ("" if self.place is None else self.place.lines())
            + "".join(program.lines() for program in self.programs)
            + self._more()
        ).encode()
        digest = 0xCBF29CE484222325
        for byte in body:
            digest = (digest ^ byte) * 0x100000001B3 % (1 << 64)
        page = b"SISPLAN1 %d %016x\n" % (len(body), digest) + body
        if len(page) > PAGE_SIZE - MARK_SIZE:
            room = PAGE_SIZE - MARK_SIZE
            raise ValueError(f"a plan of {len(page)} bytes does not fit the {room} of its page")
        return page.ljust(PAGE_SIZE, b"\0")
