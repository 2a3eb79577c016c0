"""Setup on this machine: the table, the record, and when the record no longer holds."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks import tools
from sistasks.distributions import Part
from sistasks.errors import ToolMissing
from sistasks.kinds import host_arch, host_cpus
from sistasks.machine import accelerator
from sistasks.machine.arch import ARCHES
from sistasks.settings import Settings, resolve
from sistasks.setup import SetupRecord, current, host_cpu, load, setup

HOST = ARCHES[host_arch()]
QEMU = shutil.which(HOST.qemu)
pytestmark = pytest.mark.skipif(QEMU is None, reason="QEMU is not installed")


def settings(**values: object) -> Settings:
    return resolve(values, environ={}, pyproject=Path("/nonexistent"))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("setup") / "out" / "setup.json"
    setup(settings(), path, lambda _: None)
    return path


@pytest.fixture
def record(target: Path) -> SetupRecord:
    return load(target)


def test_the_table_and_the_record_agree(tmp_path: Path) -> None:
    said: list[str] = []
    record = setup(settings(), tmp_path / "setup.json", said.append)
    rows = {row.part: row for row in record.rows}
    assert list(rows) == ["QEMU", "compiler", "Python parts", "accelerator", "host", "confinement"]
    assert all(row.found for row in record.rows)
    assert record.qemu_version in rows["QEMU"].where
    assert record.qemu_path in rows["QEMU"].where
    assert record.compiler[0] in rows["compiler"].where
    assert record.accelerator.name in rows["accelerator"].where
    assert rows["accelerator"].note == record.accelerator.reason
    assert record.host_cpu in rows["host"].where
    assert said == [f"booting a probe in {Path(record.qemu_path).name}"]
    assert load(tmp_path / "setup.json") == record
    assert sorted(path.name for path in tmp_path.iterdir()) == ["accelerator.json", "setup.json"]


def test_a_second_setup_writes_the_same_bytes(target: Path) -> None:
    before = target.read_bytes()
    setup(settings(), target, lambda _: None)
    assert target.read_bytes() == before


def test_a_fresh_record_holds(record: SetupRecord) -> None:
    assert current(record, settings())
    # what does not change the machine's parts does not change the answer
    assert current(record, settings(nodes=3, seed=7, quiet=True))


def test_a_record_ends_with_what_it_rests_on(record: SetupRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not current(record, settings(qemu=record.qemu_path))
    assert not current(record, settings(clock="virtual"))
    assert not current(record, settings(qemu="/none"))
    assert not current(dataclasses.replace(record, compiler=("/none/gcc",)), settings())
    assert not current(dataclasses.replace(record, holds=record.holds | {"qemu_mtime_ns": 1}), settings())
    with monkeypatch.context() as patch:
        patch.setattr(accelerator, "boot_id", lambda: "another")
        assert not current(record, settings())
    with monkeypatch.context() as patch:
        patch.setattr(accelerator, "_KVM", Path("/none/kvm"))
        assert not current(record, settings())
    with monkeypatch.context() as patch:
        patch.setitem(ARCHES, HOST.name, dataclasses.replace(HOST, compiler=("another-gcc",)))
        assert not current(record, settings())
    assert current(record, settings())


def test_another_qemu_earlier_in_path_ends_the_record(
    record: SetupRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / HOST.qemu
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert not current(record, settings())


def test_a_missing_or_foreign_record_is_named(target: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ToolMissing, match=r"setup\.json does not exist: this machine was not set up; run `doit"
    ):
        load(tmp_path / "setup.json")
    with pytest.raises(ToolMissing, match="cannot be read: Is a directory"):
        load(tmp_path)
    raw = json.loads(target.read_text())
    changes: list[dict[str, object]] = [
        {"sistasks_setup": 2},
        {"arch": "sparc"},
        {"compiler": []},
        {"rows": [[1]]},
        {"accelerator": {}},
        {"unknown": 1},
    ]
    for change in changes:
        other = tmp_path / "other"
        other.write_text(json.dumps(raw | change))
        with pytest.raises(ToolMissing, match="other is not a record of setup; run `doit setup`"):
            load(other)
    half = tmp_path / "half"
    half.write_bytes(target.read_bytes()[:-20])
    with pytest.raises(ToolMissing, match="half is not a record of setup"):
        load(half)


@given(st.binary(max_size=80))
def test_no_bytes_are_taken_for_a_record(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any-record"
    path.write_bytes(raw)
    with pytest.raises(ToolMissing, match="is not a record of setup"):
        load(path)


def test_a_failed_setup_leaves_the_old_record(target: Path) -> None:
    before = target.read_bytes()
    with pytest.raises(ToolMissing, match="'/none' does not exist"):
        setup(settings(qemu="/none"), target, lambda _: None)
    assert target.read_bytes() == before


def test_what_is_missing_is_installed_with_its_firmware(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a QEMU that the package manager, a script, brings into PATH
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in os.listdir("/usr/bin"):  # noqa: PTH208 - names are enough
        if name != HOST.qemu and not name.startswith(("apt", "sudo")):
            (folder / name).symlink_to(f"/usr/bin/{name}")
    notes = tmp_path / "notes"
    apt = folder / "apt-get"
    apt.write_text(
        f'#!/bin/sh\necho "$@" >> {notes}\ncase "$*" in -s*) ;; *) ln -s {QEMU} {folder}/{HOST.qemu};; esac\n'
    )
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("sistasks.machine.qemu.USUAL_FOLDERS", ())
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    said: list[str] = []
    record = setup(settings(), tmp_path / "setup.json", said.append)
    wanted = tools.packages(HOST, "emulator")["apt"] + tools.packages(HOST, "firmware")["apt"]
    assert said[:2] == [f"{HOST.qemu} is not in PATH", f"installing {' '.join(wanted)}"]
    assert notes.read_text().splitlines()[-1].endswith(f"--no-install-recommends {' '.join(wanted)}")
    assert record.rows[0].note == "installed now"
    assert record.rows[1].note == ""
    assert (tmp_path / "setup-install.log").exists()


def test_unusable_python_parts_stop_setup(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [Part("doit", ">=0.37,<0.38", "0.36", "has another version"), Part("rich", "", "13", "")]
    monkeypatch.setattr("sistasks.distributions.check_ours", lambda: parts)
    with pytest.raises(
        ToolMissing, match=r"1 Python part cannot be used; run .* -m pip install 'doit>=0"
    ) as caught:
        setup(settings(), target, lambda _: None)
    assert caught.value.detail == "doit: wanted >=0.37,<0.38, found 0.36: has another version"


def test_the_hosts_processor_has_a_name(record: SetupRecord) -> None:
    assert host_cpu()
    assert host_cpu() == host_cpu().strip() == record.host_cpu
    assert host_cpus() == record.host_cores
