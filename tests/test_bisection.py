"""A history is searched in a worktree of its own: by real git, in real repositories."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from linux_tree import LinuxTree

from sistasks import bisect_steps
from sistasks.bisection.repository import Repository
from sistasks.bisection.search import Search
from sistasks.errors import SistasksError, UsageError
from sistasks.layout import Layout
from sistasks.settings import resolve
from sistasks.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

# good and bad are words in a file; a third one cannot be tested
STEP = """
import pathlib, sys
words = pathlib.Path(sys.argv[1], "kernel/fork.c").read_text()
print("looked at", words.split()[1])
sys.exit(125 if "broken" in words else 1 if "slow" in words else 0)
"""


@pytest.fixture
def tree(tmp_path: Path) -> LinuxTree:
    made = LinuxTree.make(tmp_path / "linux")
    made.commit("begin")
    return made


def _history(tree: LinuxTree, *states: str) -> list[str]:
    commits = []
    for number, state in enumerate(states):
        tree.change("kernel/fork.c", f"// {number} {state}\nint fork_one(void) {{ return 1; }}\n")
        commits.append(tree.commit(f"{number} {state}"))
    return commits


def _searched(tree: LinuxTree, tmp_path: Path, commits: list[str]) -> tuple[Repository, tuple[str, ...]]:
    repository = Repository(tree.path, tmp_path / "work" / "tree")
    repository.check_out(commits[-1])
    repository.begin(commits[0], commits[-1])
    script = tmp_path / "step.py"
    script.write_text(STEP)
    return repository, repository.search([sys.executable, str(script), str(repository.work)]).commits


@pytest.mark.parametrize("first_bad", [1, 3, 6])
def test_the_first_bad_commit_is_found_and_the_checkout_left_alone(
    tree: LinuxTree, tmp_path: Path, first_bad: int, capfd: pytest.CaptureFixture[str]
) -> None:
    commits = _history(tree, *("fine" if number < first_bad else "slow" for number in range(7)))
    tree.change("kernel/exit.c", "int exit_one(void) { return 3; } // not committed\n")
    before = (tree.git("rev-parse", "HEAD"), tree.git("status", "--porcelain"), tree.git("branch"))
    repository, found = _searched(tree, tmp_path, commits)
    assert found == (commits[first_bad],)
    assert "looked at" in capfd.readouterr().out
    repository.remove()
    assert not repository.work.exists()
    assert (tree.git("rev-parse", "HEAD"), tree.git("status", "--porcelain"), tree.git("branch")) == before
    assert tree.git("worktree", "list").count("\n") == 0
    assert repository.title(commits[first_bad]).split(" ", 1)[1].startswith(f"{first_bad} slow (nobody, ")


def test_commits_that_cannot_be_tested_are_passed_over(tree: LinuxTree, tmp_path: Path) -> None:
    commits = _history(tree, "fine", "broken", "fine", "broken", "slow", "slow")
    _, found = _searched(tree, tmp_path, commits)
    # between the last good one and the first bad one stands one that cannot be told
    assert set(found) == {commits[3], commits[4]}


def test_one_that_is_broken_elsewhere_is_no_hindrance(tree: LinuxTree, tmp_path: Path) -> None:
    commits = _history(tree, "fine", "broken", "broken", "fine", "slow", "broken", "slow")
    assert _searched(tree, tmp_path, commits)[1] == (commits[4],)


def test_what_was_interrupted_goes_on(tree: LinuxTree, tmp_path: Path) -> None:
    commits = _history(tree, *("fine" if number < 5 else "slow" for number in range(8)))
    repository = Repository(tree.path, tmp_path / "work" / "tree")
    assert not repository.under_way
    repository.check_out(commits[-1])
    repository.begin(commits[0], commits[-1])
    assert repository.under_way
    assert repository.search(["false-command-that-is-not-there"]).commits == ()
    script = tmp_path / "step.py"
    script.write_text(STEP)
    # the same in another process, that is interrupted in its first step
    waiting = tmp_path / "wait.py"
    waiting.write_text("import sys, time\nprint('in a step', flush=True)\ntime.sleep(60)\n")
    code = (
        "import sys\nfrom pathlib import Path\nfrom sistasks.bisection.repository import Repository\n"
        f"Repository(Path({str(tree.path)!r}), Path({str(repository.work)!r})).search(["
        f"sys.executable, {str(waiting)!r}])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if b"in a step" in line:
                break
        began = time.monotonic()
        child.send_signal(signal.SIGINT)
        assert child.wait(30) != 0
        assert time.monotonic() - began < 30
    assert repository.under_way
    assert repository.search([sys.executable, str(script), str(repository.work)]).commits == (commits[5],)


def test_ends_that_cannot_be_are_named(tree: LinuxTree, tmp_path: Path) -> None:
    repository = Repository(tree.path, tmp_path / "work")
    with pytest.raises(UsageError, match=r"there is no commit 'v9\.9'"):
        repository.commit("v9.9")
    outside = tmp_path / "outside"
    outside.mkdir()
    environ = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", environ)
        with pytest.raises(UsageError, match="is in no git repository"):
            Repository(outside, tmp_path / "work").commit("HEAD")


def test_a_worktree_that_was_left_half_made_is_made_anew(tree: LinuxTree, tmp_path: Path) -> None:
    (commit,) = _history(tree, "fine")
    repository = Repository(tree.path, tmp_path / "work")
    repository.check_out(commit)
    (repository.work / ".git").unlink()
    repository.check_out(commit)
    assert (repository.work / "kernel" / "fork.c").read_text().startswith("// 0 fine")


SEARCH = Search(
    variables={"memory": "128M"}, project="", output="build", kernel="mine", work="work", suite="performance",
    good="a", bad="b", metric="context_switch.latency",
)  # fmt: skip


def test_a_search_is_kept_and_known_again(tmp_path: Path) -> None:
    path = tmp_path / "search.json"
    assert Search.read(path) is None
    replace(SEARCH, good_run=3, bad_run=4).write(path)
    kept = Search.read(path)
    assert kept is not None
    assert (kept.good_run, kept.bad_run) == (3, 4)
    assert kept.same(SEARCH)
    assert not kept.same(replace(SEARCH, bad="c"))
    for damage in ("", "[]", "{}", "{"):
        path.write_text(damage)
        assert Search.read(path) is None


def test_steps_build_the_worktree_in_a_place_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.sistasks.kernels.mine]\nkind = "tree"\npath = "linux"\nmake = ["LLVM=1"]\n'
    )
    found = replace(SEARCH, project=str(tmp_path), work=str(tmp_path / "tree")).settings()
    assert found.kernels["mine"].values["path"] == tmp_path / "tree"
    assert found.kernels["mine"].values["make"] == ("LLVM=1",)
    assert (found.nodes, found.memory, str(found.output)) == (1, 128 << 20, "build")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"kernel": "debian"}, "kernel=debian is no tree"),
        ({"good": ""}, "good= is missing"),
        ({"bad": ""}, "bad= is missing"),
        ({"clock": "wall"}, "cannot be on the wall clock"),
        ({"metric": ""}, "metric= or crash= is missing"),
        ({"metric": "no.such"}, "metric=no.such is measured by no suite of one node"),
        ({"metric": "", "crash": "7"}, "crash=7 is not in results.db"),
        ({"crash": "7"}, "or both are there"),
        ({"good": "v9.9"}, "there is no commit 'v9.9'"),
        ({"good": "HEAD", "bad": "HEAD~1"}, "good=HEAD is not in the history of bad=HEAD~1"),
    ],
)
def test_what_cannot_be_bisected_is_refused_before_anything_is_done(
    tree: LinuxTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    _history(tree, "fine", "slow")
    (tmp_path / "pyproject.toml").write_text('[tool.sistasks.kernels.mine]\nkind = "tree"\npath = "linux"\n')
    monkeypatch.chdir(tmp_path)
    asked = {
        "kernel": "mine",
        "good": "HEAD~1",
        "bad": "HEAD",
        "metric": "context_switch.latency",
        **variables,
    }
    typed = {name: text for name, text in asked.items() if text}
    settings = resolve(typed)
    with (
        pytest.raises(SistasksError) as refused,
        Terminal(settings, Layout(settings.output), io.StringIO()) as terminal,
    ):
        bisect_steps.bisect(settings, terminal, command_line=typed)
    assert refused.value.exit_code == 3
    assert words in str(refused.value)
    assert not (settings.output / "bisect").exists()
    assert tree.git("worktree", "list").count("\n") == 0
