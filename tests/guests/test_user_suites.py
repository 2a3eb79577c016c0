"""Programs and suites of a user's in real guests: from the table to the history and the gate."""

from __future__ import annotations

import io
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from guest_project import DODO, Project, nodes_of, rows

from sistasks.evidence import kernels
from sistasks.extend import Nodes, suite
from sistasks.kinds import host_arch
from sistasks.layout import Layout
from sistasks.machine.arch import ARCHES
from sistasks.settings import resolve
from sistasks.suites import registry
from sistasks.suites.confirm import measure_pairs
from sistasks.suites.recipe import recipes
from sistasks.suites.trial import Trial
from sistasks.terminal import Terminal
from sistasks.tools import find_compiler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.guest

# what it does is its first argument
BENCH = r"""
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "";
    uint64_t random = strtoull(getenv("SIS_SEED"), NULL, 10);
    for (int sample = 0; sample < atoi(getenv("SIS_ITERATIONS")); sample++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        double begin = now();
        for (volatile uint64_t turn = 0; turn < 100 + (random >> 54); turn++) {
        }
        printf("METRIC latency=%.4f us\n", (now() - begin) / 1e3);
    }
    printf("METRIC node=%s\n", getenv("SIS_NODE"));
    if (strcmp(what, "exit") == 0) {
        fprintf(stderr, "no such device\n");
        return 4;
    }
    if (strcmp(what, "crash") == 0) {
        fflush(stdout);
        raise(SIGSEGV);
    }
    if (strcmp(what, "hang") == 0) {
        fflush(stdout);
        pause();
    }
    if (strcmp(what, "garble") == 0) {
        printf("METRIC latency=fast\n");
    }
    if (strcmp(what, "look") == 0) {
        char path[300], name[32] = "";
        int left = 0;
        DIR *processes = opendir("/proc");
        for (struct dirent *entry; (entry = readdir(processes)) != NULL; name[0] = 0) {
            snprintf(path, sizeof path, "/proc/%s/comm", entry->d_name);
            FILE *file = fopen(path, "r");
            left += file != NULL && fgets(name, sizeof name, file) != NULL && strstr(name, "_daemon") != NULL;
        }
        printf("METRIC left=%d\n", left);
    }
    if (strcmp(what, "daemon") == 0 && fork() == 0) { /* nothing of it may be left for the next test */
        setsid();
        for (;;) {
        }
    }
    return 0;
}
"""
TABLE = '[tool.sistasks.programs.{name}]\npath = "bench"\narguments = ["{what}"]\nmetrics = ["latency"]\ntimeout = 2\n'


@dataclass(frozen=True)
class User(Project):
    """A project with a program, and what has been built for all guest tests."""

    def build(self, *flags: str) -> None:
        source = self.folder / "bench.c"
        source.write_text(BENCH)
        compiler = find_compiler(ARCHES[host_arch()])
        command = [*compiler, "-O1", *(flags or ("-static",)), "-o", str(self.folder / "bench"), str(source)]
        subprocess.run(command, check=True)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.doit(*words, "memory=128M", "iterations=50", limit=200)

    def good(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def rows(self, query: str) -> list[tuple[object, ...]]:
        return rows(self.folder / "results.db", query)


@pytest.fixture
def user(project: Project, tmp_path: Path) -> Iterator[User]:
    (tmp_path / "dodo.py").write_text(DODO)
    made = User(tmp_path)
    made.share_output(project)
    made.build()
    yield made
    assert nodes_of(tmp_path) == []


def test_a_program_is_measured_judged_and_repeats_to_the_bit(user: User) -> None:
    (user.folder / "pyproject.toml").write_text(TABLE.format(name="bench", what=""))
    assert "programs: ok, 2 of 2 tests passed" in user.good("programs", "nodes=2", "clock=virtual")
    assert "up to date" in user.good("programs", "nodes=2", "clock=virtual")
    user.good("programs", "nodes=2", "clock=virtual", "runs=2")
    found = user.rows("select node, metric, count, encoding, data from samples order by run_id, node, metric")
    assert [row[:3] for row in found[:4]] == [
        (1, "bench.latency", 50), (1, "bench.node", 1), (2, "bench.latency", 50), (2, "bench.node", 1),
    ]  # fmt: skip
    assert found[:4] == found[4:], "every sample of both runs is the same"
    assert found[0][4] != found[2][4], "each node has its own seed"
    assert user.rows("select name, unit, better from metrics") == [
        ("bench.latency", "ns", "lower"), ("bench.node", "", "lower"),
    ]  # fmt: skip
    # another kernel under test, and its verdict
    user.good("programs", "nodes=2", "clock=virtual", "arguments=nothing.at_all=1")
    assert "bench.latency" in user.good("gate", "nodes=2", "clock=virtual", "arguments=nothing.at_all=1")
    assert user.rows("select count(*) from verdicts where metric = 'bench.latency'") != [(0,)]


def test_however_a_program_ends_it_is_told(user: User) -> None:
    ends = ("fine", "exit", "crash", "hang", "garble", "daemon")
    table = "".join(TABLE.format(name=f"{n}_{what}", what=what) for n, what in enumerate(ends))
    table += TABLE.format(name="6_look", what="look")
    missing = TABLE.format(name="a_missing", what="").replace("latency", "lateness")
    (user.folder / "pyproject.toml").write_text(table + missing)
    done = user.run("programs", "nodes=1")
    assert done.returncode == 1, done.stdout + done.stderr
    found = {
        str(test): (status, message)
        for test, status, message in user.rows("select test, status, message from results")
    }
    assert found == {
        "0_fine": ("pass", ""),
        "1_exit": ("fail", "exit code 4: no such device"),
        "2_crash": ("fail", "it was killed by signal 11 (Segmentation fault)"),
        "3_hang": ("fail", "it was still running after 2 s and was killed"),
        "4_garble": ("error", "METRIC 'latency=fast' is no number, left out"),
        "5_daemon": ("pass", ""),
        "6_look": ("pass", ""),
        "a_missing": ("error", "not measured: a_missing.lateness"),
    }
    assert user.rows("select mean from summaries where metric = '6_look.left'") == [(0.0,)], "it was ended"
    assert user.rows("select distinct count from samples where metric like '%latency'") == [(50,)], (
        "all were kept"
    )


def test_a_program_built_anew_does_not_touch_suites_without_programs(user: User) -> None:
    (user.folder / "pyproject.toml").write_text(TABLE.format(name="bench", what=""))
    user.good("performance", "programs", "nodes=1", "clock=virtual")
    user.build("-static", "-g")
    said = user.good("performance", "programs", "nodes=1", "clock=virtual")
    assert "performance: up to date" in said
    assert "programs: ok" in said
    assert user.rows("select suite from runs") == [("performance",), ("programs",), ("programs",)]
    assert len(user.rows("select distinct environment_id from runs where suite = 'programs'")) == 2


def test_what_is_no_program_is_refused_in_a_sentence(user: User) -> None:
    (user.folder / "pyproject.toml").write_text(TABLE.format(name="bench", what=""))
    user.build("-O2")
    done = user.run("programs", "nodes=1")
    assert done.returncode == 3
    assert "is linked dynamically, and the guest has no libraries; link it with -static" in done.stderr
    (user.folder / "bench").unlink()
    done = user.run("programs", "nodes=1")
    assert done.returncode == 3
    assert "no such file; build it" in done.stderr
    (user.folder / "pyproject.toml").write_text(TABLE.format(name="throughput", what=""))
    done = user.run("list")
    assert done.returncode == 3
    assert "programs.throughput: the name is taken" in done.stderr


ACTING = """
from sistasks.tasks import *
from sistasks.extend import KernelFailure, suite

async def poke(nodes):
    await nodes.pause(1)
    await nodes.go(1)
    nodes.kill(2)
    samples = await nodes.done(1)
    if nodes.seed == 7:
        raise KernelFailure("seven is not lucky")
    if nodes.seed == 8:
        return {"value": ["much"]}
    if nodes.seed == 9:
        nodes.kill(2)
    return {"value": [1, 2.5], "samples": [len(samples["throughput.rate"])]}

suite("poking", tests=["throughput"], act=poke, measures=["value"])
"""


def test_a_suite_that_acts_on_its_nodes(user: User) -> None:
    (user.folder / "dodo.py").write_text(ACTING)
    assert "poking: ok" in user.good("poking", "nodes=2")
    assert "up to date" in user.good("poking", "nodes=2")
    assert user.rows("select test, status from results where node = 0") == [("poke", "pass")]
    assert user.rows("select metric, count, mean from summaries where node = 0") == [
        ("poke.samples", 1, 50.0), ("poke.value", 2, 1.75),
    ]  # fmt: skip
    failed = user.run("poking", "nodes=2", "seed=7")
    assert failed.returncode == 1
    assert "seven is not lucky" in failed.stdout + failed.stderr
    assert user.rows("select status, message from runs where seed = 7") == [
        ("failed", "node 0, poke: seven is not lucky")
    ]
    for seed, words in (
        (8, "poke of the suite poking gave 'much' for value"),
        (9, "there is no node 2 to act on"),
    ):
        refused = user.run("poking", "nodes=2", f"seed={seed}")
        assert refused.returncode == 3
        assert words in refused.stderr
    (user.folder / "dodo.py").write_text(ACTING.replace("2.5", "3.5"))
    user.good("poking", "nodes=2")
    assert user.rows("select count(*) from runs where status = 'ok'") == [(2,)], (
        "another function is another suite"
    )


async def poke(nodes: Nodes) -> dict[str, list[float]]:
    samples = await nodes.done(1)
    return {"value": [float(len(samples["bench.latency"]))]}


def test_what_acts_on_nodes_is_confirmed_with_fresh_ones(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    (user.folder / "pyproject.toml").write_text(TABLE.format(name="bench", what=""))
    (user.folder / "dodo.py").write_text(
        DODO + "from sistasks.extend import suite\nsuite('quiet', tests=['bench'])\n"
    )
    user.good("quiet", "nodes=2", "clock=wall")
    monkeypatch.chdir(user.folder)
    monkeypatch.setattr(registry, "_registered", {})
    suite("quiet", tests=["bench"], act=poke, measures=["value"])
    asked = {"nodes": "2", "memory": "128M", "iterations": "50"}
    settings = resolve(asked, {})
    quiet = registry.find("quiet", settings)
    (recipe,) = recipes(quiet, settings)
    layout = Layout(settings.output)
    kept = kernels.find(layout.kept_kernels(settings.db), recipe.kernel_id, recipe.guest_sha256)
    assert kept is not None, "the guest with its programs is kept beside the kernel"
    with Terminal(settings, layout, io.StringIO()) as terminal:
        ((before, after),) = measure_pairs(recipe, quiet, kept, Trial(1), terminal)
    assert before.keys() == after.keys()
    assert before["poke.value", "p50"] == 50
    assert before["bench.latency", "p50"] > 0
