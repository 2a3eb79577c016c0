"""Whether the logs of a replicated protocol keep its promises; docs/consensus.md says how each promise is checked.

What traitors tell is never evidence, neither for nor against anybody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sistasks.consensus.findings import Violation, gathered, names
from sistasks.consensus.records import (
    EMPTY,
    Claim,
    Decision,
    Fate,
    NodeLog,
    chain,
    client_and_number,
    is_valid,
    label,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Found = dict[int, list[tuple[int, str]]]

_TOLD: Final = 4  # what was decided differently at one index, in words


@dataclass(frozen=True, slots=True)
class Cut:
    """A side that was cut off: between its nodes' spans nothing came in from outside it.

    Attributes:
        spans: node -> (from, until) in ns of its own clock, `until` not included; the keys are the side, traitors too.
        certified: decisions at lower indices may have had their quorum when the cut began (messages on their way):
            the largest height at that moment + the decisions under way at once. 0: none may.
    """

    spans: Mapping[int, tuple[int, int]]
    certified: int = 0


@dataclass(frozen=True, slots=True)
class Required:
    """What a test asks for.

    Attributes:
        decisions: entries that every loyal node that could must have at the limit.
        commands: entries other than the empty command among them.
        before: node -> what it had said of its log when the fault came: nothing of it may be lost.
        cuts: sides that were cut off, and when; those with a quorum may decide.
    """

    decisions: int = 0
    commands: int = 0
    before: Mapping[int, Claim] = field(default_factory=dict)
    cuts: Sequence[Cut] = ()


@dataclass(frozen=True, slots=True)
class _Read:
    """A loyal node's log, laid out: by index (the first that came), and its unbroken beginning as a chain."""

    log: NodeLog
    at: dict[int, bytes]
    heads: list[bytes]

    @property
    def node(self) -> int:
        return self.log.node

    @property
    def height(self) -> int:
        """Decisions before the first that is missing."""
        return len(self.heads) - 1

    def told(self) -> tuple[Claim, ...]:
        """What it said of its log, as it came."""
        return self.log.claims if self.log.ended is None else (*self.log.claims, self.log.ended)


def check(
    logs: Sequence[NodeLog], *, n: int, f: int, seed: int, required: Required | None = None
) -> list[Violation]:
    """Every promise that the loyal nodes did not keep.

    Args:
        logs: one of each node, 1 to n, traitors and killed nodes too.
        n: nodes of the cluster.
        f: traitors (or crashed nodes) that the protocol bears; a quorum is n - f.
        seed: of the run, of which commands and chains are made.
        required: what the test asks for beside safety; None: nothing.

    Raises:
        ValueError: the logs are not one of each node, or a fault names nodes that are not there.
    """
    required = required or Required()
    _refuse(logs, required, n)
    loyal = _laid_out(logs, seed)
    return [
        *_order(loyal),
        *_validity(loyal, seed, n),
        *_duplicates(loyal),
        *_chains(loyal),
        *agreement(loyal_logs(logs)),
        *_told_agreement(loyal),
        *_liveness(loyal, required),
        *_lost(loyal, required.before),
        *_minority(loyal, required.cuts, n - f),
    ]


def loyal_logs(logs: Sequence[NodeLog]) -> dict[int, dict[int, bytes]]:
    """Of each loyal node: index -> command, the first that came where an index came twice."""
    ordered = sorted(logs, key=lambda log: log.node)
    return {log.node: _by_index(log) for log in ordered if log.loyal}


def agreement(logs: Mapping[int, Mapping[int, bytes]]) -> list[Violation]:
    """Every pair of nodes that decided differently is in exactly one violation: that of the first index where they did.

    Args:
        logs: node -> index -> command.
    """
    holders: dict[int, dict[bytes, int]] = {}
    for node, commands in logs.items():
        for index, command in commands.items():
            at = holders.setdefault(index, {})
            at[command] = at.get(command, 0) | 1 << node
    known = dict.fromkeys(logs, 0)  # node -> those it is known to differ from, as bits
    violations = []
    for index in sorted(index for index, at in holders.items() if len(at) > 1):
        present = 0
        for mask in holders[index].values():
            present |= mask
        newly = []
        for mask in holders[index].values():
            others = present & ~mask
            for node in _bits(mask):
                if others & ~known[node]:
                    newly.append(node)
                    known[node] |= others
        if newly:
            violations.append(_split(index, holders[index], newly))
    return violations


def _split(index: int, holders: Mapping[bytes, int], nodes: list[int]) -> Violation:
    """The violation of nodes that differ at an index for the first time."""
    among = sum(1 << node for node in nodes)
    parts = {command: mask & among for command, mask in holders.items() if mask & among}
    alike = len({label(command) for command in parts}) < len(parts)  # only their values differ
    told = [
        f"{names(_bits(mask))} decided {command.hex() if alike else label(command)}"
        for command, mask in list(parts.items())[:_TOLD]
    ]
    told += [f"and {len(parts) - _TOLD} more"] * (len(parts) > _TOLD)
    return Violation("agreement", tuple(sorted(nodes)), index, f"at index {index} {', '.join(told)}")


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _refuse(logs: Sequence[NodeLog], required: Required, n: int) -> None:
    """A node that nobody asks about would pass unchecked."""
    everyone = set(range(1, n + 1))
    if sorted(log.node for log in logs) != sorted(everyone):
        raise ValueError(
            f"logs of {names(log.node for log in logs)}; wanted are those of nodes 1-{n}, one each"
        )
    for asked in (required.before, *(cut.spans for cut in required.cuts)):
        if not set(asked) <= everyone:
            raise ValueError(f"a fault of {names(asked)} in a cluster of {n}")


def _entries(log: NodeLog) -> Iterator[tuple[int, Decision]]:
    for frame in log.frames:
        yield from enumerate(frame.entries, frame.first)


def _by_index(log: NodeLog) -> dict[int, bytes]:
    at: dict[int, bytes] = {}
    for index, entry in _entries(log):
        at.setdefault(index, entry.command)
    return at


def _laid_out(logs: Sequence[NodeLog], seed: int) -> list[_Read]:
    """The loyal logs; each distinct one is hashed once."""
    heads: dict[tuple[bytes, ...], list[bytes]] = {}
    loyal = []
    for log in sorted(logs, key=lambda log: log.node):
        if not log.loyal:
            continue
        at = _by_index(log)
        unbroken: list[bytes] = []
        while (command := at.get(len(unbroken))) is not None:
            unbroken.append(command)
        key = tuple(unbroken)
        if key not in heads:
            heads[key] = chain(seed, key)
        loyal.append(_Read(log, at, heads[key]))
    return loyal


def _order(loyal: list[_Read]) -> list[Violation]:
    found: Found = {}
    for read in loyal:
        due = 0
        for frame in read.log.frames:
            if frame.first != due:
                found.setdefault(read.node, []).append((due, f"index {due} is due, {frame.first} came"))
            due = frame.first + len(frame.entries)
    return gathered("order", found)


def _validity(loyal: list[_Read], seed: int, n: int) -> list[Violation]:
    """What is decided must be a command, and its client, if that is loyal, must have submitted it."""
    submitted = {read.node: read.log.submitted for read in loyal if read.log.submitted is not None}
    commands = {command for read in loyal for command in read.at.values()}
    invalid = {
        command
        for command in commands
        if not is_valid(command, seed=seed, n=n) or not _submitted(command, submitted)
    }
    found: Found = {}
    for read in loyal if invalid else ():
        found[read.node] = [
            (index, f"index {index} is {command.hex()}, which no client submitted")
            for index, command in sorted(read.at.items())
            if command in invalid
        ]
    return gathered("validity", found)


def _submitted(command: bytes, submitted: Mapping[int, int]) -> bool:
    """Whether its client may have submitted it, by its own word where there is one."""
    client, number = client_and_number(command)
    return number <= submitted.get(client, number)


def _duplicates(loyal: list[_Read]) -> list[Violation]:
    found: Found = {}
    for read in loyal:
        places: dict[bytes, int] = {}
        for index, command in sorted(read.at.items()):
            before = places.setdefault(command[:8], index)
            if before != index and command != EMPTY:
                words = f"{label(command)} is decided at index {before} and again at {index}"
                found.setdefault(read.node, []).append((index, words))
    return gathered("duplicate", found)


def _chains(loyal: list[_Read]) -> list[Violation]:
    found: Found = {}
    for read in loyal:
        log = read.log
        sent = max(read.at, default=-1) + 1
        wrong = []
        for claim in read.told():
            if claim.height > sent and log.fate is not Fate.KILLED:
                wrong.append((claim.height, f"claims {claim.height} decisions and sent {sent}"))
            elif claim.height <= read.height and not read.heads[claim.height].startswith(claim.head):
                wrong.append((claim.height, f"the head at height {claim.height} is not that of what it sent"))
        if log.ended is None and log.fate is not Fate.KILLED:
            wrong.append((sent, "has not told the head of its log"))
        if log.ended is not None and log.ended.height < sent:
            wrong.append((log.ended.height, f"ended with {log.ended.height} decisions and sent {sent}"))
        found[read.node] = wrong
    return gathered("chain", found)


def _told_agreement(loyal: list[_Read]) -> list[Violation]:
    """Where a log did not come, the heads that its node told must be those of all at that height."""
    told = [(claim, read) for read in loyal for claim in read.told() if claim.height > read.height]
    heads: dict[int, list[tuple[bytes, int]]] = {}
    for height in {claim.height for claim, _ in told}:
        heads[height] = [(read.heads[height], read.node) for read in loyal if read.height >= height]
        heads[height] += [(claim.head, read.node) for claim, read in told if claim.height == height]
    found: Found = {}
    for claim, read in told:
        others = {
            node
            for head, node in heads[claim.height]
            if not (head.startswith(claim.head) or claim.head.startswith(head))
        }
        if others and read.node not in found:
            words = f"its head at height {claim.height} was not that of {names(others)}"
            found[read.node] = [(claim.height - 1, words)]
    return gathered("agreement", found)


def _liveness(loyal: list[_Read], required: Required) -> list[Violation]:
    found: Found = {}
    for read in loyal:
        if read.log.fate is not Fate.ALIVE:
            continue
        commands = sum(command != EMPTY for command in read.at.values())
        if len(read.at) < required.decisions:
            words = f"{len(read.at)} decisions where {required.decisions} are required"
            found[read.node] = [(len(read.at), words)]
        elif commands < required.commands:
            words = f"{commands} commands decided where {required.commands} are required"
            found[read.node] = [(commands, words)]
    return gathered("liveness", found)


def _lost(loyal: list[_Read], before: Mapping[int, Claim]) -> list[Violation]:
    """What a loyal node had decided before the fault must be with every loyal node that could learn of it."""
    witnesses = {read.node: before[read.node] for read in loyal if read.node in before}
    found: Found = {}
    for read in loyal:
        if read.log.fate is not Fate.ALIVE:
            continue
        for witness, claim in sorted(witnesses.items()):
            if claim.height > read.height:
                words = f"has {read.height} decisions, node {witness} had {claim.height} before the fault"
                found.setdefault(read.node, []).append((read.height, words))
            elif not read.heads[claim.height].startswith(claim.head):
                words = f"the first {claim.height} decisions are not those that node {witness} had before the fault"
                found.setdefault(read.node, []).append((claim.height, words))
    return gathered("lost", found)


def _minority(loyal: list[_Read], cuts: Sequence[Cut], quorum: int) -> list[Violation]:
    found: Found = {}
    for cut in cuts:
        if len(cut.spans) >= quorum:
            continue
        for read in loyal:
            if read.node not in cut.spans:
                continue
            begin, end = cut.spans[read.node]
            for index, entry in _entries(read.log):
                if index >= cut.certified and not entry.taken and begin <= entry.at_ns < end:
                    words = f"decided index {index} while {len(cut.spans)} were cut off, and {quorum} make a quorum"
                    found.setdefault(read.node, []).append((index, words))
    return gathered("minority", found)
