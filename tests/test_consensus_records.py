"""Decisions over the wire: what was encoded is what is read; anything else is an error."""

from __future__ import annotations

import struct

import pytest
from consensus_runs import head_of, submitted
from hypothesis import given, settings
from hypothesis import strategies as st

from sistasks.consensus.records import (
    Claim,
    Decision,
    DecisionError,
    Decisions,
    NodeLog,
    chain,
    command_of,
    decode_decisions,
    encode_decisions,
    is_valid,
    label,
)

dull = settings(deadline=None)
UINT32, UINT64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
ENTRIES = st.builds(Decision, UINT32, st.booleans(), UINT64, st.binary(min_size=32, max_size=32))
DECISIONS = st.builds(Decisions, st.integers(0, 2**32 - 9), st.lists(ENTRIES, max_size=8).map(tuple))


@dull
@given(DECISIONS)
def test_round_trip(decisions: Decisions) -> None:
    assert decode_decisions(encode_decisions(decisions)) == decisions


def test_the_layout_is_that_of_the_agent() -> None:
    command = bytes(range(32))
    payload = struct.pack("<II", 5, 1) + struct.pack("<IIQ", 3, 1, 2**40) + command
    assert decode_decisions(payload) == Decisions(5, (Decision(3, True, 2**40, command),))


@dull
@given(st.binary(max_size=200))
def test_any_bytes_are_decisions_or_an_error(payload: bytes) -> None:
    try:
        decisions = decode_decisions(payload)
    except DecisionError:
        return
    assert encode_decisions(decisions) == payload


@dull
@given(DECISIONS, st.data())
def test_a_payload_cut_off_or_with_more_is_an_error(decisions: Decisions, data: st.DataObject) -> None:
    payload = encode_decisions(decisions)
    cut = data.draw(st.integers(0, len(payload) - 1))
    for wrong in (payload[:cut], payload + b"\0", payload + bytes(48)):
        with pytest.raises(DecisionError):
            decode_decisions(wrong)


@pytest.mark.parametrize(("payload", "words"), [
    (b"\0" * 7, "decisions in 7 bytes"),
    (struct.pack("<II", 0, 2) + bytes(48), "2 decisions announced, 48 bytes of them came"),
    (struct.pack("<II", 2**32 - 1, 2) + bytes(96), "2 decisions from index 4294967295 on"),
    (struct.pack("<IIII", 0, 1, 0, 2) + bytes(40), "a decision made in the way 2"),
])  # fmt: skip
def test_what_is_refused(payload: bytes, words: str) -> None:
    with pytest.raises(DecisionError, match=words):
        decode_decisions(payload)


def test_the_last_index_is_one() -> None:
    decisions = Decisions(2**32 - 1, (Decision(0, False, 0, bytes(32)),))
    assert decode_decisions(encode_decisions(decisions)) == decisions


@dull
@given(UINT64, st.integers(1, 128), st.integers(1, 2**32 - 1))
def test_a_command_is_what_the_format_says(seed: int, client: int, number: int) -> None:
    command = command_of(seed, client, number)
    assert command == submitted(seed, client, number)
    assert is_valid(command, seed=seed, n=client)
    assert not is_valid(command, seed=seed, n=client - 1)
    assert not is_valid(command, seed=seed ^ 1, n=client)
    assert not is_valid(command_of(seed, client, 0), seed=seed, n=client)
    assert not is_valid(command_of(seed, 0, number), seed=seed, n=client)
    assert is_valid(bytes(32), seed=seed, n=client)


def test_formats_by_known_values() -> None:
    """Made with `printf … | sha256sum`."""
    assert command_of(1, 2, 3).hex() == "0200000003000000c7dd3d7bcecabd61bfb3c6ff51a436be88b2981bb45bde6a"
    assert chain(1, [])[0].hex() == "34ff368add40456330ca0fedcf42846c02c91906fce7b942ea20ce0a7e6f1053"
    assert (
        chain(1, [bytes(32)])[1].hex() == "41d921cfd02912db691440657c86f9cb0cc075498f106508576e55e486dec708"
    )


@dull
@given(UINT64, st.lists(st.binary(min_size=32, max_size=32), max_size=5))
def test_a_chain_has_a_head_at_every_height(seed: int, commands: list[bytes]) -> None:
    assert chain(seed, commands) == [head_of(seed, commands[:height]) for height in range(len(commands) + 1)]


def test_commands_in_words() -> None:
    assert label(bytes(32)) == "the empty command"
    assert label(command_of(1, 2, 3)) == "command 3 of client 2"


@pytest.mark.parametrize("size", [0, 7, 33])
def test_a_claim_that_nearly_any_log_would_meet_is_none(size: int) -> None:
    with pytest.raises(ValueError, match=f"a head of {size} bytes"):
        Claim(1, bytes(size))


@pytest.mark.parametrize("size", [8, 32])
def test_a_claim_may_be_a_whole_head_or_eight_bytes_of_it(size: int) -> None:
    assert len(Claim(1, bytes(size)).head) == size


def test_a_node_is_loyal_unless_the_plan_says_otherwise() -> None:
    assert NodeLog(1, ()).loyal
    assert not NodeLog(1, (), treason="silent").loyal
