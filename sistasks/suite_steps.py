"""The suites behind the tasks; what is heavy to import is imported when it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sistasks.settings import Settings
    from sistasks.terminal import Terminal


def run(suite: str, settings: Settings, terminal: Terminal) -> None:
    """Run one suite and keep the run.

    Raises:
        KernelFailure: a test failed.
        SistasksError: the tool or the machine failed.
    """
    from sistasks.suites.run import run_suite

    run_suite(suite, settings, terminal)


def is_up_to_date(suite: str, settings: Settings) -> bool:
    """Whether the history holds enough good runs with the same inputs."""
    from sistasks.suites.staleness import up_to_date

    return up_to_date(suite, settings)


def has_cluster(settings: Settings) -> bool:
    """Whether there are nodes enough for the distributed suite."""
    from sistasks.suites.suite import DISTRIBUTED

    return settings.nodes >= DISTRIBUTED.least_nodes


def check_cluster(settings: Settings, terminal: Terminal) -> None:  # noqa: ARG001 - a step's signature
    """Refuse what no cluster can be, before anything is fetched or built for it.

    Raises:
        UsageError: too few nodes, more traitors than can be borne, or faults that cannot be.
    """
    from sistasks.suites.distributed.config import configure

    configure(settings, limit=settings.timeout)


def summary(settings: Settings, terminal: Terminal) -> None:
    """Show the suites that did not have to run again."""
    from sistasks.session import SESSION_ID
    from sistasks.suites.staleness import show_kept

    if not has_cluster(settings):
        terminal.say(f"distributed: skipped, nodes={settings.nodes} are too few to agree")
    show_kept(settings, terminal, SESSION_ID)
