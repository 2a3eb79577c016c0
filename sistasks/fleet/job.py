"""What a worker must have to run a suite as it would be run here: settings, records, and files by their content."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sistasks import build_records
from sistasks.errors import FleetError
from sistasks.files import sha256_of, write_atomically
from sistasks.fleet import identity
from sistasks.fleet.shipping import ship
from sistasks.suites import registry
from sistasks.suites.shipped import Shipped
from sistasks.suites.suite import SECURITY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sistasks.settings import Settings
    from sistasks.suites.metrics import Metric
    from sistasks.suites.recipe import Recipe
    from sistasks.suites.suite import Suite

# fields of records that name a file
_FILES: Final = ("image", "config", "symbols", "initramfs", "code", "vars")
_RECORDS: Final[dict[str, Callable[[Settings], Path]]] = {
    "kernel": build_records.kernel_record,
    "guest": build_records.guest_record,
    "programs": build_records.programs_record,
    "stressors": build_records.stressors_record,
    "firmware": build_records.firmware_record,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A file of a record.

    Attributes:
        sha256: of its content.
        name: its folder and its own name, as the record has them.
    """

    sha256: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A suite with all that it is made of, for any machine.

    Attributes:
        suite: what is run; what acts on its nodes is `Shipped`.
        settings: what was asked.
        records: of the build steps, by name, as JSON.
        files: of these: (record, field) -> the file.
        advisories: the content of `advisories=`; empty where none were given.
        metrics: that suites have described here, this one or another.
    """

    suite: Suite
    settings: Settings
    records: Mapping[str, str]
    files: Mapping[tuple[str, str], Sent]
    advisories: str
    metrics: tuple[Metric, ...]

    @property
    def digest(self) -> str:
        """The same for the same work on the same files by the same sistasks: others may be on one fleet with us."""
        files = sorted((*where, sent.sha256) for where, sent in self.files.items())
        records = sorted(self.records.items())
        act = self.suite.act.data if isinstance(self.suite.act, Shipped) else b""
        asked = (repr(self.settings), self.advisories, repr(self.metrics))
        parts = (identity.version(), self.suite.digest(), act, asked, records, files)
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def why_not(suite: Suite) -> str:
    """Why a suite can only be run here; empty where it can be run anywhere."""
    try:
        _shipped(suite)
    except FleetError as failure:
        return failure.problem
    return ""


def _shipped(suite: Suite) -> Suite:
    """The suite with its function as it travels.

    Raises:
        FleetError: it cannot.
    """
    return suite if suite.act is None else replace(suite, act=ship(suite.act))


def pack(suite: Suite, settings: Settings, recipes: list[Recipe]) -> tuple[Job, dict[str, Path]]:
    """Make a job of a suite.

    Args:
        suite: what is to be run; `why_not` has no objection.
        settings: what was asked.
        recipes: what it runs on here.

    Returns:
        The job, and where its files are: SHA-256 -> path.

    Raises:
        OSError: a file cannot be read.
        FleetError: what acts on the suite's nodes cannot be sent.
    """
    from sistasks.suites.security import static

    wanted = {"kernel"}
    if recipes[0].guest is not None:
        wanted |= {"guest"} | ({"programs"} if suite.programs else set())
        wanted |= {"stressors"} if build_records.stressors_record(settings).exists() else set()
    if any(recipe.firmware is not None for recipe in recipes):
        wanted.add("firmware")
    records: dict[str, str] = {}
    files: dict[tuple[str, str], Sent] = {}
    paths: dict[str, Path] = {}
    for name in sorted(wanted):
        fields: dict[str, Any] = json.loads(_RECORDS[name](settings).read_text())
        if name == "kernel":
            fields["modules"] = None  # their folder stays here
            if suite.name == SECURITY.name:
                fields["modules_told"] = asdict(static.modules_told(recipes[0].kernel))
        records[name] = json.dumps(fields)
        for field in _FILES:
            if fields.get(field):
                path = Path(fields[field])
                sent = Sent(sha256=sha256_of(path), name=f"{path.parent.name}/{path.name}")
                files[name, field] = sent
                paths[sent.sha256] = path
    advisories = Path(settings.advisories).read_text() if settings.advisories else ""
    settings = replace(settings, matrix=(), kernels_asked=(), cluster="")
    job = Job(
        suite=_shipped(suite), settings=settings, records=records, files=files, advisories=advisories,
        metrics=registry.brought(),
    )  # fmt: skip
    return job, paths


def unpack(job: Job, store: Path, folder: Path, qemu: str) -> Settings:
    """Put a job's records where this machine's build steps would have put them.

    Args:
        job: what is to be run.
        store: has the files by their SHA-256.
        folder: becomes `output`.
        qemu: this machine's emulator, as the variable `qemu`.

    Returns:
        The settings to run it with here.

    Raises:
        OSError: there is no room, or a file is not there.
        SistasksError: a kernel's EFI partition cannot be made here.
    """
    from sistasks.kernels import esp

    output = folder.absolute()
    settings = replace(
        job.settings, output=output, db=output / "none.db", qemu=qemu, verbose=False, quiet=False
    )
    for name, text in job.records.items():
        fields: dict[str, Any] = json.loads(text)
        for field in _FILES:
            if (name, field) in job.files:
                fields[field] = str(_linked(job.files[name, field], store, output / "build" / "sent"))
        if fields.get("esp"):
            packed = Path(fields["image"])
            fields["esp"] = str(esp.unpack(packed, fields["sha256"], output / "build" / "esp"))
        write_atomically(_RECORDS[name](settings), json.dumps(fields, indent=2) + "\n", durable=False)
    if job.advisories:
        # findings tell its name, which also tells what it is written in
        path = output / "build" / "advisories" / Path(job.settings.advisories).name
        write_atomically(path, job.advisories, durable=False)
        settings = replace(settings, advisories=str(path))
    return settings


def _linked(sent: Sent, store: Path, folder: Path) -> Path:
    """A file of the store under the name that it had."""
    path = folder / sent.sha256[:16] / sent.name
    if not path.is_symlink():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(store / sent.sha256)
    return path
