"""`METRIC name=value` and `METRIC name=value unit`: what a kernel measured, a line each.

A name again is a further sample. What cannot be taken is a finding in words, never an exception, never passed over.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sistasks.protocols.records import Series
from sistasks.textlines import after_stamp, shorten

if TYPE_CHECKING:
    from sistasks.protocols.records import Findings

NAMES_LIMIT: Final = 100
"""Metrics of one test; what comes beyond is left out, and said to be."""
SAMPLES_LIMIT: Final = 100_000
"""Samples of one test, all its metrics together."""
_NAME_LIMIT: Final = 100
# sums of squares of such numbers still are numbers
_LARGEST: Final = 1e100
# after printk's stamp a line may have tags in brackets, and the sign of a diagnostic line
_METRIC: Final = re.compile(r"\s*(?:\[[^\]]{0,40}\]\s*)*(?:#\s*)?METRIC(?:\s+(.*)|$)")
_NAME: Final = re.compile(r"[a-z0-9_./-]+")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_UNIT: Final = re.compile(r"[A-Za-zµμ%][A-Za-zµμ%0-9/._*^-]{0,19}")
_TIMES: Final = {
    **dict.fromkeys(("ns", "nsec", "nanoseconds"), 1.0),
    **dict.fromkeys(("us", "µs", "μs", "usec", "microseconds"), 1e3),
    **dict.fromkeys(("ms", "msec", "milliseconds"), 1e6),
    **dict.fromkeys(("s", "sec", "seconds"), 1e9),
}
# `memory_alloc_ns`: the end of a name says the unit where the line does not
_NAME_TIMES: Final = frozenset({"ns", "us", "ms"})
_NAME_UNITS: Final = {
    "hz": "Hz",
    "khz": "kHz",
    "mhz": "MHz",
    "bytes": "bytes",
    "kb": "kB",
    "percent": "%",
    "ppm": "ppm",
}
_LASTING: Final = re.compile(r"(?:^|[_.\-/])(?:latency|time|duration|delay|elapsed)(?:$|[_.\-/])")


def is_metric(text: str) -> bool:
    """Whether a line means to be one, well said or not."""
    return _METRIC.match(after_stamp(text)) is not None


class Metrics:
    """The metrics of one test.

    Args:
        test: its name, for findings.
        findings: where to say what could not be taken.
    """

    def __init__(self, test: str, findings: Findings) -> None:
        self._test = test
        self._findings = findings
        self._values: dict[str, list[float]] = {}
        self._units: dict[str, str] = {}
        self._count = 0

    def line(self, text: str) -> bool:
        """Take a line, after the prompt if it stood behind one.

        Returns:
            Whether it was a METRIC line; if not, nothing has happened.
        """
        match = _METRIC.match(after_stamp(text))
        if match is None:
            return False
        said = (match[1] or "").strip()
        name, equals, rest = said.partition("=")
        words = rest.split()
        if len(name) > _NAME_LIMIT and not equals:  # the line was cut within it
            self._refuse(said, f"has a name of more than {_NAME_LIMIT} letters")
        elif not equals or not words or name != name.rstrip():
            self._refuse(said, "is no name=value")
        elif len(words) > 2:
            self._refuse(said, "has more than a value and a unit")
        else:
            self.take(name, words[0], words[1] if len(words) == 2 else "")
        return True

    def take(self, name: str, value: str, unit: str = "") -> None:
        """Take one sample as it was said; a bad one is a finding."""
        problem = (
            _bad_name(name)
            or _bad_value(value)
            or ("" if not unit or _UNIT.fullmatch(unit) else "has a unit that is none")
        )
        if problem:
            self._refuse(f"{name}={value} {unit}".rstrip(), problem)
            return
        shown, factor = _unit(name, unit)
        number = float(value) * factor
        if not abs(number) <= _LARGEST:
            self._refuse(f"{name}={value}", "is too large for a number")
        elif number < 0 and (shown == "ns" or _LASTING.search(name)):
            self._refuse(f"{name}={value}", "is a time below zero")
        elif self._units.get(name, shown) != shown:
            self._refuse(f"{name}={value} {unit}", f"was said in '{self._units[name]}' before")
        else:
            self._keep(name, number, shown)

    def series(self) -> dict[str, Series]:
        """Name -> samples, in the order in which the names first came."""
        return {name: Series(self._units[name], tuple(values)) for name, values in self._values.items()}

    @property
    def count(self) -> int:
        """Samples, of all names together."""
        return self._count

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def _keep(self, name: str, number: float, unit: str) -> None:
        if name not in self._values and len(self._values) >= NAMES_LIMIT:
            self._findings.add(f"{self._test}: more than {NAMES_LIMIT} metrics, the rest is left out")
            return
        if self._count >= SAMPLES_LIMIT:
            self._findings.add(f"{self._test}: more than {SAMPLES_LIMIT} samples, the rest is left out")
            return
        self._count += 1
        self._units.setdefault(name, unit)
        self._values.setdefault(name, []).append(number)

    def _refuse(self, said: str, why: str) -> None:
        self._findings.add(f"{self._test}: METRIC {shorten(said)!r} {why}, left out")


def _bad_name(name: str) -> str:
    if not name:
        return "has no name"
    if len(name) > _NAME_LIMIT:
        return f"has a name of {len(name)} letters, at most {_NAME_LIMIT} can be"
    if not _NAME.fullmatch(name):
        return "has a name with other letters than a-z, 0-9 and _.-/"
    return ""


def _bad_value(value: str) -> str:
    if _NUMBER.fullmatch(value):
        return ""
    low = value.lower().lstrip("+-")
    if low in {"inf", "infinity"}:
        return "is infinite"
    if low == "nan":
        return "is not a number (NaN)"
    if re.fullmatch(r"0x[0-9a-f]+", low):
        return "is hexadecimal; numbers are decimal"
    return "is no number"


def _unit(name: str, unit: str) -> tuple[str, float]:
    """The unit to show and the factor to it."""
    if unit in _TIMES:
        return "ns", _TIMES[unit]
    *before, last = re.split(r"[_.\-/]", name)
    if unit or not before or before[-1] == "per":
        return unit, 1.0
    return ("ns", _TIMES[last]) if last in _NAME_TIMES else (_NAME_UNITS.get(last, ""), 1.0)
