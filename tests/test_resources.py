from __future__ import annotations

from pathlib import Path

import pytest

from sistasks.errors import SistasksError
from sistasks.resources import data_file


def test_in_a_checkout_it_is_the_committed_file() -> None:
    root = Path(__file__).resolve().parent.parent
    assert data_file("firmware/manifest.toml") == root / "firmware" / "manifest.toml"


def test_in_a_wheel_the_package_comes_first(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "sistasks"
    inside = package / "data" / "firmware" / "manifest.toml"
    strange = package.parent / "firmware" / "manifest.toml"
    for path in (inside, strange):
        path.parent.mkdir(parents=True)
        path.write_text("")
    assert data_file("firmware/manifest.toml", package=package) == inside


def test_the_wheel_puts_it_where_it_is_looked_for() -> None:
    import tomllib

    root = Path(__file__).resolve().parent.parent
    build = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    included = build["targets"]["wheel"]["force-include"]
    assert included["firmware/manifest.toml"] == "sistasks/data/firmware/manifest.toml"


def test_a_broken_installation_says_so(tmp_path: Path) -> None:
    with pytest.raises(SistasksError, match=r"firmware/gone\.toml, a file of sistasks itself") as caught:
        data_file("firmware/gone.toml", package=tmp_path / "sistasks")
    assert caught.value.remedy == "install sistasks again"


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "firmware/../../x", ""])
def test_only_names_inside(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a data file"):
        data_file(name)
