"""The accelerator probe, with the real QEMU, the real compiler and the real payloads."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks import tools
from sistasks.errors import NodeError, ToolMissing, UsageError
from sistasks.kinds import host_arch
from sistasks.machine import accelerator, payload, qemu
from sistasks.machine.accelerator import Accelerator, Attempt, probe
from sistasks.machine.arch import ARCHES, ARM64, X86_64, Arch
from sistasks.machine.qemu import Qemu
from sistasks.settings import Settings, resolve

HOST = ARCHES[host_arch()]
FOREIGN = X86_64 if HOST is not X86_64 else ARM64
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


def settings(**values: object) -> Settings:
    return resolve(values, environ={}, pyproject=Path("/nonexistent"))


def ready(arch: Arch) -> tuple[Qemu, tuple[str, ...]]:
    try:
        return qemu.find(arch, settings(arch=arch.name)), tools.find_compiler(arch)
    except ToolMissing as error:
        pytest.skip(error.problem)


def counting(qemu_path: Path, folder: Path, extra: str = "") -> tuple[Qemu, Path]:
    """A QEMU that notes its calls; (it, the notes)."""
    notes, wrapper = folder / "calls", folder / "counting-qemu"
    notes.touch()
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {notes}\n{extra}\nexec {qemu_path} "$@"\n')
    wrapper.chmod(0o755)
    found = qemu.find(HOST, settings(qemu=wrapper))
    notes.write_text("")
    return found, notes


def calls(notes: Path) -> int:
    return len(notes.read_text().splitlines())


@pytest.mark.parametrize("arch", ARCHES.values(), ids=lambda arch: arch.name)
def test_the_payload_succeeds_under_emulation_and_needs_the_timer(arch: Arch, tmp_path: Path) -> None:
    program, compiler = ready(arch)
    image = tmp_path / "image"
    payload.build(arch, compiler, image)
    assert payload.boot(arch, program, image, accel="tcg", cpu=arch.cpu, limit=30) == ""
    payload.build(arch, compiler, image, defines=["PROBE_MASK_TIMER"])
    # the long limit is for a busy host that does not even reach the timer in the short one
    for limit in (0.5, 10):
        why = payload.boot(arch, program, image, accel="tcg", cpu=arch.cpu, limit=limit)
        if "starting the timer" in why:
            break
    assert why.partition(" s; ")[2].startswith(
        "its guest stopped after starting the timer: no interrupt came"
    )


@pytest.mark.skipif(HOST is not X86_64, reason="the CPU model is x86's")
def test_a_processor_without_long_mode_is_no_success(tmp_path: Path) -> None:
    program, compiler = ready(HOST)
    payload.build(HOST, compiler, tmp_path / "image")
    why = payload.boot(HOST, program, tmp_path / "image", accel="tcg", cpu="qemu32", limit=30)
    assert why.splitlines()[0] == "QEMU ended with exit code 135; its guest stopped after its entry"


def test_a_qemu_that_exits_as_if_all_was_well_is_no_success(tmp_path: Path) -> None:
    program, compiler = ready(HOST)
    payload.build(HOST, compiler, tmp_path / "image")
    liar = tmp_path / "liar"
    assert HOST.probe is not None
    liar.write_text(f"#!/bin/sh\nprintf 'sis:e\\n'\nexit {HOST.probe.exit_code}\n")
    liar.chmod(0o755)
    why = payload.boot(
        HOST, dataclasses.replace(program, path=liar), tmp_path / "image", accel="tcg", cpu="x", limit=9
    )
    assert "stopped after its entry" in why


def test_emulation_is_proven_and_remembered(tmp_path: Path) -> None:
    program, _ = ready(HOST)
    program, notes = counting(program.path, tmp_path)
    cache = tmp_path / "deep" / "cache.json"
    first = probe(HOST, program, settings(accel="tcg"), cache)
    assert (first.name, first.cpu, first.reason) == ("tcg", HOST.cpu, "asked for")
    assert first.probed == (Attempt("tcg", True, ""),)
    assert calls(notes) == 1
    assert probe(HOST, program, settings(accel="tcg"), cache) == first
    assert calls(notes) == 1
    # the virtual clock needs emulation, which is what was just remembered
    assert probe(HOST, program, settings(clock="virtual"), cache) == first
    assert calls(notes) == 1
    cache.write_text("{ half")
    assert probe(HOST, program, settings(accel="tcg"), cache) == first
    assert calls(notes) == 2
    assert probe(HOST, program, settings(accel="tcg"), cache) == first
    # another program, though its bytes are alike, is asked anew
    assert probe(HOST, dataclasses.replace(program, mtime_ns=1), settings(accel="tcg"), cache) == first
    assert calls(notes) == 3
    assert probe(HOST, program, settings(accel="tcg"), cache) == first
    assert calls(notes) == 3
    assert [path.name for path in cache.parent.iterdir()] == ["cache.json"]


def test_another_boot_of_the_host_asks_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, _ = ready(HOST)
    program, notes = counting(program.path, tmp_path)
    cache = tmp_path / "cache"
    probe(HOST, program, settings(accel="tcg"), cache)
    monkeypatch.setattr(accelerator, "boot_id", lambda: "another")
    probe(HOST, program, settings(accel="tcg"), cache)
    assert calls(notes) == 2
    assert [entry["boot"] for entry in json.loads(cache.read_text())["entries"].values()] == ["another"]


def test_auto_ends_with_what_booted(tmp_path: Path) -> None:
    program, _ = ready(HOST)
    found = probe(HOST, program, settings(), tmp_path / "cache")
    assert found.probed[-1] == Attempt(found.name, True, "")
    for attempt in found.probed[:-1]:
        assert not attempt.ok
        assert attempt.why.splitlines()[0] in found.reason
    assert probe(HOST, program, settings(), tmp_path / "cache") == found
    assert Accelerator.from_json(json.loads(json.dumps(found.as_json()))) == found


def test_auto_without_a_device_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, compiler = ready(HOST)
    monkeypatch.setattr(accelerator, "_KVM", tmp_path / "kvm")
    monkeypatch.setattr(sys, "platform", "linux")
    found = probe(HOST, program, settings(), tmp_path / "cache", compiler=compiler)
    assert found.name == "tcg"
    assert found.reason == f"kvm does not run a guest: no {tmp_path / 'kvm'}"
    # the device appears: what was remembered without it does not count
    (tmp_path / "kvm").mkdir()
    found = probe(HOST, program, settings(), tmp_path / "cache", compiler=compiler)
    assert found.reason == f"kvm does not run a guest: {tmp_path / 'kvm'}: is a directory"
    with pytest.raises(NodeError, match=r"accel=kvm does not run .*is a directory; use accel=tcg"):
        probe(HOST, program, settings(accel="kvm"), tmp_path / "cache", compiler=compiler)


def test_an_accelerator_that_aborts_or_hangs_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, compiler = ready(HOST)
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr(accelerator, "_KVM", device)
    monkeypatch.setattr(accelerator, "HARDWARE_SECONDS", 0.3)
    monkeypatch.setattr(sys, "platform", "linux")
    aborts = 'case "$*" in *"-accel kvm"*) echo "qemu: error: failed to set MSR" >&2; kill -ABRT $$;; esac'
    program, _ = counting(real.path, tmp_path, aborts)
    found = probe(HOST, program, settings(), tmp_path / "cache", compiler=compiler)
    assert found.name == "tcg"
    assert found.reason == (
        "kvm does not run a guest: QEMU ended by SIGABRT; its guest never began: failed to set MSR"
    )
    hangs = 'case "$*" in *"-accel kvm"*) exec sleep 600;; esac'
    program, _ = counting(real.path, tmp_path, hangs)
    found = probe(HOST, program, settings(), tmp_path / "cache", compiler=compiler)
    assert found.name == "tcg"
    assert found.reason == "kvm does not run a guest: QEMU did not end in 0.3 s; its guest never began"
    with pytest.raises(NodeError, match="accel=kvm does not run a guest here: QEMU did not end in"):
        probe(HOST, program, settings(accel="kvm"), tmp_path / "cache", compiler=compiler)


def test_a_qemu_that_cannot_even_emulate_is_an_error(tmp_path: Path) -> None:
    real, compiler = ready(HOST)
    program, _ = counting(
        real.path, tmp_path, 'case "$*" in *"-accel tcg"*) echo "qemu: no ROM found" >&2; exit 1;; esac'
    )
    with pytest.raises(NodeError, match=r"even under emulation: .*no ROM found") as caught:
        probe(HOST, program, settings(accel="tcg"), tmp_path / "cache", compiler=compiler)
    assert "qemu: no ROM found" in caught.value.detail
    assert not (tmp_path / "cache").exists()


def test_a_compiler_that_fails_is_named(tmp_path: Path) -> None:
    program, _ = ready(HOST)
    with pytest.raises(NodeError, match=r"false cannot assemble the probe \(ended with exit code 1\)"):
        probe(HOST, program, settings(), tmp_path / "cache", compiler=[shutil.which("false") or "false"])


def test_acceleration_of_another_architecture_is_wrong_usage(tmp_path: Path) -> None:
    program = Qemu(tmp_path, (8, 0, 0), "8.0.0", 0, 0)
    asked = settings(accel="kvm", arch=FOREIGN.name)
    with pytest.raises(UsageError, match=f"accel=kvm cannot be with arch={FOREIGN.name} on {HOST.name}"):
        probe(FOREIGN, program, asked, tmp_path / "cache")


@pytest.mark.skipif(sys.platform != "linux", reason="for Linux hosts")
def test_an_accelerator_of_another_system_is_an_error(tmp_path: Path) -> None:
    program = Qemu(tmp_path, (8, 0, 0), "8.0.0", 0, 0)
    with pytest.raises(NodeError, match="accel=hvf does not exist on linux"):
        probe(HOST, program, settings(accel="hvf"), tmp_path / "cache")


def test_a_device_without_permission_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    # root, who runs the tests in many places, is refused nothing
    monkeypatch.setattr(os, "open", refuse)
    fault = accelerator._device_fault(Path("/dev/kvm"))
    assert fault == "/dev/kvm: permission denied (add yourself to the group kvm)"


@given(JSON)
def test_no_json_is_taken_for_an_accelerator(data: object) -> None:
    with pytest.raises(ValueError, match="not an accelerator"):
        Accelerator.from_json(data)  # type: ignore[arg-type]


@given(st.binary(max_size=60) | JSON.map(lambda data: json.dumps(data).encode()))
def test_any_cache_file_is_survived(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    cache = tmp_path_factory.getbasetemp() / "any-cache"
    cache.write_bytes(raw)
    assert accelerator._remembered(cache, "key") is None


def test_without_a_probe_there_is_emulation_and_nothing_else(tmp_path: Path) -> None:
    program, compiler = ready(HOST)
    unproven = dataclasses.replace(HOST, probe=None)
    for wish, reason in (
        ("auto", f"{HOST.name} has no probe that could prove another"),
        ("tcg", "asked for"),
    ):
        found = probe(unproven, program, settings(accel=wish), tmp_path / "cache")
        assert found == Accelerator("tcg", HOST.cpu, reason, ())
    candidate = accelerator.hardware(HOST)[0]
    with pytest.raises(NodeError, match=f"accel={candidate} cannot be proven: {HOST.name} has no probe"):
        probe(unproven, program, settings(accel=candidate), tmp_path / "cache")
    with pytest.raises(NodeError, match="has no probe"):
        payload.build(unproven, compiler, tmp_path / "image")


def test_a_probe_may_lie_anywhere(tmp_path: Path) -> None:
    program, compiler = ready(HOST)
    assert HOST.probe is not None
    own = tmp_path / "own.S"
    board = dataclasses.replace(
        HOST, name="board", probe=dataclasses.replace(HOST.probe, source=str(own)), cpu=HOST.cpu
    )
    with pytest.raises(NodeError, match=f"the probe of board cannot be read: {own}: No such file"):
        probe(board, program, settings(), tmp_path / "cache", compiler=compiler)
    shutil.copyfile(payload.source(HOST), own)
    found = probe(board, program, settings(), tmp_path / "cache", compiler=compiler)
    assert found.probed == (Attempt("tcg", True, ""),)
