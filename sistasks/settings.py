"""Every variable that a person may set: one frozen dataclass, one place.

A value comes from the command line (`doit test nodes=3`), else from the environment, else from
`[tool.sistasks]` in the pyproject.toml of the current directory, else from the default here.
Unknown names and bad values are refused with one sentence before anything happens.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sistasks.combinations import each_architecture
from sistasks.errors import UsageError
from sistasks.kernels import names as kernel_names
from sistasks.kinds import (
    LINE,
    MIB,
    PATH,
    SCHEDULER,
    TEXT,
    YES_NO,
    Kind,
    RefusedError,
    architectures,
    choice,
    host_arch,
    host_cpus,
    host_memory,
    number,
    size,
    whole,
)
from sistasks.machine.arch import ARCHES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sistasks.guest.programs import Program
    from sistasks.kernels.table import Entry
    from sistasks.suites.metrics import Metric


def _variable(
    default: Any, kind: Kind, help_text: str, *, env: str = "", shown: str = "", name: str = ""
) -> Any:
    """A field that a person may set; `name` is what is typed where Python keeps that word for itself."""
    return field(
        default=default,
        metadata={"kind": kind, "help": help_text, "env": env, "shown": shown, "name": name},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a person may set; the field's metadata holds kind, help, environment name."""

    nodes: int = _variable(10, whole(1, 1000), "how many nodes", env="SIS_TEST_NODES")
    timeout: float = _variable(
        300.0,
        number(0.1, 86400),
        "seconds that a node may take; three times as long under emulation",
        env="SIS_TEST_TIMEOUT",
    )
    memory: int = _variable(256 * MIB, size(16 * MIB, host_memory()), "memory of a node", shown="256M")
    cpus: int = _variable(
        min(4, host_cpus()),
        whole(1, host_cpus()),
        "processors of a node; 1 under the virtual clock",
        shown="4, at most the host's",
    )
    output: Path = _variable(Path("target/testing"), PATH, "where logs, results and build products go")
    monitor: float = _variable(
        0.5, number(0, 60), "seconds between samples of what nodes and host use; 0: none are taken"
    )
    verbose: bool = _variable(False, YES_NO, "say more", env="SIS_VERBOSE")
    quiet: bool = _variable(False, YES_NO, "say only results and failures", env="SIS_QUIET")
    iterations: int = _variable(1000, whole(10, 1_000_000), "samples of each test on each node")
    arch: str = _variable(
        host_arch(), architectures(), "architecture of the nodes; of several each in turn", shown="the host's"
    )
    kernel: str = _variable(
        "debian",
        TEXT,
        "the kernel under test: debian, host, source, a name of [tool.sistasks.kernels], or an image's path; "
        "of several each in turn",
    )
    arguments: str = _variable(
        "", LINE, "more kernel command line; the kernel with it counts as another one", shown="none"
    )
    boot: str = _variable("auto", choice("auto", "uefi", "direct"), "how nodes and templates boot")
    accel: str = _variable("auto", choice("auto", "tcg", "kvm", "hvf"), "QEMU's accelerator")
    clock: str = _variable(
        "auto", choice("auto", "virtual", "wall"), "virtual repeats to the bit; auto: virtual under TCG"
    )
    clone: bool = _variable(True, YES_NO, "clone nodes from a frozen template; no: boot each one cold")
    seed: int = _variable(1, whole(0, 2**31 - 1), "seed of the run; a node adds its number")
    protocol: str = _variable("pbft", choice("pbft", "hotstuff"), "distributed: how nodes agree")
    byzantine: int = _variable(0, whole(0, 128), "distributed: how many nodes betray the others")
    traitors: str = _variable(
        "mixed",
        choice("mixed", "equivocate", "silent", "corrupt", "replay", "late", "false_view", "flood"),
        "distributed: what they do; mixed: each in turn",
    )
    faults: str = _variable(
        "", LINE, "distributed: what happens to the network, like 'loss=1%; at 2s: cut 1-2|3-4'", shown="none"
    )
    capture: bool = _variable(False, YES_NO, "distributed: keep what went over the network (pcapng)")
    trace: str = _variable(
        "no",
        choice("no", "yes", "function", "events"),
        "keep what the kernel does in each test; yes: its functions, or events where it cannot trace them",
    )
    duration: float = _variable(30.0, number(1, 86400), "stress: seconds of load, shared by its tests")
    stressors: str = _variable("all", TEXT, "stress: which load, like 'cpu,vm'")
    stress_ng: str = _variable(
        "auto",
        TEXT,
        "stress: the distribution's stress-ng where it can be had (auto), none, or the path of a static one",
    )
    episodes: int = _variable(20, whole(1, 100_000), "security: episodes of fuzzing on each node")
    advisories: str = _variable(
        "", TEXT, "security: a file of vulnerabilities and the releases that fix them", shown="none"
    )
    crash: int = _variable(0, whole(1, 2**53), "reproduce: the crash to play again", shown="none")
    profile: bool = _variable(
        False, YES_NO, "count what each function executes in each test; the samples stay what they are"
    )
    force: bool = _variable(False, YES_NO, "distributed: more traitors than can be borne")
    dumps: str = _variable(
        "auto",
        choice("auto", "yes", "no"),
        "keep the memory of nodes that failed; auto: of the first whose kernel failed",
    )
    runs: int = _variable(1, whole(1, 100), "good runs that the history must hold")
    cluster: str = _variable(
        "", SCHEDULER, "a Dask scheduler whose workers run the suites (docs/scale.md)", shown="none: here"
    )
    targets: str = _variable(
        "auto",
        choice("auto", "enforce", "report"),
        "enforce targets; auto: only on hardware, on the wall clock",
    )
    confidence: float = _variable(0.99, number(0.5, 0.9999), "level of confidence intervals")
    db: Path = _variable(Path("results.db"), PATH, "the history")
    qemu: str = _variable("auto", TEXT, "QEMU's program; auto: searched in PATH", env="SIS_QEMU_PATH")
    user: str = _variable(
        "auto",
        choice("auto", "keep"),
        "whom nodes run as; auto: started by root, each as a user of its own that owns nothing",
    )
    firmware: str = _variable("auto", TEXT, "UEFI firmware: auto, or the path of a code image, or CODE,VARS")
    firmware_mirror: str = _variable(
        "auto", TEXT, "address to fetch pinned firmware from instead of the manifest's", shown="auto"
    )

    strict: bool = _variable(False, YES_NO, "gate: what cannot be decided fails, too")
    confirm: float = _variable(
        600.0,
        number(0, 86400),
        "gate: seconds of each suite's fresh boots that look into a suspicion on the wall clock; 0: none",
    )
    base: str = _variable(
        "", LINE, "compare: a run, a kernel or a session to compare with", shown="the one before"
    )
    head: str = _variable("", LINE, "compare: a run, a kernel or a session", shown="the latest")
    good: str = _variable("", LINE, "bisect: a commit where all was well", shown="none")
    bad: str = _variable("", LINE, "bisect: a later commit where it is not", shown="none")
    metric: str = _variable(
        "",
        LINE,
        "bisect: the metric that got worse; compare: show the percentiles of this metric, too",
        shown="none",
    )
    run: int = _variable(
        0, whole(1, 2**53), "accept: the run that is the new normal; archive, artifacts: whose", shown="none"
    )
    note: str = _variable("", LINE, "accept: why", shown="none")
    count: int = _variable(
        5,
        whole(2, 100),
        "selfcheck: runs of the same kernel; with cluster=, on each worker, and 1 unless given",
    )
    verify: str = _variable("", TEXT, "archive: the bundle to verify instead", shown="none")
    other: Path = _variable(
        Path(), PATH, "merge: the history whose runs are brought into db", shown="none", name="from"
    )
    keep_days: int = _variable(30, whole(0, 36500), "cleanup: days that an artifact is kept")
    keep_artifacts: int = _variable(1000, whole(0, 10**9), "cleanup: artifacts of each kind that are kept")
    keep_bytes: int = _variable(
        2 << 30, size(0, 1 << 50, ""), "cleanup: bytes of artifacts of each kind that are kept", shown="2G"
    )
    port: int = _variable(8001, whole(1, 65535), "browse: the port on this machine")
    given: frozenset[str] = frozenset()
    """Names that were set by the person, not by default (not itself a variable)."""
    kernels: Mapping[str, Entry] = field(default_factory=dict, hash=False)
    """Kernels of `[tool.sistasks.kernels]`, by name (not itself a variable)."""
    metrics: Mapping[str, Metric] = field(default_factory=dict, hash=False)
    """Metrics of `[tool.sistasks.metrics]`, by name (not itself a variable)."""
    programs: Mapping[str, Program] = field(default_factory=dict, hash=False)
    """Programs of `[tool.sistasks.programs]`, by name (not itself a variable)."""
    matrix: tuple[str, ...] = ()
    """The architectures that were asked for, if several; `arch` is then one of them (not itself a variable)."""
    kernels_asked: tuple[str, ...] = ()
    """The kernels that were asked for, if several; `kernel` is then one of them (not itself a variable)."""
    every_arch: bool = False
    """`all` of them were asked for: those whose kernel cannot be had are passed over (not itself a variable)."""


# by what is typed
_FIELDS: Final = {
    item.metadata["name"] or item.name: item for item in dataclasses.fields(Settings) if item.metadata
}


def names() -> list[str]:
    """Every variable's name, in the order of the documentation."""
    return list(_FIELDS)


def attribute(name: str) -> str:
    """The field that a variable becomes: of the same name, where Python lets a field have it."""
    return _FIELDS[name].name


def variable_table() -> list[tuple[str, str, str, str, str]]:
    """(name, default, range, environment name, help) of every variable: what help and docs show."""
    rows = []
    for name, item in _FIELDS.items():
        meta = item.metadata
        default = item.default
        shown = meta["shown"] or ("yes" if default is True else "no" if default is False else f"{default}")
        rows.append((name, shown.removesuffix(".0"), meta["kind"].range, meta["env"], meta["help"]))
    return rows


def _refuse_unknown(name: str, origin: str) -> None:
    near = difflib.get_close_matches(name, _FIELDS, n=1, cutoff=0.5)
    remedy = f"did you mean '{near[0]}'?" if near else "valid are " + ", ".join(_FIELDS)
    raise UsageError(f"unknown variable '{_visible(name)}'{origin}", remedy)


def _visible(text: str) -> str:
    """The text on one line and without what would steer a terminal."""
    return text if text.isprintable() else repr(text)[1:-1]


def _parse(name: str, text: str, origin: str) -> Any:
    kind: Kind = _FIELDS[name].metadata["kind"]
    try:
        return kind.parse(text)
    except RefusedError as refused:
        remedy = str(refused) or f"{name} is {kind.range}"
        raise UsageError(f"{name}={_visible(text)}{origin} cannot be", remedy) from None


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _from_pyproject(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "mend the file") from error
    for name in ("tool", "sistasks"):
        table = table.get(name, {})
        if not isinstance(table, dict):
            raise UsageError(f"{name} in {path} is no table", "write [tool.sistasks]")
    return table


def resolve(
    command_line: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    pyproject: Path | None = None,
) -> Settings:
    """Settings from the command line, the environment and pyproject.toml, in this precedence.

    Args:
        command_line: name -> text, as doit hands them over.
        environ: the environment; os.environ if None.
        pyproject: the file that may hold `[tool.sistasks]`; ./pyproject.toml if None.

    Raises:
        UsageError: an unknown name, a value out of range, two values that cannot be together, or an entry of a
            table that cannot be.
    """
    environ = os.environ if environ is None else environ
    pyproject = Path("pyproject.toml") if pyproject is None else pyproject
    texts: dict[str, tuple[str, str]] = {}
    project = _from_pyproject(pyproject)
    tables: dict[str, Any] = {name: _read_table(name, project.pop(name, {}), pyproject) for name in _TABLES}
    for name, value in project.items():
        texts[name] = (_as_text(value), f" in {pyproject}")
    for name, item in _FIELDS.items():
        variable = item.metadata["env"]
        if variable and environ.get(variable, "") != "":
            texts[name] = (environ[variable], f" from {variable}")
    for name, value in (command_line or {}).items():
        texts[name] = (_as_text(value), "")
    for name, (_, origin) in texts.items():
        if name not in _FIELDS:
            _refuse_unknown(name, origin)
    values = {name: _parse(name, text, origin) for name, (text, origin) in texts.items()}
    given = frozenset(values)
    matrix, every = _matrix(values.get("arch", ""))
    if matrix:
        values["arch"] = matrix[0]
    kernels = kernel_names.several(values.get("kernel", ""), tables["kernels"])
    if kernels:
        values["kernel"] = kernels[0]
    fields = {attribute(name): value for name, value in values.items()}
    settings = Settings(
        **fields, given=given, **tables, matrix=matrix, every_arch=every, kernels_asked=kernels
    )
    _refuse_conflicts(settings)
    return settings


def _matrix(asked: str) -> tuple[tuple[str, ...], bool]:
    """(the architectures if there are several, whether all are meant); of all, the host's own first."""
    if asked == "all":
        return tuple(sorted(ARCHES, key=lambda name: name != host_arch())), True
    names = tuple(asked.split(","))
    return (names if len(names) > 1 else ()), False


# each with the module and the function that read it
_TABLES: Final = {
    "kernels": ("sistasks.kernels.table", "entries"),
    "metrics": ("sistasks.suites.defined", "metrics"),
    "programs": ("sistasks.guest.programs", "programs"),
}


def _read_table(name: str, table: object, pyproject: Path) -> Mapping[str, Any]:
    if table == {}:
        return {}
    module, function = _TABLES[name]
    read: Callable[[object, Path], Mapping[str, Any]] = getattr(importlib.import_module(module), function)
    return read(table, pyproject)


def _refuse_conflicts(settings: Settings) -> None:
    if settings.verbose and settings.quiet:
        raise UsageError("verbose and quiet cannot be together", "set one of them")
    for arch in each_architecture(settings):
        without = ARCHES[arch.arch].without_firmware
        if settings.boot == "uefi" and without and not settings.every_arch:
            raise UsageError(f"boot=uefi cannot be with arch={arch.arch}", without)
    if settings.clock == "virtual" and settings.accel in {"kvm", "hvf"}:
        raise UsageError(
            f"clock=virtual cannot be with accel={settings.accel}",
            "the instruction clock needs emulation: accel=tcg, or clock=wall",
        )
