"""Where a kernel comes from: a provider each, all with one signature, and the record that they give."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from sistasks.errors import KernelImageError, SistasksError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sistasks.protocols.findings import Seen
    from sistasks.protocols.profile import ConsoleProfile
    from sistasks.settings import Settings

    Log = Callable[[str], None]

# Debian's package has an 83-byte note in the symbols' place; the smallest real table is a hundred times this
_SMALLEST_SYMBOLS: Final = 4096
_PATHS: Final = ("image", "modules", "config", "symbols", "esp", "initramfs")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModulesTold:
    """What a kernel's modules have told where they were at hand.

    Attributes:
        signed: whether they are signed.
        config: the configuration that one of them holds; None: none does.
        problem: why that cannot be told; empty: it can.
    """

    signed: Seen
    config: str | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """An image under test; its identity is sha256, everything else describes it.

    Attributes:
        name: `debian`, `host`, or the file's name without a format's suffix.
        arch: in our words, as in `arch=arm64`.
        image: the file.
        sha256: of the image, hexadecimal.
        release: as `uname -r` prints it; None where the image does not tell.
        format: as in `image.ImageInfo`.
        size: bytes of the image.
        modules: the folder `lib/modules/<release>`, None if there is none.
        modules_told: what they told elsewhere; None: only the folder tells.
        config: the configuration it was built with, None if unknown.
        config_sha256: of config, hexadecimal; empty without one.
        modules_sha256: of the modules, where they may change and keep their folder; else empty.
        symbols: System.map, None if there is none.
        provider: which provider gave it.
        esp: a folder that is the EFI system partition it boots from; None: the image is booted itself.
        initramfs: comes instead of our guest; None: ours.
        command_line: more of it, which this kernel always gets.
        console: how it talks where our agent does not; None: the agent speaks.
        git_commit, git_parent: of the tree that it was built from, hexadecimal; empty: unknown.
        git_dirty: the tree was not as its commit is.
        cpu: QEMU's CPU model that it needs; empty: as set.
        memory: bytes of a node that it needs; 0: as set.
        cpus: processors of a node that it needs; 0: as set.
    """

    name: str
    arch: str
    image: Path
    sha256: str
    release: str | None
    format: str
    size: int
    modules: Path | None = None
    modules_told: ModulesTold | None = None
    config: Path | None = None
    config_sha256: str = ""
    modules_sha256: str = ""
    symbols: Path | None = None
    provider: str
    esp: Path | None = None
    initramfs: Path | None = None
    command_line: str = ""
    console: ConsoleProfile | None = None
    git_commit: str = ""
    git_parent: str = ""
    git_dirty: bool = False
    cpu: str = ""
    memory: int = 0
    cpus: int = 0

    @property
    def talks(self) -> bool:
        """Whether all that is heard of it is what it says on its console: our agent does not run on it."""
        return self.console is not None or self.initramfs is not None or self.esp is not None

    @property
    def profile(self) -> ConsoleProfile:
        """How it talks; where nobody has said, for METRIC lines is listened."""
        from sistasks.protocols.profile import PROFILES

        return self.console or PROFILES["metric"]

    def to_json(self) -> str:
        """The record as JSON text, paths as text and the console as its table."""
        record = {
            field.name: str(value) if isinstance(value := getattr(self, field.name), Path) else value
            for field in dataclasses.fields(self)
        }
        record["console"] = self.console.to_table() if self.console else None
        record["modules_told"] = dataclasses.asdict(self.modules_told) if self.modules_told else None
        return json.dumps(record, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Kernel:
        """The record that to_json wrote.

        Raises:
            SistasksError: the text is not such a record.
        """
        try:
            record: dict[str, Any] = dict(json.loads(text))
            record.update({name: Path(record[name]) for name in _PATHS if record[name] is not None})
            if record["console"] is not None:
                from sistasks.protocols.profile import from_table

                record["console"] = from_table(record["console"])
            if record.get("modules_told") is not None:
                from sistasks.protocols.findings import Seen

                told = record["modules_told"]
                record["modules_told"] = ModulesTold(**{**told, "signed": Seen(**told["signed"])})
            return cls(**record)
        except (ValueError, TypeError, KeyError, UsageError) as error:
            raise SistasksError(
                "the record of the kernel cannot be read", "make it again: doit -a kernel"
            ) from error


class Provider(Protocol):
    """Where a kernel comes from."""

    def describe(self, settings: Settings) -> dict[str, str]:
        """The inputs that make the provided kernel stale when one of them changes; quick, changes nothing."""
        ...

    def provide(self, settings: Settings, folder: Path, log: Log) -> Kernel:
        """Get the kernel, into folder where it has to be made or fetched.

        Args:
            settings: `arch` is what the image must be for.
            folder: the provider's own place between sessions; made if missing.
            log: takes one line of progress each.

        Raises:
            SistasksError: it cannot be had, or is not what was asked.
        """
        ...


def provider(settings: Settings) -> Provider:
    """The provider that `kernel=…` names: a ready one, an entry of the table, or else the path of an image.

    Raises:
        UsageError: it is none of these.
    """
    from sistasks.kernels import table
    from sistasks.tables import nearest

    name = settings.kernel
    if name == "debian":
        from sistasks.kernels.package import DebianPackage

        return DebianPackage()
    if name == "host":
        from sistasks.kernels.host import Host

        return Host()
    if name == "source":
        from sistasks.kernels.source import DebianSource

        return DebianSource()
    if name in settings.kernels:
        return table.provider(settings.kernels[name], (settings.output, settings.db))
    from sistasks.kernels.file import ImageFile

    path = _expanded(name)
    if not there(path):
        names = (*table.NAMES, *settings.kernels)
        otherwise = f"kernel is {', '.join(names)}, or the path of an image"
        raise UsageError(f"kernel={name}: no such kernel, no such file", nearest(name, names, otherwise))
    return ImageFile(path)


def describe_image(
    image: Path,
    *,
    name: str,
    provider: str,
    arch: str,
    modules: Sequence[Path] = (),
    beside: Path | None = None,
) -> Kernel:
    """The record of an image, with what belongs to its release.

    Args:
        image: the file.
        name: the kernel's name.
        provider: which provider gave it.
        arch: what it must be for.
        modules: folders that may hold `<release>/`, the likeliest first.
        beside: folder that may hold `config-<release>` and `System.map-<release>`; the image's own if None.

    Raises:
        KernelImageError: it is no kernel, truncated, or for another architecture.
    """
    from sistasks.kernels import image as reader

    image = image.absolute()
    info = reader.inspect(image)
    reader.require_arch(info, arch, str(image))
    beside = image.parent if beside is None else beside.absolute()
    # a release is text from a foreign file: one that would leave the folder is none
    release = info.release if info.release and not re.search(r"^\.|/", info.release) else None
    config = _existing(beside / f"config-{release}") if release else None
    symbols = _existing(beside / f"System.map-{release}") if release else None
    if symbols and symbols.stat().st_size < _SMALLEST_SYMBOLS:
        symbols = None
    folders = (
        [parent.absolute() / release for parent in modules if there(parent / release)] if release else []
    )
    return Kernel(
        name=name,
        arch=info.arch,
        image=image,
        sha256=sha256(image),
        release=info.release,
        format=info.format,
        size=info.size,
        modules=folders[0] if folders else None,
        config=config,
        config_sha256=sha256(config) if config else "",
        symbols=symbols,
        provider=provider,
    )


def sha256(path: Path) -> str:
    """The file's sha256, hexadecimal.

    Raises:
        KernelImageError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise KernelImageError(
            f"{path} cannot be read: {error.strerror}", "make it readable or give a copy"
        ) from error


def there(path: Path) -> bool:
    """Whether the path exists; a name that cannot be one, or a folder that may not be searched, says no."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _existing(path: Path) -> Path | None:
    return path if there(path) else None


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # ~somebody who does not exist
        return Path(name)
