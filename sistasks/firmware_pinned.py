"""The firmware of `firmware/manifest.toml`: fetched, unpacked and verified.

`<folder>/<archive>` is the archive as it was fetched; `<folder>/<version>/<arch>/` has the two
images and `lock.json`, the hashes that they had when they came out of the verified archive.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Final

from sistasks.errors import FirmwareError
from sistasks.fetch import fetch, file_sha256, show_hash

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Iterator

_LOG: Final = logging.getLogger(__name__)
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_KEYS: Final = frozenset({"version", "mirror", "url", "sha256", "max_size", "max_image", "images"})
_IMAGE_KEYS: Final = frozenset({"code", "vars", "code_sha256", "vars_sha256"})


@dataclass(frozen=True, slots=True)
class Image:
    """One image in an archive: its path below the leading folder, its pinned sha256 or ''."""

    path: str
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """One release of firmware; the fields are the manifest's keys.

    Attributes:
        images: architecture -> (code, vars).
    """

    version: str
    mirror: str
    url: str
    sha256: str
    max_size: int
    max_image: int
    images: dict[str, tuple[Image, Image]]

    def address(self, mirror: str = "auto") -> str:
        """Where the archive is, from the manifest's mirror or another one."""
        chosen = self.mirror if mirror == "auto" else mirror.rstrip("/")
        return self.url.replace("{mirror}", chosen).replace("{version}", self.version)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The two images of one architecture, unpacked, with their hashes."""

    code: Path
    vars: Path
    code_sha256: str
    vars_sha256: str


def read_manifest(path: Path) -> tuple[Archive, ...]:
    """The archives of a manifest.

    Raises:
        FirmwareError: the file cannot be read, or a value in it cannot be.
    """
    try:
        with path.open("rb") as file:
            tables = tomllib.load(file).get("archive", {})
        _check(isinstance(tables, list), "[[archive]]", tables)
        return tuple(_archive(table) for table in tables)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        # a KeyError's text is only the key
        reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else error
        raise FirmwareError(f"{path} is no manifest of firmware: {reason}", "mend the file") from error


def _archive(table: dict[str, Any]) -> Archive:
    if strange := set(table) - _KEYS:
        raise ValueError(f"unknown key {min(strange)}")
    for key in ("version", "mirror", "url", "sha256"):
        _check(isinstance(table[key], str), key, table[key])
    _check(_NAME.fullmatch(table["version"]) is not None, "version", table["version"])
    _check(_SHA256.fullmatch(table["sha256"]) is not None, "sha256", table["sha256"])
    _check(_NAME.fullmatch(table["url"].rpartition("/")[2].replace("{version}", "v")), "url", table["url"])
    for key in ("max_size", "max_image"):
        _check(type(table[key]) is int and table[key] > 0, key, table[key])
    images = {name: _images(name, images) for name, images in table["images"].items()}
    return Archive(**(table | {"images": images}))


def _images(name: str, table: dict[str, str]) -> tuple[Image, Image]:
    if strange := set(table) - _IMAGE_KEYS:
        raise ValueError(f"unknown key images.{name}.{min(strange)}")
    _check(_NAME.fullmatch(name), "images", name)
    both = []
    for key in ("code", "vars"):
        path, sha256 = table[key], table.get(f"{key}_sha256", "")
        _check(isinstance(path, str) and PurePosixPath(path).name, f"images.{name}.{key}", path)
        if f"{key}_sha256" in table:
            _check(_SHA256.fullmatch(sha256), f"images.{name}.{key}_sha256", sha256)
        both.append(Image(path, sha256))
    return both[0], both[1]


def _check(fine: object, key: str, value: object) -> None:
    if not fine:
        raise ValueError(f"{key} = {value!r} cannot be")


def provide(archive: Archive, arch: str, folder: Path, *, mirror: str = "auto") -> Unpacked:
    """The images of one architecture: those already in `folder` if they verify, else fetched.

    Args:
        archive: a release that has images for `arch`.
        arch: our name of the architecture.
        folder: where archive and images go.
        mirror: an address instead of the manifest's, or `auto`.

    Raises:
        FetchError: the archive could not be had.
        FirmwareError: the archive is not what the manifest says.
    """
    place = folder / archive.version / arch
    lock = place / "lock.json"
    ready = _locked(archive, arch, place, lock)
    if ready is not None:
        return ready
    address = archive.address(mirror)
    packed = fetch(
        address, folder / address.rpartition("/")[2], sha256=archive.sha256, max_size=archive.max_size
    )
    try:
        place.mkdir(parents=True, exist_ok=True)
        lock.unlink(missing_ok=True)
        unpacked = _unpack(archive, arch, packed, place)
        record = {
            "archive_sha256": archive.sha256,
            "code": unpacked.code_sha256,
            "vars": unpacked.vars_sha256,
        }
        with _written(lock) as file:
            file.write((json.dumps(record, indent=2) + "\n").encode())
    except OSError as error:
        raise FirmwareError(
            f"firmware cannot be unpacked at {place}: {error.strerror}",
            "make room there or choose another place",
        ) from error
    return unpacked


def _locked(archive: Archive, arch: str, place: Path, lock: Path) -> Unpacked | None:
    """The images in `place`, if they are those that its lock and the manifest name."""
    try:
        record = json.loads(lock.read_bytes())
        found = Unpacked(place / "code.fd", place / "vars.fd", str(record["code"]), str(record["vars"]))
        fits = record["archive_sha256"] == archive.sha256
        if fits:
            fits = (
                file_sha256(found.code) == found.code_sha256 and file_sha256(found.vars) == found.vars_sha256
            )
        for image, sha256 in zip(archive.images[arch], (found.code_sha256, found.vars_sha256), strict=True):
            fits = fits and image.sha256 in {"", sha256}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        fits = False
    if fits:
        return found
    _LOG.warning("the firmware at %s is not what was unpacked there: it is unpacked again", place)
    return None


def _unpack(archive: Archive, arch: str, packed: Path, place: Path) -> Unpacked:
    import lzma
    import tarfile
    import zlib

    wanted = dict(zip(archive.images[arch], ("code.fd", "vars.fd"), strict=True))
    hashes: dict[str, str] = {}
    try:
        with tarfile.open(packed) as tar:
            for member in tar:
                for image, name in wanted.items():
                    if _below_leading_folder(member.name) == image.path:
                        hashes[name] = _extract(tar, member, place / name, image, archive)
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError) as error:
        raise FirmwareError(
            f"{packed} cannot be unpacked: {error}", "remove the file and fetch it again: doit firmware"
        ) from error
    for image, name in wanted.items():
        if name not in hashes:
            raise FirmwareError(f"{packed} has no {image.path}", "mend the manifest")
    return Unpacked(place / "code.fd", place / "vars.fd", hashes["code.fd"], hashes["vars.fd"])


def _below_leading_folder(name: str) -> str:
    """A member's path without the archive's one folder around everything."""
    return "/".join(PurePosixPath(name).parts[1:])


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, image: Image, of: Archive) -> str:
    """Write one member, whatever it says of names, owners and modes, to a path of ours."""
    remedy = "do not use that archive"
    source = tar.extractfile(member) if member.isreg() else None
    if source is None or not 0 < member.size <= of.max_image:
        raise FirmwareError(
            f"{image.path} in {of.version} is no file of at most {of.max_image} bytes", remedy
        )
    with source, _written(target) as file:
        while chunk := source.read(1 << 20):
            file.write(chunk)
        file.flush()
        found = file_sha256(Path(file.name))
        if image.sha256 not in {"", found}:
            raise FirmwareError(
                f"{image.path} in {of.version} has sha256 {show_hash(found)}, "
                f"expected {show_hash(image.sha256)}",
                remedy,
            )
    return found


@contextlib.contextmanager
def _written(target: Path) -> Iterator[IO[bytes]]:
    """A file that gets its name when it is whole and on the disk."""
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            # a temporary file is for its owner alone; firmware may be read by all
            Path(file.name).chmod(0o644)
            Path(file.name).rename(target)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
