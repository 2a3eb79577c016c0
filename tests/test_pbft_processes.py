"""PBFT as processes on loopback."""

from __future__ import annotations

import signal

import pytest
from replicas import Replicas, agree


@pytest.mark.parametrize("count", [4, 7, 10])
def test_processes_decide_alike(count: int) -> None:
    with Replicas(count, decisions=40, timeout=2.0, pipeline=4) as replicas:
        replicas.start()
        assert replicas.reached(40)
        replicas.stop()
        assert agree(list(replicas.nodes.values()))
        assert {len(node.commands) for node in replicas.nodes.values()} == {40}
        for node in replicas.nodes.values():
            assert int(node.told("counters")[0]["forged"]) == 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_primary_is_replaced(how: signal.Signals) -> None:
    with Replicas(4, timeout=0.3) as replicas:
        replicas.start()
        assert replicas.reached(20)
        replicas.signal(1, how)
        height = replicas.nodes[2].height
        assert replicas.reached(height + 50, 2, 3, 4)
        assert replicas.nodes[2].told("round")
        if how is signal.SIGSTOP:
            height = replicas.nodes[2].height
            replicas.signal(1, signal.SIGCONT)
            assert replicas.reached(height, 1)
        replicas.stop()
        assert agree([node for node in replicas.nodes.values() if node.commands])


def test_processes_bear_a_traitor() -> None:
    with Replicas(4, decisions=30, timeout=0.3, treasons={1: "equivocate"}) as replicas:
        replicas.start()
        assert replicas.reached(30, 2, 3, 4)
        replicas.stop()
        assert agree([replicas.nodes[number] for number in (2, 3, 4)])


def test_one_hasty_process_decides_something_else() -> None:
    with Replicas(4, decisions=10, timeout=0.3, treasons={1: "equivocate"}, quorums={3: 1}) as replicas:
        replicas.start()
        assert replicas.reached(1, 2, 3, 4)
        replicas.stop()
        assert not agree([replicas.nodes[number] for number in (2, 3, 4)])


def test_a_word_that_comes_twice_does_not_end_the_next_test() -> None:
    """The host says a word again until it is answered, and the second may lie in the network over the test's end."""

    def waiting(tests: int) -> bool:
        return all(len(node.told("waiting")) == tests for node in replicas.nodes.values())

    with Replicas(4, then=("partition",), timeout=2.0) as replicas:
        replicas.start()
        assert replicas.reached(5)
        number = replicas.order("stop")
        assert replicas.wait(lambda: waiting(2))
        replicas.order("stop", number=number)
        answers = [len(node.told("control")) for node in replicas.nodes.values()]
        assert replicas.wait(lambda: all(
            len(node.told("control")) > before
            for before, node in zip(answers, replicas.nodes.values(), strict=True)
        ))  # fmt: skip
        replicas.start()
        assert replicas.wait(lambda: all(len(node.told("started")) == 2 for node in replicas.nodes.values()))
        replicas.stop()
        assert {test.status for node in replicas.nodes.values() for test in node.results.tests} == {"pass"}
