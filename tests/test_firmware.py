from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path

import pytest
from firmware_parts import AUTO, CODE, images, nowhere, refusal

from sistasks.errors import FirmwareError
from sistasks.fetch import file_sha256
from sistasks.firmware import Firmware, find, has_uefi, system_places, verify
from sistasks.machine.arch import ARCHES, ARM, X86_64
from sistasks.settings import Settings


def test_which_architectures_have_uefi() -> None:
    assert {name for name, arch in ARCHES.items() if has_uefi(arch)} == {"x86_64", "arm64"}


def test_an_architecture_without(tmp_path: Path) -> None:
    assert "no UEFI firmware for arm" in refusal(ARM, AUTO, tmp_path)


def test_json_round_trip_and_identity(tmp_path: Path) -> None:
    one = Firmware("x86_64", tmp_path / "c", tmp_path / "v", "a" * 64, "b" * 64, "fetched")
    assert Firmware.from_json(one.to_json()) == one
    assert json.loads(one.to_json())["sha256"] == one.sha256
    assert one.sha256 == hashlib.sha256(f"{'a' * 64} {'b' * 64}".encode()).hexdigest()
    assert dataclasses.replace(one, code_sha256="b" * 64, vars_sha256="a" * 64).sha256 != one.sha256


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", b"\xff", '{"arch": 1}'])
def test_a_broken_record(text: str | bytes) -> None:
    with pytest.raises(FirmwareError, match="record of the firmware is broken"):
        Firmware.from_json(text)


def test_a_record_changed_by_hand(tmp_path: Path) -> None:
    one = Firmware("x86_64", tmp_path / "c", tmp_path / "v", "a" * 64, "b" * 64, "fetched")
    with pytest.raises(FirmwareError, match="broken"):
        Firmware.from_json(one.to_json().replace("a" * 64, "c" * 64))


def given_firmware(tmp_path: Path) -> Firmware:
    code, _ = images(tmp_path)
    return find(X86_64, Settings(firmware=str(code)), tmp_path)


def test_unchanged_verifies(tmp_path: Path) -> None:
    verify(given_firmware(tmp_path))


@pytest.mark.parametrize("which", ["code", "vars"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "append"])
def test_tampered_is_refused_by_name(tmp_path: Path, which: str, damage: str) -> None:
    one = given_firmware(tmp_path)
    path: Path = getattr(one, which)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    changed = bytes({"flip": data, "truncate": data[:-1], "empty": b"", "append": data + b"\0"}[damage])
    path.write_bytes(changed)
    with pytest.raises(FirmwareError) as caught:
        verify(one)
    assert str(path) in caught.value.problem
    assert getattr(one, f"{which}_sha256")[:12] in caught.value.problem
    assert hashlib.sha256(changed).hexdigest()[:12] in caught.value.problem
    assert "doit firmware" in caught.value.remedy


def test_missing_is_refused_by_name(tmp_path: Path) -> None:
    one = given_firmware(tmp_path)
    one.vars.unlink()
    with pytest.raises(FirmwareError, match=re.escape(f"firmware {one.vars}")) as caught:
        verify(one)
    assert "No such file" in caught.value.problem


def test_explicit_pair(tmp_path: Path) -> None:
    code, variables = images(tmp_path, "one.fd", "two.fd")
    one = find(X86_64, Settings(firmware=f"{code}, {variables}"), tmp_path)
    assert (one.code, one.vars, one.source) == (code, variables, "explicit path")
    assert one.code_sha256 == hashlib.sha256(CODE).hexdigest()


def test_explicit_path_with_a_comma(tmp_path: Path) -> None:
    code, variables = images(tmp_path / "a,b")
    assert find(X86_64, Settings(firmware=str(code)), tmp_path).vars == variables


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images(tmp_path)
    monkeypatch.chdir(tmp_path)
    one = find(X86_64, Settings(firmware="CODE.fd"), tmp_path)
    monkeypatch.chdir("/")
    verify(one)


@pytest.mark.parametrize(
    ("code", "variables"),
    [
        ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
        ("OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.fd"),
        ("OVMF_CODE.secboot.4m.fd", "OVMF_VARS.4m.fd"),
        ("code.fd", "vars.fd"),
        ("edk2-x86_64-code.fd", "edk2-i386-vars.fd"),
        ("QEMU_EFI-silent-pflash.raw", "vars-template-pflash.raw"),
    ],
)
def test_the_variables_beside_a_code_image(tmp_path: Path, code: str, variables: str) -> None:
    path, expected = images(tmp_path, code, variables)
    assert find(X86_64, Settings(firmware=str(path)), tmp_path).vars == expected


def test_its_own_variables_come_before_shared_ones(tmp_path: Path) -> None:
    code, _ = images(tmp_path, "OVMF_CODE_4M.ms.fd", "OVMF_VARS_4M.fd")
    _, own = images(tmp_path, "OVMF_CODE_4M.ms.fd", "OVMF_VARS_4M.ms.fd")
    assert find(X86_64, Settings(firmware=str(code)), tmp_path).vars == own


def test_no_variables_beside(tmp_path: Path) -> None:
    code, variables = images(tmp_path)
    variables.unlink()
    assert "no variables beside it (VARS.fd)" in refusal(X86_64, Settings(firmware=str(code)), tmp_path)
    nameless = code.rename(tmp_path / "bios.bin")
    assert "no variables beside it" in refusal(X86_64, Settings(firmware=str(nameless)), tmp_path)


def test_a_known_place_is_taken_where_no_descriptor_suits(tmp_path: Path) -> None:
    both = images(tmp_path)
    broken = tmp_path / "broken", tmp_path / "broken"
    broken[0].write_bytes(b"nothing")
    gone = tmp_path / "gone", tmp_path / "gone"
    one = find(X86_64, AUTO, tmp_path, places=nowhere(tmp_path, known=(gone, broken, both)))
    assert (one.code, one.vars, one.source) == (*both, "known place")


def test_beside_the_qemu_that_is_set(tmp_path: Path) -> None:
    """As Homebrew does it: the program is a link into a cellar, which has its own share."""
    program = tmp_path / "cellar" / "bin" / "qemu-system-x86_64"
    program.parent.mkdir(parents=True)
    program.write_bytes(b"")
    link = tmp_path / "bin" / program.name
    link.parent.mkdir()
    link.symlink_to(program)
    places = system_places(X86_64, Settings(qemu=str(link)))
    for share in (tmp_path / "share" / "qemu", tmp_path / "cellar" / "share" / "qemu"):
        assert (share / "edk2-x86_64-code.fd", share / "edk2-i386-vars.fd") in places.known
        assert share / "firmware" in places.descriptors


def test_the_firmware_of_this_system(tmp_path: Path) -> None:
    places = system_places(X86_64, Settings(qemu="/usr/bin/qemu-system-x86_64"))
    if not any(folder.is_dir() for folder in places.descriptors):
        pytest.skip("no firmware descriptors are installed")
    one = find(X86_64, AUTO, tmp_path, places=dataclasses.replace(places, manifest=tmp_path / "none"))
    assert one.source.startswith("descriptor /")
    tree = json.loads(Path(one.source.removeprefix("descriptor ")).read_text())
    assert "enrolled-keys" not in tree["features"]
    assert tree["mapping"]["executable"]["filename"] == str(one.code)
    verify(one)


def test_hashes_of_the_file_are_what_is_recorded(tmp_path: Path) -> None:
    one = given_firmware(tmp_path)
    assert (file_sha256(one.code), file_sha256(one.vars)) == (one.code_sha256, one.vars_sha256)
