"""A crash of the history played again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sistasks.combinations import each_architecture, require_one
from sistasks.errors import NotReproduced, UsageError

if TYPE_CHECKING:
    from sistasks.history.crashes import StoredCrash
    from sistasks.settings import Settings
    from sistasks.suites.recipe import Recipe
    from sistasks.suites.security.fuzzing import Reproducer
    from sistasks.suites.suite import Suite
    from sistasks.terminal import Terminal

_LISTED = "doit browse lists crashes with their numbers"


def reproduce(settings: Settings, terminal: Terminal) -> None:
    """Play a crash again, and say whether it came. It is no run: the history stays as it is.

    Raises:
        UsageError: no crash was named, or it is not there, has no reproducer, or had other settings.
        NotReproduced: it did not come again.
        SistasksError: the tool or the machine failed.
    """
    from sistasks.suites.registry import find
    from sistasks.suites.security.reproduce import play
    from sistasks.textlines import visible

    crash, reproducer = _asked(settings)
    number = settings.crash
    suite = find(crash.suite, settings)
    title = visible(crash.row.title, 200)
    terminal.say(f"reproduce: crash {number} of run {crash.run_id}, node {crash.row.node}: {title}")
    replay = play(crash, suite, _recipe(suite, settings, crash), reproducer, terminal)
    if not replay.came:
        instead = f"; instead came: {visible('; '.join(replay.others), 300)}" if replay.others else ""
        raise NotReproduced(f"crash {number} did not come again: {title}{instead}", f"see {replay.logs}")
    how = "in its episode alone" if replay.alone else "after what its node had done before"
    terminal.result(f"crash {number} came again, {how}: {title}; see {replay.logs}")


def check(settings: Settings, terminal: Terminal) -> None:  # noqa: ARG001 - a step's signature
    """Refuse what cannot be played again, before anything is fetched or built for it.

    Raises:
        UsageError: no crash was named, it is not there or has no reproducer, or it came on another architecture.
        HistoryError: there is no history, or it cannot be read.
    """
    crash, _ = _asked(settings)
    _of_architecture(settings, crash)


def _asked(settings: Settings) -> tuple[StoredCrash, Reproducer]:
    from sistasks.history.connection import prepare
    from sistasks.history.crashes import crash as read
    from sistasks.suites.security.fuzzing import Reproducer
    from sistasks.verdicts.baseline import open_history

    require_one(replace(settings, matrix=()), "a crash", "name the kernel that it came on")
    number = settings.crash
    if "crash" not in settings.given:
        raise UsageError("reproduce needs a crash", f"doit reproduce crash=12; {_LISTED}")
    with open_history(settings.db):
        pass
    prepare(settings.db)  # an older history does not know what plays a crash again
    crash = read(settings.db, number)
    if crash is None:
        raise UsageError(f"crash {number} is not in the history", _LISTED)
    if not crash.row.reproducer:
        raise UsageError(
            f"crash {number} has nothing that plays it again: it did not come in an episode of fuzzing",
            f"doit artifacts run={crash.run_id} lists what it left",
        )
    try:
        return crash, Reproducer.parse(crash.row.reproducer)
    except ValueError as error:
        raise UsageError(f"crash {number} cannot be played again: {error}", _LISTED) from error


def _recipe(suite: Suite, settings: Settings, crash: StoredCrash) -> Recipe:
    """What the suite runs on, of the architecture of the crash.

    Raises:
        UsageError: another architecture is asked for.
        SistasksError: a record of the build steps is missing.
    """
    from sistasks.suites.recipe import recipes

    return recipes(suite, _of_architecture(settings, crash))[0]


def _of_architecture(settings: Settings, crash: StoredCrash) -> Settings:
    """The settings for the architecture that the crash came on.

    Raises:
        UsageError: others are asked for.
    """
    arch = crash.environment.arch
    for one in each_architecture(settings):
        if one.arch == arch:
            return one
    raise UsageError(f"the crash came on {arch}", f"doit reproduce arch={arch} crash={settings.crash}")
