"""The rules of the linear protocol one by one: one real replica among nodes that the test plays.

Node 1 of 4 is real; what the others say is written here, after the layouts in hotstuff.h and wire.c. View v has the
leader v % 4 + 1, so node 1 leads views 4, 8, ...
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass
from typing import Final

from replica_simulation import MILLISECOND, Simulation

COUNT: Final = 4
SEED: Final = 1
PROPOSAL, VOTE, WISH, VOUCH, ASK, BLOCKS = 1, 2, 3, 5, 6, 7
EMPTY: Final = bytes(32)
SHARE: Final = 10
Reference = tuple[int, bytes]


def _mac(a: int, b: int, data: bytes) -> bytes:
    return hmac.digest(struct.pack("<II", min(a, b), max(a, b)), data, "sha256")


def _command(client: int, number: int) -> bytes:
    text = b"sistasks command" + struct.pack("<QII", SEED, client, number)
    return struct.pack("<II", client, number) + hashlib.sha256(text).digest()[:24]


def _packed(reference: Reference) -> bytes:
    return struct.pack("<I", reference[0]) + reference[1]


def _leader(view: int) -> int:
    return view % COUNT + 1


def _share(voter: int, reference: Reference) -> bytes:
    return _mac(voter, 1, hashlib.sha256(b"hotstuff vote" + _packed(reference)).digest())[:SHARE]


GENESIS: Final[Reference] = (0, hashlib.sha256(b"hotstuff genesis" + struct.pack("<Q", SEED)).digest())


@dataclass(slots=True)
class Block:
    """A block as it is hashed."""

    view: int
    parent: Reference = GENESIS
    height: int = 0
    command: bytes = EMPTY

    @property
    def content(self) -> bytes:
        """As it is sent."""
        return struct.pack("<II", self.view, self.height) + _packed(self.parent) + self.command

    @property
    def reference(self) -> Reference:
        """Its view and digest."""
        return self.view, hashlib.sha256(b"hotstuff block" + self.content).digest()


class Stage(Simulation):
    """Node 1, with everything that it sends; nothing of that arrives anywhere."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, int, bytes]] = []
        super().__init__("hotstuff", COUNT, seed=SEED, timeout=1000 * MILLISECOND)

    def post(self, number: int, to: int, data: bytes) -> None:
        """Note what node 1 says: (to, type, payload)."""
        if number == 1:
            self.heard.append((to, data[3], data[12:-16]))

    def say(self, sender: int, kind: int, payload: bytes) -> None:
        """A message of a played node arrives, authentic."""
        message = struct.pack("<HBBHHHH", 0x5253, 1, kind, sender, 1, len(payload), 0) + payload
        message += _mac(sender, 1, message)[:16]
        self.now += 1000
        self.nodes[1].library.sim_deliver(self.now, message, len(message))

    def propose(self, block: Block, voters: tuple[int, ...] = (2, 3, 4), bad: tuple[int, ...] = ()) -> Block:
        """The view's leader proposes it, with these nodes' shares; some of them are none."""
        bits = sum(1 << (voter - 1) for voter in voters).to_bytes(16, "little")
        shares = [bytes(SHARE) if voter in bad else _share(voter, block.parent) for voter in voters]
        self.say(_leader(block.view), PROPOSAL, block.content + bits + b"".join(shares))
        return block

    def wish(self, view: int, *references: Reference, wishers: tuple[int, ...] = (2, 3, 4)) -> None:
        """Nodes want a view, and vouch for certificates."""
        for wisher in wishers:
            text = struct.pack("<IB", view, len(references)) + b"".join(map(_packed, references))
            self.say(wisher, WISH, text)

    def vote(self, voter: int, block: Block) -> None:
        """A node's vote, with a share for us and none for others."""
        self.say(
            voter,
            VOTE,
            _packed(block.reference) + _share(voter, block.reference) + bytes(SHARE * (COUNT - 1)),
        )

    def has_voted(self, block: Block) -> bool:
        """Whether node 1 has sent a vote for it to the next leader."""
        wanted = (_leader(block.view + 1), VOTE, _packed(block.reference))
        return any((to, kind, payload[:36]) == wanted for to, kind, payload in self.heard)

    @property
    def height(self) -> int:
        """What node 1 has decided."""
        return self.nodes[1].height

    @property
    def view(self) -> int:
        """Where node 1 stands."""
        return self.nodes[1].round


def _chain(stage: Stage, views: range, parent: Block | None = None) -> list[Block]:
    """Blocks of these views in a row, proposed with good certificates; the first has a command of its leader."""
    blocks = [] if parent is None else [parent]
    for view in views:
        before = blocks[-1].reference if blocks else GENESIS
        own = _command(_leader(view), 1) if not blocks or blocks[-1] is parent else EMPTY
        height = (blocks[-1].height if blocks else 0) + (own != EMPTY)
        blocks.append(stage.propose(Block(view, before, height, own)))
    return blocks


def test_it_votes_for_a_good_block() -> None:
    stage = Stage()
    block = stage.propose(Block(1, GENESIS, 1, _command(2, 1)))
    assert stage.has_voted(block)


def test_it_votes_once_in_a_view() -> None:
    stage = Stage()
    first = stage.propose(Block(1, GENESIS, 1, _command(2, 1)))
    second = stage.propose(Block(1, GENESIS, 1, _command(2, 2)))
    assert stage.has_voted(first)
    assert not stage.has_voted(second)


def test_only_the_leader_of_a_view_proposes() -> None:
    stage = Stage()
    block = Block(1, GENESIS, 0, EMPTY)
    for sender in (3, 4):
        stage.say(sender, PROPOSAL, block.content + bytes(16))
    assert not stage.has_voted(block)


def test_commands_that_do_not_fit_get_no_vote() -> None:
    wrong = bytes([*_command(2, 1)[:-1], 0])
    for block in (
        Block(1, GENESIS, 1, _command(3, 1)),  # another client's
        Block(1, GENESIS, 2, _command(2, 1)),  # a height that it cannot have
        Block(1, GENESIS, 1, EMPTY),
        Block(1, GENESIS, 1, wrong),  # not what its client would submit
        Block(1, GENESIS, 1, _command(2, 1000)),  # further than the ledger can look
    ):
        stage = Stage()
        stage.propose(block)
        assert not stage.has_voted(block)


def test_a_command_is_not_taken_twice() -> None:
    stage = Stage()
    one = stage.propose(Block(1, GENESIS, 1, _command(2, 1)))
    two = stage.propose(Block(2, one.reference, 1))
    stage.wish(5, two.reference)
    again = stage.propose(Block(5, two.reference, 2, _command(2, 1)))
    assert stage.view == 5
    assert not stage.has_voted(again)
    stage.wish(9, two.reference)
    other = stage.propose(Block(9, two.reference, 2, _command(2, 2)))
    assert stage.has_voted(other)


def test_a_certificate_needs_a_quorum_of_shares_that_hold() -> None:
    for voters, bad, good in (
        ((2, 3, 4), (), True),
        ((2, 3), (), False),
        ((2, 3, 4), (4,), False),
        ((1, 2, 3, 4), (4,), True),
        ((), (), False),
    ):
        stage = Stage()
        one = stage.propose(Block(1))
        two = stage.propose(Block(2, one.reference), voters, bad)
        assert stage.has_voted(two) is good, (voters, bad)
        assert stage.view == (2 if good else 1)


def test_votes_make_a_certificate_when_there_are_enough_and_each_counts_once() -> None:
    stage = Stage()
    blocks = _chain(stage, range(1, 4))
    # it is the leader of view 4, and has voted itself
    stage.vote(2, blocks[2])
    stage.vote(2, blocks[2])
    assert stage.view == 3
    stage.vote(3, blocks[2])
    assert stage.view == 4
    proposals = [payload for _, kind, payload in stage.heard if kind == PROPOSAL]
    assert len(proposals) == COUNT - 1
    assert all(payload[8:44] == _packed(blocks[2].reference) for payload in proposals)


def test_three_successive_views_decide() -> None:
    stage = Stage()
    blocks = _chain(stage, range(1, 4))
    assert stage.height == 0  # the certificate of the third is not known yet
    stage.wish(4, blocks[2].reference, wishers=(2,))
    assert stage.height == 0
    stage.wish(4, blocks[2].reference, wishers=(3,))
    assert stage.height == 1
    assert stage.nodes[1].commands == [_command(2, 1)]


def test_a_gap_in_the_views_decides_nothing() -> None:
    for views in ((1, 2, 5), (1, 3, 5), (1, 5, 6)):
        stage = Stage()
        before, height = GENESIS, 1
        for view in (*views, views[-1] + 1):
            stage.wish(view, before)
            own = _command(_leader(view), 1) if before == GENESIS else EMPTY
            before = stage.propose(Block(view, before, height, own)).reference
        assert stage.view == views[-1] + 1
        assert stage.height == 0, views


def test_no_vote_below_the_lock() -> None:
    stage = Stage()
    # the certificate of 3, in the proposal of 5, locks 2
    blocks = _chain(stage, range(1, 4))
    stage.wish(5)
    stage.propose(Block(5, blocks[2].reference, 1))
    stage.wish(6)
    low = stage.propose(Block(6, blocks[0].reference, 1))
    assert stage.view == 6
    assert not stage.has_voted(low)
    stage.wish(9)
    high = stage.propose(Block(9, blocks[1].reference, 1))
    assert stage.has_voted(high)


def test_views_change_by_a_quorum_only_and_it_joins_when_one_is_loyal() -> None:
    stage = Stage()
    stage.wish(2**31, wishers=(2,))
    assert stage.view == 1
    assert not [kind for _, kind, _ in stage.heard if kind == WISH]
    # the second can only be as high as a loyal one is; with its own that is a quorum
    stage.wish(7, wishers=(3,))
    assert [struct.unpack_from("<I", payload)[0] for _, kind, payload in stage.heard if kind == WISH] == [
        7
    ] * 3
    assert stage.view == 7


def test_a_view_that_it_gives_up_goes_on_until_a_quorum_does_so() -> None:
    stage = Stage()
    stage.wish(2, wishers=(2,))
    stage.now += 1000 * MILLISECOND
    stage.nodes[1].library.sim_tick(stage.now)
    assert stage.nodes[1].told("round") == [{"view": "1", "leader": "2"}]
    assert stage.view == 1
    stage.wish(2, wishers=(3,))
    assert stage.view == 2


def test_one_who_vouches_proves_nothing() -> None:
    stage = Stage()
    one = stage.propose(Block(1))
    two = stage.propose(Block(2, one.reference), (2, 3))
    stage.say(2, VOUCH, _packed(one.reference))
    stage.say(2, VOUCH, _packed(one.reference))
    assert stage.view == 1
    stage.say(3, VOUCH, _packed(one.reference))
    assert stage.view == 2
    assert stage.has_voted(two)


def test_blocks_that_are_missing_are_asked_for() -> None:
    stage = Stage()
    one = Block(1, GENESIS, 1, _command(2, 1))
    two = stage.propose(Block(2, one.reference, 1))
    assert (_leader(2), ASK, _packed(one.reference)) in stage.heard
    assert not stage.has_voted(two)
    # others than what was asked for are not kept
    stage.say(3, BLOCKS, Block(1, GENESIS, 1, _command(2, 2)).content)
    assert not stage.has_voted(two)
    stage.say(3, BLOCKS, one.content)
    assert stage.has_voted(two)
