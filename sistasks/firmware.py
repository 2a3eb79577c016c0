"""UEFI firmware for a node: find it, remember what it was, refuse it when it has changed.

A node has two flash chips: the firmware's code, read only, and its variables, of which each node
gets its own copy. Where the two images come from, in this order: an explicit path, QEMU's firmware
descriptors, the places where distributions put them, a pinned download.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks import firmware_descriptors, firmware_image, firmware_pinned
from sistasks.errors import FetchError, FirmwareError
from sistasks.fetch import file_sha256, show_hash
from sistasks.resources import data_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sistasks.machine.arch import Arch
    from sistasks.settings import Settings

_LOG: Final = logging.getLogger(__name__)
_GIVE: Final = "give raw images: firmware=CODE,VARS"

# variables whose name does not follow from their code's
_NAMED_OTHERWISE: Final = {
    "edk2-x86_64-code.fd": "edk2-i386-vars.fd",
    "edk2-aarch64-code.fd": "edk2-arm-vars.fd",
    "QEMU_EFI-pflash.raw": "vars-template-pflash.raw",
    "QEMU_EFI-silent-pflash.raw": "vars-template-pflash.raw",
}


@dataclass(frozen=True, slots=True)
class Firmware:
    """Two flash images and what they were when they were found.

    Attributes:
        arch: our name of the architecture.
        code: the firmware itself; an absolute path.
        vars: the template of its variables; an absolute path.
        code_sha256: 64 hexadecimal digits.
        vars_sha256: 64 hexadecimal digits.
        source: where it came from, in words: `explicit path`, `descriptor …`, `known place`, `fetched`.
    """

    arch: str
    code: Path
    vars: Path
    code_sha256: str
    vars_sha256: str
    source: str

    @property
    def sha256(self) -> str:
        """One identity of both: the sha256 of the two hashes in ASCII, code's first, with a space between."""
        return hashlib.sha256(f"{self.code_sha256} {self.vars_sha256}".encode()).hexdigest()

    def to_json(self) -> str:
        """A JSON object of all fields, and `sha256` for other readers."""
        fields = {name: str(value) for name, value in dataclasses.asdict(self).items()}
        return json.dumps(fields | {"sha256": self.sha256}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Firmware:
        """What `to_json` wrote.

        Raises:
            FirmwareError: it is something else, or was changed by hand.
        """
        try:
            tree = json.loads(text)
            texts = {field.name: str(tree[field.name]) for field in dataclasses.fields(cls)}
            code, variables = Path(texts.pop("code")), Path(texts.pop("vars"))
            firmware = cls(code=code, vars=variables, **texts)
            whole = tree["sha256"] == firmware.sha256
        except (ValueError, KeyError, TypeError, RecursionError):
            whole = False
        if not whole:
            raise FirmwareError("the record of the firmware is broken", "make it again: doit firmware")
        return firmware


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look.

    Attributes:
        descriptors: folders of firmware descriptors, the most specific first.
        known: (code, vars) to try when no descriptor suits.
        manifest: what may be fetched.
    """

    descriptors: tuple[Path, ...]
    known: tuple[tuple[Path, Path], ...]
    manifest: Path


def system_places(arch: Arch, settings: Settings) -> Places:
    """The places of this system, and those beside the QEMU that is set."""
    program = settings.qemu if settings.qemu != "auto" else shutil.which(arch.qemu)
    shares: list[Path] = []
    if program:
        path = Path(program).expanduser().absolute()
        # a package manager may link the program from elsewhere: beside the link and beside the file
        shares = [each.parent.parent / "share" / "qemu" for each in (path, path.resolve())]
    known = [
        (Path(code.format(share=share)), Path(variables.format(share=share)))
        for share in shares or [Path("/usr/share/qemu")]
        for code, variables in arch.firmware_places
    ]
    return Places(
        descriptors=firmware_descriptors.folders(os.environ, shares),
        known=tuple(dict.fromkeys(known)),
        manifest=data_file("firmware/manifest.toml"),
    )


def has_uefi(arch: Arch) -> bool:
    """Whether nodes of this architecture can boot through UEFI."""
    return bool(arch.firmware_targets[0])


def find(arch: Arch, settings: Settings, folder: Path, *, places: Places | None = None) -> Firmware:
    """The firmware for an architecture.

    Args:
        arch: one that `has_uefi`.
        settings: `firmware`, `firmware_mirror` and `qemu` are used.
        folder: where fetched firmware is kept.
        places: where to look; this system's if None.

    Raises:
        FirmwareError: there is none, or the one that was given cannot be used.
    """
    if not has_uefi(arch):
        raise FirmwareError(f"no UEFI firmware for {arch.name}", arch.without_firmware)
    if settings.firmware != "auto":
        return _explicit(arch, settings.firmware)
    places = system_places(arch, settings) if places is None else places
    return _usable(arch, places) or _fetched(arch, settings, folder, places.manifest)


def is_installed(arch: Arch, settings: Settings) -> bool:
    """Whether this system has firmware for the architecture that nodes can use."""
    return _usable(arch, system_places(arch, settings)) is not None


def _usable(arch: Arch, places: Places) -> Firmware | None:
    for code, variables, source in _installed(arch, places):
        problem = firmware_image.problem_of(arch, code, variables)
        if not problem:
            return _measured(arch, code, variables, source)
        _LOG.info("%s: passed over: %s", source, problem)
    return None


def verify(firmware: Firmware) -> None:
    """Hash both images again: to be called whenever they are about to be used.

    Raises:
        FirmwareError: an image is gone or has changed; it names the file and both hashes.
    """
    for path, expected in ((firmware.code, firmware.code_sha256), (firmware.vars, firmware.vars_sha256)):
        try:
            found = file_sha256(path)
        except OSError as error:
            raise FirmwareError(
                f"firmware {path} (sha256 {show_hash(expected)}) cannot be read: {error.strerror}",
                "install it again, or let another be found: doit firmware",
            ) from error
        if found != expected:
            raise FirmwareError(
                f"firmware {path} has changed: sha256 {show_hash(found)}, expected {show_hash(expected)}",
                "take it as it is now with doit firmware, or install it again",
            )


def _measured(arch: Arch, code: Path, variables: Path, source: str) -> Firmware:
    try:
        hashes = file_sha256(code), file_sha256(variables)
    except OSError as error:
        raise FirmwareError(f"firmware {error.filename} cannot be read: {error.strerror}", _GIVE) from error
    return Firmware(arch.name, code, variables, *hashes, source)


def _explicit(arch: Arch, text: str) -> Firmware:
    code, variables = Path(text).expanduser().absolute(), None
    if "," in text and not os.access(code, os.F_OK):
        code, variables = (Path(part.strip()).expanduser().absolute() for part in text.split(",", 1))
    elif os.access(code, os.F_OK):
        beside = _beside(code)
        variables = next((path for path in beside if os.access(path, os.F_OK)), None)
        if variables is None:
            names = " or ".join(path.name for path in beside) or "a name with CODE in it becomes VARS"
            raise FirmwareError(f"firmware={text} has no variables beside it ({names})", _GIVE)
    # without a file of code there is none to look beside: the sentence is about the code
    problem = firmware_image.problem_of(arch, code, variables or code)
    if problem or variables is None:
        raise FirmwareError(f"firmware={text} cannot be used: {problem}", _GIVE)
    return _measured(arch, code, variables, "explicit path")


def _beside(code: Path) -> list[Path]:
    """Where the variables that belong to a code image may be, the best first."""
    name = _NAMED_OTHERWISE.get(code.name) or code.name.replace("CODE", "VARS").replace("code", "vars")
    parts = name.split(".")
    # OVMF_CODE_4M.secboot.fd goes with OVMF_VARS_4M.fd where it has no variables of its own
    shorter = [".".join(parts[:i] + parts[i + 1 :]) for i in range(1, len(parts) - 1)]
    return [code.with_name(each) for each in (name, *shorter)] if name != code.name else []


def _installed(arch: Arch, places: Places) -> Iterator[tuple[Path, Path, str]]:
    for item in firmware_descriptors.search(places.descriptors, *arch.firmware_targets):
        yield item.code, item.vars, f"descriptor {item.path}"
    for code, variables in places.known:
        if os.access(code, os.F_OK):
            yield code, variables, "known place"


def _fetched(arch: Arch, settings: Settings, folder: Path, manifest: Path) -> Firmware:
    for archive in firmware_pinned.read_manifest(manifest):
        if arch.name in archive.images:
            break
    else:
        raise FirmwareError(f"no UEFI firmware for {arch.name} is installed, and {manifest} has none", _GIVE)
    try:
        got = firmware_pinned.provide(archive, arch.name, folder.absolute(), mirror=settings.firmware_mirror)
    except FetchError as error:
        raise FirmwareError(
            f"no UEFI firmware for {arch.name} is installed, and none could be fetched: {error.problem}",
            "install it (doit setup), give it (firmware=CODE,VARS) or its mirror (firmware_mirror=…)",
        ) from error
    problem = firmware_image.problem_of(arch, got.code, got.vars)
    if problem:
        raise FirmwareError(f"the firmware of {archive.version} cannot be used: {problem}", _GIVE)
    return Firmware(arch.name, got.code, got.vars, got.code_sha256, got.vars_sha256, "fetched")
