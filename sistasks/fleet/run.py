"""Suites on a fleet, as tasks ask for them: begun, waited for, up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sistasks.errors import HistoryError, SistasksError, UsageError
from sistasks.fleet import fleet as fleets
from sistasks.fleet.board import board
from sistasks.fleet.job import pack, why_not
from sistasks.fleet.session import held
from sistasks.history.connection import prepare
from sistasks.suites import registry, staleness
from sistasks.suites.recipe import recipes

if TYPE_CHECKING:
    from sistasks.fleet.records import Survey
    from sistasks.fleet.session import Session
    from sistasks.settings import Settings
    from sistasks.terminal import Terminal

# what was begun and nobody has waited for yet
_begun: Final[dict[tuple[str, str, str], Session]] = {}


def up_to_date(suite_name: str, settings: Settings) -> bool:
    """Whether the history holds as many good runs as were asked for, of all environments that the fleet has."""
    if _key(suite_name, settings) in _begun:
        return False
    try:
        suite = registry.find(suite_name, settings)
        made = recipes(suite, settings)
        if why_not(suite):
            return staleness.up_to_date(suite_name, settings)
        job, paths = pack(suite, settings, made)
        able = fleets.connect(settings.cluster).enlist(job, paths)
        return bool(able) and all(held(settings, able, index) >= settings.runs for index in range(len(made)))
    except (SistasksError, OSError, ValueError, TypeError, KeyError):
        return False  # whatever is missing or broken will be said by the step that needs it


def begin(suite_name: str, settings: Settings, terminal: Terminal) -> None:
    """Have workers begin with a suite, unless it can only be run here; `finish` waits for it.

    Raises:
        SistasksError: the fleet or the history failed; what had been begun before has ended, and is recorded.
    """
    session = _session(suite_name, settings)
    if not isinstance(session, str):
        _begin(session, settings, terminal)
        _begun[_key(suite_name, settings)] = session


def finish(suite_name: str, settings: Settings, terminal: Terminal) -> list[int] | None:
    """Wait for a suite, which is begun now if it was not.

    Returns:
        The numbers of the runs; None where the suite can only be run here, which is said: nothing else runs then.

    Raises:
        KernelFailure: a test failed (the runs are kept).
        SistasksError: the fleet, a worker or the history failed (runs that had ended are kept).
    """
    session = _begun.pop(_key(suite_name, settings), None)
    if session is None:
        made = _session(suite_name, settings)
        if isinstance(made, str):
            board(settings.cluster).drain(terminal)
            terminal.say(f"{suite_name}: runs here, for {made}")
            return None
        _begin(made, settings, terminal)
        session = made
    return board(settings.cluster).wait(session, terminal)


def on_each(
    suite_name: str, settings: Settings, count: int, terminal: Terminal
) -> tuple[Session, dict[str, Survey], SistasksError | None]:
    """Run a suite `count` times on each worker that can, to compare the runs; all are kept.

    Returns:
        The session, which knows the runs and where each came from; its workers, by address; and why some of the runs
        are not there or not good, if there is a reason.

    Raises:
        UsageError: the suite can only be run here.
        SistasksError: no worker can run it, there would be nothing to compare, or the history failed.
    """
    session = _session(suite_name, settings)
    if isinstance(session, str):
        raise UsageError(
            f"{suite_name} cannot be run on {settings.cluster}, for {session}", "leave cluster= out"
        )
    workers = session.begin_on_each(count, terminal)
    failure = None
    try:
        board(settings.cluster).wait(session, terminal)
    except HistoryError:
        raise
    except SistasksError as error:
        failure = error
    return session, workers, failure


def _begin(session: Session, settings: Settings, terminal: Terminal) -> None:
    try:
        session.begin(terminal)
    except SistasksError:
        board(settings.cluster).drain(terminal)
        raise


def _key(suite_name: str, settings: Settings) -> tuple[str, str, str]:
    return suite_name, settings.arch, settings.kernel


def _session(suite_name: str, settings: Settings) -> Session | str:
    """A session of the suite, or why it can only be run here."""
    suite = registry.find(suite_name, settings)
    prepare(settings.db)
    made = recipes(suite, settings)
    for recipe in made:
        recipe.verify()
    if why := why_not(suite):
        return why
    job, paths = pack(suite, settings, made)
    return board(settings.cluster).session(job, paths, made)
