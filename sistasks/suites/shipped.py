"""A suite's function on another machine than the one that knows it by name."""

from __future__ import annotations

import hashlib
import pickle
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks.errors import ToolMissing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import CodeType

    from sistasks.suites.acted import Act, Nodes

PYTHON: Final = f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor}"


class Shipped:
    """An `Act` as it travels; it is unpacked where it is called.

    Args:
        name: the function's.
        data: the function, pickled.
        source: digest of where it comes from, as `source_of` gives it there.
        package: of which installed package it is, and goes by name; empty: it goes by value.
    """

    __name__: str

    def __init__(self, name: str, data: bytes, *, source: str, package: str) -> None:
        self.__name__ = name
        self.data = data
        self.source = source
        self._package = package
        # code of one version of Python means nothing to another
        self._python = PYTHON

    @property
    def __code__(self) -> CodeType:
        """The function's."""
        return self.load().__code__

    def load(self) -> Act:
        """The function.

        Raises:
            ToolMissing: what it needs is not here, or is another than where it was packed.
        """
        if not self._package and self._python != PYTHON:
            raise ToolMissing(
                f"{self.__name__} was packed by {self._python}, and here is {PYTHON}",
                "have the same Python on both",
            )
        try:
            found: Act = pickle.loads(self.data)  # noqa: S301 - code of the person whose command this is
        except (ImportError, AttributeError) as error:
            raise ToolMissing(
                f"{self.__name__} cannot be had here: {error}", "install it here, too"
            ) from error
        if self._package and source_of(found) != self.source:
            raise ToolMissing(
                f"{self.__name__} of {self._package} is another one here", "install the same version"
            )
        return found

    async def __call__(self, nodes: Nodes, /) -> Mapping[str, Sequence[float]] | None:
        """Act."""
        return await self.load()(nodes)


def source_of(act: Act) -> str:
    """Digest of the file that a function comes from: whatever changes in it may change what the function does."""
    if isinstance(act, Shipped):
        return act.source
    path = Path(act.__code__.co_filename)
    return hashlib.sha256(path.read_bytes() if path.is_file() else act.__code__.co_code).hexdigest()
