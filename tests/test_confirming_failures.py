"""Fresh boots that fail while something is confirmed: told of by name, whoever is to be blamed."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest

from sistasks.errors import KernelFailure, NodeError, SistasksError
from sistasks.evidence.kernels import KeptKernel
from sistasks.layout import Layout
from sistasks.settings import Settings, resolve
from sistasks.suites import confirm
from sistasks.suites.suite import DISTRIBUTED
from sistasks.suites.trial import Trial
from sistasks.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Machine:
    kernel: object = None
    initramfs: object = None
    arguments: tuple[str, ...] = ()
    results_line: str = "serial"


@dataclass(frozen=True)
class Made:
    """A recipe as far as pairs need one whose nodes do not even come up."""

    settings: Settings
    machine: Machine
    slots: int = 1


@pytest.mark.parametrize("kind", [KernelFailure, NodeError])
def test_clusters_that_do_not_come_up_are_told_of_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[SistasksError]
) -> None:
    tried: list[None] = []

    async def down(*_: object) -> None:
        tried.append(None)
        raise kind("node 1 did not get ready")

    monkeypatch.setattr(confirm, "run_nodes", down)
    settings = resolve({"output": str(tmp_path / "target"), "db": str(tmp_path / "results.db")})
    kept = KeptKernel(
        id="k", image="k", initramfs="i", guest="g", arguments=("quiet",), results_line="serial"
    )
    made = cast("Any", Made(settings, Machine()))
    with (
        Terminal(settings, Layout(settings.output), io.StringIO()) as terminal,
        pytest.raises(kind, match="node 1 did not get ready"),
    ):
        confirm.measure_pairs(made, DISTRIBUTED, kept, Trial(1), terminal)
    assert len(tried) >= 3, "a single one may fail"
