"""The switch without sockets: frames in any split, learning against an oracle, malformed frames, full queues."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switch_parts import BROADCAST, frame, parted

from sistasks.cluster.switching.ethernet import FRAME_MAX, HOST_MAC, LENGTH_MAX, framed, mac_of
from sistasks.cluster.switching.faults import Cut, Faults, Rule
from sistasks.cluster.switching.forwarding import ADDRESSES_MAX, EGRESS_MAX, FramingLost, Switch
from sistasks.cluster.switching.ports import Port

PORTS = 4


class Made:
    """A switch with ports 1 to n, and what came to the host."""

    def __init__(self, count: int = PORTS) -> None:
        self.host: list[tuple[int, bytes]] = []
        self.room = True
        self.switch = Switch(self._to_host)
        self.ports = {number: Port(number) for number in range(1, count + 1)}
        for port in self.ports.values():
            self.switch.add(port)

    def _to_host(self, port: int, data: bytes) -> bool:
        if self.room:
            self.host.append((port, data))
        return self.room

    def receive(self, port: int, data: bytes, now: int = 0) -> None:
        self.switch.receive(self.ports[port], data, now)

    def out(self, port: int) -> list[bytes]:
        """What a port is to send; it is gone from its queue."""
        got = b"".join(self.ports[port].out)
        assert len(got) == self.ports[port].queued
        self.ports[port].out.clear()
        self.ports[port].queued = 0
        return parted(got)


nodes = st.integers(1, PORTS)
# few addresses, so that they meet: those of nodes, strangers, groups, the host
addresses = st.one_of(
    nodes.map(mac_of),
    st.sampled_from([b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02", BROADCAST, b"\x33\x33\0\0\0\x01", HOST_MAC]),
)
frames = st.builds(frame, addresses, addresses, st.binary(max_size=20))
malformed = st.one_of(st.binary(max_size=13), st.just(bytes(FRAME_MAX + 1)))


class Oracle:
    """A learning switch in a few slow lines."""

    def __init__(self) -> None:
        self.known = {mac_of(number): number for number in range(1, PORTS + 1)} | {HOST_MAC: 0}

    def targets(self, port: int, data: bytes) -> list[int]:
        target, source = data[:6], data[6:12]
        if not source[0] & 1 and source != HOST_MAC:
            self.known[source] = port
        if target[0] & 1 or target not in self.known:
            return [number for number in range(1, PORTS + 1) if number != port]
        return [number for number in [self.known[target]] if number != port]


@given(st.lists(st.tuples(nodes, st.lists(frames, max_size=12)), max_size=12))
def test_frames_go_where_a_slow_oracle_sends_them(rounds: list[tuple[int, list[bytes]]]) -> None:
    made, oracle = Made(), Oracle()
    expected: dict[int, list[bytes]] = {number: [] for number in range(PORTS + 1)}
    for port, group in rounds:
        made.receive(port, b"".join(map(framed, group)))
        for one in group:
            for target in oracle.targets(port, one):
                expected[target].append(one)
    assert {number: made.out(number) for number in made.ports} | {
        0: [data for _, data in made.host]
    } == expected


@given(st.lists(st.one_of(frames, malformed), max_size=8), st.data())
def test_a_stream_is_parted_the_same_however_it_is_split(group: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(framed, group))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    whole, split = Made(), Made()
    whole.receive(1, stream)
    for first, last in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        split.receive(1, stream[first:last])
    assert [whole.out(number) for number in whole.ports] == [split.out(number) for number in split.ports]
    assert whole.host == split.host
    bad = sum(not 14 <= len(one) <= FRAME_MAX for one in group)
    for made in (whole, split):
        assert (made.ports[1].received, made.ports[1].malformed, made.ports[1].rest) == (len(group), bad, b"")


def test_byte_by_byte() -> None:
    made = Made()
    stream = b"".join(map(framed, [frame(1, 2), b"", b"short", frame(1, 2, b"x"), b"1234567890"]))
    for index in range(len(stream)):
        made.receive(1, stream[index : index + 1])
    assert made.out(2) == [frame(1, 2), frame(1, 2, b"x")]
    assert made.ports[1].malformed == 3


@pytest.mark.parametrize("after", [b"", b"more", bytes(40)])
def test_a_length_beyond_every_frame_ends_the_stream_after_what_came_before(after: bytes) -> None:
    made = Made()
    with pytest.raises(FramingLost):
        made.receive(1, framed(frame(1, 2)) + (LENGTH_MAX + 1).to_bytes(4, "big") + after)
    assert made.out(2) == [frame(1, 2)]
    assert made.ports[1].malformed == 1


def test_a_frame_that_is_cut_off_is_counted() -> None:
    made = Made()
    made.receive(1, framed(frame(1, 2))[:-1])
    made.switch.remove(made.ports[1])
    assert made.out(2) == []
    assert made.ports[1].malformed == 1
    assert made.ports[1].gone


def test_the_largest_and_the_smallest_frame_pass() -> None:
    made = Made()
    sizes = [frame(1, 2, b""), frame(1, 2, bytes(FRAME_MAX - 14))]
    made.receive(1, b"".join(map(framed, sizes)))
    assert made.out(2) == sizes


def test_edges_count_frames_and_their_bytes() -> None:
    made = Made()
    made.receive(1, framed(frame(1, 2)) * 3 + framed(frame(1, BROADCAST)))
    edges = made.ports[1].edges
    size = len(frame(1, 2))
    assert {number: (edge.frames, edge.bytes) for number, edge in edges.items()} == {
        2: (4, 4 * size), 3: (1, size), 4: (1, size),
    }  # fmt: skip


def test_a_full_queue_drops_and_counts() -> None:
    made = Made()
    one = frame(1, 2, bytes(1000))
    room = EGRESS_MAX // len(framed(one))
    for _ in range(room // 100 + 1):
        made.receive(1, framed(one) * 100)
    edge = made.ports[1].edges[2]
    assert (edge.frames, edge.overflow) == (room, (room // 100 + 1) * 100 - room)
    assert len(made.out(2)) == room
    made.receive(1, framed(one))
    assert made.out(2) == [one]


def test_what_goes_to_a_node_that_is_gone_is_dropped_and_not_flooded() -> None:
    made = Made()
    made.receive(1, framed(frame(1, 2)))
    made.switch.remove(made.ports[2])
    made.receive(1, framed(frame(1, 2)))
    made.receive(3, framed(frame(3, 2)))
    assert [made.out(number) for number in (1, 3, 4)] == [[], [], []]
    assert (made.ports[1].edges[2].gone, made.ports[3].edges[2].gone) == (1, 1)
    assert made.ports[2].lost == len(framed(frame(1, 2)))
    made.switch.restore(made.ports[2])
    made.receive(1, framed(frame(1, 2)))
    assert made.out(2) == [frame(1, 2)]


def test_healing_brings_nobody_back() -> None:
    made = Made()
    made.switch.apply(Faults(rules=(Rule("loss", 0.5),)), 0)
    edge = made.switch.edge(made.ports[1], made.ports[2])
    made.switch.remove(made.ports[2])
    late = made.switch.edge(made.ports[3], made.ports[2])
    made.switch.apply(Faults(), 0)
    made.receive(1, framed(frame(1, 2)))
    made.receive(3, framed(frame(3, 2)))
    assert (edge.gone, late.gone, made.ports[2].out) == (1, 1, [])


def test_a_delayed_frame_to_a_node_that_went_is_dropped() -> None:
    made = Made()
    made.switch.apply(Faults(rules=(Rule("delay", 0.001),)), 0)
    made.receive(1, framed(frame(1, 2)))
    made.switch.remove(made.ports[2])
    made.switch.release(10**9)
    assert (made.ports[1].edges[2].gone, made.ports[1].edges[2].under_way) == (1, 0)


def test_frames_to_the_host_are_not_flooded_and_meet_no_fault() -> None:
    made = Made()
    made.switch.apply(Faults(cuts=(Cut(edges=frozenset({(0, 0)})),)), 0)
    made.receive(3, framed(frame(3, HOST_MAC)))
    assert made.host == [(3, frame(3, HOST_MAC))]
    assert made.out(1) == []
    made.room = False
    made.receive(3, framed(frame(3, HOST_MAC)))
    assert (made.ports[3].edges[0].frames, made.ports[3].edges[0].overflow) == (1, 1)


def test_nobody_takes_the_hosts_address() -> None:
    made = Made()
    made.receive(1, framed(frame(HOST_MAC, 2)))
    made.receive(3, framed(frame(3, HOST_MAC)))
    assert made.host == [(3, frame(3, HOST_MAC))]


def test_invented_addresses_fill_no_memory() -> None:
    made = Made()
    for number in range(ADDRESSES_MAX + 10):
        made.receive(1, framed(frame(b"\x02\0" + number.to_bytes(4, "big"), 2)))
    assert len(made.switch._addresses) == ADDRESSES_MAX
    last = b"\x02\0" + (ADDRESSES_MAX + 9).to_bytes(4, "big")
    made.receive(2, framed(frame(2, last)))
    assert made.out(3) == [frame(2, last)]  # not learnt, so flooded


def test_an_address_that_moves_is_followed_and_counted() -> None:
    made = Made()
    made.receive(3, framed(frame(1, 4)))
    made.receive(2, framed(frame(2, 1)))
    assert (made.out(3), made.out(1), made.switch.moves) == ([frame(2, 1)], [], 1)


def test_the_hosts_frames_go_through_cuts_to_the_ports_that_are_named() -> None:
    made = Made()
    made.switch.apply(Faults(cuts=(Cut(edges=frozenset({(0, 0)})),)), 0)
    made.switch.inject(frame(HOST_MAC, BROADCAST), [2, 3, 99])
    assert [len(made.out(number)) for number in (1, 2, 3, 4)] == [0, 1, 1, 0]
    assert (made.switch.injected, made.switch.not_injected) == (2, 1)


def test_delay_keeps_order_and_apply_releases_or_loses() -> None:
    made = Made()
    made.switch.apply(Faults(rules=(Rule("delay", 1.0, frozenset({(1, 0)})),)), 0)
    made.receive(1, framed(frame(1, 2, b"a")) + framed(frame(1, 3, b"b")), 10)
    made.receive(1, framed(frame(1, 2, b"c")), 20)
    assert made.out(2) == []
    assert made.switch.due == 10**9 + 10
    made.switch.release(10**9 + 19)
    assert made.out(2) == [frame(1, 2, b"a")]
    assert made.out(3) == [frame(1, 3, b"b")]
    made.receive(1, framed(frame(1, 3, b"d")), 30)
    made.switch.apply(Faults(cuts=(Cut(edges=frozenset({(1, 2)})),)), 40)
    assert (made.out(2), made.out(3)) == ([], [frame(1, 3, b"d")])
    made.switch.release(10**12)  # nothing is under way
    assert (made.out(2), made.out(3)) == ([], [])
    assert made.ports[1].edges[2].partition == 1
    made.switch.apply(Faults(), 50)
    made.receive(1, framed(frame(1, 2, b"e")), 60)
    assert made.out(2) == [frame(1, 2, b"e")]


def test_held_frames_are_overtaken_or_go_after_a_while() -> None:
    made = Made()
    made.switch.apply(Faults(rules=(Rule("reorder", 0.5, by=1),), seed=3), 0)
    sent = [frame(1, 2, bytes([number])) for number in range(20)]
    made.receive(1, b"".join(map(framed, sent)))
    edge = made.ports[1].edges[2]
    first = made.out(2)
    assert first != sent[: len(first)]
    assert edge.under_way == len(sent) - len(first)
    made.switch.release(10**9)
    assert sorted(first + made.out(2)) == sorted(sent)
    assert (edge.under_way, edge.reordered > 0, made.switch._under_way) == (0, True, 0)


def test_a_change_of_faults_releases_in_order() -> None:
    made = Made()
    made.switch.apply(Faults(rules=(Rule("delay", 1.0),)), 0)
    sent = [frame(1, 2, bytes([number])) for number in range(9)]
    for number, one in enumerate(sent):
        made.receive(1, framed(one), number)
    made.switch.apply(Faults(rules=(Rule("loss", 0.5),)), 10)
    assert made.out(2) == sent


shares = st.sampled_from([0.0, 0.3, 1.0])
all_faults = st.builds(
    lambda loss, duplicate, reorder, corrupt, delay, jitter, rate, cut: Faults(
        cuts=(Cut(edges=frozenset({(cut, 0)})),) if cut else (),
        rules=tuple(
            Rule(kind, value)
            for kind, value in (
                ("loss", loss), ("duplicate", duplicate), ("reorder", reorder), ("corrupt", corrupt),
                ("delay", delay), ("jitter", jitter), ("rate", rate),
            )
            if value
        ),
    ),
    shares, shares, shares, shares, st.sampled_from([0.0, 1e-6]), st.sampled_from([0.0, 1e-6]),
    st.sampled_from([0, 10**6]), st.integers(0, PORTS),
)  # fmt: skip


@given(
    st.lists(st.one_of(st.tuples(nodes, st.lists(frames, max_size=6)), all_faults), max_size=12), all_faults
)
def test_no_frame_is_lost_uncounted(events: list[tuple[int, list[bytes]] | Faults], first: Faults) -> None:
    made, oracle = Made(), Oracle()
    made.switch.apply(first, 0)
    offered: dict[tuple[int, int], int] = {}
    for now, event in enumerate(events):
        if isinstance(event, Faults):
            made.switch.apply(event, now * 500)
            continue
        port, group = event
        made.switch.release(now * 500)
        made.receive(port, b"".join(map(framed, group)), now * 500)
        for one in group:
            for target in oracle.targets(port, one):
                offered[port, target] = offered.get((port, target), 0) + 1
    edges = {
        (port.number, edge.target.number): edge
        for port in made.ports.values()
        for edge in port.edges.values()
    }
    for name, edge in edges.items():
        waiting = edge.under_way
        assert edge.frames + edge.partition + edge.loss + edge.rate + edge.overflow + waiting == (
            offered.get(name, 0) + edge.duplicated
        )
    made.switch.release(10**12)
    assert (made.switch.due, made.switch._under_way) == (None, 0)
    for name, edge in edges.items():
        assert edge.under_way == 0
        assert edge.frames + edge.partition + edge.loss + edge.rate == offered.get(name, 0) + edge.duplicated
    delivered = sum(len(made.out(number)) for number in made.ports) + len(made.host)
    assert delivered == sum(edge.frames for edge in edges.values())
