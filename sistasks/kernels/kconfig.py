"""Kernel configurations as text: fragments put together, and what became of each symbol that was asked for.

The format: Linux Documentation/kbuild/kconfig.rst and scripts/kconfig/confdata.c; a line is `CONFIG_NAME=value` or
`# CONFIG_NAME is not set`.
"""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SET: Final = re.compile(r"CONFIG_(\w+)=(.*)", re.ASCII)
_NOT_SET: Final = re.compile(r"#\s*CONFIG_(\w+) is not set", re.ASCII)
_BLOCK_END: Final = re.compile(
    r"\s*(?:menu)?(?:config|menu|endmenu|choice|endchoice|if|endif|source|comment)\b"
)
NOT_SET: Final = "n"


@dataclass(frozen=True, slots=True)
class Asked:
    """A symbol that a fragment asks for.

    Attributes:
        value: `y`, `m`, `n`, a number or a quoted text, as it stands in the fragment.
        origin: the fragment's name.
    """

    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A symbol that is not as it was asked for.

    Attributes:
        symbol: without `CONFIG_`.
        asked: by which fragment, and which value.
        value: what it is; `n` where it is not set.
    """

    symbol: str
    asked: Asked
    value: str

    def __str__(self) -> str:
        """What was asked and what it is."""
        became = "is not set" if self.value == NOT_SET else f"is {self.value}"
        return f"CONFIG_{self.symbol}={self.asked.value} ({self.asked.origin}) {became}"


def parse(text: str, origin: str) -> dict[str, str]:
    """Symbol (without `CONFIG_`) -> value; where one stands twice, the last counts.

    Raises:
        UsageError: a line is neither a setting nor a comment.
    """
    values: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        match = _SET.fullmatch(line)
        unset = _NOT_SET.fullmatch(line)
        if match:
            name, value = match[1], match[2].strip()
        elif unset:
            name, value = unset[1], NOT_SET
        elif not line or line.startswith("#"):
            continue
        else:
            raise UsageError(
                f"line {number} of {origin} is no setting: {raw[:60]!r}", "write CONFIG_NAME=value"
            )
        values.pop(name, None)
        values[name] = value
    return values


def merge(base: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    """A configuration's text: the base, and after it what is wanted; of a choice the last that is set counts."""
    rest = {name: value for name, value in base.items() if name not in wanted}
    return "".join(
        f"# CONFIG_{name} is not set\n" if value == NOT_SET else f"CONFIG_{name}={value}\n"
        for name, value in (*rest.items(), *wanted.items())
    )


def lost(asked: Mapping[str, Asked], found: Mapping[str, str]) -> list[Lost]:
    """The symbols that are not as they were asked for, in the order in which they were."""
    return [
        Lost(name, wish, found.get(name, NOT_SET))
        for name, wish in asked.items()
        if found.get(name, NOT_SET) != wish.value
    ]


def definitions(tree: Path, symbols: Iterable[str]) -> dict[str, str]:
    """What the tree says of each symbol: where it is defined and what it depends on, or that there is none.

    Reads every Kconfig file of the tree: for sentences about failures, not for every day.
    """
    wanted = set(symbols)
    heads = re.compile(rf"\s*(?:menu)?config\s+({'|'.join(map(re.escape, sorted(wanted)))})\s*")
    found: dict[str, list[str]] = {}
    for folder, _, names in os.walk(tree):
        for name in names:
            if name.startswith("Kconfig"):
                path = Path(folder) / name
                for symbol, number, depends in _definitions(path, heads):
                    place = f"{path.relative_to(tree)}:{number}"
                    found.setdefault(symbol, []).append(
                        f"{place} depends on {' && '.join(depends)}" if depends else place
                    )
    return {
        symbol: "; ".join(sorted(found[symbol])) if symbol in found else "this tree has no such symbol"
        for symbol in wanted
    }


def _definitions(path: Path, heads: re.Pattern[str]) -> Iterable[tuple[str, int, list[str]]]:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return
    around: list[str] = []  # conditions of the blocks that a line is in
    for number, line in enumerate(lines, 1):
        word, _, condition = line.strip().partition(" ")
        if word == "if":
            around.append(condition.strip())
        elif word == "endif" and around:
            around.pop()
        elif match := heads.fullmatch(line):
            # a line may go on in the next; the place is that of the first
            block = re.sub(r"\\\n\s*", "", "\n".join(lines[number:])).splitlines()
            inner = itertools.takewhile(lambda line: not _BLOCK_END.match(line), block)
            parts = [line.strip().partition("depends on ") for line in inner]
            yield (
                match[1],
                number,
                [*around, *(last.strip() for first, _, last in parts if last and not first)],
            )
