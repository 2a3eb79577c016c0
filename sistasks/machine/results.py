"""What came from one guest: the state of a node's results channel."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sistasks.guest.frames import Frame, FrameError, FrameParser, FrameType, decode_samples

if TYPE_CHECKING:
    from collections.abc import Callable

STATUSES: Final = frozenset({"pass", "fail", "error", "skip"})


@dataclass(slots=True)
class TestOutcome:
    """How one test ended in one guest; status is pass, fail, error or skip."""

    __test__ = False  # not a test of ours: pytest looks at names

    name: str
    status: str = "error"
    message: str = "the test did not end"
    duration_ns: int = 0


@dataclass(slots=True)
class GuestResults:
    """All that a guest has said.

    Attributes:
        hello: the guest about itself (kernel release, clock source, memory).
        tests: outcomes in the order of the plan.
        samples: metric -> every raw sample, in order; those of an agent are whole numbers.
        lines: test -> what a program of the user's printed for the host to read, line by line.
        notes: remarks of the agent.
        done: the agent's last word has come, and every sample that it announced.
    """

    hello: dict[str, str] = field(default_factory=dict)
    tests: list[TestOutcome] = field(default_factory=list)
    samples: dict[str, list[float]] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    done: bool = False
    problem: str = ""

    def take(self, frame: Frame) -> None:
        """Take one frame.

        Raises:
            FrameError: samples are missing or out of order, or a test ends that has not begun or in no known way.
        """
        match frame.type:
            case FrameType.HELLO:
                self.hello = frame.fields()
            case FrameType.BEGIN:
                self.tests.append(TestOutcome(frame.fields().get("test", "")))
            case FrameType.SAMPLES:
                part = decode_samples(frame.payload)
                known = self.samples.setdefault(part.metric, [])
                if part.first != len(known):
                    raise FrameError(f"{part.metric}: sample {len(known)} is missing")
                known.extend(part.values)
            case FrameType.LINES:
                self._print(frame.payload)
            case FrameType.END:
                self._end(frame.fields())
            case FrameType.NOTE:
                self.notes.append(frame.fields().get("text", ""))
            case FrameType.DONE:
                fields = frame.fields()
                count = sum(len(values) for values in self.samples.values())
                if fields.get("samples") != str(count):
                    raise FrameError(f"the guest sent {fields.get('samples')} samples, {count} came")
                self.problem = fields.get("problem", "")
                self.done = True
            case FrameType.READY:
                pass

    def _print(self, payload: bytes) -> None:
        if not self.tests:
            raise FrameError("lines of a program came before any test")
        lines = payload.decode("utf-8", "replace").split("\n")
        self.lines.setdefault(self.tests[-1].name, []).extend(line for line in lines if line)

    def _end(self, fields: dict[str, str]) -> None:
        test = self.tests[-1] if self.tests else None
        if test is None or test.name != fields.get("test"):
            raise FrameError(f"test {fields.get('test')} ended without having begun")
        status = fields.get("status", "error")
        if status not in STATUSES:
            raise FrameError(f"test {test.name} ended with the status {status!r}")
        test.status = status
        test.message = fields.get("message", "")
        test.duration_ns = int(fields.get("duration_ns", "0"))


class ResultsChannel(asyncio.Protocol):
    """Receives the results line of one node.

    Args:
        first: the sequence number of the first frame (a clone goes on where its template was frozen).
        on_frame: called with each frame after the results have taken it.
        on_error: called once with what is wrong with the bytes.
    """

    def __init__(
        self, first: int, on_frame: Callable[[Frame], None], on_error: Callable[[str], None]
    ) -> None:
        self._parser = FrameParser()
        self._parser.resume_at(first)
        self._on_frame = on_frame
        self._on_error = on_error
        self._broken = False
        self.next_sequence = first
        self.results = GuestResults()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """Parse; the first damage ends it."""
        if self._broken:
            return
        try:
            for frame in self._parser.feed(data):
                self.results.take(frame)
                self.next_sequence = frame.sequence + 1
                self._on_frame(frame)
        except (FrameError, ValueError) as error:
            self._broken = True
            self._on_error(f"its results line is damaged: {error}")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """QEMU has closed the line."""
        if not self.closed.done():
            self.closed.set_result(None)
