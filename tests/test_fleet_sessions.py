"""What a session on a fleet does when workers go, come back or come late: nothing waits for ever, nothing is lost."""

from __future__ import annotations

import asyncio
import io
import queue
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from fleet_processes import LIMIT, fleet

from sistasks.errors import FleetError
from sistasks.fleet import board as boards
from sistasks.fleet import fleet as fleets
from sistasks.fleet import identity, worker
from sistasks.fleet.job import Job
from sistasks.fleet.progress import RunLines
from sistasks.fleet.records import Survey
from sistasks.fleet.session import SILENT, Session
from sistasks.layout import Layout
from sistasks.settings import resolve
from sistasks.suites.registry import find
from sistasks.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("distributed")

A, B, C = (f"tcp://worker:{number}" for number in (1, 2, 3))


class _Told(fleets.Fleet):
    """Workers that are there as a test says, and never answer."""

    def __init__(self) -> None:
        client: Any = SimpleNamespace(
            subscribe_topic=lambda *_: None, status="running", cancel=lambda _: None
        )
        super().__init__("tcp://home:1", client)
        self.able: dict[str, Survey] = {}
        self.asked: list[dict[str, Any]] = []

    def enlist(self, *_: object) -> dict[str, Survey]:
        return dict(self.able)

    def submit(self, *_: object, **asked: Any) -> Any:
        self.asked.append(asked)
        return SimpleNamespace(key=asked["key"], status="pending", add_done_callback=lambda _: None)


def survey(clock: str = "virtual") -> Survey:
    return Survey(
        accelerator="tcg", qemu_version="9", host_cpu="x", host_cores=4, memory=1 << 34, clock=clock, inputs=("a",),
        enforces=(False,), environments=("e",),
    )  # fmt: skip


@pytest.fixture
def job(tmp_path: Path) -> Job:
    settings = resolve({}, {}, tmp_path / "none")
    return Job(
        suite=find("performance", settings),
        settings=settings,
        records={},
        files={},
        metrics=(),
        advisories="",
    )


@pytest.fixture
def lines(job: Job, tmp_path: Path) -> Iterator[RunLines]:
    with Terminal(job.settings, Layout(tmp_path), io.StringIO()) as terminal:
        yield RunLines(terminal, 1)


def session_of(made: fleets.Fleet, job: Job) -> Session:
    """A session with one run under way."""
    session = Session(made, job, {}, [_recipe(job)], queue.SimpleQueue())
    session._able = made.enlist(job, {}, {})
    session._add(0, "")
    return session


def at(session: Session, address: str, lines: RunLines) -> Any:
    """The session's run, which this worker has."""
    (key,) = session._tasks
    session.follow(key, address, 0, lines)
    return session._tasks[key]


def test_a_run_that_only_some_may_do_goes_on_with_others_when_those_have_gone(
    job: Job, lines: RunLines
) -> None:
    made = _Told()
    made.able = {A: survey(), B: survey()}
    session = session_of(made, job)
    session._elsewhere(_popped(session), A, "its disk is full", lines)
    at(session, B, lines)
    made.able[C] = survey()
    session.look({}, lines)
    assert made.asked[-1]["workers"] == [B]
    del made.able[B]
    session.look({}, lines)
    assert made.asked[-1]["workers"] == [C]
    assert len(session._tasks) == 1


def test_a_run_that_none_of_those_left_can_do_is_not_waited_for(
    job: Job, lines: RunLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _Told()
    made.able = {A: survey(), B: survey()}
    session = session_of(made, job)
    session._elsewhere(_popped(session), A, "its disk is full", lines)
    at(session, B, lines)
    del made.able[B]
    now = [1000.0]
    monkeypatch.setattr("sistasks.fleet.session.time", SimpleNamespace(monotonic=lambda: now[0]))
    session.look({}, lines)
    now[0] += SILENT + 1
    with pytest.raises(FleetError, match=r"^no worker of tcp://home:1 can run the suite performance; "):
        session.look({}, lines)


def test_a_worker_that_is_started_again_at_its_address_gets_its_run_again(job: Job, lines: RunLines) -> None:
    made = _Told()
    made.able = {A: survey()}
    session = session_of(made, job)
    at(session, A, lines)
    session.look({}, lines)
    assert len(made.asked) == 1
    made.able = {A: survey()}  # it has told of itself anew
    session.look({}, lines)
    assert len(made.asked) == 2
    assert len(session._tasks) == 1


def test_who_is_known_and_has_no_mark_of_the_job_is_asked_again(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def sync(_: Any, addresses: list[str], *__: Any) -> dict[str, Survey]:
        asked.extend(addresses)
        return {address: survey() for address in addresses}

    client: Any = SimpleNamespace(subscribe_topic=lambda *_: None, sync=sync)
    made = fleets.Fleet("tcp://home:1", client)
    made.enlist(job, {}, {A: {"resources": {}}})
    made.enlist(job, {}, {A: {"resources": {fleets.mark(job): 1.0}}})
    assert asked == [A]
    made.enlist(job, {}, {A: {"resources": {}}})
    assert asked == [A, A]


class _Failing(fleets.Fleet):
    """Workers that are ready and cannot say so."""

    failure: Exception

    async def _on(self, address: str, function: Any, *_: object, limit: float = 1) -> Any:
        assert limit > 0
        if function is worker.advertise and address == A:
            raise self.failure
        answers: dict[Any, Any] = {
            worker.version: identity.version(),
            worker.missing: [],
            worker.survey: survey(),
        }
        return answers.get(function)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (
            KeyError("tcp://name:1"),
            "Dask does not know it by its address; give dask worker one without a name",
        ),
        (RuntimeError("it ends"), "it ends"),
    ],
)
def test_what_goes_wrong_with_one_worker_leaves_that_one_out(job: Job, failure: Exception, said: str) -> None:
    client: Any = SimpleNamespace(subscribe_topic=lambda *_: None)
    made = _Failing("tcp://home:1", client)
    made.failure = failure
    assert asyncio.run(made._enlist_all([A, B], job, {})) == {A: said, B: survey()}


def test_what_was_asked_for_under_the_virtual_clock_goes_to_no_worker_that_has_another(job: Job) -> None:
    made = _Told()
    made.able = {A: survey()}
    session_of(made, job)
    wanted = {fleets.mark(job): 1.0, **made.asked[0]["resources"]}
    assert wanted["sistasks-host"] < fleets.WHOLE
    assert wanted.keys() <= fleets.advertised(job, survey()).keys()
    assert not wanted.keys() <= fleets.advertised(job, survey("wall")).keys()


def _popped(session: Session) -> Any:
    (key,) = session._tasks
    return session._tasks.pop(key)


def test_what_went_with_its_worker_is_done_again_and_a_lost_fleet_leaves_nobody_waiting(
    job: Job, lines: RunLines, tmp_path: Path
) -> None:
    with fleet(tmp_path, "one") as real:
        made = fleets.connect(real.address)
        ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        future = made.client.submit(bytes, 10, key="sistasks-test", pure=False)
        future.add_done_callback(ended.put)
        assert made.result(ended.get(timeout=LIMIT)) == bytes(10)

        session = boards.board(real.address).session(job, {}, [_recipe(job)])
        session._able = {"tcp://127.0.0.1:1": survey()}
        session._add(0, "")
        key, task = next(iter(session._tasks.items()))
        session._tasks = {future.key: task}
        assert key != future.key
        real.workers["one"].kill()
        lost = threading.Thread(target=made.result, args=(future,), daemon=True)
        lost.start()
        lost.join(LIMIT)
        assert not lost.is_alive()
        session.take(future, lines)
        assert session.under_way
        assert future.key not in session._tasks

        # somebody else at the scheduler's address
        made.client.close()
        assert boards.board(real.address).fleet is not made
        assert not session.under_way
        with pytest.raises(FleetError, match=f"^the scheduler {real.address} is lost; "):
            boards.board(real.address).wait(session, lines.terminal)
        fleets.connect(real.address).client.close()


def _recipe(job: Job) -> Any:
    return SimpleNamespace(
        settings=job.settings,
        slots=1,
        timeout=60,
        node_count=lambda _: 1,
        machine=SimpleNamespace(memory=1 << 27),
    )


@pytest.mark.parametrize(("clock", "at_once"), [("virtual", 1), ("wall", 0)])
def test_on_the_wall_clock_nothing_is_measured_while_workers_are_set_up_for_more(
    job: Job, lines: RunLines, clock: str, at_once: int
) -> None:
    told = _Told()
    told.able = {A: survey(clock)}
    recipe: Any = SimpleNamespace(
        settings=job.settings, node_count=lambda _: 1, slots=1, timeout=1.0,
        machine=SimpleNamespace(memory=1 << 20),
    )  # fmt: skip
    session = Session(told, job, {}, [recipe], queue.SimpleQueue())
    session._able = told.able
    session._add(0, "")
    assert len(told.asked) == at_once
    assert session.under_way
    session.start()
    assert len(told.asked) == 1
    session.start()
    assert len(told.asked) == 1
    session.cancel()
    assert not session.under_way
