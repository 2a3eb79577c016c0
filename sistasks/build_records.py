"""Where the build steps keep what they found and made: steps write there, tasks watch it, recipes read it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sistasks.files import write_atomically
from sistasks.layout import Layout, kernel_key

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.settings import Settings


def setup_record(settings: Settings) -> Path:
    """Where `setup` keeps what it found."""
    return Layout(settings.output).setup.with_name(f"setup-{settings.arch}.json")


def kernel_record(settings: Settings) -> Path:
    """Where the kernel step keeps its record."""
    return Layout(settings.output).build / f"kernel-{kernel_key(settings)}.json"


def guest_record(settings: Settings) -> Path:
    """Where the guest step keeps its record."""
    return Layout(settings.output).build / f"guest-{kernel_key(settings)}.json"


def programs_record(settings: Settings) -> Path:
    """Where the step that packs the user's programs keeps the guest that has them."""
    return Layout(settings.output).build / f"programs-{kernel_key(settings)}.json"


def stress_ng_record(settings: Settings) -> Path:
    """Where the step that packs stress-ng keeps what there is of it, or why there is none."""
    return Layout(settings.output).build / f"stress-ng-{kernel_key(settings)}.json"


def stressors_record(settings: Settings) -> Path:
    """Where that step keeps the guest that has it; the guest as it is where there is none."""
    return Layout(settings.output).build / f"stressors-{kernel_key(settings)}.json"


def firmware_record(settings: Settings) -> Path:
    """Where the firmware step keeps its record."""
    return Layout(settings.output).build / f"firmware-{settings.arch}.json"


def keep(record: Path, inputs: dict[str, Any], text: str) -> None:
    """Write a record and what it was made from; the inputs last, so that a half-made step is stale.

    Raises:
        OSError: they cannot be written.
    """
    _inputs(record).unlink(missing_ok=True)
    write_atomically(record, text)
    write_atomically(_inputs(record), json.dumps(inputs, sort_keys=True))


def holds(record: Path, inputs: dict[str, Any]) -> bool:
    """Whether a record is there, and was made from these."""
    try:
        return record.exists() and json.loads(_inputs(record).read_text()) == json.loads(json.dumps(inputs))
    except (OSError, ValueError):
        return False


def _inputs(record: Path) -> Path:
    return record.with_suffix(".inputs")
