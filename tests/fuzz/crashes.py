"""The recogniser of crashes, on whatever a console says."""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING

from fuzz.parts import TESTS, is_shown, pieces
from sistasks.evidence.crashes import CRASHES, Recogniser

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sistasks.evidence.crashes import Crash


def fuzz(data: bytes) -> None:
    """What is recognised can be shown and is bounded, and how the bytes are cut makes no difference."""
    rest, cut = pieces(data)
    whole = _watch([rest])
    assert whole == _watch(cut), "how the bytes are cut makes a difference"
    crashes, fatal, panic = whole
    # beside as many as are told, the one that ended the kernel always is
    assert len(crashes) <= CRASHES + 2
    assert is_shown(panic)
    for crash in (*crashes, *([fatal] if fatal else [])):
        texts = [field for field in astuple(crash) if isinstance(field, str)]
        assert all(is_shown(line) for text in texts for line in text.split("\n")), texts
        assert sum(map(len, texts)) < 100_000
        assert 0 <= crash.offset <= len(rest)


def _watch(chunks: list[bytes]) -> tuple[tuple[Crash, ...], Crash | None, str]:
    recogniser = Recogniser()
    for chunk in chunks:
        recogniser.feed(chunk, 1)
    recogniser.finish()
    return recogniser.crashes, recogniser.fatal, recogniser.panic


def seeds() -> Iterable[bytes]:
    """Kernels that crashed, and some that only speak of it."""
    for path in sorted((TESTS / "crashes").glob("*.log")):
        yield b"\x05" + path.read_bytes()[-4000:]
