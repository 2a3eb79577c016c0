"""Where the package's own data files are: inside the wheel, or beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Final

from sistasks.errors import SistasksError

_PACKAGE: Final = Path(__file__).resolve().parent


def data_file(name: str, *, package: Path = _PACKAGE) -> Path:
    """The path of a data file that belongs to the package.

    Args:
        name: as in the repository, with slashes: `firmware/manifest.toml`.
        package: the package's folder; another one only in tests.

    Returns:
        `<package>/data/<name>` where the wheel put it, else `<repository>/<name>`.

    Raises:
        SistasksError: the file is in neither place: the installation is broken.
        ValueError: `name` is absolute or climbs out of its folder (a mistake of the caller).
    """
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts:
        raise ValueError(f"not the name of a data file: {name!r}")
    places = (package / "data" / relative, package.parent / relative)
    for place in places:
        if place.is_file():
            return place
    raise SistasksError(
        f"{name}, a file of sistasks itself, is neither at {places[0]} nor at {places[1]}",
        "install sistasks again",
    )
