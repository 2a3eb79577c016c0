"""QEMU's firmware descriptors: the JSON files in which a system says what firmware it has.

The format and the order of precedence are those of QEMU's docs/interop/firmware.json.
"""

from __future__ import annotations

import fnmatch
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_LOG: Final = logging.getLogger(__name__)
_MAX_SIZE: Final = 1 << 20
# with keys enrolled the firmware refuses every kernel that was not signed for it
_EXCLUDED: Final = frozenset({"enrolled-keys"})
_UNWANTED: Final = frozenset({"secure-boot", "requires-smm"})


class NotUsable(ValueError):
    """The descriptor is broken, or its firmware is not what a node takes."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One UEFI firmware for two flash chips.

    Attributes:
        path: the descriptor's file.
        code: the image of the firmware itself, raw.
        vars: the template of its variables, raw.
        targets: (architecture, glob patterns of machine types) in QEMU's words.
        features: as QEMU names them: `secure-boot`, `requires-smm`, …
    """

    path: Path
    code: Path
    vars: Path
    targets: tuple[tuple[str, tuple[str, ...]], ...]
    features: frozenset[str]

    def suits(self, architecture: str, machine: str) -> bool:
        """Whether one of the targets is this machine.

        Args:
            architecture: QEMU's name: `x86_64`, `aarch64`.
            machine: the part of the machine types' names before the version: `pc-q35-`. A pattern that
                fits only some versions does not suit.
        """
        return any(
            target == architecture and any(fnmatch.fnmatchcase(machine, glob) for glob in machines)
            for target, machines in self.targets
        )


def folders(environ: Mapping[str, str], share: Iterable[Path] = ()) -> tuple[Path, ...]:
    """Where descriptors are, the most specific first.

    Args:
        environ: the environment, for XDG_CONFIG_HOME and HOME.
        share: QEMU's own `share/qemu` folders where it is not installed below /usr.
    """
    home = environ.get("HOME", "")
    config = environ.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else "")
    own = [Path(config, "qemu", "firmware")] if config else []
    system = [Path("/etc/qemu/firmware"), Path("/usr/share/qemu/firmware")]
    every = [*own, *system, *(folder / "firmware" for folder in share)]
    return tuple(dict.fromkeys(every))


def parse(path: Path, data: bytes) -> Descriptor:
    """A descriptor from its file's bytes.

    Raises:
        NotUsable: it is no descriptor, or not of UEFI firmware in two raw flash images.
    """
    try:
        tree = json.loads(data)
        mapping = _split_flash(tree)
        return Descriptor(
            path=path,
            code=_image(mapping["executable"]),
            vars=_image(mapping["nvram-template"]),
            targets=tuple(
                (_text(target["architecture"]), _list(target["machines"])) for target in tree["targets"]
            ),
            features=frozenset(_list(tree["features"])),
        )
    except NotUsable:
        raise
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise NotUsable(f"no firmware descriptor: {error!r}") from error


def _split_flash(tree: dict[str, Any]) -> dict[str, Any]:
    mapping: dict[str, Any] = tree["mapping"]
    if "uefi" not in _list(tree["interface-types"]) or mapping["device"] != "flash":
        raise NotUsable("not UEFI firmware in flash")
    # `mode` came with QEMU 6.0; the other modes have no file for variables
    if mapping.get("mode", "split") != "split":
        raise NotUsable(f"mode {mapping['mode']}")
    return mapping


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise NotUsable(f"text expected, not {value!r}")
    return value


def _list(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise NotUsable(f"a list expected, not {value!r}")
    return tuple(_text(item) for item in value)


def _image(value: dict[str, Any]) -> Path:
    name = _text(value["filename"])
    if value["format"] != "raw":
        raise NotUsable(f"{name} is {value['format']}, not raw")
    if not name.startswith("/") or "\0" in name:
        raise NotUsable(f"{name!r} is no absolute path")
    return Path(name)


def search(places: Iterable[Path], architecture: str, machine: str) -> Iterator[Descriptor]:
    """The descriptors that suit a machine, the best first.

    By file name, as QEMU's document says; but firmware with Secure Boot or a need for SMM, which
    the nodes do not ask for, comes after all firmware without.

    Args:
        places: folders, the most specific first: a file hides those of the same name in later
            folders, an empty file hides them and is none itself.
        architecture: QEMU's name of the architecture.
        machine: as in `Descriptor.suits`.
    """
    found: list[Descriptor] = []
    for path in _files(places):
        try:
            with path.open("rb") as file:
                # an empty file, which only hides others, is no descriptor either
                descriptor = parse(path, file.read(_MAX_SIZE))
        except (OSError, NotUsable) as error:
            _LOG.debug("%s is passed over: %s", path, error)
            continue
        if descriptor.suits(architecture, machine) and not descriptor.features & _EXCLUDED:
            found.append(descriptor)
    yield from sorted(found, key=lambda item: (len(item.features & _UNWANTED), item.path.name))


def _files(places: Iterable[Path]) -> Iterable[Path]:
    named: dict[str, Path] = {}
    for folder in places:
        try:
            paths = [path for path in folder.iterdir() if path.suffix == ".json" and path.is_file()]
        except OSError:
            continue
        for path in paths:
            named.setdefault(path.name, path)
    return named.values()
