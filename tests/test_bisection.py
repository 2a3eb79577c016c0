"""A history is searched in a worktree of its own: by real git, in real repositories."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import history_records as records
import judged
import pytest
from linux_tree import LinuxTree

from sistasks import bisect_steps
from sistasks.bisection import step
from sistasks.bisection.repository import Repository
from sistasks.bisection.search import Search
from sistasks.errors import HistoryError, SistasksError, UsageError
from sistasks.files import locked
from sistasks.history.cases import run_of_commit
from sistasks.history.records import KernelRow
from sistasks.history.store import write_run
from sistasks.layout import Layout
from sistasks.settings import resolve
from sistasks.terminal import Terminal

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
    assert found.clock == "virtual", "whatever this host could accelerate"


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
        ({"good": "HEAD"}, "good=HEAD and bad=HEAD are the same commit"),
        ({"good": "HEAD", "bad": "HEAD~1"}, "good=HEAD is not in the history of bad=HEAD~1"),
    ],
)
def test_what_cannot_be_bisected_is_refused_before_anything_is_done(
    tree: LinuxTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    _history(tree, "fine", "slow")
    monkeypatch.chdir(tmp_path)
    refused = _refused(tmp_path, variables)
    assert refused.exit_code == 3
    assert words in str(refused)
    assert not Path("target/testing/bisect").exists()
    assert tree.git("worktree", "list").count("\n") == 0


def test_ends_that_cannot_be_tested_leave_no_worktree(
    tree: LinuxTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _history(tree, "fine", "slow")
    monkeypatch.chdir(tmp_path)
    refused = _refused(tmp_path, {"qemu": str(tmp_path / "no-qemu")})
    assert "no-qemu" in str(refused)
    assert tree.git("worktree", "list").count("\n") == 0
    assert not Path("target/testing/bisect/mine/tree").exists()


def test_two_bisections_of_one_kernel_do_not_take_each_others_worktree_away(
    tree: LinuxTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = _history(tree, "fine", "slow")
    monkeypatch.chdir(tmp_path)
    folder = Path("target/testing/bisect/mine").absolute()
    Repository(tree.path, folder / "tree").check_out(commits[0])
    with locked(folder):
        refused = _refused(tmp_path, {})
    assert "another bisection of kernel=mine is under way" in str(refused)
    assert (folder / "tree" / "Makefile").exists()


def _refused(project: Path, variables: dict[str, str]) -> SistasksError:
    (project / "pyproject.toml").write_text('[tool.sistasks.kernels.mine]\nkind = "tree"\npath = "linux"\n')
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
    return refused.value


def test_a_tree_may_be_a_folder_of_its_repository(tree: LinuxTree, tmp_path: Path) -> None:
    (commit,) = _history(tree, "fine")
    repository = Repository(tree.path / "kernel", tmp_path / "work")
    repository.check_out(commit)
    assert repository.folder() == tmp_path / "work" / "kernel"
    assert (repository.folder() / "fork.c").exists()
    assert Repository(tree.path, tmp_path / "work").folder() == tmp_path / "work"


def _run(db: Path, commit: str, p50: float, p95: float, **changes: Any) -> int:
    """A run of the kernel of a commit."""
    kernel = KernelRow(
        id=hashlib.sha256(commit.encode()).hexdigest(), name="mine", arch="x86_64", git_commit=commit,
        git_dirty=False, size=1, path="/boot/vmlinuz",
    )  # fmt: skip
    found = records.run(
        1,
        kernel=kernel,
        summaries=(records.summary(1, SEARCH.metric, p50=p50, p95=p95, p99=p95),),
        samples=(),
        **changes,
    )
    return write_run(db, records.session(), found, judged.METRICS)


def test_commits_are_judged_by_the_statistic_by_which_the_ends_differ(tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    good, bad = _run(db, "a" * 40, 1000.0, 2000.0), _run(db, "b" * 40, 1000.0, 2200.0)
    search = replace(SEARCH, good="a" * 40, bad="b" * 40, good_run=good, bad_run=bad)
    settings = resolve({"db": str(db), "output": str(tmp_path / "target")})
    # the median of one is worse by more than all that is searched, and no part of it
    tested = {_run(db, "c" * 40, 1300.0, 2000.0): step.GOOD, _run(db, "d" * 40, 1000.0, 2190.0): step.BAD}
    with Terminal(settings, Layout(settings.output), io.StringIO()) as terminal:
        for run, expected in tested.items():
            assert step.by_metric(search, settings, step.Tested(run), terminal) == expected


def test_a_run_that_was_measured_otherwise_stops_the_search(tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    good, bad = _run(db, "a" * 40, 1000.0, 2000.0), _run(db, "b" * 40, 1100.0, 2200.0)
    search = replace(SEARCH, good="a" * 40, bad="b" * 40, good_run=good, bad_run=bad)
    settings = resolve({"db": str(db)})
    other = _run(db, "c" * 40, 1100.0, 2200.0, environment=records.environment(qemu_version="9.0.0"))
    with pytest.raises(HistoryError, match=f"run {other} was not measured as run {good} of the good end"):
        step.verdict_on(search, settings, other)


def test_a_history_that_is_another_one_is_not_taken_for_that_of_the_ends(tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    good, bad = _run(db, "a" * 40, 1000.0, 1000.0), _run(db, "b" * 40, 1100.0, 1100.0)
    search = replace(SEARCH, good="a" * 40, bad="b" * 40, good_run=good, bad_run=bad)
    assert search.holds(db)
    assert not replace(search, bad_run=bad + 1).holds(db)
    db.unlink()
    assert not search.holds(db)
    # runs of two steps have the numbers of the ends
    assert (_run(db, "c" * 40, 1000.0, 1000.0), _run(db, "d" * 40, 1000.0, 1000.0)) == (good, bad)
    assert not search.holds(db)


def test_what_a_commit_had_before_the_bisection_is_not_shown_for_it(tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    old = _run(db, "c" * 40, 5000.0, 5000.0)
    good = _run(db, "a" * 40, 1000.0, 1000.0)
    assert run_of_commit(db, "performance", "c" * 40, old) == old
    assert run_of_commit(db, "performance", "c" * 40, good) == 0
    _run(db, "c" * 40, 900.0, 900.0, environment=records.environment(memory_bytes=2**27))
    assert run_of_commit(db, "performance", "c" * 40, good) == 0
    assert run_of_commit(db, "performance", "c" * 40, _run(db, "c" * 40, 1000.0, 1000.0)) != 0
