"""The self-check of a fleet: the same run on every worker, and whether those of one environment gave the same."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.errors import FleetError
from sistasks.textlines import visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from sistasks.fleet.records import Survey
    from sistasks.fleet.same import Agreement
    from sistasks.fleet.session import Session
    from sistasks.settings import Settings
    from sistasks.terminal import Terminal

_SUITE: Final = "performance"
# of an environment's id and of names: as many as a person reads
_SHORT: Final = 12
_NAMED: Final = 6
_ADDRESS: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """What workers of one environment measured.

    Attributes:
        environment: its id.
        clock: its clock.
        runs: of each worker, by address, the oldest first.
        agreement: of their samples; None where none is owed: on the wall clock, or of a single run.
    """

    environment: str
    clock: str
    runs: Mapping[str, Sequence[int]]
    agreement: Agreement | None

    @property
    def numbers(self) -> list[int]:
        """Of all runs, the oldest first."""
        return sorted(number for numbers in self.runs.values() for number in numbers)

    @property
    def odd(self) -> tuple[str, ...]:
        """Workers whose figures must not be believed, by address."""
        return self.agreement.odd if self.agreement is not None else ()

    @property
    def words(self) -> str:
        """The environment as a person reads it."""
        return f"environment {self.environment[:_SHORT]}"


def selfcheck(settings: Settings, terminal: Terminal) -> None:
    """Have each worker measure the same, `count` times where that was given, and compare what came.

    Under the virtual clock all runs of an environment must be the same to the bit; on the wall clock they are judged
    by the gate as those of one machine are. Runs of different environments are never compared.

    Raises:
        FleetError: workers of one environment differ under the virtual clock, or there would be nothing to compare.
        SistasksError: a run, the fleet or a confirmation failed.
    """
    from sistasks.fleet.run import on_each

    count = settings.count if "count" in settings.given else 1
    session, workers, failure = on_each(_SUITE, settings, count, terminal)
    groups = _groups(session, settings)
    title = f"selfcheck: {_SUITE} on {_some(len(workers), 'worker')} of {settings.cluster}"
    terminal.table(_table(title, groups, session, workers))
    for group in groups:
        _tell(group, session, settings, terminal)
    if len(groups) > 1:
        terminal.result("runs of different environments are never compared")
    wrong = _disagreements(groups, session)
    if wrong is not None:
        if failure is not None:
            terminal.say(str(failure), always=True)
        raise wrong
    if failure is not None:
        raise failure


def _groups(session: Session, settings: Settings) -> list[_Group]:
    """The session's runs by environment."""
    from sistasks.fleet.same import Sampled, agreement
    from sistasks.history.series import series_of
    from sistasks.verdicts.baseline import open_history

    runs: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    with open_history(settings.db) as history:
        for number, address in sorted(session.came, key=lambda one: (session.name(one[1]), one[0])):
            run = history.run(number)
            runs[run.environment_id, run.clock][address].append(number)
    groups = []
    for (environment, clock), by_worker in runs.items():
        sampled = []
        if clock == "virtual" and sum(map(len, by_worker.values())) > 1:
            sampled = [
                Sampled(number, address, series_of(settings.db, number))
                for address, numbers in by_worker.items()
                for number in numbers
            ]
        found = agreement(sampled) if sampled else None
        groups.append(_Group(environment=environment, clock=clock, runs=by_worker, agreement=found))
    return sorted(groups, key=lambda group: (-len(group.runs), group.environment))


def _table(title: str, groups: Sequence[_Group], session: Session, workers: Mapping[str, Survey]) -> Table:
    """A line for each worker: what it is, which runs came from it, and with whose they were compared."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from sistasks.history.numbers import spans

    table = Table(
        title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for heading in ("worker", "environment", "QEMU", "CPU", "clock", "runs", "compared"):
        table.add_column(heading, overflow="fold", no_wrap=heading in {"environment", "clock"})
    versions = {known.qemu_version for known in workers.values()}
    # who built it is shown where nothing else tells two of them apart
    plain = len({version.partition(" ")[0] for version in versions}) == len(versions)
    for group in groups:
        for address, numbers in group.runs.items():
            known = workers[address]
            version = known.qemu_version.partition(" ")[0] if plain else known.qemu_version
            table.add_row(
                Text(visible(session.name(address, short=True))),
                group.environment[:_SHORT],
                Text(visible(version)),
                Text(visible(known.host_cpu)),
                group.clock,
                spans(numbers),
                Text(_compared(group, address, session), "bold red" if address in group.odd else ""),
            )
    for address in workers.keys() - {address for _, address in session.came}:
        name = Text(visible(session.name(address, short=True)))
        table.add_row(
            name, "-", "-", Text(visible(workers[address].host_cpu)), "-", "-", "no good run came from it"
        )
    return table


def _compared(group: _Group, address: str, session: Session) -> str:
    """With whose runs those of a worker were compared, and what that came to."""
    others = [other for other in group.runs if other != address]
    if len(group.numbers) == 1:
        return "with nobody's: no other is in this environment"
    if group.clock == "wall":
        return f"judged with {_names(others, session) or 'each other'}"
    assert group.agreement is not None  # noqa: S101 - of several runs under the virtual clock there is one
    kinds = group.agreement.kinds
    words = ["not even identical to each other"] if len(kinds[address]) > 1 else []
    alike = [other for other in others if kinds[other] == kinds[address] and not words]
    apart = [other for other in others if other not in alike]
    words += [f"identical to {_names(alike, session) or 'each other'}"] if alike or not others else []
    words += [f"differs from {_names(apart, session)}"] if apart else []
    return "; ".join(words)


def _tell(group: _Group, session: Session, settings: Settings, terminal: Terminal) -> None:
    """What the runs of one environment come to, in figures."""
    from sistasks.selfcheck_steps import judge_alike

    runs, workers = _some(len(group.numbers), "run"), _some(len(group.runs), "worker")
    of = f"selfcheck: {group.words}"
    if len(group.numbers) == 1:
        (address,) = group.runs
        name = visible(session.name(address), _ADDRESS)
        terminal.result(f"{of}: worker {name} alone has it: run {group.numbers[0]} is compared with none")
    elif group.agreement is None:
        judge_alike(group.numbers, settings, terminal, f"{group.words}: ")
    elif not group.agreement.apart:
        one = group.agreement.reference
        terminal.result(
            f"{of}: {runs} on {workers} are identical to the bit, virtual clock: "
            f"{len(one.series) * len(group.numbers)} series, {one.samples * len(group.numbers)} samples compared"
        )
    else:
        apart, other = len(group.agreement.apart), group.agreement.reference
        terminal.result(
            f"{of}: {runs} on {workers}, virtual clock: {apart} of them {'differ' if apart > 1 else 'differs'} "
            f"from run {other.run}, of worker {visible(session.name(other.worker), _ADDRESS)}"
        )
        _tell_differences(group.agreement, session, settings, terminal)


def _tell_differences(agreement: Agreement, session: Session, settings: Settings, terminal: Terminal) -> None:
    """For each odd worker where the first of its runs parts from the reference; the history keeps that, too."""
    from sistasks.history.read import metrics_of
    from sistasks.history.series import difference
    from sistasks.verdicts.store import annotate_metrics

    units = {metric.name: metric.unit for metric in metrics_of(settings.db)}
    other = agreement.reference
    seen: set[str] = set()
    for run in agreement.apart:
        found = difference(settings.db, (run.run, other.run), (run.series, other.series))
        if found is None:
            continue
        unit = units.get(found.metric, "")
        where = f"{visible(found.metric)} on node {found.node}"
        if found.place:
            where += (
                f", sample {found.place}: {_value(found.value, unit)}, and there {_value(found.other, unit)}"
            )
        else:
            where += " is in one of them alone"
        words = f"{found.series} of {found.of} series differ from run {other.run}; the first is {where}"
        annotate_metrics(settings.db, run.run, "selfcheck", {found.metric: words})
        if run.worker not in seen:
            seen.add(run.worker)
            terminal.result(f"worker {visible(session.name(run.worker), _ADDRESS)}, run {run.run}: {words}")


def _value(value: float | None, unit: str) -> str:
    """A sample as it is: what is rounded for people may look the same."""
    return "none" if value is None else f"{value!r} {unit}".rstrip()


def _disagreements(groups: Sequence[_Group], session: Session) -> FleetError | None:
    """What is wrong with workers that should agree and do not; None: all do."""
    from sistasks.history.numbers import spans

    wrong = [group for group in groups if group.odd]
    if not wrong:
        return None
    runs = [number for group in wrong for address in group.odd for number in group.runs[address]]
    return FleetError(
        ", and ".join(_disagreement(group, session) for group in wrong),
        f"compare run{'s' * (len(runs) > 1)} {spans(runs)} with no others, and see what QEMU is there",
    )


def _disagreement(group: _Group, session: Session) -> str:
    assert group.agreement is not None  # noqa: S101 - somebody is odd
    names = _names(group.odd, session, short=False)
    several = len(group.odd) > 1
    if len(group.runs) == 1:
        return f"worker {names} does not repeat its own runs to the bit"
    if group.agreement.majority:
        who = f"workers {names} measure" if several else f"worker {names} measures"
        return f"{who} something else than the others of {group.words}"
    return f"workers {names} of {group.words} contradict each other, and most do not agree on anything"


def _names(addresses: Sequence[str], session: Session, *, short: bool = True) -> str:
    """Workers in words, of many the first few."""
    names = [visible(session.name(address, short=short), _ADDRESS) for address in addresses[:_NAMED]]
    if len(addresses) > _NAMED:
        names.append(f"{len(addresses) - _NAMED} more")
    return ", ".join(names)


def _some(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
