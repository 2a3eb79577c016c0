"""What a guest said: taken in order, whole, or refused; bytes that are damaged end it once."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sistasks.guest.frames import Frame, FrameError, FrameType, Samples, encode, encode_samples
from sistasks.machine.results import GuestResults, ResultsChannel, TestOutcome

Said = list[tuple[FrameType, bytes]]


def samples(metric: str, first: int, *values: int) -> tuple[FrameType, bytes]:
    return FrameType.SAMPLES, encode_samples(Samples(metric, first, list(values)))


def take(said: Said) -> GuestResults:
    results = GuestResults()
    for number, (kind, payload) in enumerate(said):
        results.take(Frame(kind, number, payload))
    return results


def refused(said: Said) -> str:
    with pytest.raises(FrameError) as caught:
        take(said)
    return str(caught.value)


GOOD: Said = [
    (FrameType.HELLO, b"protocol=1\nrelease=6.1.0\n"),
    (FrameType.READY, b"node=1\nseed=2\n"),
    (FrameType.BEGIN, b"test=context_switch\n"),
    samples("context_switch.latency", 0, 5, 6),
    samples("context_switch.latency", 2, 7),
    (FrameType.NOTE, b"text=by the way\n"),
    (FrameType.END, b"test=context_switch\nstatus=pass\nduration_ns=1500\nmessage=\n"),
    (FrameType.BEGIN, b"test=throughput\n"),
    (FrameType.END, b"test=throughput\nstatus=fail\nduration_ns=10\nmessage=too slow\n"),
    (FrameType.DONE, b"problem=\nsamples=3\n"),
]


def test_a_whole_session() -> None:
    results = take(GOOD)
    assert results.hello == {"protocol": "1", "release": "6.1.0"}
    assert results.samples == {"context_switch.latency": [5, 6, 7]}
    assert results.tests == [
        TestOutcome("context_switch", "pass", "", 1500),
        TestOutcome("throughput", "fail", "too slow", 10),
    ]
    assert results.notes == ["by the way"]
    assert (results.done, results.problem) == (True, "")


def test_a_test_that_has_not_ended_is_an_error() -> None:
    results = take(GOOD[:3])
    assert results.tests == [TestOutcome("context_switch", "error", "the test did not end", 0)]
    assert not results.done


def test_a_problem_of_the_agent_is_kept() -> None:
    assert take([(FrameType.DONE, b"problem=the plan is torn\nsamples=0\n")]).problem == "the plan is torn"


def test_lost_samples_are_noticed() -> None:
    assert refused([samples("m", 0, 1, 2), samples("m", 3, 4)]) == "m: sample 2 is missing"
    assert refused([samples("m", 1, 1)]) == "m: sample 0 is missing"
    assert refused([samples("m", 0, 1), samples("m", 0, 1)]) == "m: sample 1 is missing"
    assert refused([*GOOD[:4], *GOOD[5:]]) == "the guest sent 3 samples, 2 came"
    assert refused([(FrameType.DONE, b"problem=\n")]) == "the guest sent None samples, 0 came"


def test_an_end_without_its_beginning_is_refused() -> None:
    end = (FrameType.END, b"test=boot\nstatus=pass\nduration_ns=1\n")
    assert refused([end]) == "test boot ended without having begun"
    assert refused([(FrameType.BEGIN, b"test=throughput\n"), end]) == "test boot ended without having begun"


@pytest.mark.parametrize("status", ["", "PASS", "passed", "ok"])
def test_a_status_that_the_history_does_not_know_is_refused(status: str) -> None:
    end = f"test=boot\nstatus={status}\nduration_ns=1\n".encode()
    sentence = refused([(FrameType.BEGIN, b"test=boot\n"), (FrameType.END, end)])
    assert sentence == f"test boot ended with the status {status!r}"


class Line:
    """A results channel and what it reported."""

    def __init__(self, first: int = 0) -> None:
        self.frames: list[FrameType] = []
        self.errors: list[str] = []
        self.channel = ResultsChannel(first, lambda frame: self.frames.append(frame.type), self.errors.append)

    @classmethod
    def fed(cls, chunks: list[bytes], first: int = 0) -> Line:
        async def feed() -> Line:
            line = cls(first)
            for chunk in chunks:
                line.channel.data_received(chunk)
            assert not line.channel.closed.done()
            line.channel.connection_lost(None)
            line.channel.connection_lost(None)
            await line.channel.closed
            return line

        return asyncio.run(feed())


def stream(said: Said, first: int = 0) -> bytes:
    return b"".join(encode(kind, first + number, payload) for number, (kind, payload) in enumerate(said))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 2000), max_size=10), st.sampled_from([0, 4]))
def test_any_split_of_the_bytes_gives_the_same(cuts: list[int], first: int) -> None:
    data = stream(GOOD, first)
    ends = sorted(cut % (len(data) + 1) for cut in cuts)
    chunks = [data[begin:end] for begin, end in zip([0, *ends], [*ends, len(data)], strict=True)]
    line = Line.fed(chunks, first)
    assert line.errors == []
    assert line.frames == [kind for kind, _ in GOOD]
    assert line.channel.results == take(GOOD)
    assert line.channel.next_sequence == first + len(GOOD)


@pytest.mark.parametrize("step", [1, 10_000])
def test_damage_is_reported_once_and_what_came_before_is_kept(step: int) -> None:
    data = bytearray(stream(GOOD))
    data[len(stream(GOOD[:7])) + 17] ^= 1
    line = Line.fed([bytes(data[at : at + step]) for at in range(0, len(data), step)])
    assert line.errors == ["its results line is damaged: frame 7 is damaged"]
    assert line.frames == [kind for kind, _ in GOOD[:7]]
    assert line.channel.results == take(GOOD[:7])


def test_frames_of_another_template_are_refused() -> None:
    line = Line.fed([stream(GOOD, 3)], 4)
    assert line.errors == ["its results line is damaged: frame 4 is lost: 3 came"]


def test_a_number_that_is_none_is_damage() -> None:
    end = (FrameType.END, b"test=boot\nstatus=pass\nduration_ns=soon\n")
    line = Line.fed([stream([(FrameType.BEGIN, b"test=boot\n"), end])])
    assert len(line.errors) == 1
    assert "its results line is damaged: " in line.errors[0]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(FrameType), st.binary(max_size=80)), max_size=5),
    st.binary(max_size=50),
)
def test_no_guest_can_raise_in_the_event_loop(said: Said, rest: bytes) -> None:
    line = Line.fed([stream(said) + rest])
    assert len(line.errors) <= 1
    assert len(line.frames) <= len(said)
