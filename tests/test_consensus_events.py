"""Events: what the agent tells is what is read, unknown kinds are kept, and anything else is an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sistasks.consensus import events
from sistasks.consensus.events import EventError, decode_event, encode_event

if TYPE_CHECKING:
    from collections.abc import Callable

dull = settings(deadline=None)
NUMBER = st.integers(0, 2**64 - 1)
TEXT = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=20)
KEYS = st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True).filter(lambda key: key not in {"event", "at_ns"})


def anything(kind: type[events.Event]) -> st.SearchStrategy[events.Event]:
    size = 8 if kind is events.Progress else 32
    values = {"int": NUMBER, "str": TEXT, "bytes": st.binary(min_size=size, max_size=size)}
    make: Callable[..., events.Event] = kind
    return st.builds(make, NUMBER, *(values[form] for form in kind.__annotations__.values()))


UNKNOWN = st.builds(
    events.Unknown, NUMBER, st.sampled_from(["control", "x"]), st.dictionaries(KEYS, TEXT, max_size=4)
)
EVENTS = st.one_of(*map(anything, events._NAMES), UNKNOWN)


@dull
@given(EVENTS)
def test_round_trip(event: events.Event) -> None:
    assert decode_event(encode_event(event)) == event


@pytest.mark.parametrize(("text", "event"), [
    ("event=waiting\nat_ns=1\ntest=consensus\n", events.Waiting(1, "consensus")),
    ("at_ns=2\nevent=started", events.Started(2)),
    ("event=started\nat_ns=2\nprotocol=pbft\n", events.Started(2, "pbft")),
    ("event=stopped\nat_ns=2\n", events.Stopped(2)),
    ("event=progress\nat_ns=3\nheight=9\nround=2\nhead=0123456789abcdef\n",
     events.Progress(3, 9, 2, bytes.fromhex("0123456789abcdef"))),
    ("event=round\nat_ns=4\nview=1\nleader=2\n", events.Round(4, 1, 2)),
    ("event=vote\nat_ns=4\nterm=1\ncandidate=2\n", events.Vote(4, 1, 2)),
    ("event=candidate\nat_ns=4\nterm=1\n", events.Candidate(4, 1)),
    ("event=leader\nat_ns=4\nterm=1\n", events.Leader(4, 1)),
    ("event=follow\nat_ns=4\nterm=1\nleader=3\n", events.Follow(4, 1, 3)),
    ("event=stepdown\nat_ns=4\nterm=1\n", events.Stepdown(4, 1)),
    ("event=counters\nat_ns=5\nsent=1\nreceived=2\nmalformed=3\nforged=4\n", events.Counters(5, 1, 2, 3, 4, 0)),
    ("event=counters\nat_ns=5\nsent=1\nreceived=2\nmalformed=3\nforged=4\nunsendable=5\n",
     events.Counters(5, 1, 2, 3, 4, 5)),
    ("event=ended\nat_ns=6\nheight=0\nsubmitted=3\nhead=" + "0f" * 32, events.Ended(6, 0, b"\x0f" * 32, 3)),
    ("event=control\nat_ns=7\nnumber=3\n", events.Unknown(7, "control", {"number": "3"})),
    ("event=leader\nat_ns=4\nterm=1\nmood=a=b\n", events.Leader(4, 1)),
])  # fmt: skip
def test_what_the_agent_tells(text: str, event: events.Event) -> None:
    assert decode_event(text.encode()) == event


@pytest.mark.parametrize("text", [
    "", "at_ns=1\n", "event=leader\nterm=1\n", "event=\nat_ns=1\n",
    "event=leader\nat_ns=1\n",
    "event=leader\nat_ns=1\nterm=1\nterm=1\n",
    "event=leader\nat_ns=1\nterm=1\nwhat\n",
    "event=leader\nat_ns=1\nterm=1\n=2\n",
    "event=leader\nat_ns=1\nterm=1\nMood=2\n",
    "event=vote\nat_ns=1\nterm=1\n",
    "event=ended\nat_ns=1\nheight=1\nsubmitted=1\nhead=0123456789abcdef\n",
    "event=ended\nat_ns=1\nheight=1\nhead=" + "0f" * 32,
    "event=progress\nat_ns=1\nheight=1\nround=0\nhead=" + "0f" * 32,
    "event=progress\nat_ns=1\nheight=1\nround=0\nhead=0123456789ABCDEF\n",
    "event=progress\nat_ns=1\nheight=1\nround=0\nhead=01 23 45 67 89 a\n",
    *(f"event=leader\nat_ns=1\nterm={value}\n"
      for value in ("", "-1", "+1", " 1", "1_0", "0x1", "1.0", "\u0661", "9" * 30, str(2**64))),
    *(f"event={kind}\nat_ns={value}\nterm=1\n" for kind in ("leader", "x") for value in ("", "-1", "soon")),
])  # fmt: skip
def test_what_is_refused(text: str) -> None:
    with pytest.raises(EventError):
        decode_event(text.encode())


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(EventError, match="no text"):
        decode_event(b"event=x\nat_ns=1\nname=\xff\n")


@dull
@given(st.binary(max_size=60) | st.text(st.sampled_from("event=at_ns1\nlrd"), max_size=60).map(str.encode))
def test_any_bytes_are_an_event_or_an_error(payload: bytes) -> None:
    try:
        event = decode_event(payload)
    except EventError:
        return
    assert decode_event(encode_event(event)) == event


@dull
@given(EVENTS, st.data())
def test_a_damaged_event_is_an_error_or_an_event(event: events.Event, data: st.DataObject) -> None:
    payload = bytearray(encode_event(event))
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    test_any_bytes_are_an_event_or_an_error.hypothesis.inner_test(bytes(payload))  # type: ignore[attr-defined]
