"""What a node tells of its log: the payload of DECISIONS frames, and all that one node told of one test.

A payload is, little endian: index of the first entry u32, count u32, then entries of 48 bytes: round u32, how u32
(0: decided by the node itself, 1: taken from others), at u64 (ns of the node's own clock), command of 32 bytes.
A command is client u32, number u32, value of 24 bytes; all zero is the empty command (guest/agent/replica/ledger.c).
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_HEAD: Final = struct.Struct("<II")
_ENTRY: Final = struct.Struct("<IIQ32s")
_COMMAND: Final = struct.Struct("<II24s")
_UINT32: Final = 1 << 32
EMPTY: Final = bytes(_COMMAND.size)


class DecisionError(ValueError):
    """The bytes are not decisions as the agent sends them."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One entry of a node's log.

    Attributes:
        round: view or term in which it was decided.
        taken: given by others (catch-up), not decided by the node itself.
        at_ns: when, by the node's own clock.
        command: 32 bytes; `EMPTY` fills a gap.
    """

    round: int
    taken: bool
    at_ns: int
    command: bytes


@dataclass(frozen=True, slots=True)
class Decisions:
    """A run of entries: `entries[i]` is the decision at index `first + i`."""

    first: int
    entries: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a node says of its log at one moment.

    Attributes:
        height: decisions that it has.
        head: head of its hash chain, or the first bytes of it (progress events carry 8 of the 32).

    Raises:
        ValueError: a head so short that nearly any log would have it.
    """

    height: int
    head: bytes

    def __post_init__(self) -> None:
        if not 8 <= len(self.head) <= 32:
            raise ValueError(f"a head of {len(self.head)} bytes")


class Fate(enum.Enum):
    """How a node came out of a test."""

    ALIVE = "alive"
    CUT_OFF = "cut off"  # at the end it could not hear a quorum: it owes no decisions
    KILLED = "killed"  # what it told last may never have left it


@dataclass(frozen=True, slots=True)
class NodeLog:
    """All that one node told of one test, from its start to its end.

    Attributes:
        node: its number, from 1.
        frames: its DECISIONS frames, as they came.
        claims: what it said of its log on the way, as it came.
        ended: its last word on its log; None where there was none.
        submitted: commands that it submitted as a client, numbered from 1; None where it has not told.
        treason: what the plan made it do; empty: loyal.
        fate: how it came out.
    """

    node: int
    frames: tuple[Decisions, ...]
    claims: tuple[Claim, ...] = ()
    ended: Claim | None = None
    submitted: int | None = None
    treason: str = ""
    fate: Fate = Fate.ALIVE

    @property
    def loyal(self) -> bool:
        """Whether the plan left it honest."""
        return not self.treason


def decode_decisions(payload: bytes) -> Decisions:
    """Read the payload of a DECISIONS frame.

    Raises:
        DecisionError: cut off, bytes left over, indices beyond 32 bits, or an entry neither decided nor taken.
    """
    if len(payload) < _HEAD.size:
        raise DecisionError(f"decisions in {len(payload)} bytes")
    first, count = _HEAD.unpack_from(payload)
    if len(payload) - _HEAD.size != count * _ENTRY.size:
        raise DecisionError(f"{count} decisions announced, {len(payload) - _HEAD.size} bytes of them came")
    if first + count > _UINT32:
        raise DecisionError(f"{count} decisions from index {first} on")
    entries = []
    for number, how, at_ns, command in _ENTRY.iter_unpack(memoryview(payload)[_HEAD.size :]):
        if how > 1:
            raise DecisionError(f"a decision made in the way {how}")
        entries.append(Decision(number, how == 1, at_ns, command))
    return Decisions(first, tuple(entries))


def encode_decisions(decisions: Decisions) -> bytes:
    """The payload of a DECISIONS frame: the oracle for the agent's C, used by tests."""
    return _HEAD.pack(decisions.first, len(decisions.entries)) + b"".join(
        _ENTRY.pack(entry.round, entry.taken, entry.at_ns, entry.command) for entry in decisions.entries
    )


def command_of(seed: int, client: int, number: int) -> bytes:
    """The one command that a client may submit under this number; 32 bytes."""
    digest = sha256(b"sistasks command" + struct.pack("<QII", seed, client, number)).digest()
    return _COMMAND.pack(client, number, digest[:24])


def is_valid(command: bytes, *, seed: int, n: int) -> bool:
    """Whether a client of a cluster of n nodes could have submitted it, or it is the empty command."""
    if command == EMPTY:
        return True
    client, number, _ = _COMMAND.unpack(command)
    return 1 <= client <= n and number >= 1 and command == command_of(seed, client, number)


def client_and_number(command: bytes) -> tuple[int, int]:
    """Who submits a command, and the how-manieth of that client's it is; both 0 for the empty command."""
    client, number, _ = _COMMAND.unpack(command)
    return client, number


def label(command: bytes) -> str:
    """A command in words: `command 7 of client 2`, or `the empty command`."""
    if command == EMPTY:
        return "the empty command"
    client, number = client_and_number(command)
    return f"command {number} of client {client}"


def chain(seed: int, commands: Iterable[bytes]) -> list[bytes]:
    """Heads of the hash chain: `chain(...)[h]` is the head of a log with h decisions.

    head(0) = SHA-256("sistasks ledger" || seed u64), head(i + 1) = SHA-256(head(i) || command i).
    """
    head = sha256(b"sistasks ledger" + struct.pack("<Q", seed)).digest()
    heads = [head]
    for command in commands:
        head = sha256(head + command).digest()
        heads.append(head)
    return heads
