from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from test_kernel_image import bzimage

from sistasks.errors import UsageError
from sistasks.kernels import provider
from sistasks.kernels.file import ImageFile
from sistasks.kernels.package import DebianPackage
from sistasks.kernels.table import Entry, Named
from sistasks.kernels.tree import Tree
from sistasks.protocols.profile import SIS
from sistasks.settings import Settings, resolve

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def resolved(tmp_path: Path) -> Callable[..., Settings]:
    """Settings with a pyproject.toml of this text."""

    def read(text: str, **values: str) -> Settings:
        (tmp_path / "pyproject.toml").write_text(text)
        return resolve({"arch": "x86_64", **values}, environ={}, pyproject=tmp_path / "pyproject.toml")

    return read


def table(text: str, name: str = "mine") -> str:
    return f"[tool.sistasks.kernels.{name}]\n{text}\n"


def test_nothing_said() -> None:
    assert resolve({}, environ={}, pyproject=Path("/nonexistent")).kernels == {}


def test_paths_are_relative_to_the_file(resolved: Callable[..., Settings], tmp_path: Path) -> None:
    text = table('kind = "tree"\npath = "../linux"\nconfig = ["a.config", "/b.config"]\nbase = "my.base"\n')
    entry = resolved(text).kernels["mine"]
    assert entry.values["path"] == tmp_path / "../linux"
    assert entry.values["config"] == (tmp_path / "a.config", Path("/b.config"))
    assert entry.values["base"] == tmp_path / "my.base"
    assert resolved(table('kind = "tree"\npath = "x"\nconfig = "a"\nbase = "defconfig"')).kernels[
        "mine"
    ].values == {"path": tmp_path / "x", "config": (tmp_path / "a",), "base": "defconfig"}


def test_common_keys(resolved: Callable[..., Settings]) -> None:
    text = 'kind = "package"\npackage = "linux-image-rt-{arch}"\narguments = " quiet   x=1 "\nprofile = "sis"'
    entry = resolved(table(text)).kernels["mine"]
    assert (entry.arguments, entry.console) == ("quiet x=1", SIS)
    console = (
        resolved(
            table(
                'kind = "file"\nimage = "i"\nprofile = "sis"\n[tool.sistasks.kernels.mine.console]\nprompt = "$"'
            )
        )
        .kernels["mine"]
        .console
    )
    assert console is not None
    assert (console.prompt, console.marks) == ("$", SIS.marks)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('kind = "tree"\npath = "x"', Tree),
        ('kind = "package"\npackage = "x"', DebianPackage),
        ('kind = "file"\nimage = "x"', ImageFile),
    ],
)
def test_kind_chooses_the_provider(resolved: Callable[..., Settings], text: str, kind: type) -> None:
    found = provider(resolved(table(text), kernel="mine"))
    assert isinstance(found, Named)
    assert isinstance(found.inner, kind)
    assert found.describe(resolved(table(text)))["name"] == "mine" if kind is not Tree else True


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[tool.sistasks]\nkernels = 1", "kernels in {} is no table; write [tool.sistasks.kernels.NAME]"),
        ("[tool.sistasks.kernels]\nmine = 1", "kernels.mine in {} is no table; "),
        (table("", "debian"), "kernels.debian in {}: the name is taken; a name is of letters, "),
        (table("", '"a b"'), "kernels.a b in {}: no kernel can have this name; "),
        (table("", '"../x"'), "kernels.../x in {}: no kernel can have this name; "),
        (table('path = "x"'), "kernels.mine in {} has no kind; kind is one of package, tree, command, file"),
        (table('kind = "tre"'), "kind = 'tre' of kernels.mine in {} is unknown; did you mean 'tree'?"),
        (table("kind = 7"), "kind = 7 of kernels.mine in {} is unknown; kind is one of package, tree, command"),
        (table('kind = "tree"\npth = "x"'), "unknown key 'pth' in kernels.mine in {}; did you mean 'path'?"),
        (
            table('kind = "file"\nwhatever = 1'),
            "unknown key 'whatever' in kernels.mine in {}; valid are image, initramfs, kind, arguments",
        ),
        (table('kind = "tree"'), "kernels.mine in {} has no path; write path = ..."),
        (table('kind = "tree"\npath = 7'), "path = 7 of kernels.mine in {} cannot be; path is a path"),
        (table('kind = "tree"\npath = ""'), "path = '' of kernels.mine in {} cannot be; path is a path"),
        (table('kind = "tree"\npath = "~nobody-here/x"'), "path = '~nobody-here/x' of kernels.mine in {} cannot be"),
        (
            table('kind = "tree"\npath = "x"\nconfig = [1]'),
            "config = [1] of kernels.mine in {} cannot be; config is a path or a list of paths",
        ),
        (table('kind = "tree"\npath = "x"\nmake = true'), "make = True of kernels.mine in {} cannot be; "),
        (
            table('kind = "file"\nimage = "x"\narguments = "ü"'),
            "arguments = 'ü' of kernels.mine in {} cannot be; arguments is one line of ASCII",
        ),
        (table('kind = "file"\nimage = "x"\nprofile = "sys"'), "profile = 'sys' of the console of kernels.mine in {}"),
        (table('kind = "file"\nimage = "x"\nconsole = 3'), "console = 3 of kernels.mine in {} cannot be; "),
    ],
)  # fmt: skip
def test_refusals(resolved: Callable[..., Settings], tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolved(text)
    assert str(caught.value).startswith(says.format(tmp_path / "pyproject.toml"))
    assert "\n" not in str(caught.value)


def test_unknown_name_hears_of_those_in_the_table(resolved: Callable[..., Settings]) -> None:
    text = table('kind = "file"\nimage = "x"', "my-kernel")
    with pytest.raises(UsageError, match="did you mean 'my-kernel'"):
        provider(resolved(text, kernel="my-kernal"))
    with pytest.raises(
        UsageError, match=r"kernel is debian, host, source, my-kernel, or the path of an image"
    ):
        provider(resolved(text, kernel="7777"))


class TestFile:
    def test_name_arguments_and_initramfs(self, resolved: Callable[..., Settings], tmp_path: Path) -> None:
        (tmp_path / "bzImage").write_bytes(bzimage())
        (tmp_path / "initrd").write_bytes(b"070701")
        settings = resolved(
            table('kind = "file"\nimage = "bzImage"\ninitramfs = "initrd"\narguments = "quiet"'),
            kernel="mine",
        )
        found = provider(settings)
        before = found.describe(settings)
        kernel = found.provide(settings, tmp_path / "out", print)
        assert (kernel.name, kernel.image, kernel.command_line) == ("mine", tmp_path / "bzImage", "quiet")
        assert kernel.initramfs == tmp_path / "initrd"
        (tmp_path / "initrd").write_bytes(b"070701 more")
        assert provider(settings).describe(settings) != before

    @pytest.mark.parametrize("missing", ["bzImage", "initrd"])
    def test_what_is_missing_is_named(
        self, resolved: Callable[..., Settings], tmp_path: Path, missing: str
    ) -> None:
        for name in {"bzImage", "initrd"} - {missing}:
            (tmp_path / name).write_bytes(bzimage())
        settings = resolved(table('kind = "file"\nimage = "bzImage"\ninitramfs = "initrd"'), kernel="mine")
        with pytest.raises(Exception, match=f"{tmp_path}/{missing} is not there; ") as caught:
            provider(settings).provide(settings, tmp_path, print)
        assert getattr(caught.value, "exit_code", None) == 3


def test_console_and_arguments_make_it_stale(resolved: Callable[..., Settings]) -> None:
    plain = 'kind = "file"\nimage = "x"\n'
    texts = (plain, plain + 'arguments = "quiet"', plain + 'profile = "sis"')
    said = []
    for text in texts:
        settings = resolved(table(text), kernel="mine")
        said.append(str(provider(settings).describe(settings)))
    assert len(set(said)) == 3


def test_entry_without_a_kind_of_its_own_values() -> None:
    assert Entry(name="x", kind="file").console is None
