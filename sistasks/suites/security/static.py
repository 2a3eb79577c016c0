"""What can be told of a kernel without booting it: its configuration, its image, its version."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sistasks.errors import KernelImageError, SistasksError
from sistasks.kernels import ModulesTold
from sistasks.protocols.findings import EVIDENCE_MAX, Seen
from sistasks.textlines import plain, shorten

if TYPE_CHECKING:
    from sistasks.kernels import Kernel
    from sistasks.suites.recipe import Recipe

CONFIGURATION: Final = "configuration"
IMAGE: Final = "image"
VULNERABILITIES: Final = "vulnerabilities"
TESTS: Final = (CONFIGURATION, IMAGE, VULNERABILITIES)


def assess(recipe: Recipe) -> dict[str, list[Seen]]:
    """What is seen of a recipe's kernel: test -> findings, for each of TESTS.

    Reads the whole image and looks into its modules: some seconds for a distribution's kernel. The tests' rules are in
    `rules/config.toml`, `rules/image.toml` and `rules/vulnerability.toml`; each advisory of the user's is one more.

    Raises:
        UsageError: the file of advisories cannot be understood.
    """
    from sistasks.kernels import payload
    from sistasks.suites.security import configuration, image, versions, vulnerabilities

    kernel = recipe.kernel
    advisories = vulnerabilities.load(recipe.settings.advisories)
    body: bytes | KernelImageError
    packed = b""
    try:
        packed = kernel.image.read_bytes()
        body = payload.unpacked(packed, kernel.format, kernel.image.name)
    except OSError as error:
        body = KernelImageError(f"{kernel.image} cannot be read: {error.strerror}")
    except KernelImageError as error:
        body = error
    inside = body if isinstance(body, bytes) else None
    version = versions.read(kernel.release, inside or packed)
    config = configuration.read(kernel, inside)
    values = config.values if isinstance(config, configuration.Configuration) else None
    seen = {
        CONFIGURATION: configuration.assess(config, kernel.arch, version),
        IMAGE: image.assess(kernel, packed, body, values),
        VULNERABILITIES: vulnerabilities.assess(advisories, recipe.settings.advisories, version),
    }
    return {test: [_clean(item) for item in items] for test, items in seen.items()}


def modules_told(kernel: Kernel) -> ModulesTold:
    """What `assess` wants to know of a kernel's modules, for where they are not at hand."""
    from sistasks.suites.security import configuration, image

    signed = image.modules_signed(kernel.modules)
    if kernel.config is not None:  # theirs is not asked for
        return ModulesTold(signed=signed)
    try:
        return ModulesTold(signed=signed, config=configuration.of_modules(kernel.modules))
    except SistasksError as error:
        return ModulesTold(signed=signed, problem=error.problem)


def _clean(seen: Seen) -> Seen:
    """Names in foreign files may hold what no terminal should get."""
    return replace(seen, evidence=shorten(plain(seen.evidence.encode("utf-8", "replace")), EVIDENCE_MAX))
