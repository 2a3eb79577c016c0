"""Where everything lies: the folders that readers expect, and a file name for every kernel."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from sistasks.layout import Layout, kernel_key
from sistasks.settings import resolve

PLAIN = replace(resolve({}, environ={}, pyproject=Path("/nonexistent")), arch="x86_64")


def test_the_folders_of_the_contract() -> None:
    layout = Layout(Path("target/testing"))
    assert layout.logs == Path("target/testing/qemu/logs")
    assert layout.results == (Path("target/testing/qemu/results"), Path("target/testing/orchestrator"))
    assert layout.orchestrator_log == Path("target/testing/orchestrator/orchestrator.log")


def test_everything_is_below_output_and_nothing_is_made(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "out")
    for name in dir(Layout):
        value = getattr(layout, name)
        for path in value if isinstance(value, tuple) else (value,):
            if isinstance(path, Path):
                assert path.is_relative_to(tmp_path / "out"), name
    assert not (tmp_path / "out").exists()


def test_scratch_and_templates_are_folders_of_their_own() -> None:
    layout = Layout(Path("out"))
    own = [layout.scratch, layout.templates, layout.build, layout.logs, *layout.results]
    for path in (layout.scratch, layout.templates):
        assert [other for other in own if other.is_relative_to(path)] == [path]


def test_plain_names_stay_readable() -> None:
    assert kernel_key(PLAIN) == "debian-x86_64"
    assert kernel_key(replace(PLAIN, kernel="host", arch="arm64")) == "host-arm64"
    key = kernel_key(replace(PLAIN, kernel="/boot/vmlinuz-6.1.0"))
    assert re.fullmatch(r"boot-vmlinuz-6\.1\.0-[0-9a-f]{8}-x86_64", key)


@example("/a/b", "/a-b")
@example("a/b", "a-b")
@example("x" * 39 + "/" + "y" * 40, "z" * 39 + "/" + "y" * 40)
@example("debian", "debian/")
@given(st.text(min_size=1), st.text(min_size=1))
def test_two_kernels_never_share_a_key(one: str, other: str) -> None:
    keys = [kernel_key(replace(PLAIN, kernel=text)) for text in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


@given(st.text(min_size=1))
def test_a_key_is_one_short_file_name(text: str) -> None:
    key = kernel_key(replace(PLAIN, kernel=text))
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,80}", key)
    assert Path(key).name == key


def test_the_architecture_is_part_of_the_key() -> None:
    assert kernel_key(PLAIN) != kernel_key(replace(PLAIN, arch="arm64"))
