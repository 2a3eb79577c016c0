from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks.errors import UsageError
from sistasks.kernels.kconfig import Asked, Lost, definitions, lost, merge, parse

if TYPE_CHECKING:
    from pathlib import Path

NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True)
VALUES = st.sampled_from(["y", "m", "n", "64", "0x1000", '"a text, = and #"', '""'])
CONFIGS = st.dictionaries(NAMES, VALUES)


def test_every_form_of_a_line() -> None:
    text = '# a comment\n\n CONFIG_A=y \nCONFIG_B="x y"\n# CONFIG_C is not set\nCONFIG_D=n\nCONFIG_A=m\n'
    assert parse(text, "x") == {"B": '"x y"', "C": "n", "D": "n", "A": "m"}
    # the last of two stands last, as it is what counts
    assert list(parse(text, "x"))[-1] == "A"


@pytest.mark.parametrize("line", ["CONFIG_A", "A=y", "CONFIG_Ä=y", "CONFIG_A y", "diff --git"])
def test_other_lines_are_refused(line: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(f"CONFIG_B=y\n{line}\n", "my.config")
    assert str(caught.value) == f"line 2 of my.config is no setting: {line!r}; write CONFIG_NAME=value"


@given(CONFIGS, CONFIGS)
def test_what_is_wanted_stands_behind_what_was_there(base: dict[str, str], wanted: dict[str, str]) -> None:
    text = merge(base, wanted)
    assert parse(text, "x") == base | wanted
    assert [name for name in parse(text, "x") if name in wanted] == list(wanted)
    assert list(parse(text, "x"))[len(parse(text, "x")) - len(wanted) :] == list(wanted)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        values = parse(text, "x")
    except UsageError:
        return
    assert parse(merge({}, values), "x") == values


def test_lost_names_what_was_asked_and_what_it_is() -> None:
    asked = {
        name: Asked(value, "f") for name, value in {"A": "y", "B": "y", "C": "n", "D": "n", "E": "64"}.items()
    }
    found = lost(asked, {"A": "y", "B": "m", "D": "y"})
    assert [str(one) for one in found] == [
        "CONFIG_B=y (f) is m", "CONFIG_D=n (f) is y", "CONFIG_E=64 (f) is not set",
    ]  # fmt: skip
    assert found[0] == Lost("B", Asked("y", "f"), "m")


@given(CONFIGS)
def test_nothing_is_lost_of_what_holds(config: dict[str, str]) -> None:
    assert lost({name: Asked(value, "f") for name, value in config.items()}, config) == []
    assert {one.symbol for one in lost({name: Asked("other", "f") for name in config}, config)} == set(config)


def test_definitions_are_found_wherever_they_are(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "Kconfig").write_text(
        'config A\n\tbool "a"\n\tdepends on X || Y\n\thelp\n\t  more\n\tdepends on Z\n\nconfig AB\n\tdepends on NO\n'
    )
    (tmp_path / "net" / "Kconfig.more").write_text(
        "menuconfig A\n\tbool\nif X\nif Y\nendif\nconfig C\n\tdepends on Z\nendif\nconfig D\n"
    )
    (tmp_path / "net" / "other").write_text("config B\n")
    assert definitions(tmp_path, ["A", "B", "C", "D"]) == {
        "A": "Kconfig:1 depends on X || Y && Z; net/Kconfig.more:1",
        "B": "this tree has no such symbol",
        "C": "net/Kconfig.more:6 depends on X && Z",
        "D": "net/Kconfig.more:9",
    }
