from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks import firmware_descriptors
from sistasks.firmware import find
from sistasks.machine.arch import X86_64

if TYPE_CHECKING:
    from collections.abc import Iterator
from firmware_parts import AUTO, descriptor, images, nowhere


def chosen(tmp_path: Path, *folders: Path) -> str:
    return find(X86_64, AUTO, tmp_path, places=nowhere(tmp_path, descriptors=folders)).source


def test_a_descriptor_is_followed(tmp_path: Path) -> None:
    code, variables = images(tmp_path)
    path = descriptor(tmp_path / "d", "60-x.json", code, variables)
    one = find(X86_64, AUTO, tmp_path, places=nowhere(tmp_path, descriptors=(tmp_path / "d",)))
    assert (one.code, one.vars, one.source) == (code, variables, f"descriptor {path}")


def test_order_is_by_name_over_all_folders(tmp_path: Path) -> None:
    both = images(tmp_path)
    descriptor(tmp_path / "etc", "70-x.json", *both)
    first = descriptor(tmp_path / "usr", "60-x.json", *both)
    assert chosen(tmp_path, tmp_path / "etc", tmp_path / "usr") == f"descriptor {first}"


def test_a_more_specific_folder_replaces_and_hides(tmp_path: Path) -> None:
    both = images(tmp_path)
    descriptor(tmp_path / "usr", "50-x.json", *both)
    mine = descriptor(tmp_path / "home", "50-x.json", *both)
    later = descriptor(tmp_path / "usr", "60-x.json", *both)
    folders = (tmp_path / "home", tmp_path / "gone", tmp_path / "usr")
    assert chosen(tmp_path, *folders) == f"descriptor {mine}"
    mine.write_bytes(b"")
    assert chosen(tmp_path, *folders) == f"descriptor {later}"


@pytest.mark.parametrize("feature", ["secure-boot", "requires-smm"])
def test_unwanted_features_come_last(tmp_path: Path, feature: str) -> None:
    both = images(tmp_path)
    last = descriptor(tmp_path / "d", "10-x.json", *both, features=[feature])
    best = descriptor(tmp_path / "d", "90-x.json", *both)
    assert chosen(tmp_path, tmp_path / "d") == f"descriptor {best}"
    best.unlink()
    assert chosen(tmp_path, tmp_path / "d") == f"descriptor {last}"


def test_enrolled_keys_are_not_even_the_last_choice(tmp_path: Path) -> None:
    both = images(tmp_path)
    descriptor(tmp_path / "d", "10-x.json", *both, features=["secure-boot", "enrolled-keys"])
    places = nowhere(tmp_path, descriptors=(tmp_path / "d",), known=(both,))
    assert find(X86_64, AUTO, tmp_path, places=places).source == "known place"


def not_chosen() -> Iterator[tuple[str, dict[str, Any]]]:
    image = {"filename": "{code}", "format": "raw"}
    template = {"filename": "{vars}", "format": "raw"}
    flash = {"device": "flash", "executable": image, "nvram-template": template}
    yield "bios", {"interface-types": ["bios"]}
    yield "memory", {"mapping": {"device": "memory", "filename": "{code}"}}
    yield "stateless", {"mapping": flash | {"mode": "stateless"}}
    yield "combined", {"mapping": flash | {"mode": "combined"}}
    yield "qcow2", {"mapping": flash | {"executable": image | {"format": "qcow2"}}}
    yield "no variables", {"mapping": {"device": "flash", "executable": image}}
    yield "relative", {"mapping": flash | {"executable": image | {"filename": "CODE.fd"}}}
    yield "gone", {"mapping": flash | {"executable": image | {"filename": "/nowhere/CODE.fd"}}}
    yield "not firmware", {"mapping": flash | {"executable": template}}
    yield "architecture", {"targets": [{"architecture": "aarch64", "machines": ["pc-q35-*"]}]}
    yield "machine", {"targets": [{"architecture": "x86_64", "machines": ["pc-i440fx-*", "microvm"]}]}
    yield "version", {"targets": [{"architecture": "x86_64", "machines": ["pc-q35-2.*"]}]}
    yield "no targets", {"targets": []}
    yield "wrong type", {"targets": "x86_64"}


@pytest.mark.parametrize("changed", [pytest.param(value, id=name) for name, value in not_chosen()])
def test_what_does_not_suit_is_passed_over(tmp_path: Path, changed: dict[str, Any]) -> None:
    code, variables = images(tmp_path)
    text = json.dumps(changed).replace("{code}", str(code)).replace("{vars}", str(variables))
    descriptor(tmp_path / "d", "10-unfit.json", code, variables, **json.loads(text))
    fit = descriptor(tmp_path / "d", "90-fit.json", code, variables)
    assert chosen(tmp_path, tmp_path / "d") == f"descriptor {fit}"


def test_mode_split_is_said_or_not(tmp_path: Path) -> None:
    code, variables = images(tmp_path)
    path = descriptor(tmp_path / "d", "10-x.json", code, variables)
    path.write_text(path.read_text().replace('"device": "flash"', '"device": "flash", "mode": "split"'))
    assert chosen(tmp_path, tmp_path / "d") == f"descriptor {path}"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = ["interface-types", "mapping", "targets", "features"]


@given(st.binary() | JSON.map(lambda tree: json.dumps(tree).encode()))
def test_any_bytes_are_a_descriptor_or_not_usable(data: bytes) -> None:
    with pytest.raises(firmware_descriptors.NotUsable):
        firmware_descriptors.parse(Path("x.json"), data)


@given(st.sampled_from(KEYS), JSON)
def test_any_value_in_a_descriptor_is_fine_or_not_usable(key: str, value: Any) -> None:
    image = {"filename": "/x", "format": "raw"}
    tree = {
        "interface-types": ["uefi"],
        "mapping": {"device": "flash", "executable": image, "nvram-template": image},
        "targets": [],
        "features": [],
    }
    try:
        found = firmware_descriptors.parse(Path("x.json"), json.dumps(tree | {key: value}).encode())
    except firmware_descriptors.NotUsable:
        return
    assert found.code == Path("/x")


def test_deep_nesting_is_not_usable() -> None:
    with pytest.raises(firmware_descriptors.NotUsable):
        firmware_descriptors.parse(Path("x.json"), b"[" * 100_000)


def test_folders_of_descriptors() -> None:
    etc, usr = Path("/etc/qemu/firmware"), Path("/usr/share/qemu/firmware")
    folders = firmware_descriptors.folders
    assert folders({}) == (etc, usr)
    assert folders({"HOME": "/h"}) == (Path("/h/.config/qemu/firmware"), etc, usr)
    assert folders({"HOME": "/h", "XDG_CONFIG_HOME": "/c"}) == (Path("/c/qemu/firmware"), etc, usr)
    brew = Path("/opt/homebrew/share/qemu")
    assert folders({}, [brew, usr.parent]) == (etc, usr, brew / "firmware")
