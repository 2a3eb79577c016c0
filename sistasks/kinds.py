"""Kinds of values that a person may type: how the text is read, and how a refusal tells what can be typed."""

from __future__ import annotations

import difflib
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sistasks.machine.arch import ARCHES

if TYPE_CHECKING:
    from collections.abc import Callable

MIB: Final = 1 << 20
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


def _other_names() -> dict[str, str]:
    # made anew: a dodo.py may have added one
    return {other: arch.name for arch in ARCHES.values() for other in arch.other_names}


def host_arch() -> str:
    """This machine's architecture in our words (`arm64`, not `aarch64`)."""
    machine = platform.machine().lower()
    return _other_names().get(machine, machine)


def host_cpus() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def host_memory() -> int:
    """The host's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def show_size(size: int) -> str:
    """A size in bytes as a person types it: `256M`."""
    for unit, factor in (("G", 1 << 30), ("M", MIB), ("K", 1 << 10)):
        if size >= factor and size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size // MIB}M" if size >= MIB else str(size)


@dataclass(frozen=True, slots=True)
class Kind:
    """How a variable's text becomes a value, and how its range reads in help and in refusals."""

    parse: Callable[[str], Any]
    range: str


class RefusedError(ValueError):
    """The text is no value of this kind; the message, if any, is a better remedy than the range."""


def whole(low: int, high: int) -> Kind:
    """A whole number within low and high, both included."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text) or not low <= int(text) <= high:
            raise RefusedError
        return int(text)

    return Kind(parse, f"a whole number from {low} to {high}")


def number(low: float, high: float) -> Kind:
    """A number within low and high, both included."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise RefusedError from None
        if not low <= value <= high:
            raise RefusedError
        return value

    return Kind(parse, f"a number from {low:g} to {high:g}")


def size(low: int, high: int, whose: str = "this machine's memory") -> Kind:
    """A size such as 256M or 1G (plain numbers are MiB, as in QEMU's -m).

    Args:
        low: in bytes, included.
        high: the same.
        whose: what the highest is; empty: nothing in particular.
    """

    def parse(text: str) -> int:
        match = re.fullmatch(r"([0-9]{1,12})([KMG]?)(?:i?B)?", text, re.IGNORECASE | re.ASCII)
        if match is None:
            raise RefusedError
        factor = {"": MIB, "K": 1 << 10, "M": MIB, "G": 1 << 30}[match[2].upper()]
        value = int(match[1]) * factor
        if not low <= value <= high or value % MIB:
            raise RefusedError
        return value

    top = f"{high // MIB}M ({whose})" if whose else show_size(high)
    return Kind(parse, f"a size from {show_size(low)} to {top}, in whole M")


def choice(*names: str) -> Kind:
    """One of the names."""

    def parse(text: str) -> str:
        if text not in names:
            raise RefusedError
        return text

    return Kind(parse, "one of " + ", ".join(names))


def architectures() -> Kind:
    """One architecture, several, or `all`: their names with commas between."""

    def parse(text: str) -> str:
        names = [name.strip() for name in text.split(",")]
        for name in names:
            if name not in ARCHES and names != ["all"]:
                others = _other_names()
                near = difflib.get_close_matches(name.lower(), [*ARCHES, *others], n=1)
                raise RefusedError(f"did you mean '{others.get(near[0], near[0])}'?" if near else "")
        return ",".join(dict.fromkeys(names))

    return Kind(parse, f"one of {', '.join(ARCHES)}, several with commas, or all")


def _parse_yes(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise RefusedError


def _parse_text(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise RefusedError
    return text.strip()


def _parse_path(text: str) -> Path:
    try:
        return Path(_parse_text(text)).expanduser()
    except RuntimeError:  # ~somebody, and this machine knows nobody of that name
        raise RefusedError from None


YES_NO: Final = Kind(_parse_yes, "yes or no")
TEXT: Final = Kind(_parse_text, "a name or a path")
PATH: Final = Kind(_parse_path, "a path")


def _parse_line(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise RefusedError
    return " ".join(text.split())


LINE: Final = Kind(_parse_line, "one line of ASCII")


def _parse_scheduler(text: str) -> str:
    if text.strip() in {"", "none"}:  # an entry of the project is taken back
        return ""
    found = re.fullmatch(r"(?:tcp|tls)://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})", text.strip())
    if found is None or not 0 < int(found[1]) < 1 << 16:
        raise RefusedError
    return text.strip()


SCHEDULER: Final = Kind(_parse_scheduler, "an address like tcp://host:8786, or none")
