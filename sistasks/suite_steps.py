"""The suites behind the tasks; what is heavy to import is imported when it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sistasks.protocols.profile import ConsoleProfile
    from sistasks.settings import Settings
    from sistasks.suites.suite import Suite
    from sistasks.terminal import Terminal


def run(suite: str, settings: Settings, terminal: Terminal) -> list[int]:
    """Run one suite, here or on the workers of `cluster=`, and keep its runs.

    Returns:
        Their numbers.

    Raises:
        KernelFailure: a test failed.
        SistasksError: the tool or the machine failed.
    """
    if settings.cluster:
        from sistasks.fleet.run import finish

        found = finish(suite, settings, terminal)
        if found is not None:
            return found
    from sistasks.suites.run import run_suite

    return run_suite(suite, settings, terminal)


def begin(suite: str, settings: Settings, terminal: Terminal) -> None:
    """Have the workers of `cluster=` begin with a suite, which `run` then waits for.

    Raises:
        SistasksError: the fleet or the history failed.
    """
    from sistasks.fleet.run import begin as begin_on_fleet

    begin_on_fleet(suite, settings, terminal)


def is_up_to_date(suite: str, settings: Settings) -> bool:
    """Whether the history holds enough good runs with the same inputs."""
    if settings.cluster:
        from sistasks.fleet.run import up_to_date as up_to_date_on_fleet

        return up_to_date_on_fleet(suite, settings)
    from sistasks.suites.staleness import up_to_date

    return up_to_date(suite, settings)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the tasks must know of suites before any of them runs.

    Attributes:
        programs: the suite that was asked about runs programs of the user's.
        registered: suites of dodo.py and of installed packages: name -> what they are.
        tested: what `test` runs beside `boot`.
    """

    programs: bool
    registered: dict[str, str]
    tested: tuple[str, ...]


def plan(settings: Settings, name: str = "") -> Plan:
    """Look at all suites.

    Args:
        settings: what was asked.
        name: a suite to ask about.

    Raises:
        UsageError: a program or a suite names what is not there, or an installed suite cannot be loaded.
    """
    from sistasks.suites.registry import registered, suites

    found = suites(settings)
    own = {suite.name: _line(suite) for suite in registered()}
    profile = _profile(settings)
    if profile is None:
        tested = ["performance", *(["distributed"] if has_cluster(settings) else [])]
        tested += ["stress", "security", *(["penetration"] if has_cluster(settings, "penetration") else [])]
        tested += [*(["programs"] if "programs" in found else []), *own]
    else:  # it has no use for programs, and nobody acts on its nodes
        kinds = {test.of_cluster for test in profile.tests.values()}
        tested = ["performance"] if False in kinds else []
        tested += ["distributed"] if True in kinds and has_cluster(settings) else []
        tested += ["ktap"] if profile.protocol in {"ktap", "lava"} else []
    return Plan(programs=name in found and bool(found[name].programs), registered=own, tested=tuple(tested))


def _profile(settings: Settings) -> ConsoleProfile | None:
    """How the kernel talks on its console, if its entry says that it does."""
    from sistasks.protocols.profile import PROFILES

    entry = settings.kernels.get(settings.kernel)
    if entry is None or (entry.console is None and entry.values.keys().isdisjoint({"esp", "initramfs"})):
        return None
    return entry.console or PROFILES["metric"]


def _line(suite: Suite) -> str:
    words = (suite.act.__doc__ or "").strip() if suite.act is not None else ""
    return words.splitlines()[0] if words else f"Run the suite {suite.title}."


def has_cluster(settings: Settings, suite: str = "distributed") -> bool:
    """Whether there are nodes enough for a suite."""
    from sistasks.suites.suite import SUITES

    return settings.nodes >= SUITES[suite].least_nodes


def has_attackers(settings: Settings) -> bool:
    """Whether nodes can strike at each other: there are enough, and our agent is in them."""
    return has_cluster(settings, "penetration") and _profile(settings) is None


def check_cluster(settings: Settings, terminal: Terminal) -> None:  # noqa: ARG001 - a step's signature
    """Refuse what no cluster can be, before anything is fetched or built for it.

    Raises:
        UsageError: too few nodes, more traitors than can be borne, or faults that cannot be.
    """
    from sistasks.suites.distributed.config import configure

    configure(settings, limit=settings.timeout)


def check_fleet(settings: Settings, terminal: Terminal) -> None:  # noqa: ARG001 - a step's signature
    """Refuse a fleet that does not answer, before anything is fetched or built for it.

    Raises:
        ToolMissing: what talks to it is not installed.
        FleetError: its scheduler does not answer.
    """
    from sistasks.fleet.fleet import connect

    connect(settings.cluster)


def check_attackers(settings: Settings, terminal: Terminal) -> None:  # noqa: ARG001 - a step's signature
    """Refuse what has no victim, before anything is fetched or built for it.

    Raises:
        UsageError: too few nodes, or more than a network has.
    """
    from sistasks.suites.penetration.execute import check

    check(settings)


def check_advisories(settings: Settings, terminal: Terminal) -> None:  # noqa: ARG001 - a step's signature
    """Refuse a file of advisories that cannot be understood, before anything is fetched or built for it.

    Raises:
        UsageError: the file cannot be read, or an entry cannot be understood.
    """
    from sistasks.suites.security.vulnerabilities import load

    load(settings.advisories)


def summary(settings: Settings, terminal: Terminal) -> None:
    """Show the suites that did not have to run again."""
    from sistasks.combinations import titled
    from sistasks.session import SESSION_ID
    from sistasks.suites.staleness import show_kept

    if not has_cluster(settings) and _profile(settings) is None:
        terminal.say(
            f"{titled('distributed', settings)}: skipped, nodes={settings.nodes} are too few to agree"
        )
    if not has_cluster(settings, "penetration") and _profile(settings) is None:
        terminal.say(
            f"{titled('penetration', settings)}: skipped, nodes={settings.nodes} has nobody to strike at"
        )
    show_kept(settings, terminal, SESSION_ID)
