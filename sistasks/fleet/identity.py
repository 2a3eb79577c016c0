"""Which sistasks this is: a worker with another one would measure something else."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import sistasks

_PACKAGE = Path(sistasks.__file__).parent
_SOURCES = frozenset({".py", ".c", ".h", ".S", ".toml"})


@functools.cache
def version() -> str:
    """The version and a digest of the sources: two checkouts of one version may differ."""
    total = hashlib.sha256()
    for path in sorted(path for path in _PACKAGE.rglob("*") if path.suffix in _SOURCES):
        total.update(f"{path.relative_to(_PACKAGE)}\0{path.stat().st_size}\0".encode())
        total.update(path.read_bytes())
    return f"{sistasks.__version__} ({total.hexdigest()[:12]})"
