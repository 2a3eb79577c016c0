"""What a node tells while a protocol runs: the payload of EVENT frames, `key=value` lines.

Each has `event` (its kind) and `at_ns` (the node's own clock). Kinds that are not known are kept as they are; of those
that are known, keys that are not known are passed over.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final

_UINT64: Final = 1 << 64
_KEY: Final = re.compile(r"[a-z][a-z0-9_]*")
_DIGITS: Final = re.compile(r"[0-9]{1,20}")
_HEX: Final = re.compile(r"[0-9a-f]*")
_HEAD_BYTES: Final = {"progress": 8, "ended": 32}


class EventError(ValueError):
    """The bytes are not an event as the agent sends them."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a node told; at_ns by its own clock."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class Waiting(Event):
    """Ready for a test, and waits for the word to start."""

    test: str


@dataclass(frozen=True, slots=True)
class Started(Event):
    """Has begun."""

    protocol: str = ""


@dataclass(frozen=True, slots=True)
class Stopped(Event):
    """Has heard the word to stop."""

    test: str = ""


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """Its log has grown, or its round: height in decisions, the first 8 bytes of its head."""

    height: int
    round: int
    head: bytes


@dataclass(frozen=True, slots=True)
class Round(Event):
    """Has come to a view, led by a node."""

    view: int
    leader: int


@dataclass(frozen=True, slots=True)
class Vote(Event):
    """Has given its vote of a term."""

    term: int
    candidate: int


@dataclass(frozen=True, slots=True)
class Candidate(Event):
    """Asks to be elected, and votes for itself."""

    term: int


@dataclass(frozen=True, slots=True)
class Leader(Event):
    """Takes itself for the leader of a term."""

    term: int


@dataclass(frozen=True, slots=True)
class Follow(Event):
    """Has learnt who leads a term."""

    term: int
    leader: int


@dataclass(frozen=True, slots=True)
class Stepdown(Event):
    """Leads no longer."""

    term: int


@dataclass(frozen=True, slots=True)
class Counters(Event):
    """Messages that it sent, received, and dropped or could not send."""

    sent: int
    received: int
    malformed: int
    forged: int
    unsendable: int = 0


@dataclass(frozen=True, slots=True)
class Ended(Event):
    """Its log at the end: height in decisions, the whole head of 32 bytes, how many commands it submitted itself."""

    height: int
    head: bytes
    submitted: int


@dataclass(frozen=True, slots=True)
class Unknown(Event):
    """An event of a kind that is not known here, as it came (without `event` and `at_ns`)."""

    kind: str
    fields: dict[str, str]


_KINDS: Final[dict[str, type[Any]]] = {
    "waiting": Waiting,
    "started": Started,
    "stopped": Stopped,
    "progress": Progress,
    "round": Round,
    "vote": Vote,
    "candidate": Candidate,
    "leader": Leader,
    "follow": Follow,
    "stepdown": Stepdown,
    "counters": Counters,
    "ended": Ended,
}
_NAMES: Final = {event: kind for kind, event in _KINDS.items()}


def decode_event(payload: bytes) -> Event:
    """Read the payload of an EVENT frame.

    Raises:
        EventError: not UTF-8, a line that is no `key=value`, a key twice, one that is missing, or a value that is none.
    """
    found = _lines(payload)
    kind = found.pop("event", None)
    at = found.pop("at_ns", None)
    if not kind or at is None:
        raise EventError(f"an event without its {'time' if kind else 'kind'}")
    at_ns = _number(kind, "at_ns", at)
    event = _KINDS.get(kind)
    if event is None:
        return Unknown(at_ns, kind, found)
    values: dict[str, int | str | bytes] = {}
    for field in fields(event)[1:]:
        text = found.get(field.name)
        if text is not None:
            values[field.name] = _value(kind, field.name, str(field.type), text)
        elif field.default is MISSING:
            raise EventError(f"{kind} without {field.name}")
    made: Event = event(at_ns, **values)
    return made


def encode_event(event: Event) -> bytes:
    """The payload of an EVENT frame: the oracle for the agent's C, used by tests."""
    if isinstance(event, Unknown):
        kind, values = event.kind, dict(event.fields)
    else:
        kind, values = _NAMES[type(event)], {}
        for field in fields(event)[1:]:
            value = getattr(event, field.name)
            values[field.name] = value.hex() if isinstance(value, bytes) else str(value)
    pairs = {"event": kind, "at_ns": str(event.at_ns), **values}
    return "".join(f"{key}={value}\n" for key, value in pairs.items()).encode()


def _lines(payload: bytes) -> dict[str, str]:
    """The `key=value` lines; each key once."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        raise EventError("an event that is no text") from None
    found: dict[str, str] = {}
    for line in filter(None, text.split("\n")):
        key, equals, value = line.partition("=")
        if not equals or not _KEY.fullmatch(key) or key in found:
            raise EventError(f"an event with the line {line[:80]!r}")
        found[key] = value
    return found


def _value(kind: str, key: str, form: str, text: str) -> int | str | bytes:
    if form == "str":
        return text
    if form == "int":
        return _number(kind, key, text)
    if len(text) != 2 * _HEAD_BYTES[kind] or not _HEX.fullmatch(text):
        raise EventError(f"{kind} with {key}={text[:80]!r}")
    return bytes.fromhex(text)


def _number(kind: str, key: str, text: str) -> int:
    if not _DIGITS.fullmatch(text) or int(text) >= _UINT64:
        raise EventError(f"{kind} with {key}={text[:80]!r}")
    return int(text)
