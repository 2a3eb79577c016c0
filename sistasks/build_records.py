"""Where the build steps keep what they found and made: steps write there, tasks watch it, recipes read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def firmware_record(settings: Settings) -> Path:
    """Where the firmware step keeps its record."""
    return Layout(settings.output).build / f"firmware-{settings.arch}.json"
