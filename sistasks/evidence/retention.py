"""What of the kept evidence may go: a pure decision by age, count and bytes of each kind.

Of each kind the newest stay. Counting from them, a row goes when it is older than the limit, or when with it there
would be more rows, or more bytes on the disk, than the limit allows; then all that is older goes, too. What is
protected stays: the row is to be kept until a date, or its run is worth it. It counts like the rest, and first, so that
the limits hold where they can.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sistasks.kinds import show_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Limits for each kind.

    Attributes:
        days: how long a file is kept.
        count: how many rows.
        size: how many bytes on the disk.
    """

    days: float
    count: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One row of `artifacts`, as far as it matters here.

    Attributes:
        id, run_id, kind: the row's.
        content: what names its content: rows with the same content share a file, which costs its bytes once.
        stored: bytes that the file takes on the disk; 0 where it is gone.
        created_at: None where it cannot be read: then only count and bytes take the row, and it is older than all.
        keep_until: the row stays until then.
    """

    id: int
    run_id: int
    kind: str
    content: str
    stored: int
    created_at: dt.datetime | None
    keep_until: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What goes and what stays although a limit says that it should go.

    Attributes:
        gone: row -> which limit, in words.
        spared: row -> why it stays, in words.
    """

    gone: Mapping[int, str] = field(default_factory=dict)
    spared: Mapping[int, str] = field(default_factory=dict)


_BEGINNING: Final = dt.datetime.min.replace(tzinfo=dt.UTC)


def decide(items: Iterable[Item], policy: Policy, now: dt.datetime, protected: Mapping[int, str]) -> Decision:
    """What of the rows goes.

    Args:
        items: rows of one history.
        policy: the limits.
        now: an aware moment; rows from after it (a clock was set back) are young.
        protected: run -> why its rows stay.
    """
    gone: dict[int, str] = {}
    spared: dict[int, str] = {}
    kinds: dict[str, list[Item]] = {}
    for item in items:
        kinds.setdefault(item.kind, []).append(item)
    for kind, rows in kinds.items():
        rows.sort(key=lambda item: (item.created_at or _BEGINNING, item.id), reverse=True)
        safe = {item.id: why for item in rows if (why := _why(item, now, protected))}
        files = {item.content: item.stored for item in rows if item.id in safe}
        count, size, full = len(safe), sum(files.values()), ""
        for item in rows:
            cost = 0 if item.content in files else item.stored
            if item.id not in safe and not full:
                full = _full(kind, count + 1, size + cost, policy)
            limit = _aged(item, policy, now) or full
            if limit and item.id in safe:
                spared[item.id] = safe[item.id]
            elif limit:
                gone[item.id] = limit
            elif item.id not in safe:
                count, size = count + 1, size + cost
                files[item.content] = item.stored
    return Decision(gone=gone, spared=spared)


def _full(kind: str, count: int, size: int, policy: Policy) -> str:
    """Which limit so many rows and bytes are beyond, in words; empty: none."""
    if count > policy.count:
        return f"beyond {policy.count} {kind}"
    return f"beyond {show_size(policy.size)} of {kind}" if size > policy.size else ""


def _why(item: Item, now: dt.datetime, protected: Mapping[int, str]) -> str:
    """Why a row may not go; empty: it may."""
    if item.keep_until is not None and item.keep_until > now:
        return "to be kept until a date"
    return protected.get(item.run_id, "")


def _aged(item: Item, policy: Policy, now: dt.datetime) -> str:
    if item.created_at is None or (now - item.created_at).total_seconds() <= policy.days * 86400:
        return ""
    return f"older than {policy.days:g} days"
