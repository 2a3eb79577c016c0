"""What nodes leave behind when they end: crashes and files, as rows of the run."""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from sistasks.cluster.nodes import NodeReport
from sistasks.errors import ArtifactError, KernelFailure, NodeError, SistasksError
from sistasks.evidence.artifacts import Store
from sistasks.evidence.records import Evidence
from sistasks.evidence.symbols import from_text, from_vmlinux, symbolise
from sistasks.guest.plan import SYMBOLS
from sistasks.history.records import CrashRow
from sistasks.layout import Layout
from sistasks.machine.results import GuestResults
from sistasks.suites.security.fuzzing import Episodes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sistasks.evidence.symbols import Symbols
    from sistasks.history.records import ArtifactRow
    from sistasks.settings import Settings
    from sistasks.suites.recipe import Recipe
    from sistasks.suites.suite import Suite
    from sistasks.terminal import Terminal

# the same end has the same title, wherever it was
_CHANCE: Final = re.compile(r" within [\d.]+ s|: processor \d.*", re.DOTALL)
_NUMBER: Final = re.compile(r"(?:0x)?\b[0-9][0-9a-fA-F.]*\b")
# a guest decides how often it complains, and at what length; those of one title say the same
_CRASHES: Final = 100
_REPORTS: Final = 20
_ELF: Final = b"\x7fELF"


def never_up(recipe: Recipe, failure: SistasksError, began: float) -> NodeReport:
    """The report of a cluster whose nodes did not come up."""
    return NodeReport(
        number=0, seed=recipe.settings.seed, results=GuestResults(), error=failure, started=began, ready=0.0,
        finished=time.monotonic(), console=Layout(recipe.settings.output).logs, crashes=failure.crashes,
        evidence=failure.evidence,
    )  # fmt: skip


def again_as_a_whole(suite: Suite, reports: Sequence[NodeReport]) -> bool:
    """Whether a run that is an error is worth another: nodes that work together fall together.

    Single nodes have been tried again already, and so have those that did not come up.
    """
    together = suite.network or suite.act is not None
    return together and any(report.number and isinstance(report.error, NodeError) for report in reports)


def crash_rows(reports: Sequence[NodeReport], symbols: Symbols | None) -> tuple[CrashRow, ...]:
    """What kernels complained of, and the ends that no kernel speaks of: hangs, reboots, power cuts.

    Args:
        reports: how the nodes ended.
        symbols: of the kernel, if there are any: bare addresses of its traces get their functions.
    """
    rows: list[CrashRow] = []
    told: Counter[str] = Counter()
    for report in reports:
        # the fatal ones first: they may be the last of many
        crashes = sorted(report.crashes, key=lambda crash: not crash.fatal)[:_CRASHES]
        error = report.error
        episodes = Episodes.of(report.console) if crashes or error is not None else Episodes(b"")
        for crash in crashes:
            told[crash.title] += 1
            text = crash.report if told[crash.title] <= _REPORTS else ""
            rows.append(
                CrashRow(
                    node=report.number, kind=crash.kind, title=crash.title, console_offset=crash.offset,
                    report=symbolise(text, symbols) if symbols is not None and text else text,
                    reproducer=episodes.under_way(crash),
                )
            )  # fmt: skip
        if isinstance(error, KernelFailure) and error.kind and not any(crash.fatal for crash in crashes):
            title = _NUMBER.sub("N", f"{error.kind}: {_CHANCE.sub('', report.reason)}")
            rows.append(
                CrashRow(
                    node=report.number, kind=error.kind, title=title, report=str(error),
                    reproducer=episodes.under_way(),
                )
            )  # fmt: skip
    return tuple(rows)


def symbols_of(recipe: Recipe, reports: Sequence[NodeReport]) -> Symbols | None:
    """The kernel's functions, where a report needs them: from what was built with it, else as a clone has told them."""
    if not any(report.crashes for report in reports):
        return None
    places = [recipe.kernel.symbols] if recipe.kernel.symbols else []
    if recipe.guest is not None:
        places.append(Layout(recipe.settings.output).templates / recipe.template_key() / SYMBOLS)
    for place in places:
        with contextlib.suppress(OSError, ValueError), place.open("rb") as file:
            if file.read(len(_ELF)) == _ELF:
                file.seek(0)
                return from_vmlinux(file)
            return from_text(place.read_text(errors="replace"))
    return None


def left_behind(recipe: Recipe, reports: Sequence[NodeReport]) -> tuple[Evidence, ...]:
    """What nodes leave that is worth keeping, and of a run that is not content the kernel."""
    failed = any(report.error is not None for report in reports)
    return (
        *(item for report in reports for item in (*_console(report), *report.evidence)),
        *(_kernel(recipe) if failed else ()),
    )


def keep(
    evidence: Sequence[Evidence], settings: Settings, scratch: Path, terminal: Terminal
) -> tuple[ArtifactRow, ...]:
    """Put evidence into the store; what cannot be kept is said, and the run goes on without.

    Args:
        evidence: the files.
        settings: whose store it is.
        scratch: files in this folder need not stay there.
        terminal: where to say so.
    """
    store = Store(Layout(settings.output).artifacts, settings.db)
    rows: list[ArtifactRow] = []
    for item in evidence:
        try:
            rows.append(store.put(item, take=item.path.is_relative_to(scratch)))
        except ArtifactError as failure:
            terminal.say(str(failure))
    return tuple(rows)


def _console(report: NodeReport) -> list[Evidence]:
    """A node's console, unless its post-mortem has it already; a clone that is content says nothing."""
    if any(item.path == report.console for item in report.evidence) or not _has_bytes(report.console):
        return []
    return [Evidence(node=report.number, kind="logs", path=report.console, name=report.console.name)]


def _kernel(recipe: Recipe) -> list[Evidence]:
    """What it takes to boot a kernel again that failed: the next build writes over it."""
    machine = recipe.machine
    return [
        Evidence(node=0, kind="kernels", path=path, name=path.name)
        for path in (machine.kernel, machine.initramfs)
        if path is not None
    ]


def _has_bytes(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
