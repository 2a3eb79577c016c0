"""Runs of a replicated protocol as nodes would tell of them, and their chains by a second hand."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from sistasks.consensus.checker import Cut, Required, check
from sistasks.consensus.records import Claim, Decision, Decisions, Fate, NodeLog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sistasks.consensus.findings import Violation

STEP = 1000  # ns between two decisions of a node


def submitted(seed: int, client: int, number: int) -> bytes:
    """A client's command, written down from the words of the format alone."""
    head = client.to_bytes(4, "little") + number.to_bytes(4, "little")
    return head + hashlib.sha256(b"sistasks command" + seed.to_bytes(8, "little") + head).digest()[:24]


def head_of(seed: int, commands: Sequence[bytes]) -> bytes:
    digest = hashlib.sha256(b"sistasks ledger" + seed.to_bytes(8, "little")).digest()
    for command in commands:
        digest = hashlib.sha256(digest + command).digest()
    return digest


@dataclass
class Run:
    """A run whose logs can be told again with one thing changed."""

    n: int
    f: int
    seed: int
    commands: list[bytes]  # what was decided
    logs: dict[int, NodeLog]
    required: Required = field(default_factory=Required)

    def claim(self, height: int, commands: Sequence[bytes] | None = None, size: int = 8) -> Claim:
        chosen = (self.commands if commands is None else commands)[:height]
        return Claim(height, head_of(self.seed, chosen)[:size])

    def tell(self, node: int, commands: Sequence[bytes], cuts: Sequence[int] = (), **values: object) -> None:
        """Let a node tell these commands, in frames that end at the cuts."""
        edges = sorted({0, len(commands), *(cut % (len(commands) + 1) for cut in cuts)})
        frames = tuple(
            Decisions(a, tuple(Decision(0, False, STEP * i, commands[i]) for i in range(a, b)))
            for a, b in pairwise(edges)
        )
        told = NodeLog(node, frames, ended=self.claim(len(commands), commands, 32))
        self.logs[node] = dataclasses.replace(told, **values)  # type: ignore[arg-type]

    def change(self, node: int, **values: object) -> None:
        self.logs[node] = dataclasses.replace(self.logs[node], **values)  # type: ignore[arg-type]

    def require(self, **values: object) -> None:
        self.required = dataclasses.replace(self.required, **values)  # type: ignore[arg-type]

    def entries(self, node: int) -> list[Decision]:
        return [entry for frame in self.logs[node].frames for entry in frame.entries]

    def check(self) -> list[Violation]:
        return check(list(self.logs.values()), n=self.n, f=self.f, seed=self.seed, required=self.required)

    def kinds(self) -> set[str]:
        return {violation.kind for violation in self.check()}

    def alive(self) -> list[int]:
        return [node for node, log in self.logs.items() if log.loyal and log.fate is Fate.ALIVE]


def plain(length: int = 6, n: int = 4, seed: int = 7) -> Run:
    """All loyal, all alive, all the same."""
    run = Run(n, (n - 1) // 3, seed, [], {})
    run.commands = [submitted(seed, 1 + i % n, 1 + i // n) for i in range(length)]
    for node in range(1, n + 1):
        run.tell(node, run.commands)
    return run


@st.composite
def runs(draw: st.DrawFn, least: int = 0) -> Run:
    """Correct runs: any heights, frames, gaps, cuts; traitors' garbage; the dead and the cut off.

    The first two nodes are loyal and alive.
    """
    n = draw(st.integers(4, 10))
    length = draw(st.integers(least, 24))
    dice = Random(draw(st.integers(0, 2**32 - 1)))  # noqa: S311 - quicker than a draw for each
    seed = dice.randrange(2**64)
    run = Run(n, (n - 1) // 3, seed, [], {})
    numbers = dice.sample([(client, number) for client in range(1, n + 1) for number in range(1, 30)], length)
    run.commands = [bytes(32) if dice.random() < 0.1 else submitted(seed, *one) for one in numbers]
    bad = dice.sample(range(3, n + 1), dice.randint(0, run.f))
    certain = dice.randint(0, length)  # what all that are alive have
    for node in range(1, n + 1):
        if node in bad and dice.random() < 0.5:
            run.logs[node] = _garbage(node, dice, run)
            continue
        fate = Fate.ALIVE if node not in bad else dice.choice([Fate.KILLED, Fate.CUT_OFF])
        height = dice.randint(certain if fate is Fate.ALIVE else 0, length)
        run.tell(node, run.commands[:height], [dice.randrange(25) for _ in range(3)], fate=fate)
        claims = [run.claim(at) for at in sorted(dice.choices(range(height + 1), k=3))]
        run.change(node, claims=tuple(claims))
        if fate is Fate.KILLED:  # its log has gone with it
            run.change(node, frames=(), ended=None)
    before = {
        node: run.claim(dice.randint(0, certain)) for node, log in run.logs.items() if dice.random() < 0.5
    }
    commands = sum(command != bytes(32) for command in run.commands[:certain])
    run.required = Required(certain, commands, before, _cuts(run, dice))
    return run


def _garbage(node: int, dice: Random, run: Run) -> NodeLog:
    """What a traitor may tell: lies of every kind, and half-truths."""
    commands = [
        dice.choice(
            [dice.randbytes(32), bytes(32), submitted(run.seed, 1, dice.randint(1, 9)), *run.commands]
        )
        for _ in range(dice.randrange(12))
    ]
    entries = tuple(Decision(dice.randrange(9), dice.random() < 0.5, 0, command) for command in commands)
    frames = tuple(Decisions(dice.randrange(9), entries) for _ in range(dice.randrange(3)))
    claims = tuple(Claim(dice.randrange(30), dice.randbytes(8)) for _ in range(dice.randrange(3)))
    return NodeLog(
        node=node, frames=frames, claims=claims, submitted=dice.choice([None, dice.randrange(9)]),
        treason=dice.choice(["silent", "equivocate"]), fate=dice.choice([*Fate]),
    )  # fmt: skip


def _cuts(run: Run, dice: Random) -> list[Cut]:
    """A side with a quorum that decides, and one without that takes, or decides before and after."""
    begin = dice.randrange(24) * STEP
    side = dice.sample(range(1, run.n + 1), dice.randint(1, run.n - run.f - 1))
    end = begin + dice.randrange(24) * STEP
    certified = dice.randrange(24)
    for node in side:
        if run.logs[node].loyal:
            frames = [
                Decisions(frame.first, tuple(
                    dataclasses.replace(entry, taken=begin <= entry.at_ns < end and index >= certified)
                    for index, entry in enumerate(frame.entries, frame.first)
                ))
                for frame in run.logs[node].frames
            ]  # fmt: skip
            run.change(node, frames=tuple(frames))
    most = dice.sample(range(1, run.n + 1), run.n - run.f)
    return [
        Cut(dict.fromkeys(side, (begin, end)), certified),
        Cut(dict.fromkeys(most, (0, 10**9))),
    ]
