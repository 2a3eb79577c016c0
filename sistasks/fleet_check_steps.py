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
    from sistasks.settings import Settings
    from sistasks.terminal import Terminal

_SUITE: Final = "performance"
# of an environment's id and of names: as many as a person reads
_SHORT: Final = 12
_NAMED: Final = 6
_ADDRESS: Final = 80


@dataclass(frozen=True, slots=True)
class Member:
    """A worker that was asked.

    Attributes:
        short: its name.
        name: with its address.
        survey: what it says of itself.
    """

    short: str
    name: str
    survey: Survey


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
    members = {
        address: Member(
            visible(session.name(address, short=True)), visible(session.name(address), _ADDRESS), survey
        )
        for address, survey in workers.items()
    }
    wrong = compare(session.came, members, settings, terminal)
    if wrong is not None:
        if failure is not None:
            terminal.say(str(failure), always=True)
        raise wrong
    if failure is not None:
        raise failure


def compare(
    came: Sequence[tuple[int, str]], members: Mapping[str, Member], settings: Settings, terminal: Terminal
) -> FleetError | None:
    """Compare runs that workers gave, environment by environment, and show what came of it.

    Args:
        came: number of each run, and the address of the worker that it came from.
        members: all workers that were asked, by address.
        settings: where the history is, and what the gate is to be told.
        terminal: where to show it.

    Returns:
        Who is odd; None: nobody.

    Raises:
        SistasksError: a confirmation failed, or the history cannot be used.
    """
    groups = _groups(came, members, settings)
    terminal.table(
        _table(
            f"selfcheck: {_SUITE} on {_some(len(members), 'worker')} of {settings.cluster}", groups, members
        )
    )
    for group in groups:
        _tell(group, members, settings, terminal)
    if len(groups) > 1:
        terminal.result("runs of different environments are never compared")
    return _disagreements(groups, members)


def _groups(
    came: Sequence[tuple[int, str]], members: Mapping[str, Member], settings: Settings
) -> list[_Group]:
    """The runs by environment, the one of most workers first."""
    from sistasks.fleet.same import Sampled, agreement
    from sistasks.history.series import series_of
    from sistasks.verdicts.baseline import open_history

    runs: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    with open_history(settings.db) as history:
        for number, address in sorted(came, key=lambda one: (members[one[1]].name, one[0])):
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


def _table(title: str, groups: Sequence[_Group], members: Mapping[str, Member]) -> Table:
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
    versions = {member.survey.qemu_version for member in members.values()}
    # who built it is shown where nothing else tells two of them apart
    plain = len({version.partition(" ")[0] for version in versions}) == len(versions)
    for group in groups:
        for address, numbers in group.runs.items():
            known = members[address].survey
            version = known.qemu_version.partition(" ")[0] if plain else known.qemu_version
            table.add_row(
                Text(members[address].short),
                group.environment[:_SHORT],
                Text(visible(version)),
                Text(visible(known.host_cpu)),
                group.clock,
                spans(numbers),
                Text(_compared(group, address, members), "bold red" if address in group.odd else ""),
            )
    for address in members.keys() - {address for group in groups for address in group.runs}:
        member = members[address]
        cpu = Text(visible(member.survey.host_cpu))
        table.add_row(Text(member.short), "-", "-", cpu, "-", "-", "no good run came from it")
    return table


def _compared(group: _Group, address: str, members: Mapping[str, Member]) -> str:
    """With whose runs those of a worker were compared, and what that came to."""
    others = [other for other in group.runs if other != address]
    if len(group.numbers) == 1:
        return "with nobody's: no other is in this environment"
    if group.clock == "wall":
        return f"judged with {_names(others, members) or 'each other'}"
    assert group.agreement is not None  # noqa: S101 - of several runs under the virtual clock there is one
    kinds = group.agreement.kinds
    words = ["not even identical to each other"] if len(kinds[address]) > 1 else []
    alike = [other for other in others if kinds[other] == kinds[address] and not words]
    apart = [other for other in others if other not in alike]
    words += [f"identical to {_names(alike, members) or 'each other'}"] if alike or not others else []
    words += [f"differs from {_names(apart, members)}"] if apart else []
    return "; ".join(words)


def _tell(group: _Group, members: Mapping[str, Member], settings: Settings, terminal: Terminal) -> None:
    """What the runs of one environment come to, in figures."""
    from sistasks.selfcheck_steps import judge_alike

    runs, workers = _some(len(group.numbers), "run"), _some(len(group.runs), "worker")
    of = f"selfcheck: {group.words}"
    if len(group.numbers) == 1:
        (address,) = group.runs
        name = members[address].name
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
            f"from run {other.run}, of worker {members[other.worker].name}"
        )
        _tell_differences(group.agreement, members, settings, terminal)


def _tell_differences(
    agreement: Agreement, members: Mapping[str, Member], settings: Settings, terminal: Terminal
) -> None:
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
            terminal.result(f"worker {members[run.worker].name}, run {run.run}: {words}")


def _value(value: float | None, unit: str) -> str:
    """A sample as it is: what is rounded for people may look the same."""
    return "none" if value is None else f"{value!r} {unit}".rstrip()


def _disagreements(groups: Sequence[_Group], members: Mapping[str, Member]) -> FleetError | None:
    """What is wrong with workers that should agree and do not; None: all do."""
    from sistasks.history.numbers import spans

    wrong = [group for group in groups if group.odd]
    if not wrong:
        return None
    runs = [number for group in wrong for address in group.odd for number in group.runs[address]]
    return FleetError(
        ", and ".join(_disagreement(group, members) for group in wrong),
        f"compare run{'s' * (len(runs) > 1)} {spans(runs)} with no others, and see what QEMU is there",
    )


def _disagreement(group: _Group, members: Mapping[str, Member]) -> str:
    assert group.agreement is not None  # noqa: S101 - somebody is odd
    names = _names(group.odd, members, short=False)
    several = len(group.odd) > 1
    if len(group.runs) == 1:
        return f"worker {names} does not repeat its own runs to the bit"
    if group.agreement.majority:
        who = f"workers {names} measure" if several else f"worker {names} measures"
        return f"{who} something else than the others of {group.words}"
    return f"workers {names} of {group.words} contradict each other, and most do not agree on anything"


def _names(addresses: Sequence[str], members: Mapping[str, Member], *, short: bool = True) -> str:
    """Workers in words, of many the first few."""
    known = [members[address] for address in addresses[:_NAMED]]
    names = [member.short if short else member.name for member in known]
    if len(addresses) > _NAMED:
        names.append(f"{len(addresses) - _NAMED} more")
    return ", ".join(names)


def _some(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
