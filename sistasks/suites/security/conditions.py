"""Conditions on a kernel's configuration, as `rules/config.toml` writes them.

`NAME=VALUE`, `NAME=VALUE|VALUE`, `NAME>=NUMBER`, `NAME contains WORD` (of a list between commas), and
`NAME is not set`, which holds where the configuration says nothing of NAME, too. Names are without `CONFIG_`. Numbers
are the same however they are written: 176 and 0xb0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from sistasks.kernels.kconfig import NOT_SET

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMS: Final = re.compile(
    r"(?P<name>[A-Z0-9_]+)(?: (?P<unset>is not set)| contains (?P<word>[\w.-]+)|>=(?P<least>\d+)|=(?P<values>\S+))",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition.

    Attributes:
        name: of the option.
        values: of which it must have one; empty: it must not be set, unless one of the next two is given.
        least: the least number that it may have.
        word: what must be in its list.
        text: as it was written.
    """

    name: str
    values: tuple[str, ...]
    least: int | None
    word: str
    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one.

        Raises:
            ValueError: it has none of the forms.
        """
        match = _FORMS.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no condition on a configuration")
        values = tuple(match["values"].split("|")) if match["values"] else ()
        least = int(match["least"]) if match["least"] else None
        return cls(match["name"], values, least, match["word"] or "", text)

    def holds(self, config: Mapping[str, str]) -> bool:
        """Whether a configuration (name -> value, as `kconfig.parse` gives it) fulfils it."""
        value = config.get(self.name, NOT_SET)
        if self.least is not None:
            number = _number(value)
            return number is not None and number >= self.least
        if self.word:
            return self.word in value.strip('"').split(",")
        if self.values:
            return any(value == wanted or _same_number(value, wanted) for wanted in self.values)
        return value == NOT_SET

    def seen(self, config: Mapping[str, str]) -> str:
        """What the configuration says of the option."""
        if self.name not in config:
            return f"CONFIG_{self.name} is not there"
        value = config[self.name]
        return f"CONFIG_{self.name} is not set" if value == NOT_SET else f"CONFIG_{self.name}={value}"


def parse_all(texts: str | list[str]) -> tuple[Condition, ...]:
    """One condition or several.

    Raises:
        ValueError: one is none.
    """
    return tuple(Condition.parse(text) for text in ([texts] if isinstance(texts, str) else texts))


def _number(value: str) -> int | None:
    try:
        return int(value, 0)
    except ValueError:
        return None


def _same_number(value: str, wanted: str) -> bool:
    number = _number(value)
    return number is not None and number == _number(wanted)
