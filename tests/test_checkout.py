from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from linux_tree import LinuxTree

from sistasks.kernels.checkout import Checkout, look

if TYPE_CHECKING:
    from pathlib import Path

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture
def tree(tmp_path: Path) -> LinuxTree:
    return LinuxTree.make(tmp_path / "linux")


def seen(tree: LinuxTree) -> Checkout:
    return look(tree.path, "Makefile")


def test_without_git_every_file_counts(tree: LinuxTree) -> None:
    states = [seen(tree)]
    assert (states[0].commit, states[0].parent, states[0].dirty) == ("", "", False)
    assert seen(tree) == states[0]
    tree.change("kernel/fork.c", "int x;\n")
    states.append(seen(tree))
    tree.change("kernel/new.c", "int y;\n")
    states.append(seen(tree))
    (tree.path / "kernel/new.c").rename(tree.path / "kernel/newer.c")
    states.append(seen(tree))
    (tree.path / "kernel/newer.c").unlink()
    assert seen(tree) == states[1]
    (tree.path / "link").symlink_to("/nonexistent")
    states.append(seen(tree))
    assert len({state.digest for state in states}) == len(states)


@needs_git
def test_commit_parent_and_dirty(tree: LinuxTree) -> None:
    first = tree.commit("first")
    clean = seen(tree)
    assert (clean.commit, clean.parent, clean.dirty) == (first, "", False)
    (tree.path / "notes.txt").write_text("not known to git")
    untracked = seen(tree)
    assert untracked.dirty is False
    (tree.path / "notes.txt").unlink()
    tree.change("kernel/fork.c", "int x;\n")
    dirty = seen(tree)
    assert (dirty.commit, dirty.dirty) == (first, True)
    tree.change("kernel/fork.c", "int y;\n")
    dirtier = seen(tree)
    second = tree.commit("second")
    committed = seen(tree)
    assert (committed.commit, committed.parent, committed.dirty) == (second, first, False)
    digests = [state.digest for state in (clean, untracked, dirty, dirtier, committed)]
    assert len(set(digests)) == len(digests)
    tree.git("checkout", "-q", first)
    assert seen(tree) == clean


@needs_git
def test_touching_a_file_of_a_commit_changes_nothing(tree: LinuxTree) -> None:
    tree.commit("first")
    before = seen(tree)
    os.utime(tree.path / "kernel/fork.c", ns=(1, 1))
    assert seen(tree) == before


@needs_git
def test_files_in_new_folders_count_one_by_one(tree: LinuxTree) -> None:
    tree.commit("first")
    (tree.path / "drivers/mine").mkdir()
    tree.change("drivers/mine/a.c", "int a;\n")
    one = seen(tree)
    tree.change("drivers/mine/a.c", "int b;\n")
    assert seen(tree) != one


@needs_git
def test_names_that_need_quotes(tree: LinuxTree) -> None:
    tree.commit("first")
    for name in ("a b.c", "ü\n.c", '"q".c'):
        tree.change(name, "int a;\n")
        before = seen(tree)
        tree.change(name, "int bb;\n")
        assert seen(tree) != before


@needs_git
def test_part_of_a_larger_repository(tmp_path: Path) -> None:
    outer = LinuxTree(tmp_path)
    inner = LinuxTree.make(tmp_path / "vendor/linux")
    commit = outer.commit("all")
    (tmp_path / "elsewhere").write_text("of no concern")
    clean = seen(inner)
    assert (clean.commit, clean.dirty) == (commit, False)
    inner.change("kernel/fork.c", "int x;\n")
    first = seen(inner)
    inner.change("kernel/fork.c", "int yy;\n")
    assert first.dirty
    assert seen(inner) != first


@needs_git
def test_repository_that_ignores_the_tree_says_nothing_of_it(tmp_path: Path) -> None:
    outer = LinuxTree(tmp_path)
    inner = LinuxTree.make(tmp_path / "build/linux")
    (tmp_path / ".gitignore").write_text("build\n")
    outer.commit("all")
    before = seen(inner)
    assert before.commit == ""
    inner.change("kernel/fork.c", "int x;\n")
    assert seen(inner) != before


@needs_git
def test_looking_writes_nothing(tree: LinuxTree) -> None:
    tree.commit("first")
    os.utime(tree.path / "kernel/fork.c", ns=(1, 1))  # which git would note in its index
    index = (tree.path / ".git/index").stat()
    seen(tree)
    after = (tree.path / ".git/index").stat()
    assert (after.st_mtime_ns, after.st_ino) == (index.st_mtime_ns, index.st_ino)


@needs_git
def test_in_a_hook_of_another_repository(
    tree: LinuxTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = tree.commit("first")
    other = LinuxTree.make(tmp_path / "other")
    other.change("README", "another one\n")
    other.commit("other")
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.path / ".git/index"))
    assert seen(tree).commit == commit


@pytest.mark.parametrize("git", [pytest.param(True, marks=needs_git), False])
def test_what_we_write_into_the_tree_does_not_count(tree: LinuxTree, git: bool) -> None:
    if git:
        tree.commit("first")

    def others() -> Checkout:
        return look(tree.path, "Makefile", (tree.path / "target/out", tree.path / "results.db"))

    before = others()
    (tree.path / "target/out/build").mkdir(parents=True)
    for name in ("target/out/build/x.o", "results.db", "results.db-wal"):
        tree.change(name, "ours\n")
        assert others() == before
        assert seen(tree) != before
    tree.change("target/sources.c", "theirs\n")
    assert others() != before


def test_no_git(tree: LinuxTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert seen(tree).commit == ""


def test_missing_tree(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        look(tmp_path / "none", "Makefile")
