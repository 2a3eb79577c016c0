"""Suites from Python, for those who script: the same steps, nodes and history as those of `doit`."""

from __future__ import annotations

import io
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from sistasks.combinations import require_one
from sistasks.errors import KernelFailure, SistasksError, UsageError
from sistasks.layout import Layout
from sistasks.refusals import refusal
from sistasks.settings import Settings, resolve
from sistasks.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from sistasks.history.artifacts import StoredArtifact
    from sistasks.history.records import CrashRow, StoredRun

_AUTHOR: Final = "sistasks.api"


@dataclass(frozen=True, init=False)
class Environment:
    """What nodes are made of: the variables of the command line, checked at once.

        Environment(arch="arm64", memory="256M", nodes=2)

    What is not given comes from the environment variables and from `[tool.sistasks]`, as it does for `doit`.

    Raises:
        UsageError: an unknown variable, or a value that cannot be.
    """

    variables: Mapping[str, str]
    settings: Settings

    def __init__(self, **variables: object) -> None:
        texts = {name: _text(value) for name, value in variables.items()}
        object.__setattr__(self, "variables", texts)
        object.__setattr__(self, "settings", resolve(texts))
        require_one(self.settings, "a runner", "make a runner for each")


@dataclass(frozen=True, slots=True, kw_only=True)
class TestCase:
    """What is executed.

    Attributes:
        id: by which its runs and artifacts are found again.
        suite: `boot`, `performance`, `distributed` or the name of any other suite.
        variables: for this test case alone, over those of the environment.
    """

    __test__ = False  # not a test of ours: pytest looks at names

    id: str
    suite: str
    variables: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """How a test case ended.

    Attributes:
        test_id: the test case's.
        status: `ok`, `failed` (the kernel under test) or `error` (the tool or the machine).
        message: why it is not `ok`.
        duration: seconds.
        runs: as the history has them, with results and summaries; several where a suite measures in several ways.
        crashes: what the kernels complained of.
        artifacts: what is kept as evidence.
        db: the history, for more: samples, resources.
    """

    __test__ = False

    test_id: str
    status: str
    message: str
    duration: float
    runs: tuple[StoredRun, ...]
    crashes: tuple[CrashRow, ...]
    artifacts: tuple[StoredArtifact, ...]
    db: Path


class QemuTestRunner:
    """Executes test cases in nodes; use as a context manager.

        with QemuTestRunner(Environment(nodes=2)) as runner:
            result = runner.execute(TestCase(id="test_001", suite="performance"), timeout=300)

    Entering makes what is stale of the build steps (setup, kernel, guest; firmware where it is needed). Nodes live only
    within `execute`, which leaves no process behind, however it ends.

    Args:
        environment: what nodes are made of.
        verbose: say on standard output what `doit` would say; else it is only in orchestrator.log.

    Raises:
        SistasksError: on entering: a build step failed.
    """

    def __init__(self, environment: Environment | None = None, *, verbose: bool = False) -> None:
        self.environment = environment or Environment()
        self.settings = self.environment.settings
        self._verbose = verbose

    def __enter__(self) -> Self:
        try:
            with self._terminal(self.settings) as terminal:
                self._build(self.settings, terminal)
        except OSError as error:
            if (refused := refusal(error, self.settings.output)) is None:
                raise
            raise refused from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from sistasks.session import release_logs

        self.cleanup()
        release_logs()

    def execute(self, test_case: TestCase | str, timeout: float | None = None) -> TestResult:
        """Run a suite once, record it, and tell how it ended.

        Args:
            test_case: what is run; a text is the name of a suite.
            timeout: seconds that a node may take, as the variable `timeout`; None: what the environment says.

        Returns:
            The result, also where the kernel or the machine failed: its status says so.

        Raises:
            UsageError: there is no such suite, a value cannot be, two variables cannot be together, or an event loop
                runs in this thread.
            HistoryError: the history cannot be used.
        """
        from sistasks.history.artifacts import artifacts_of
        from sistasks.history.cases import crashes_of, newest_run, note_test_case, runs_of_session
        from sistasks.session import SESSION_ID
        from sistasks.suite_steps import run

        _refuse_running_loop()
        case = TestCase(id=test_case, suite=test_case) if isinstance(test_case, str) else test_case
        settings = self._settings(case, timeout)
        started = time.monotonic()
        status, message = "ok", ""
        before = newest_run(settings.db)
        try:
            with self._terminal(settings) as terminal:
                self._build(settings, terminal, case.suite)
                run(case.suite, settings, terminal)
        except UsageError:
            raise
        except KernelFailure as failure:
            status, message = "failed", str(failure)
        except SistasksError as failure:
            if newest_run(settings.db) == before:  # nothing was run
                raise
            status, message = "error", str(failure)
        except OSError as error:
            if (refused := refusal(error, settings.output)) is None:
                raise
            status, message = "error", str(refused)
        runs = runs_of_session(settings.db, SESSION_ID, before)
        if runs:
            note_test_case(settings.db, [run.id for run in runs], case.id, _AUTHOR)
        return TestResult(
            test_id=case.id, status=status, message=message, duration=time.monotonic() - started, runs=runs,
            crashes=tuple(crash for run in runs for crash in crashes_of(settings.db, run.id)),
            artifacts=tuple(item for run in runs for item in artifacts_of(settings.db, run.id)),
            db=settings.db,
        )  # fmt: skip

    def cleanup(self) -> None:
        """End nodes and remove scratch that killed sessions have left; history and artifacts stay."""
        from sistasks.upkeep import cleanup

        with self._terminal(self.settings) as terminal:
            cleanup(self.settings, terminal)

    def _settings(self, case: TestCase, timeout: float | None) -> Settings:
        asked = dict(case.variables) if timeout is None else {**case.variables, "timeout": timeout}
        return Environment(**{**self.environment.variables, **asked}).settings if asked else self.settings

    def _terminal(self, settings: Settings) -> Terminal:
        return Terminal(settings, Layout(settings.output), sys.stdout if self._verbose else io.StringIO())

    @staticmethod
    def _build(settings: Settings, terminal: Terminal, suite: str = "") -> None:
        """What `doit` would do before a suite."""
        from sistasks import steps

        steps.require_output(settings)
        made: list[tuple[Callable[[Settings], bool], Callable[[Settings, Terminal], None]]] = [
            (steps.is_set_up, steps.set_up),
            (steps.has_kernel, steps.provide_kernel),
            (steps.has_guest, steps.build_guest),
        ]
        if steps.needs_firmware(settings) or suite == "boot":
            made.append((steps.has_firmware, steps.find_firmware))
        if settings.programs:
            made.append((steps.has_programs, steps.pack_programs))
        for is_fresh, make in made:
            if not is_fresh(settings):
                make(settings, terminal)


def _refuse_running_loop() -> None:
    """Nodes need an event loop of their own, and a thread has one at most; notebooks run one in theirs."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UsageError(
        "execute cannot be called while an event loop runs in the same thread, as in a notebook",
        "call it from a thread (await asyncio.to_thread(runner.execute, …)) or from a plain script",
    )


def _text(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
