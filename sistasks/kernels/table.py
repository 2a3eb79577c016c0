"""`[tool.sistasks.kernels.NAME]` in pyproject.toml: kernels that a person names, each an entry of one kind.

What an entry may hold is KEYS: for each kind its keys, for each key how its value is read. Values are checked when
the settings are resolved; whether a path is there is asked when the kernel is.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sistasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sistasks.kernels import Kernel, Log, Provider
    from sistasks.protocols.profile import ConsoleProfile
    from sistasks.settings import Settings

NAMES: Final = ("debian", "host", "source")
"""Kernels that need no entry, and whose names no entry can have."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One kernel of the table.

    Attributes:
        name: as in `kernel=NAME`.
        kind: one of KEYS.
        values: the kind's own keys, checked; paths absolute.
        arguments: more kernel command line, which it always gets.
        console: how it talks; None: our agent speaks.
    """

    name: str
    kind: str
    values: Mapping[str, Any] = field(default_factory=dict)
    arguments: str = ""
    console: ConsoleProfile | None = None


class _WrongError(ValueError):
    """A value of the wrong kind; the text says what it should be."""


@dataclass(frozen=True, slots=True)
class _Key:
    """How a key's value is read: (value, the file's folder) -> checked value."""

    read: Callable[[object, Path], Any]
    required: bool = False


def _text(value: object, _home: Path) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise _WrongError("a text")
    return value.strip()


def _line(value: object, _home: Path) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise _WrongError("one line of ASCII")
    return " ".join(value.split())


def _texts(value: object, home: Path) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    try:
        if isinstance(items, list):
            return tuple(_text(item, home) for item in items)
    except _WrongError:
        pass
    raise _WrongError("a text or a list of texts")


def _path(value: object, home: Path) -> Path:
    try:
        return home / Path(_text(value, home)).expanduser()
    except (_WrongError, RuntimeError):  # ~somebody, and this machine knows nobody of that name
        raise _WrongError("a path") from None


def _paths(value: object, home: Path) -> tuple[Path, ...]:
    items = [value] if isinstance(value, str) else value
    try:
        if isinstance(items, list):
            return tuple(_path(item, home) for item in items)
    except _WrongError:
        pass
    raise _WrongError("a path or a list of paths")


def _base(value: object, home: Path) -> str | Path:
    """A target of the kernel's make, or the path of a configuration."""
    text = _text(value, home)
    return text if re.fullmatch(r"\w*config", text) else _path(text, home)


def _table(value: object, _home: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _WrongError("a table")
    return value


KEYS: Final[dict[str, dict[str, _Key]]] = {
    "package": {"package": _Key(_text, required=True)},
    "tree": {
        "path": _Key(_path, required=True),
        "config": _Key(_paths),
        "base": _Key(_base),
        "make": _Key(_texts),
    },
    "command": {
        "path": _Key(_path),
        "build": _Key(_texts),
        "environment": _Key(_table),
        "inputs": _Key(_texts),
        # relative to path, like the commands' own
        "image": _Key(_text),
        "esp": _Key(_table),
        "symbols": _Key(_text),
        "machine": _Key(_table),
    },
    "file": {"image": _Key(_path, required=True), "initramfs": _Key(_path)},
}
"""What an entry of each kind may hold."""
_COMMON: Final = {"arguments": _Key(_line), "profile": _Key(_text), "console": _Key(_table)}


def entries(table: object, pyproject: Path) -> dict[str, Entry]:
    """The kernels of `[tool.sistasks.kernels]`, by name.

    Args:
        table: its value, as TOML gives it.
        pyproject: the file; relative paths in it are relative to its folder.

    Raises:
        UsageError: a name that cannot be, an unknown kind or key, a missing key, or a value of the wrong type.
    """
    if not isinstance(table, dict):
        raise UsageError(f"kernels in {pyproject} is no table", "write [tool.sistasks.kernels.NAME]")
    return {name: _entry(name, value, pyproject) for name, value in table.items()}


def nearest(text: str, names: Iterable[str], otherwise: str) -> str:
    """A remedy: the name that was perhaps meant, else what is valid."""
    near = difflib.get_close_matches(text.lower(), names, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else otherwise


def _entry(name: str, table: object, pyproject: Path) -> Entry:
    where = f"kernels.{name if name.isprintable() else repr(name)[1:-1]} in {pyproject}"
    if name in NAMES or not _NAME.fullmatch(name):
        problem = f"{where}: the name is taken" if name in NAMES else f"{where}: no kernel can have this name"
        raise UsageError(
            problem, "a name is of letters, digits, '.', '_' and '-', and not " + ", ".join(NAMES)
        )
    if not isinstance(table, dict):
        raise UsageError(f"{where} is no table", f"write [tool.sistasks.kernels.{name}]")
    kind = table.get("kind")
    kinds = "kind is one of " + ", ".join(KEYS)
    if kind is None:
        raise UsageError(f"{where} has no kind", kinds)
    if not isinstance(kind, str) or kind not in KEYS:
        raise UsageError(f"kind = {_shown(kind)} of {where} is unknown", nearest(str(kind), KEYS, kinds))
    keys = {**KEYS[kind], **_COMMON}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key == "kind":
            continue
        if key not in keys:
            valid = f"valid for kind = '{kind}' are " + ", ".join(keys)
            raise UsageError(f"unknown key {_shown(key)} in {where}", nearest(key, keys, valid))
        try:
            values[key] = keys[key].read(value, pyproject.absolute().parent)
        except _WrongError as wrong:
            raise UsageError(f"{key} = {_shown(value)} of {where} cannot be", f"{key} is {wrong}") from None
    for key, what in keys.items():
        if what.required and key not in values:
            raise UsageError(f"{where} has no {key}", f"kind = '{kind}' needs it")
    return Entry(
        name=name,
        kind=kind,
        arguments=values.pop("arguments", ""),
        console=_console(values.pop("profile", ""), values.pop("console", None), where),
        values=values,
    )


def _console(profile: str, table: dict[str, Any] | None, where: str) -> ConsoleProfile | None:
    if not profile and table is None:
        return None
    from sistasks.protocols.profile import from_table

    return from_table(table or {}, profile, where=f"the console of {where}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


@dataclass(frozen=True, slots=True)
class Named:
    """An entry's provider: what its kind gives, with the entry's name, arguments and console."""

    entry: Entry
    inner: Provider

    def describe(self, settings: Settings) -> dict[str, str]:
        """What the kind says, and what the entry adds."""
        entry = self.entry
        console = json.dumps(entry.console.to_table(), sort_keys=True) if entry.console else ""
        return {
            **self.inner.describe(settings),
            "name": entry.name,
            "arguments": entry.arguments,
            "console": console,
        }

    def provide(self, settings: Settings, folder: Path, log: Log) -> Kernel:
        """The kind's kernel under the entry's name.

        Raises:
            SistasksError: it cannot be had, or is not what was asked.
        """
        kernel = self.inner.provide(settings, folder, log)
        entry = self.entry
        return replace(
            kernel,
            name=entry.name,
            command_line=" ".join(part for part in (kernel.command_line, entry.arguments) if part),
            console=entry.console or kernel.console,
        )


def provider(entry: Entry) -> Named:
    """The provider of an entry."""
    values = entry.values
    inner: Provider
    match entry.kind:
        case "package":
            from sistasks.kernels.package import DebianPackage

            inner = DebianPackage(package=values["package"])
        case "tree":
            from sistasks.kernels.tree import Tree

            inner = Tree.from_entry(entry)
        case "command":
            from sistasks.kernels.command import Command

            inner = Command(entry)
        case _:
            from sistasks.kernels.file import ImageFile

            inner = ImageFile(values["image"], initramfs=values.get("initramfs"))
    return Named(entry, inner)
