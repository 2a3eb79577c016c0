"""Frames of attacks as the agent builds them: broken where the rule says, whole elsewhere, and the same again."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from native import compile_program, run_harness
from switch_parts import BROADCAST, parted

from sistasks.cluster.switching.ethernet import FRAME_MAX, framed, mac_of
from sistasks.cluster.switching.forwarding import Switch
from sistasks.cluster.switching.ports import Port
from sistasks.guest.build import AGENT
from sistasks.suites.penetration.scenarios import ATTACKER, scenarios
from sistasks.suites.talk import NETWORK

if TYPE_CHECKING:
    from pathlib import Path

VICTIM = 2
NODES = 3
MAIN = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "penetration/penetration.h"

struct place place = {.network = NETWORK, .self = 1, .count = 3};
static uint64_t seed, ticks;
static uint32_t left;

void channel_text(enum frame_type type, const char *format, ...) { (void)type, (void)format; }
uint64_t plan_number(const char *key) { return strcmp(key, "seed") == 0 ? seed : 0; }
uint64_t now_ns(void) { return ++ticks; }

/* what strike.c would send goes to standard output, as frames go over a port */
ssize_t send(int fd, const void *data, size_t size, int flags)
{
    const unsigned char *head = (const unsigned char[]){size >> 24, size >> 16 & 255, size >> 8 & 255, size & 255};
    (void)fd, (void)flags;
    left--;
    return fwrite(head, 1, 4, stdout) == 4 && fwrite(data, 1, size, stdout) == size ? (ssize_t)size : -1;
}
int socket(int domain, int type, int protocol) { (void)domain, (void)type, (void)protocol; return 3; }
int bind(int fd, const struct sockaddr *address, socklen_t size) { (void)fd, (void)address, (void)size; return 0; }

int main(int count, char **arguments)
{
    char problem[64];
    (void)count;
    seed = strtoull(arguments[2], NULL, 10);
    left = (uint32_t)strtoul(arguments[3], NULL, 10);
    if (strcmp(arguments[1], "") == 0) {
        const struct attack *lists[] = {attacks_link, attacks_ipv4, attacks_fragments, attacks_transport, attacks_ipv6,
                                        attacks_mutated};
        for (unsigned i = 0; i < sizeof lists / sizeof lists[0]; i++) {
            for (const struct attack *one = lists[i]; one->name != NULL; one++) {
                puts(one->name);
            }
        }
        return 0;
    }
    strike_open(problem, sizeof problem);
    for (strike_begin(arguments[1], 2, left, UINT64_C(1) << 60); strike_on();) {
        strike_turn();
    }
    return left == 0 ? 0 : 1;
}
"""


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attacks")
    main = folder / "main.c"
    main.write_text(MAIN.replace("NETWORK", f"{NETWORK}u"))
    own = ("attacks_*.c", "frame.c", "strike.c")
    files = [path for pattern in own for path in sorted((AGENT / "penetration").glob(pattern))]
    return compile_program(folder / "attacks", [main, AGENT / "random.c", *files])


def built(agent: Path, name: str, count: int = 200, seed: int = 1) -> list[bytes]:
    return parted(run_harness(agent, name, str(seed), str(count)))


def total(data: bytes, begin: int = 0) -> int:
    """RFC 1071: 0xffff where a checksum over it holds."""
    data += b"\0" * (len(data) % 2)
    found = begin + sum(struct.unpack(f"!{len(data) // 2}H", data))
    while found >> 16:
        found = (found & 0xFFFF) + (found >> 16)
    return int(found)


def header_holds(packet: bytes) -> bool:
    return total(packet[: (packet[0] & 15) * 4]) == 0xFFFF


def transport_holds(packet: bytes) -> bool:
    head = (packet[0] & 15) * 4
    body = packet[head:]
    return total(body, total(packet[12:20]) + packet[9] + len(body)) == 0xFFFF


def packets(agent: Path, name: str) -> list[bytes]:
    frames = built(agent, name)
    assert {frame[12:14] for frame in frames} == {b"\x08\x00"}
    return [frame[14:] for frame in frames]


def whole(packet: bytes) -> bool:
    """IPv4 without a flaw of its own."""
    return (
        packet[0] >> 4 == 4 and header_holds(packet) and struct.unpack_from("!H", packet, 2)[0] == len(packet)
    )


NAMES = tuple(scenario.name for scenario in scenarios())


def test_every_rule_is_an_attack_and_every_attack_a_rule(agent: Path) -> None:
    known = run_harness(agent, "", "1", "0").decode().split()
    assert sorted(known) == sorted([*NAMES, "hurting"])


@pytest.mark.parametrize("name", NAMES)
def test_frames_are_the_attackers_go_to_the_victim_and_come_again(agent: Path, name: str) -> None:
    frames = built(agent, name, 600)
    assert frames == built(agent, name, 600)
    for frame in frames:
        assert 14 <= len(frame) <= 9200
        assert frame[6:12] == mac_of(ATTACKER)
        assert frame[:6] in {mac_of(VICTIM), BROADCAST}
    if name == "mutated":
        assert frames != built(agent, name, 600, seed=2)
        assert len(set(frames)) > 550


def test_the_switch_bears_them_all(agent: Path) -> None:
    """Every frame of every attack, cut anywhere, comes to whom it is meant for."""
    frames = [frame for name in NAMES for frame in built(agent, name, 60)]
    assert max(map(len, frames)) <= FRAME_MAX
    switch = Switch(lambda _port, _frame: True)
    ports = {number: Port(number) for number in range(1, NODES + 1)}
    for port in ports.values():
        switch.add(port)
    data = b"".join(map(framed, frames))
    got: dict[int, bytes] = dict.fromkeys(ports, b"")
    for at in range(0, len(data), 997):
        switch.receive(ports[ATTACKER], data[at : at + 997], 0)
        for number, port in ports.items():
            got[number] += b"".join(port.out)
            port.out.clear()
            port.queued = 0
    assert parted(got[VICTIM]) == frames
    assert parted(got[3]) == [frame for frame in frames if frame[:6] == BROADCAST]
    assert got[ATTACKER] == b""
    assert (ports[ATTACKER].malformed, switch.moves) == (0, 0)


def test_only_the_checksum_of_ipv4_is_wrong(agent: Path) -> None:
    for packet in packets(agent, "ip_checksum"):
        assert not header_holds(packet)
        assert transport_holds(packet)


def test_only_the_version_of_ipv4_is_wrong(agent: Path) -> None:
    found = {packet[0] >> 4 for packet in packets(agent, "ip_version")}
    assert found == set(range(16)) - {4}
    assert all(map(header_holds, packets(agent, "ip_version")))


def test_lengths_of_ipv4_are_wrong(agent: Path) -> None:
    for packet in packets(agent, "ip_header_length"):
        head = (packet[0] & 15) * 4
        assert head < 20 or head > len(packet)
    for packet in packets(agent, "ip_total_length"):
        said = struct.unpack_from("!H", packet, 2)[0]
        assert said < 28 or said > len(packet)
        assert header_holds(packet)


def test_only_the_checksum_of_udp_is_wrong(agent: Path) -> None:
    for packet in packets(agent, "udp_checksum"):
        assert whole(packet)
        assert packet[26:28] != b"\0\0"  # which would be none
        assert not transport_holds(packet)


def test_lengths_of_udp_are_wrong(agent: Path) -> None:
    for packet in packets(agent, "udp_length"):
        assert whole(packet)
        body = packet[20:]
        said = struct.unpack_from("!H", body, 4)[0] if len(body) >= 6 else 0
        assert len(body) < 8 or said < 8 or said > len(body)


@pytest.mark.parametrize("name", ["tcp_flags", "tcp_options", "tcp_offset", "syn_flood", "syn_flood_closed"])
def test_segments_hold_but_for_their_flaw(agent: Path, name: str) -> None:
    for packet in packets(agent, name):
        assert whole(packet)
        assert len(packet) < 40 or transport_holds(packet)
    if name == "tcp_flags":
        flags = {packet[33] for packet in packets(agent, name)}
        assert {0, 0xFF, 0x29, 0x03} <= flags  # null, all, xmas, SYN and FIN


def test_fragments_overlap_or_end_too_late(agent: Path) -> None:
    ends: dict[int, list[tuple[int, int]]] = {}
    for packet in packets(agent, "teardrop"):
        assert whole(packet)
        identification, place = struct.unpack_from("!HH", packet, 4)
        begin = (place & 0x1FFF) * 8
        ends.setdefault(identification, []).append((begin, begin + len(packet) - 20))
    for pieces in list(ends.values())[:-1]:  # the last may be cut off
        assert any(
            one != other and one[0] < other[1] and other[0] < one[1] for one in pieces for other in pieces
        )
    last = [packet for packet in packets(agent, "ping_of_death") if packet[6:8] == b"\x1f\xff"]
    assert last
    assert all(65528 + len(packet) - 20 > 65535 for packet in last)


def test_a_whole_packet_in_tiny_pieces_is_whole(agent: Path) -> None:
    """Put together it is what UDP takes: the pieces are the attack, not what they hold."""
    first = packets(agent, "tiny_fragments")[:8]
    pieces = {(struct.unpack_from("!H", packet, 6)[0] & 0x1FFF) * 8: packet[20:] for packet in first}
    body = b"".join(pieces[at] for at in sorted(pieces))
    assert total(body, total(first[0][12:20]) + 17 + len(body)) == 0xFFFF


def test_a_land_packet_is_from_where_it_goes(agent: Path) -> None:
    for packet in packets(agent, "land"):
        assert whole(packet)
        assert packet[12:16] == packet[16:20] == (NETWORK + VICTIM).to_bytes(4, "big")
        assert packet[20:22] == packet[22:24]
        assert transport_holds(packet)
