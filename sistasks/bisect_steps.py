"""`doit bisect`: since which commit of a tree a metric is worse, or a kernel crashes."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks.combinations import require_one
from sistasks.errors import HistoryError, NodeError, SistasksError, UsageError
from sistasks.files import locked
from sistasks.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sistasks.bisection.repository import Repository
    from sistasks.bisection.search import Search
    from sistasks.kernels.table import Entry
    from sistasks.settings import Settings
    from sistasks.terminal import Terminal

# variables of the bisection itself, which its steps do not get
_OWN: Final = frozenset({"good", "bad", "metric", "crash", "output"})


def bisect(settings: Settings, terminal: Terminal, *, command_line: Mapping[str, str]) -> None:
    """Find the first bad commit between good= and bad=; the same command goes on where it was interrupted.

    Args:
        settings: what was asked.
        terminal: where to say things.
        command_line: the variables as they were typed.

    Raises:
        UsageError: what is asked cannot be bisected.
        SistasksError: a commit at an end cannot be tested, or a step failed for reasons of ours.
    """
    from sistasks.bisection.repository import Repository
    from sistasks.bisection.search import Search

    entry = _entry(settings)
    folder = Layout(settings.output).output / "bisect" / entry.name
    repository = Repository(entry.values["path"].resolve(), (folder / "tree").absolute())
    suite, title = _searched(settings)
    good, bad = repository.commit(settings.good), repository.commit(settings.bad)
    asked = Search(
        variables={name: text for name, text in command_line.items() if name not in _OWN},
        project=str(Path.cwd()), output=str((folder / "build").absolute()), kernel=entry.name,
        work=str(repository.folder()), suite=suite, good=good, bad=bad, metric=settings.metric, crash=title,
    )  # fmt: skip
    if good == bad:
        raise UsageError(
            f"good={settings.good} and bad={settings.bad} are the same commit",
            "name two between which it changed",
        )
    if not repository.is_ancestor(good, bad):
        raise UsageError(
            f"good={settings.good} is not in the history of bad={settings.bad}",
            "good= is the older of the two",
        )
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(folder, wait=False))
        except BlockingIOError as error:
            raise SistasksError(
                f"another bisection of kernel={entry.name} is under way in {folder}",
                "wait for its end, or set output=",
            ) from error
        _search(asked, repository, folder / "search.json", settings.db, terminal)


def _search(asked: Search, repository: Repository, record: Path, db: Path, terminal: Terminal) -> None:
    """The bisection, or what is left of it."""
    from sistasks.bisection.search import Search

    kept = Search.read(record)
    if kept is not None and kept.same(asked) and repository.under_way and kept.holds(db):
        terminal.say(f"going on with the bisection in {record.parent}")
        asked = kept
    else:
        repository.remove()
        try:
            asked = _ends(asked, repository, record, terminal)
            repository.check_out(asked.bad)
            repository.begin(asked.good, asked.bad)
        except BaseException:
            repository.remove()  # nothing goes on from there
            raise
    found = repository.found()
    if not found.commits:
        found = repository.search([sys.executable, "-m", "sistasks.bisection.step", str(record.absolute())])
    if not found.commits:
        raise NodeError(
            "the bisection stopped at a step that found nothing out", "the same command goes on from there"
        )
    _tell(asked, repository, found.commits, terminal)
    repository.remove()
    record.unlink(missing_ok=True)


def _entry(settings: Settings) -> Entry:
    require_one(settings, "a bisection", "name the one that got worse")
    entry = settings.kernels.get(settings.kernel)
    if entry is None or entry.kind != "tree":
        raise UsageError(
            f"kernel={settings.kernel} is no tree of [tool.sistasks.kernels]",
            "what is bisected is a git tree",
        )
    for name in ("good", "bad"):
        if not getattr(settings, name):
            raise UsageError(f"{name}= is missing", f"{name}=COMMIT names one end of the bisection")
    if settings.clock == "wall" or settings.accel in {"kvm", "hvf"}:
        raise UsageError(
            "a bisection cannot be on the wall clock", "one boot a step decides only under clock=virtual"
        )
    return entry


def _searched(settings: Settings) -> tuple[str, str]:
    """The suite to run, and the title of the crash to look for, if it is one."""
    from sistasks.history.cases import crash_title
    from sistasks.suites.registry import suites

    if bool(settings.metric) == bool(settings.crash):
        raise UsageError("metric= or crash= is missing, or both are there", "one of them says what got worse")
    known = suites(settings)
    if settings.crash:
        found = crash_title(settings.db, settings.crash)
        if found is None:
            raise UsageError(f"crash={settings.crash} is not in {settings.db}", "doit browse shows crashes")
        return found
    for suite in known.values():
        if (
            settings.metric in {name for needed in suite.tests.values() for name in needed}
            and not suite.network
        ):
            return suite.name, ""
    names = sorted(
        {
            name
            for suite in known.values()
            if not suite.network
            for needed in suite.tests.values()
            for name in needed
        }
    )
    raise UsageError(
        f"metric={settings.metric} is measured by no suite of one node", "there are " + ", ".join(names)
    )


def _ends(asked: Search, repository: Repository, record: Path, terminal: Terminal) -> Search:
    """Test both ends: a search makes sense only if they differ."""
    from sistasks.bisection.step import test, verdict_on
    from sistasks.history.cases import crashes_of

    settings = asked.settings()
    record.parent.mkdir(parents=True, exist_ok=True)
    for end in ("good", "bad"):
        commit = getattr(asked, end)
        terminal.say(f"{end}: {repository.title(commit)}", always=True)
        repository.check_out(commit)
        tested = test(asked, settings, terminal)
        crashed = {crash.title for crash in crashes_of(settings.db, tested.run)} if tested.run else set()
        if asked.crash and (asked.crash in crashed) == (end == "good"):
            raise UsageError(
                f"{end}={commit[:12]} {'has' if end == 'good' else 'does not have'} the crash {asked.crash!r}",
                "choose the ends so that only bad= has it",
            )
        if tested.problem and not (asked.crash and end == "bad"):
            raise SistasksError(
                f"{end}={commit[:12]} cannot be tested: {tested.problem}", "choose another commit"
            )
        asked = replace(asked, good_run=tested.run) if end == "good" else replace(asked, bad_run=tested.run)
    asked.write(record)
    if asked.metric:
        verdict = verdict_on(asked, settings, asked.bad_run)
        if verdict is None or verdict.outcome != "worse":
            effect = "" if verdict is None or verdict.effect is None else f" ({verdict.effect:+.2%})"
            raise UsageError(
                f"{asked.metric} is not worse at bad={asked.bad[:12]} than at good={asked.good[:12]}{effect}",
                "choose ends between which it changes",
            )
    return asked


def _tell(asked: Search, repository: Repository, commits: tuple[str, ...], terminal: Terminal) -> None:
    """The commit, its effect, and the functions."""
    if len(commits) > 1:
        terminal.result(f"the first bad commit is one of {len(commits)}: those between them cannot be tested")
        for commit in commits:
            terminal.result(f"  {repository.title(commit)}")
        return
    (commit,) = commits
    terminal.result(f"\nfirst bad commit: {repository.title(commit)}")
    if asked.metric:
        _explain(asked, repository, commit, terminal)


def _explain(asked: Search, repository: Repository, commit: str, terminal: Terminal) -> None:
    from sistasks.compare_steps import compare_runs
    from sistasks.explain_steps import explain
    from sistasks.history.cases import run_of_commit
    from sistasks.profile.table import show_changed
    from sistasks.verdicts.baseline import open_history
    from sistasks.verdicts.references import find
    from sistasks.verdicts.table import verdict_table

    settings = asked.settings()
    first = asked.good_run
    after = run_of_commit(settings.db, asked.suite, commit, first) or asked.bad_run
    before = run_of_commit(settings.db, asked.suite, repository.parent(commit), first) or first
    with open_history(settings.db) as history:
        (base,), (head,) = find(history, str(before)), find(history, str(after))
        verdicts = [one for one in compare_runs(history, base, head) if one.metric == asked.metric]
    if not verdicts:
        raise HistoryError(f"runs {before} and {after} do not both have {asked.metric}")
    terminal.table(verdict_table(head, verdicts, terminal.width))
    explained = explain(head, [base], settings, terminal)
    if isinstance(explained, str):
        terminal.say(f"no functions are named: {explained}", always=True)
    else:
        show_changed(explained.phases, {asked.metric}, terminal)
