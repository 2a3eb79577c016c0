"""How a kernel that is not ours talks on its console: a frozen record, read from TOML or a ready one by name."""

from __future__ import annotations

import dataclasses
import difflib
import math
import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sistasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

PROTOCOLS: Final = ("sis", "ktap", "lava", "metric")
NODE_WORDS: Final = frozenset({"node", "nodes"})
"""What braces in a command may hold: this node's number and how many there are."""
_LONGEST: Final = 86400.0
# a line that is typed: what a shell of a small kernel has room for is its own affair, this is ours
_TEXT_LIMIT: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleTest:
    """One test that is started by a command at the kernel's prompt.

    Attributes:
        command: what is typed; `{node}` and `{nodes}` are this node's number and how many there are.
        success: the test has passed when one of these texts comes.
        metrics: names that must have come by then; a missing one fails the test.
    """

    command: str
    success: tuple[str, ...] = ("TEST PASSED",)
    metrics: tuple[str, ...] = ()

    @property
    def of_cluster(self) -> bool:
        """Whether its command names the node: such a test takes part in a cluster."""
        return self.typed(1, 2) != self.typed(2, 3)

    def typed(self, node: int = 1, nodes: int = 1) -> str:
        """The command for one node of a cluster, without the end of the line."""
        return self.command.format(node=node, nodes=nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleProfile:
    """What to expect of a console, and what to type.

    Attributes:
        protocol: `sis` (commands at a prompt, METRIC), `ktap`, `lava`, or `metric` (METRIC alone).
        marks: stage of booting -> the text that says it is reached, in order.
        ready: the text that says the kernel is up; empty: the prompt says it, or nothing does.
        prompt: the text after which a command may be typed; empty: nothing is typed.
        tests: test -> its command, in the order in which they are run.
        failure: texts that end everything, each at the start of a line or after a tag.
        enter: what ends a typed line.
        limit: seconds that booting, and each test, may take.
        quiet: seconds of silence after which nothing more is awaited; 0: only `limit` counts.
    """

    protocol: str = "sis"
    marks: dict[str, str] = field(default_factory=dict)
    ready: str = ""
    prompt: str = ""
    tests: dict[str, ConsoleTest] = field(default_factory=dict)
    failure: tuple[str, ...] = ("PANIC", "FATAL", "Kernel panic")
    enter: str = "\r"
    limit: float = 300.0
    quiet: float = 0.0

    def to_table(self) -> dict[str, Any]:
        """The record as a table of plain values (JSON, TOML); from_table reads it."""
        return dataclasses.asdict(self)


SIS: Final = ConsoleProfile(
    protocol="sis",
    marks={"kernel": "!KERNEL(U)", "mmu": "MMU ON", "heap": "HEAP: READY", "shell": "LAUNCHING SHELL"},
    ready="SIS Kernel Ready",
    prompt="sis>",
    tests={
        "ai_inference": ConsoleTest(command="perf_test ai_inference"),
        "context_switch": ConsoleTest(command="perf_test context_switch"),
        "memory_allocation": ConsoleTest(command="perf_test memory_alloc"),
        "consensus": ConsoleTest(
            command="consensus_test start_node {node} {nodes}", success=("CONSENSUS_SUCCESS",)
        ),
    },
    failure=("PANIC", "FATAL"),
)

PROFILES: Final = {
    "sis": SIS,
    # modprobe and others begin lines with FATAL, and Linux goes on
    "ktap": ConsoleProfile(protocol="ktap", failure=("Kernel panic",)),
    "lava": ConsoleProfile(protocol="lava", failure=("Kernel panic",), quiet=30.0),
    "metric": ConsoleProfile(protocol="metric", quiet=30.0),
}


def from_table(
    table: Mapping[str, object], profile: str = "", *, where: str = "the console"
) -> ConsoleProfile:
    """The profile that a table of TOML describes, on top of a ready one.

    Args:
        table: `profile` (a ready one's name) and the attributes of ConsoleProfile; `tests` is a table of tables, or of
            commands alone, and comes in place of the ready profile's tests. One text may stand for a list of one.
        profile: the ready profile where the table does not name one.
        where: the table's name, for the sentence of a refusal.

    Raises:
        UsageError: an unknown key, profile or protocol, a value of the wrong type, or two that cannot be together.
    """
    _refuse_unknown(table, ("profile", *_READERS), where)
    base = PROFILES["metric"]
    name = _text(table.get("profile", profile), "profile", where, empty=True)
    if name:
        base = PROFILES[_one_of(name, PROFILES, "profile", where)]
    values = {key: read(table[key], key, where) for key, read in _READERS.items() if key in table}
    if "protocol" in values and values["protocol"] != base.protocol and not name:
        base = PROFILES[values["protocol"]]
    result = dataclasses.replace(base, **values)
    if result.tests and not result.prompt:
        raise UsageError(
            f"{where} has tests but no prompt", "say after which text a command may be typed: prompt = 'sis>'"
        )
    if result.tests and result.protocol in {"ktap", "lava"}:
        raise UsageError(
            f"{where}: tests cannot be with protocol = '{result.protocol}'",
            "such a kernel starts its tests by itself; commands are for 'sis' or 'metric'",
        )
    return result


def _read_protocol(value: object, key: str, where: str) -> str:
    return _one_of(_text(value, key, where), PROTOCOLS, key, where)


def _read_marks(value: object, key: str, where: str) -> dict[str, str]:
    marks = _table(value, key, where)
    return {
        _name(mark, _inside(key, mark), where): _text(text, _inside(key, mark), where)
        for mark, text in marks.items()
    }


def _read_tests(value: object, key: str, where: str) -> dict[str, ConsoleTest]:
    tests = {}
    for test, given in _table(value, key, where).items():
        inside = _inside(key, test)
        table = {"command": given} if isinstance(given, str) else _table(given, inside, where)
        _refuse_unknown(table, ("command", "success", "metrics"), f"{inside} of {where}")
        if "command" not in table:
            raise UsageError(
                f"{inside} of {where} has no command", "say what is typed at the prompt: command = '...'"
            )
        values: dict[str, Any] = {"command": _read_command(table["command"], f"{inside}.command", where)}
        for part in ("success", "metrics"):
            if part in table:
                values[part] = _texts(table[part], f"{inside}.{part}", where)
        tests[_name(test, inside, where)] = ConsoleTest(**values)
    return tests


def _read_command(value: object, key: str, where: str) -> str:
    command = _text(value, key, where)
    try:
        fields = [part for part in string.Formatter().parse(command) if part[1] is not None]
    except ValueError:
        fields = [("", "", "", None)]
    if any(name not in NODE_WORDS or spec or conversion for _, name, spec, conversion in fields):
        raise UsageError(
            f"{key} = {value!r} of {where} cannot be",
            "braces hold {node} or {nodes}; write {{ and }} for themselves",
        )
    return command


def _seconds(least: float) -> Callable[[object, str, str], float]:
    def read(value: object, key: str, where: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise _wrong(value, key, where, "a number of seconds")
        if not least <= value <= _LONGEST:
            raise _wrong(value, key, where, f"from {least:g} to {_LONGEST:g} seconds")
        return float(value)

    return read


def _read_ready(value: object, key: str, where: str) -> str:
    return _text(value, key, where, empty=True)


def _read_enter(value: object, key: str, where: str) -> str:
    if not isinstance(value, str) or value not in {"\r", "\n", "\r\n"}:
        raise _wrong(value, key, where, r'"\r", "\n" or "\r\n"')
    return value


def _texts(value: object, key: str, where: str) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise _wrong(value, key, where, "a text or a list of texts")
    return tuple(_text(item, key, where) for item in items)


def _text(value: object, key: str, where: str, *, empty: bool = False) -> str:
    if not isinstance(value, str):
        raise _wrong(value, key, where, "a text")
    if not value.isprintable() or len(value) > _TEXT_LIMIT or not (empty or value.strip()):
        raise _wrong(value, key, where, f"one line of 1 to {_TEXT_LIMIT} letters")
    return value


def _name(value: str, key: str, where: str) -> str:
    allowed = set(string.ascii_lowercase + string.digits + "_-.")
    if not 0 < len(value) <= 100 or not set(value) <= allowed:
        raise UsageError(
            f"{key} of {where} cannot be", "a name is of at most 100 of a-z, 0-9, '_', '-' and '.'"
        )
    return value


def _inside(key: str, name: str) -> str:
    """How a sentence names a key of an inner table, which may be of any letters."""
    return f"{key}.{name if name.isprintable() and len(name) <= 60 else _shown(name)}"


def _table(value: object, key: str, where: str) -> dict[str, object]:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise _wrong(value, key, where, "a table")
    return value


def _one_of(value: str, valid: Iterable[str], key: str, where: str) -> str:
    names = tuple(valid)
    if value not in names:
        near = difflib.get_close_matches(value, names, n=1, cutoff=0.5)
        remedy = f"did you mean '{near[0]}'?" if near else f"{key} is one of {', '.join(names)}"
        raise UsageError(f"{key} = {_shown(value)} of {where} is unknown", remedy)
    return value


def _refuse_unknown(table: Mapping[str, object], valid: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in valid:
            near = difflib.get_close_matches(str(key), valid, n=1, cutoff=0.5)
            remedy = f"did you mean '{near[0]}'?" if near else "valid are " + ", ".join(valid)
            raise UsageError(f"unknown key {_shown(key)} in {where}", remedy)


def _wrong(value: object, key: str, where: str, wanted: str) -> UsageError:
    return UsageError(f"{key} = {_shown(value)} of {where} cannot be", f"{key} is {wanted}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


_READERS: Final[dict[str, Callable[[object, str, str], Any]]] = {
    "protocol": _read_protocol,
    "marks": _read_marks,
    "ready": _read_ready,
    "prompt": _read_ready,
    "tests": _read_tests,
    "failure": _texts,
    "enter": _read_enter,
    "limit": _seconds(0.1),
    "quiet": _seconds(0.0),
}
