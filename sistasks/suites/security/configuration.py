"""A kernel's configuration against the rules of `rules/config.toml`.

It comes from the file that was kept beside the image (the package's, the tree's), else from the image itself, or its
module `configs`, where it was built with CONFIG_IKCONFIG (Linux kernel/configs.c: gzip between two marks).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sistasks.errors import SistasksError
from sistasks.kernels import kconfig, modules
from sistasks.protocols.findings import Seen
from sistasks.suites.security import versions
from sistasks.suites.security.conditions import Condition, parse_all
from sistasks.suites.security.rules import Rule, load

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sistasks.kernels import Kernel
    from sistasks.kernels.payload import Buffer
    from sistasks.suites.security.versions import Version

AVAILABLE: Final = "config.available"
_START: Final = b"IKCFG_ST"
# the largest of a distribution has 300 KiB
_LONGEST: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a kernel was configured with.

    Attributes:
        values: option, without `CONFIG_` -> value, as `kconfig.parse` gives them.
        origin: where it was read.
    """

    values: Mapping[str, str]
    origin: str


def read(kernel: Kernel, body: Buffer | None) -> Configuration | Seen:
    """The configuration that a kernel was built with, or what is to be said where there is none that can be read.

    Args:
        kernel: whose.
        body: the unpacked image; None: it could not be unpacked.
    """
    try:
        if kernel.config is not None:
            text = kernel.config.read_text(errors="replace")
            return Configuration(kconfig.parse(text, kernel.config.name), kernel.config.name)
        what, inside = "the image", embedded(body) if body is not None else None
        if inside is None:
            what, inside = "its module configs", _of_modules(kernel)
        if inside is not None:
            return Configuration(kconfig.parse(inside, f"IKCONFIG in {what}"), f"IKCONFIG in {what}")
    except OSError as error:
        return Seen(AVAILABLE, "error", f"{kernel.config} cannot be read: {error.strerror}")
    except SistasksError as error:
        return Seen(AVAILABLE, "error", error.problem)
    why = "no configuration lies beside the image, and the image has none in it"
    return Seen(AVAILABLE, "skip", f"{why}; the other rules cannot be looked at")


def embedded(data: Buffer) -> str | None:
    """The text that CONFIG_IKCONFIG put into an unpacked image or a module; None: there is none."""
    whole = bytes(data)
    start = whole.find(_START)
    while start >= 0:
        packed = start + len(_START)
        try:
            # the mark behind it is not needed: gzip knows its end
            text = zlib.decompressobj(wbits=31).decompress(memoryview(whole)[packed:], _LONGEST)
        except zlib.error:
            text = b""
        if b"CONFIG_" in text:
            return text.decode("utf-8", "replace")
        start = whole.find(_START, packed)
    return None


def assess(found: Configuration | Seen, arch: str, version: Version | None) -> list[Seen]:
    """What is to be said of a kernel's configuration: `config.available`, and with one every rule of its architecture.

    Args:
        found: as `read` gave it.
        arch: the kernel's.
        version: which Linux it is; None: rules for some versions only are taken for this one's, too.
    """
    if isinstance(found, Seen):
        return [found]
    seen = Seen(AVAILABLE, "pass", f"{len(found.values)} options from {found.origin}")
    return [seen, *judge(found.values, arch, version)]


def judge(config: Mapping[str, str], arch: str, version: Version | None) -> list[Seen]:
    """What every rule for the architecture says of a configuration, in the rules' order."""
    rules = (rule for name, rule in load("config").items() if name != AVAILABLE)
    return [_judge(rule, config, arch, version) for rule in rules if applies_to(rule, arch)]


def applies_to(rule: Rule, arch: str) -> bool:
    """Whether a rule is for kernels of an architecture."""
    return arch in rule.more.get("architectures", (arch,))


def _judge(rule: Rule, config: Mapping[str, str], arch: str, version: Version | None) -> Seen:
    wanted = parse_all(rule.more["want"])
    why_not = _why_not(rule.more, wanted, config, arch, version)
    if why_not:
        return Seen(rule.name, "skip", why_not)
    held = next((one for one in wanted if one.holds(config)), None)
    if held is not None:
        return Seen(rule.name, "pass", held.seen(config))
    said = [one.seen(config) for one in wanted if one.name in config] or [wanted[0].seen(config)]
    wish = " or ".join(f"CONFIG_{one.text}" for one in wanted)
    return Seen(rule.name, "fail", f"{', '.join(dict.fromkeys(said))}; wanted: {wish}")


def _why_not(
    more: Mapping[str, Any],
    wanted: Iterable[Condition],
    config: Mapping[str, str],
    arch: str,
    version: Version | None,
) -> str:
    """Why a rule says nothing of this kernel; empty: it does."""
    since = more.get("since", "")
    since = since.get(arch, "") if isinstance(since, dict) else since
    if version is not None:
        if since and version.numbers < _bound(since):
            return f"Linux has it since {since}; this is {version}"
        if (until := more.get("until")) and version.numbers >= _bound(until):
            return f"of Linux before {until} only; this is {version}"
    for condition in parse_all(more.get("when", [])):
        if not condition.holds(config):
            return f"only with CONFIG_{condition.text}: {condition.seen(config)}"
    if more.get("known") and not any(one.name in config for one in wanted):
        return f"its configuration says nothing of {' or '.join(f'CONFIG_{one.name}' for one in wanted)}"
    return ""


def _bound(text: str) -> versions.Numbers:
    found = versions.parse(text)
    if found is None:
        raise ValueError(f"{text!r} is no version")
    return found


def of_modules(folder: Path | None) -> str | None:
    """The configuration that a kernel's module configs holds; None: none does.

    Args:
        folder: `lib/modules/<release>`; None: there is none.

    Raises:
        SistasksError: the module cannot be read.
    """
    found = sorted(folder.rglob("configs.ko*")) if folder is not None else []
    return embedded(modules.read(found[0])) if found else None


def _of_modules(kernel: Kernel) -> str | None:
    told = kernel.modules_told
    if told is None:
        return of_modules(kernel.modules)
    if told.problem:
        raise SistasksError(told.problem)
    return told.config
