"""A whole results line with sound checksums: what a guest that means us harm, and knows our format, can bring about."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from fuzz.parts import framed, is_shown, pieces, recorded, records, said
from sistasks.machine.results import NOTES_MAX, SERIES_MAX, STATUSES, Allowed, GuestResults, ResultsChannel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sistasks.guest.frames import Frame

PLANNED: Final = Allowed(
    ("ai_inference", "context_switch", "memory_allocation", "throughput", "bench"), frozenset({"bench"}), 2000
)
_RUNNER: Final = asyncio.Runner()


def fuzz(data: bytes) -> None:
    """Nothing is raised into the event loop, what is kept is bounded, and how the bytes are cut makes no difference."""
    if not data:
        return
    line = framed(data[1:])
    _, cut = pieces(data[:1] + line)
    allowed = PLANNED if data[0] & 1 else Allowed()
    whole = _RUNNER.run(_receive([line], allowed))
    results, numbers, errors = whole
    again, others, problems = _RUNNER.run(_receive(cut, allowed))
    # the words of a problem hold the bytes that were there when it was seen
    assert (results, numbers, len(errors)) == (again, others, len(problems)), "the cuts make a difference"
    assert len(errors) <= 1
    _check(results, len(line), allowed)


async def _receive(chunks: list[bytes], allowed: Allowed) -> tuple[GuestResults, list[int], list[str]]:
    errors: list[str] = []
    numbers: list[int] = []

    def note(frame: Frame) -> None:
        numbers.append(frame.sequence)

    channel = ResultsChannel(0, note, errors.append, allowed)
    for chunk in chunks:
        channel.data_received(chunk)
    channel.connection_lost(None)
    return channel.results, numbers, errors


def _check(results: GuestResults, size: int, allowed: Allowed) -> None:
    texts = [*results.notes, results.problem, *results.hello, *results.hello.values(), *results.samples]
    texts += [line for lines in results.lines.values() for line in lines]
    for test in results.tests:
        texts += [test.name, test.message]
        assert test.status in STATUSES
        assert 0 <= test.duration_ns < 10**18
    assert all(map(is_shown, texts))
    assert sum(map(len, texts)) <= size + 2 * 20 * len(results.tests)
    assert len(results.samples) <= SERIES_MAX
    assert len(results.notes) <= NOTES_MAX
    assert sum(map(len, results.samples.values())) <= allowed.samples
    if allowed.tests is not None:
        assert tuple(test.name for test in results.tests) == allowed.tests[: len(results.tests)]


def seeds() -> Iterable[bytes]:
    """What real guests sent."""
    for first, data in recorded():
        for begin in b"\0\1\x02\x03":
            yield bytes([begin]) + records(said(first, data))
