"""Which architectures are asked for: one, several, all; and what each of them cannot be asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from guest_project import DODO, Project

from sistasks.combinations import each_architecture
from sistasks.errors import UsageError
from sistasks.kinds import host_arch
from sistasks.machine.arch import ARCHES
from sistasks.settings import Settings, resolve


def read(**values: str) -> Settings:
    return resolve(values, environ={}, pyproject=Path("/nonexistent"))


def refusal(**values: str) -> str:
    with pytest.raises(UsageError) as caught:
        read(**values)
    return str(caught.value)


def test_several_architectures() -> None:
    assert read().matrix == ()
    assert each_architecture(read()) == (read(),)
    two = read(arch="arm64, arm")
    assert (two.arch, two.matrix, two.every_arch) == ("arm64", ("arm64", "arm"), False)
    assert [one.arch for one in each_architecture(two)] == ["arm64", "arm"]
    assert {one.given for one in each_architecture(two)} == {frozenset({"arch"})}
    every = read(arch="all")
    assert every.every_arch
    assert every.matrix[0] == host_arch()
    assert set(every.matrix) == set(ARCHES)
    assert read(arch="arm,arm").matrix == ()


@pytest.mark.parametrize(
    ("text", "meant"),
    [("amr64", "arm64"), ("aarch64", "arm64"), ("arm,risc", "riscv64"), ("AMD64", "x86_64")],
)
def test_the_nearest_architecture_is_named(text: str, meant: str) -> None:
    assert f"arch={text} cannot be; did you mean '{meant}'?" in refusal(arch=text)


@pytest.mark.parametrize("text", ["all,arm", "arm,", "", ","])
def test_no_list_of_architectures(text: str) -> None:
    assert "several with commas, or all" in refusal(arch=text)


def test_uefi_is_refused_at_once_where_there_is_none() -> None:
    assert "boot=uefi cannot be with arch=arm; " in refusal(arch="arm64,arm", boot="uefi")
    assert "OpenSBI" in refusal(arch="riscv64", boot="uefi")
    assert read(arch="all", boot="uefi").boot == "uefi"


def test_of_what_was_left_in_the_middle_nothing_is_called_done(tmp_path: Path) -> None:
    (tmp_path / "dodo.py").write_text(DODO)
    done = Project(tmp_path).doit("performance", "kernel=debian,nothere")
    assert done.returncode == 3
    assert "nothere" in done.stderr
    assert ": done" not in done.stdout
