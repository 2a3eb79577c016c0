"""What came from one guest: the state of a node's results channel."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sistasks.guest.frames import Frame, FrameError, FrameParser, FrameType, decode_samples
from sistasks.protocols import findings
from sistasks.protocols.metrics import SAMPLES_LIMIT
from sistasks.textlines import plain, shorten

if TYPE_CHECKING:
    from collections.abc import Callable

    from sistasks.guest.plan import Plan
    from sistasks.machine.received import ReceivedFiles

STATUSES: Final = frozenset({"pass", "fail", "error", "skip"})
SERIES_MAX: Final = 100
"""Metrics of one guest."""
NOTES_MAX: Final = 100
FINDINGS_MAX: Final = 2000
LINES_MAX: Final = (4 << 20) + (1 << 16)
"""Bytes of METRIC lines of one program: what the agent sends at most (guest/agent/test_program.c), and a frame."""
_WORDS: Final = 2000
_TESTS_MAX: Final = 1000
_SAMPLES_LEAST: Final = 1 << 20
# no test of the agent's has more metrics with a sample for each iteration
_SERIES_OF_A_TEST: Final = 4
_NS_DIGITS: Final = 18
_NUMBERS: Final = "0123456789"
# what may not come again, and what may not come after the last word
_ONCE: Final = frozenset({FrameType.HELLO, FrameType.READY, FrameType.DONE})
_WORK: Final = frozenset(
    {
        FrameType.BEGIN,
        FrameType.SAMPLES,
        FrameType.LINES,
        FrameType.END,
        FrameType.NOTE,
        FrameType.FILE,
        *_ONCE,
    }
)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a guest may send; more is damage, for it was not asked for, and our memory is not the guest's.

    Attributes:
        tests: that begin, in this order; None: any.
        programs: tests that may print lines; None: any. The others may only tell findings.
        samples: of all metrics together, those in lines apart.
    """

    tests: tuple[str, ...] | None = None
    programs: frozenset[str] | None = None
    samples: int = 16 << 20

    @classmethod
    def by(cls, plan: Plan) -> Allowed:
        """What a plan lets a guest send."""
        return cls(
            plan.tests,
            frozenset([*(program.name for program in plan.programs), *plan.prints]),
            max(_SAMPLES_LEAST, _SERIES_OF_A_TEST * len(plan.tests) * plan.iterations),
        )


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
        findings: what tests saw of rules.
        notes: remarks of the agent.
        files: those that the plan asked for, as far as they have come.
        done: the agent's last word has come, and every sample that it announced.
        problem: why the agent gave up.
        allowed: what it may say; all that is kept is bounded by it, and has no control characters.
    """

    hello: dict[str, str] = field(default_factory=dict)
    tests: list[TestOutcome] = field(default_factory=list)
    samples: dict[str, list[float]] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    findings: list[findings.Seen] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: ReceivedFiles | None = None
    done: bool = False
    problem: str = ""
    allowed: Allowed = field(default=Allowed(), repr=False, compare=False)
    _came: set[FrameType] = field(default_factory=set, repr=False, compare=False)
    _count: int = field(default=0, repr=False, compare=False)
    _printed: int = field(default=0, repr=False, compare=False)

    def take(self, frame: Frame) -> None:
        """Take one frame.

        Raises:
            FrameError: samples are missing or out of order, a test ends that has not begun or in no known way, a number
                is none, or more comes than is allowed.
        """
        self._in_time(frame.type)
        match frame.type:
            case FrameType.HELLO:
                self.hello = frame.fields()
            case FrameType.BEGIN:
                self._begin(frame.fields().get("test", ""))
            case FrameType.SAMPLES:
                self._measure(frame.payload)
            case FrameType.LINES:
                self._print(frame.payload)
            case FrameType.FILE:
                if self.files is None:
                    raise FrameError("a file came that nobody asked for")
                self.files.take(frame.payload)
            case FrameType.END:
                self._end(frame.fields())
            case FrameType.NOTE:
                if len(self.notes) >= NOTES_MAX:
                    raise FrameError(f"more than {NOTES_MAX} notes came")
                self.notes.append(shorten(frame.fields().get("text", ""), _WORDS))
            case FrameType.DONE:
                self._finish(frame.fields())

    def _in_time(self, kind: FrameType) -> None:
        """Refuse what was said before, or is said after the last word."""
        if self.done and kind in _WORK:
            raise FrameError(f"{kind.name} came after the last word")
        if kind in _ONCE and kind in self._came:
            raise FrameError(f"{kind.name} came twice")
        self._came.add(kind)

    def _finish(self, fields: dict[str, str]) -> None:
        told = fields.get("samples")
        if told != str(self._count):
            words = shorten(told) if told is not None else None
            raise FrameError(f"the guest sent {words} samples, {self._count} came")
        self.problem = shorten(fields.get("problem", ""), _WORDS)
        self.done = True

    def _begin(self, name: str) -> None:
        planned, at = self.allowed.tests, len(self.tests)
        if at >= (_TESTS_MAX if planned is None else len(planned)):
            raise FrameError(f"test {shorten(name)} began, and {at} were all")
        if planned is not None and planned[at] != name:
            raise FrameError(f"test {shorten(name)} began, and it was the turn of {planned[at]}")
        self._printed = 0
        self.tests.append(TestOutcome(name))

    def _measure(self, payload: bytes) -> None:
        part = decode_samples(payload)
        known = self.samples.get(part.metric)
        if known is None:
            if len(self.samples) >= SERIES_MAX:
                raise FrameError(f"more than {SERIES_MAX} metrics came")
            known = self.samples[part.metric] = []
        if part.first != len(known):
            raise FrameError(f"{part.metric}: sample {len(known)} is missing")
        self._count += len(part.values)
        if self._count > self.allowed.samples:
            raise FrameError(f"more than {self.allowed.samples} samples came, and the plan asks for fewer")
        known.extend(part.values)

    def _print(self, payload: bytes) -> None:
        if not self.tests:
            raise FrameError("lines of a program came before any test")
        name = self.tests[-1].name
        lines = [plain(line) for line in payload.split(b"\n") if line]
        told = [line for line in lines if line.startswith(findings.MARK)]
        if self.allowed.programs is not None and name not in self.allowed.programs and len(told) < len(lines):
            raise FrameError(f"lines of a program came in {name}, which is none")
        self._printed += len(payload)
        if self._printed > LINES_MAX:
            raise FrameError(f"{name}: more than {LINES_MAX} bytes of METRIC lines came")
        if len(self.findings) + len(told) > FINDINGS_MAX:
            raise FrameError(f"more than {FINDINGS_MAX} findings came")
        for line in told:
            try:
                self.findings.append(findings.parse(line))
            except ValueError as error:
                raise FrameError(f"{name}: {shorten(line)!r} is {error}") from error
        if len(told) == len(lines):
            return
        # one more than can be taken is enough for those who read them to say that there were too many
        room = SAMPLES_LIMIT + 1 - len(self.lines.setdefault(name, []))
        self.lines[name].extend(
            [line for line in lines if not line.startswith(findings.MARK)][: max(room, 0)]
        )

    def _end(self, fields: dict[str, str]) -> None:
        test = self.tests[-1] if self.tests else None
        if test is None or test.name != fields.get("test"):
            raise FrameError(f"test {shorten(fields.get('test', ''))} ended without having begun")
        status = fields.get("status", "error")
        if status not in STATUSES:
            raise FrameError(f"test {test.name} ended with the status {shorten(status)!r}")
        duration = fields.get("duration_ns", "0")
        if len(duration) > _NS_DIGITS or duration.strip(_NUMBERS) or not duration:
            raise FrameError(f"test {test.name} took {shorten(duration)!r} ns")
        test.status = status
        test.message = shorten(fields.get("message", ""), _WORDS)
        test.duration_ns = int(duration)


class ResultsChannel(asyncio.Protocol):
    """Receives the results line of one node.

    Args:
        first: the sequence number of the first frame (a clone goes on where its template was frozen).
        on_frame: called with each frame after the results have taken it.
        on_error: called once with what is wrong with the bytes.
        allowed: what the guest may send.
        files: takes the files that it may send.
    """

    def __init__(
        self,
        first: int,
        on_frame: Callable[[Frame], None],
        on_error: Callable[[str], None],
        allowed: Allowed = Allowed(),
        files: ReceivedFiles | None = None,
    ) -> None:
        self._parser = FrameParser()
        self._parser.resume_at(first)
        self._on_frame = on_frame
        self._on_error = on_error
        self._broken = False
        self.next_sequence = first
        self.results = GuestResults(allowed=allowed, files=files)
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
        except OSError as error:
            self._broken = True
            self._on_error(f"what it sends cannot be kept: {error.strerror}: {error.filename}")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """QEMU has closed the line."""
        if not self.closed.done():
            self.closed.set_result(None)
