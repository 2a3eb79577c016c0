from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from linux_tree import LinuxTree
from test_kernel_image import arm64_image

from sistasks.errors import KernelFailure, KernelImageError, SistasksError
from sistasks.kernels import Kernel, make
from sistasks.kernels.make import first_errors
from sistasks.kernels.tree import Tree
from sistasks.machine.arch import ARCHES
from sistasks.settings import resolve

if TYPE_CHECKING:
    from sistasks.settings import Settings

pytestmark = pytest.mark.skipif(
    any(shutil.which(name) is None for name in ("make", "gcc", "git")), reason="needs make, gcc and git"
)
OUT = "builds"


def asked(arch: str = "x86_64") -> Settings:
    return resolve({"arch": arch}, environ={}, pyproject=Path("/nonexistent"))


@pytest.fixture(autouse=True)
def what_this_tree_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make and a compiler: a test installs nothing on the machine for the sake of a tree that is not Linux."""
    monkeypatch.setattr(make, "_PROGRAMS", ("make", "gcc"))
    monkeypatch.setattr(make, "_HEADER", "stdio.h")


@pytest.fixture
def linux(tmp_path: Path) -> LinuxTree:
    return LinuxTree.make(tmp_path / "linux")


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Our own fragments, as short as this tree's configuration."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "wished.config").write_text("CONFIG_NO_SUCH=y\n")
    (folder / "base.config").write_text("CONFIG_WANTED=y\n")
    for name in ("x86_64", "arm64", "riscv64"):
        (folder / f"{name}.config").write_text("")
    monkeypatch.setattr("sistasks.kernels.tree._OWN", folder)
    return folder


def built(linux: LinuxTree, **values: object) -> Kernel:
    tree = Tree(name="mine", path=linux.path)
    return dataclasses.replace(tree, **values).provide(asked(), linux.path.parent / OUT, print)  # type: ignore[arg-type]


def compiled(linux: LinuxTree) -> list[str]:
    """What the last build did, in its own words."""
    lines = (linux.path.parent / OUT / "build.log").read_text().splitlines()
    return [line.split()[1].rsplit("/", 1)[-1] for line in lines if line.startswith(("  CC", "  LD"))]


def refusal(linux: LinuxTree, arch: str = "x86_64", **values: object) -> SistasksError:
    tree = dataclasses.replace(Tree(name="mine", path=linux.path), **values)  # type: ignore[arg-type]
    with pytest.raises(SistasksError) as caught:
        tree.provide(asked(arch), linux.path.parent / OUT, print)
    assert caught.value.remedy
    return caught.value


@pytest.mark.usefixtures("own")
class TestBuild:
    def test_record(self, linux: LinuxTree) -> None:
        first = linux.commit("first")
        linux.change("kernel/fork.c", "int fork_one(void) { return 7; }\n")
        kernel = built(linux)
        out = linux.path.parent / OUT / "kernel"
        assert (kernel.name, kernel.arch, kernel.release, kernel.format) == (
            "mine", "x86_64", "6.9.1-x86", "bzImage",
        )  # fmt: skip
        assert kernel.image == out / "boot" / "vmlinuz-6.9.1-x86"
        assert (kernel.git_commit, kernel.git_parent, kernel.git_dirty) == (first, "", True)
        assert kernel.config == out / "boot" / "config-6.9.1-x86"
        assert kernel.config.read_text() == "CONFIG_TINY=y\nCONFIG_WANTED=y\n"
        assert len(kernel.config_sha256) == 64
        assert kernel.modules == out / "lib/modules/6.9.1-x86"
        assert Kernel.from_json(kernel.to_json()) == kernel

    def test_the_tree_is_not_written_to(self, linux: LinuxTree) -> None:
        linux.commit("first")
        built(linux)
        assert linux.git("status", "--porcelain", "--ignored") == ""

    def test_only_what_follows_is_done_again(self, linux: LinuxTree) -> None:
        first = built(linux)
        assert compiled(linux) == ["exit.c", "fork.c", "bzImage"] or set(compiled(linux)) == {
            "exit.c", "fork.c", "bzImage",
        }  # fmt: skip
        assert built(linux) == first
        assert compiled(linux) == []
        linux.change("kernel/exit.c", "int exit_one(void) { return 9; }\n")
        second = built(linux)
        assert compiled(linux) == ["exit.c", "bzImage"]
        assert second.sha256 != first.sha256
        linux.change("kernel/exit.c", "int exit_one(void) { return 2; }\n")
        assert built(linux).sha256 == first.sha256

    def test_staleness(self, linux: LinuxTree, tmp_path: Path) -> None:
        fragment = tmp_path / "my.config"

        def described(**values: object) -> str:
            tree = Tree(name="mine", path=linux.path, fragments=(fragment,))
            return str(dataclasses.replace(tree, **values).describe(asked()))  # type: ignore[arg-type]

        linux.commit("first")
        said = [described()]
        assert described() == said[0]
        fragment.write_text("CONFIG_WANTED=y\n")
        said.append(described())
        fragment.write_text("CONFIG_WANTED=n\n")
        said.append(described())
        linux.change("kernel/fork.c", "int x;\n")
        said += [described(), described(base="defconfig"), described(added=("KCFLAGS=-O1",))]
        assert len(set(said)) == len(said)

    def test_what_changes_during_a_build_is_seen_by_the_next(self, linux: LinuxTree) -> None:
        tree = Tree(name="mine", path=linux.path)
        before = tree.describe(asked())
        linux.change("kernel/fork.c", "int x;\n")
        assert tree.describe(asked()) == before
        assert Tree(name="mine", path=linux.path).describe(asked()) != before

    def test_modules(self, linux: LinuxTree, tmp_path: Path) -> None:
        fragment = tmp_path / "my.config"
        fragment.write_text("CONFIG_MODULES=y\n")
        first = built(linux, fragments=(fragment,))
        assert first.modules
        assert (first.modules / "kernel/driver.ko").exists()
        assert not (first.modules / "build").is_symlink()
        linux.change("drivers/driver.c", "int driver(void) { return 5; }\n")
        second = built(linux, fragments=(fragment,))
        assert second.sha256 == first.sha256
        assert second.modules_sha256 != first.modules_sha256

    def test_surroundings_do_not_reach_make(self, linux: LinuxTree, monkeypatch: pytest.MonkeyPatch) -> None:
        first = built(linux)
        for name, value in {"MAKEFLAGS": "-n", "ARCH": "vax", "KCFLAGS": "-O0", "O": "/nonexistent"}.items():
            monkeypatch.setenv(name, value)
        linux.change("kernel/exit.c", "int exit_one(void) { return 9; }\n")
        assert built(linux).sha256 != first.sha256

    def test_whole_configuration_as_base(self, linux: LinuxTree, tmp_path: Path) -> None:
        base = tmp_path / "whole"
        base.write_text('CONFIG_MINE="x"\n# CONFIG_TINY is not set\n')
        kernel = built(linux, base=base)
        assert kernel.config
        assert kernel.config.read_text() == 'CONFIG_MINE="x"\n# CONFIG_TINY is not set\nCONFIG_WANTED=y\n'

    def test_configured_again_only_when_asked_for_something_else(
        self, linux: LinuxTree, tmp_path: Path
    ) -> None:
        log = tmp_path / OUT / "build.log"
        built(linux)
        assert "tinyconfig" in log.read_text()
        built(linux)
        assert "tinyconfig" not in log.read_text()
        assert "olddefconfig" in log.read_text()
        (tmp_path / "my.config").write_text("CONFIG_MORE=y\n")
        assert built(linux, fragments=(tmp_path / "my.config",)).config_sha256
        assert "tinyconfig" in log.read_text()


@pytest.mark.usefixtures("own")
class TestRefusals:
    @pytest.mark.parametrize(
        ("path", "what"),
        [("none", "is not there"), ("empty", "is no Linux source tree"), ("file", "is no Linux")],
    )
    def test_no_linux_tree(self, linux: LinuxTree, tmp_path: Path, path: str, what: str) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / "Makefile").write_text("all:\n")
        (tmp_path / "file").touch()
        error = refusal(linux, path=tmp_path / path)
        assert str(error).startswith(f"path = '{tmp_path / path}' of kernels.mine {what}")
        assert "\n" not in str(error)
        assert error.exit_code == 3

    def test_lost_symbols_are_named(self, linux: LinuxTree, tmp_path: Path) -> None:
        fragment = tmp_path / "my.config"
        fragment.write_text("CONFIG_LOST=y\nCONFIG_NO_SUCH=y\n# CONFIG_TINY is not set\nCONFIG_OTHER=y\n")
        error = refusal(linux, fragments=(fragment,))
        assert error.exit_code == 3
        assert error.problem == "the configuration of mine did not keep CONFIG_LOST, CONFIG_NO_SUCH"
        assert error.detail.splitlines() == [
            "CONFIG_LOST=y (my.config) is not set; Kconfig:4 depends on TINY && !SMP && BROKEN",
            "CONFIG_NO_SUCH=y (my.config) is not set; this tree has no such symbol",
        ]
        assert refusal(linux, fragments=(fragment,)).problem == error.problem
        fragment.write_text("CONFIG_OTHER=y\n")
        built(linux, fragments=(fragment,))

    def test_ours_that_is_lost_is_said_to_be_ours(self, linux: LinuxTree, own: Path) -> None:
        (own / "base.config").write_text("CONFIG_LOST=y\n")
        assert "CONFIG_LOST=y (sistasks' base.config) is not set" in refusal(linux).detail

    def test_fragment_that_is_not_there(self, linux: LinuxTree, tmp_path: Path) -> None:
        error = refusal(linux, fragments=(tmp_path / "none",))
        assert str(error) == f"{tmp_path}/none of kernels.mine is no file; give a configuration's path"

    @pytest.mark.usefixtures("own")
    def test_a_record_names_its_fragment(
        self, linux: LinuxTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fragment = tmp_path / "board.config"
        board = dataclasses.replace(ARCHES["x86_64"], linux_config=str(fragment))
        monkeypatch.setitem(ARCHES, "x86_64", board)
        error = refusal(linux)
        assert str(error) == (
            f"no configuration for x86_64 machines: {fragment} is no file; "
            "linux_config of the architecture's record names it"
        )
        fragment.write_text("CONFIG_LOST=y\n")
        assert "CONFIG_LOST=y (board.config) is not set" in refusal(linux).detail

    def test_compile_error(self, linux: LinuxTree) -> None:
        linux.change("kernel/fork.c", "int fork_one(void)\n{\n\treturn no_such_name;\n}\n")
        error = refusal(linux)
        assert isinstance(error, KernelFailure)
        assert error.exit_code == 1
        assert error.problem == "mine does not build: make bzImage ended with exit code 2"
        assert error.remedy == f"see {linux.path.parent / OUT / 'build.log'}"
        lines = error.detail.splitlines()
        assert lines[0].endswith("In function 'fork_one':")
        assert "kernel/fork.c:3:16: error: " in lines[1]
        assert not [line for line in lines if line.startswith(("make", "  CC"))]
        linux.change("kernel/fork.c", "int fork_one(void) { return 1; }\n")
        built(linux)

    def test_a_failed_build_leaves_the_last_kernel(self, linux: LinuxTree) -> None:
        kernel = built(linux)
        linux.change("kernel/fork.c", "broken\n")
        refusal(linux)
        assert kernel.image.exists()
        assert [path.name for path in (linux.path.parent / OUT).glob(".new*")] == []

    def test_build_in_place(self, linux: LinuxTree) -> None:
        (linux.path / ".config").touch()
        error = refusal(linux)
        assert str(error).startswith(f"the tree {linux.path} was built in place; `make ARCH=x86_64 mrproper`")
        assert error.exit_code == 3

    def test_architecture_that_the_tree_does_not_have(self, linux: LinuxTree) -> None:
        assert str(refusal(linux, "riscv64")) == (
            f"the tree {linux.path} has no architecture riscv64: no arch/riscv; give another arch="
        )

    def test_image_for_another_architecture(self, linux: LinuxTree) -> None:
        (linux.path / "arch/x86/head.bin").write_bytes(arm64_image())
        error = refusal(linux)
        assert isinstance(error, KernelImageError)
        assert "is for arm64, but arch=x86_64 was asked" in str(error)

    @pytest.mark.parametrize("name", ["a b", "a:b"])
    def test_paths_that_make_cannot_have(self, tmp_path: Path, name: str) -> None:
        linux = LinuxTree.make(tmp_path / name / "linux")
        assert f"no path with spaces or colons: '{linux.path}'" in str(refusal(linux))

    def test_no_image_after_all(self, linux: LinuxTree) -> None:
        makefile = (linux.path / "Makefile").read_text()
        linux.change("Makefile", makefile.replace("bzImage: $(O)/arch/x86/boot/bzImage", "bzImage:", 1))
        assert "mine was made, but there is no " in str(refusal(linux))

    def test_folder_that_cannot_be_written(self, linux: LinuxTree, tmp_path: Path) -> None:
        (tmp_path / OUT).touch()
        assert "cannot be built in" in str(refusal(linux))


class TestFirstErrors:
    def test_order_of_a_parallel_build(self) -> None:
        text = (
            "make[1]: Entering directory '/x'\n  CC      a.o\nkernel/a.c: In function 'f':\n"
            "kernel/a.c:3:9: error: 'x' undeclared\n    3 | x\n      | ^\n  CC [M]  b.o\n"
            "make[3]: *** [Makefile:1: a.o] Error 1\nmake: *** [all] Error 2\n"
        )
        assert first_errors(text) == [
            "kernel/a.c: In function 'f':", "kernel/a.c:3:9: error: 'x' undeclared", "    3 | x", "      | ^",
        ]  # fmt: skip

    def test_linker(self) -> None:
        text = "  LD      vmlinux\nld: a.o: in function `f':\na.c:(.text+0x1): undefined reference to `g'\n"
        assert first_errors(text) == text.splitlines()[1:]

    def test_only_make_says_it(self) -> None:
        text = (
            "make[1]: Entering directory '/x'\nmake[1]: *** No rule to make target 'zImage'.  Stop.\n"
            "make: *** [x] Error 2\n"
        )
        assert first_errors(text)[0] == "make[1]: *** No rule to make target 'zImage'.  Stop."

    @pytest.mark.parametrize("text", ["", "\n\n", "killed\n"])
    def test_no_error_at_all(self, text: str) -> None:
        assert first_errors(text) == text.split()


@pytest.mark.usefixtures("own")
def test_interrupted_build_is_finished_by_the_next(linux: LinuxTree, tmp_path: Path) -> None:
    """Ctrl-C while the compiler writes: make takes the half file away."""
    # the recipe tells through a pipe that it is at it, and is then as long as the test needs
    slow = (
        "$(O)/kernel/%.o: kernel/%.c\n\t@mkdir -p $(@D); echo half > $@; echo $@ > $(O)/../pipe; sleep 60\n"
    )
    makefile = (linux.path / "Makefile").read_text()
    start, end = makefile.index("$(O)/kernel/%.o: "), makefile.index("$(O)/driver.ko: ")
    linux.change("Makefile", makefile[:start] + slow + makefile[end:])
    program = f"""
from pathlib import Path
from sistasks.kernels import make, tree
from sistasks.settings import resolve
make._PROGRAMS, make._HEADER, tree._OWN = ("make", "gcc"), "stdio.h", Path({str(tmp_path / "own")!r})
settings = resolve({{"arch": "x86_64"}}, environ={{}}, pyproject=Path("/nonexistent"))
tree.Tree(name="mine", path=Path({str(linux.path)!r})).provide(settings, Path({str(tmp_path / OUT)!r}), print)
"""
    (tmp_path / OUT).mkdir()
    os.mkfifo(tmp_path / OUT / "pipe")
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL) as process:
        try:
            with (tmp_path / OUT / "pipe").open() as pipe:
                written = Path(pipe.readline().strip())
            assert written.read_text() == "half\n"
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
        finally:
            process.kill()
    assert not written.exists()
    linux.change("Makefile", makefile)
    assert built(linux).image.exists()
