from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sistasks import firmware_image
from sistasks.firmware import find
from sistasks.machine.arch import ARM64, X86_64
from sistasks.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path
from firmware_parts import CODE, CODE_GUID, VARS, images, refusal, volume


def explicit_refusal(tmp_path: Path, code: bytes = CODE, variables: bytes = VARS, arch: Any = X86_64) -> str:
    paths = images(tmp_path)
    paths[0].write_bytes(code)
    paths[1].write_bytes(variables)
    problem = refusal(arch, Settings(firmware=f"{paths[0]},{paths[1]}"), tmp_path)
    assert f"firmware={paths[0]}" in problem
    return problem


def test_an_explicit_path_that_cannot_be(tmp_path: Path) -> None:
    assert "No such file" in refusal(X86_64, Settings(firmware=str(tmp_path / "no.fd")), tmp_path)
    assert "Is a directory" in refusal(X86_64, Settings(firmware=f"{tmp_path},{tmp_path}"), tmp_path)
    assert "is no UEFI firmware" in explicit_refusal(tmp_path, code=b"#!/bin/sh\n")
    assert "is no UEFI firmware" in explicit_refusal(tmp_path, code=b"")
    assert "is no UEFI firmware" in explicit_refusal(tmp_path, code=bytes(8192))
    assert "begins with UEFI variables" in explicit_refusal(tmp_path, code=VARS)
    assert "qcow2" in explicit_refusal(tmp_path, code=b"QFI\xfb" + bytes(5000))
    assert "VARS.fd holds no UEFI variables" in explicit_refusal(tmp_path, variables=CODE)
    assert "VARS.fd holds no UEFI variables" in explicit_refusal(tmp_path, variables=b"")
    assert "no whole pages" in explicit_refusal(tmp_path, code=CODE[:-1])
    assert "takes 8388608" in explicit_refusal(tmp_path, code=volume(CODE_GUID, 8 << 20))
    assert "takes exactly 67108864" in explicit_refusal(tmp_path, arch=ARM64)


def test_arm64_images_fill_their_chips(tmp_path: Path) -> None:
    code, variables = images(tmp_path)
    # as edk2 builds it: one page with a branch before the volume; an empty template of variables
    code.write_bytes(b"\0\4\0\x14" + bytes(4092) + CODE)
    variables.write_bytes(b"")
    for path in (code, variables):
        os.truncate(path, 64 << 20)
    assert find(ARM64, Settings(firmware=str(code)), tmp_path).arch == "arm64"


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(head=st.binary(max_size=200), at=st.integers(0, 200))
def test_any_bytes_get_an_answer(tmp_path: Path, head: bytes, at: int) -> None:
    (tmp_path / "any").write_bytes(head[:at] + b"_FVH" + head[at:])
    assert firmware_image.problem_of(X86_64, tmp_path / "any", tmp_path / "any").startswith(str(tmp_path))
