"""`[tool.sistasks.kernels.NAME]` in pyproject.toml: kernels that a person names, each an entry of one kind.

Values are checked when the settings are resolved; whether a path is there is asked when the kernel is.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sistasks import tables
from sistasks.errors import UsageError
from sistasks.tables import Key, WrongValueError, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sistasks.kernels import Kernel, Log, Provider
    from sistasks.protocols.profile import ConsoleProfile
    from sistasks.settings import Settings

NAMES: Final = ("debian", "host", "source")
"""Kernels that need no entry, and whose names no entry can have."""
KINDS: Final = ("package", "tree", "command", "file")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One kernel of the table.

    Attributes:
        name: as in `kernel=NAME`.
        kind: one of KINDS.
        values: the kind's own keys, checked; paths absolute.
        arguments: more kernel command line, which it always gets.
        console: how it talks; None: our agent speaks.
    """

    name: str
    kind: str
    values: Mapping[str, Any] = field(default_factory=dict)
    arguments: str = ""
    console: ConsoleProfile | None = None


def _path(value: object, home: Path) -> Path:
    try:
        return home / Path(tables.text(value)).expanduser()
    except (WrongValueError, RuntimeError):  # ~somebody, and this machine knows nobody of that name
        raise WrongValueError("a path") from None


def _paths(value: object, home: Path) -> tuple[Path, ...]:
    items = [value] if isinstance(value, str) else value
    try:
        if isinstance(items, list):
            return tuple(_path(item, home) for item in items)
    except WrongValueError:
        pass
    raise WrongValueError("a path or a list of paths")


def _base(value: object, home: Path) -> str | Path:
    """A target of the kernel's make, or the path of a configuration."""
    text = tables.text(value)
    return text if re.fullmatch(r"\w*config", text) else _path(text, home)


def _line(value: object) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise WrongValueError("one line of ASCII")
    return " ".join(value.split())


def keys(kind: str, home: Path) -> dict[str, Key]:
    """What an entry of a kind may hold; relative paths are relative to home."""
    path, paths, base = (partial(read, home=home) for read in (_path, _paths, _base))
    own = {
        "package": {"package": Key(tables.text, required=True)},
        "tree": {
            "path": Key(path, required=True),
            "config": Key(paths),
            "base": Key(base),
            "make": Key(tables.texts),
        },
        "command": {
            "path": Key(path),
            "build": Key(tables.texts),
            "environment": Key(tables.table),
            "inputs": Key(tables.texts),
            # relative to path, like the commands' own
            "image": Key(tables.text),
            "esp": Key(tables.table),
            "symbols": Key(tables.text),
            "machine": Key(tables.table),
        },
        "file": {"image": Key(path, required=True), "initramfs": Key(path)},
    }
    return own[kind] | {
        "kind": Key(tables.text),
        "arguments": Key(_line),
        "profile": Key(tables.text),
        "console": Key(tables.table),
    }


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
    kinds = "kind is one of " + ", ".join(KINDS)
    if kind is None:
        raise UsageError(f"{where} has no kind", kinds)
    if not isinstance(kind, str) or kind not in KINDS:
        raise UsageError(
            f"kind = {shown(kind)} of {where} is unknown", tables.nearest(str(kind), KINDS, kinds)
        )
    values = tables.entry(table, keys(kind, pyproject.absolute().parent), where)
    values.pop("kind")
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


def provider(entry: Entry, apart: tuple[Path, ...] = ()) -> Named:
    """The provider of an entry.

    Args:
        entry: of the table.
        apart: paths that are no sources, even where they lie among them: what we write ourselves.
    """
    values = entry.values
    inner: Provider
    match entry.kind:
        case "package":
            from sistasks.kernels.package import DebianPackage

            inner = DebianPackage(package=values["package"])
        case "tree":
            from sistasks.kernels.tree import Tree

            inner = Tree.from_entry(entry, apart)
        case "command":
            from sistasks.kernels.command import Command

            inner = Command(entry)
        case _:
            from sistasks.kernels.file import ImageFile

            inner = ImageFile(values["image"], initramfs=values.get("initramfs"))
    return Named(entry, inner)
