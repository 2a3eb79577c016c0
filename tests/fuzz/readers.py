"""What holds for the readers of all protocols."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from fuzz.parts import is_shown, pieces
from sistasks.protocols.profile import PROFILES
from sistasks.protocols.reader import reader_for
from sistasks.protocols.records import FINDINGS_LIMIT, STATUSES

if TYPE_CHECKING:
    from sistasks.protocols.records import Reading

# what is made of a byte: a test that did not come is told in a sentence, with the path to it
_GROWTH = 200


def check(protocol: str, data: bytes, *, types: bool = False) -> None:
    """Read a console.

    Args:
        protocol: the name of its profile.
        data: how it is cut, and what it says.
        types: something is typed when a prompt is there: then the cuts make a difference.
    """
    rest, cut = pieces(data)
    whole = _read(protocol, [rest])
    parted = _read(protocol, cut)
    if not types:
        assert whole == parted, "how the bytes are cut makes a difference"
    for reading in (whole, parted):
        _sound(reading, len(rest))


def _read(protocol: str, chunks: list[bytes]) -> Reading:
    profile = PROFILES[protocol]
    reader, typed = reader_for(profile, node=2, nodes=4), ""
    for chunk in chunks:
        typed += reader.feed(1, chunk)
        assert is_shown(reader.overdue(1))
        assert is_shown(reader.overdue(reader.deadline()))
    commands = [test.typed(2, 4) + profile.enter for test in profile.tests.values()]
    assert "".join(commands).startswith(typed), "something else was typed than the commands in their order"
    reading = reader.result("the fuzzer ended it")
    assert reader.result() is reading
    return replace(reading, findings=reading.findings)


def _sound(reading: Reading, size: int) -> None:
    assert reading.status in STATUSES
    texts = [reading.panic, *reading.report.splitlines(), *reading.findings]
    for result in reading.results:
        assert result.status in STATUSES
        texts += [result.name, *result.message.splitlines(), *result.metrics]
        for series in result.metrics.values():
            texts.append(series.unit)
            assert all(map(math.isfinite, series.values))
    texts += [crash.title for crash in reading.crashes]
    assert len(reading.findings) <= FINDINGS_LIMIT + 1
    assert all(map(is_shown, texts)), [text for text in texts if not is_shown(text)]
    assert sum(map(len, texts)) <= _GROWTH * size + 20_000
