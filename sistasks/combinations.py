"""Several kernels and architectures in one invocation: every combination of them, and what each is called."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

from sistasks.errors import UsageError
from sistasks.kernels import names
from sistasks.layout import plain_name

if TYPE_CHECKING:
    from sistasks.settings import Settings


def each_of_matrix(settings: Settings) -> tuple[Settings, ...]:
    """The settings for each kernel on each architecture that was asked for, in order."""
    arches, kernels = settings.matrix or (settings.arch,), settings.kernels_asked or (settings.kernel,)
    return tuple(
        dataclasses.replace(settings, arch=arch, kernel=kernel)
        for arch, kernel in itertools.product(arches, kernels)
    )


def each_architecture(settings: Settings) -> tuple[Settings, ...]:
    """The settings for each architecture that was asked for, in order, for what is the same for every kernel."""
    return each_of_matrix(dataclasses.replace(settings, kernels_asked=()))


def label(settings: Settings) -> str:
    """What tells one combination from the others: kernel, architecture, or both; empty where there is only one.

    It is a part of the names of tasks: `performance:mine-arm64`.
    """
    parts = [plain_name(called(settings.kernel, settings))] if settings.kernels_asked else []
    return "-".join([*parts, *([settings.arch] if settings.matrix else [])])


def titled(name: str, settings: Settings) -> str:
    """A suite or a step, and what combination it is of."""
    return " ".join(filter(None, (name, label(settings))))


def called(kernel: str, settings: Settings) -> str:
    """What the history calls a kernel, without arguments."""
    return names.called(kernel, settings.kernels)


def require_one(settings: Settings, what: str, instead: str) -> None:
    """Refuse several kernels or architectures.

    Args:
        settings: what was asked.
        what: is of one alone, for the refusal.
        instead: what to do.

    Raises:
        UsageError: there are several.
    """
    for name, asked in (("kernel", settings.kernels_asked), ("arch", settings.matrix)):
        if asked:
            raise UsageError(f"{name}={','.join(asked)} are several, and {what} is of one", instead)
