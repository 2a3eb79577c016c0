"""Which kernels are asked for together, and what each of them is judged by: never by one that stands beside it."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import history_records as records
import pytest
from browsing import browsing
from judged import RATE, SWITCH, accept, baseline, kernel_id, told, write

from sistasks.combinations import called, each_architecture, each_of_matrix, label, require_one
from sistasks.compare_steps import compare
from sistasks.errors import UsageError
from sistasks.history.kin import beside, noted
from sistasks.history.profiles import profiled_baseline
from sistasks.history.read import recent_kernels
from sistasks.layout import kernel_key
from sistasks.report import collect, junit, markdown_summary
from sistasks.report.write import write_report
from sistasks.settings import Settings, resolve
from sistasks.steps import check_kernels
from sistasks.suites.recording import this_session
from sistasks.verdicts.baseline import open_history
from sistasks.verdicts.records import Verdict
from sistasks.verdicts.store import write_verdicts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SAME = {SWITCH: [1000.0], RATE: [50.0]}
BOTH = ("debian", "mine")


def read(pyproject: str = "", **values: str) -> Settings:
    path = Path("pyproject.toml")
    path.write_text(pyproject)
    return resolve(values, environ={}, pyproject=path)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "results.db"


def session(
    db: Path,
    name: str,
    asked: Sequence[str],
    *kernels: str,
    values: Mapping[str, list[float]] = SAME,
    arch: str = "x86_64",
) -> None:
    """A session with a run of each of some kernels, that was asked for several together or for none."""
    environment = records.environment(arch=arch, clock="virtual")
    for kernel in kernels:
        write(db, values, kernel, session=name, asked=asked, environment=environment)


def test_every_combination() -> None:
    settings = read(kernel="debian, ./mine.img", arch="x86_64,arm64")
    assert (settings.kernel, settings.kernels_asked) == ("debian", ("debian", "./mine.img"))
    combinations = each_of_matrix(settings)
    assert [(one.kernel, one.arch) for one in combinations] == [
        ("debian", "x86_64"), ("./mine.img", "x86_64"), ("debian", "arm64"), ("./mine.img", "arm64"),
    ]  # fmt: skip
    assert [label(one) for one in combinations] == [
        "debian-x86_64", "mine-x86_64", "debian-arm64", "mine-arm64",
    ]  # fmt: skip
    assert len({kernel_key(one) for one in combinations}) == 4
    assert [label(one) for one in each_architecture(settings)] == ["x86_64", "arm64"]
    assert [label(one) for one in each_of_matrix(read(kernel="debian,host"))] == ["debian", "host"]
    assert [label(one) for one in each_of_matrix(read(arch="arm,arm64"))] == ["arm", "arm64"]
    assert [label(one) for one in each_of_matrix(read(kernel="debian"))] == [""]


def test_a_label_is_a_name_that_any_tool_takes() -> None:
    found = [label(one) for one in each_of_matrix(read(kernel="a b*=:,a-b"))]
    assert len(set(found)) == 2
    assert found[0].startswith("a-b-")
    assert found[0].replace("-", "").isalnum()


def test_a_file_with_commas_in_its_name_is_one_kernel() -> None:
    assert read(kernel="a,b.img").kernels_asked == ("a", "b.img")
    Path("a,b.img").touch()
    settings = read(kernel="a,b.img")
    assert (settings.kernel, settings.kernels_asked, called(settings.kernel, settings)) == (
        "a,b.img",
        (),
        "a,b",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,,b", "kernel=a,,b has an empty place; kernel is a name"),
        ("a,", "kernel=a, has an empty place"),
        (",", "kernel=, has an empty place"),
        ("host,debian,host", "kernel=host,debian,host names host twice; name each kernel once"),
        (
            "old/bzImage,new/bzImage",
            "kernel=old/bzImage and kernel=new/bzImage would both be called bzImage; give",
        ),
        ("./debian.img,debian", "kernel=./debian.img and kernel=debian would both be called debian"),
    ],
)
def test_what_cannot_be_asked_together(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(kernel=text)
    assert words in str(caught.value)
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (3, False)


def test_an_unknown_one_is_refused_before_anything_is_built() -> None:
    table = '[tool.sistasks.kernels.mine]\nkind = "file"\nimage = "image"\n'
    check_kernels(read(table, kernel="mine,debian"), None)  # type: ignore[arg-type] # it says nothing
    with pytest.raises(
        UsageError, match=r"^kernel=mime: no such kernel, no such file; did you mean 'mine'\?"
    ):
        check_kernels(read(table, kernel="debian,mime"), None)  # type: ignore[arg-type] # it says nothing


def test_what_is_of_one_kernel_refuses_several() -> None:
    require_one(read(kernel="debian"), "this", "name it")
    with pytest.raises(UsageError, match=r"^kernel=debian,host are several, and this is of one; name it"):
        require_one(read(kernel="debian,host"), "this", "name it")


def test_a_session_notes_what_it_was_asked_for() -> None:
    assert this_session(read(kernel="debian")).detail == ""
    assert json.loads(this_session(read(kernel="debian,./mine.img")).detail) == {
        "kernels": ["debian", "mine"]
    }


def test_kernels_that_were_asked_for_together_are_not_judged_against_each_other(db: Path) -> None:
    session(db, "s1", BOTH, "debian", "mine")
    assert (baseline(db, 1), baseline(db, 2)) == ([], [])
    session(db, "s2", BOTH, "debian", "mine")  # the same again
    assert (baseline(db, 3), baseline(db, 4)) == ([], [])
    session(db, "s3", BOTH, "mine@2")  # debian has nothing to do
    assert baseline(db, 5) == [4, 2]
    session(db, "s4", BOTH, "debian@2")
    assert baseline(db, 6) == [3, 1]
    session(db, "s5", (), "mine@2")  # it alone
    assert baseline(db, 7) == [4, 2]
    session(db, "s6", (), "mine")
    assert baseline(db, 8) == [7, 5]


def test_nor_where_one_of_them_had_nothing_to_do(db: Path) -> None:
    session(db, "s1", (), "debian")
    session(db, "s2", BOTH, "mine")
    assert baseline(db, 2) == []
    session(db, "s3", (), "mine")
    assert baseline(db, 3) == [], "they have been asked for together once"


def test_kernels_that_come_one_after_the_other_are(db: Path) -> None:
    session(db, "s1", (), "old")
    session(db, "s2", (), "new")
    assert baseline(db, 2) == [1]
    session(db, "s3", (), "new@2")
    assert baseline(db, 3) == [2], "the same name comes first"
    session(db, "s4", (), "newer")
    assert baseline(db, 4) == [3, 2, 1]
    session(db, "s5", BOTH, "newest")
    assert baseline(db, 5) == [4, 3, 2, 1], "a session's kernels, by another name"


def test_where_all_of_its_name_got_worse_the_others_are(db: Path) -> None:
    session(db, "s1", (), "old")
    session(db, "s2", (), "new")
    write_verdicts(
        db, 2, [Verdict(metric=SWITCH, statistic="p50", outcome="worse", method="m", baseline="b")]
    )
    session(db, "s3", (), "new@2")
    assert baseline(db, 3) == [1]


def test_arguments_are_behind_the_name(db: Path) -> None:
    session(db, "s1", BOTH, "debian quiet", "mine quiet")
    session(db, "s2", (), "mine-rt", "mine debug")
    session(db, "s3", BOTH, "mine quiet@2")
    assert baseline(db, 5) == [2]
    session(db, "s4", BOTH, "mine other")
    assert baseline(db, 6) == [5, 4, 3, 2]


def test_an_image_keeps_its_first_name(db: Path) -> None:
    session(db, "s1", BOTH, "bzImage", "debian")  # the one is asked for as mine now
    assert baseline(db, 2) == []
    session(db, "s2", BOTH, "debian")
    assert baseline(db, 3) == []
    session(db, "s3", (), "other")
    session(db, "s4", BOTH, "debian", "mine@2")
    assert (baseline(db, 5), baseline(db, 6)) == ([4], [4])


def test_what_stands_beside_a_kernel_is_found_in_one_pass() -> None:
    """One that is measured beside each night's build, called after its version, stands beside all of them."""

    def calls(nights: int) -> int:
        count = 0

        def counted(_frame: object, event: str, _argument: object) -> None:
            nonlocal count
            count += event.endswith("call")  # of C, too

        with closing(sqlite3.connect(":memory:")) as connection:
            connection.executescript(
                "CREATE TABLE sessions (id, detail); CREATE TABLE kernels (id, name);"
                "CREATE TABLE runs (session_id, kernel_id)"
            )
            for night in range(nights):
                asked = noted(["debian", f"v{night}"])
                connection.execute("INSERT INTO sessions VALUES (?, ?)", (night, asked))
                connection.execute("INSERT INTO kernels VALUES (?, ?)", (night, f"v{night} quiet"))
            sys.setprofile(counted)
            try:
                found = beside(connection, "debian quiet", "")
            finally:
                sys.setprofile(None)
        assert len(found) == nights
        return count

    assert calls(200) < 3 * calls(100)


def test_what_is_accepted_of_one_moves_no_other(db: Path) -> None:
    session(db, "s1", BOTH, "debian", "mine")
    session(db, "s2", BOTH, "debian@2", "mine@2")
    assert accept(db, 4)[0] == 0
    session(db, "s3", BOTH, "debian@3", "mine@3")
    assert (baseline(db, 5), baseline(db, 6)) == ([3, 1], [4])


def test_the_gate_judges_each_kernel_of_the_latest_session(db: Path) -> None:
    session(db, "s1", BOTH, "debian", "mine")
    assert told(db)[0] == 0
    session(db, "s2", BOTH, "debian@2")
    session(db, "s2", BOTH, "mine@2", values={SWITCH: [1200.0], RATE: [50.0]})
    with open_history(db) as history:
        assert [run.id for run in history.latest()] == [run.id for run in history.latest(good=True)] == [3, 4]
    code, words = told(db)
    assert code == 1
    assert "run 3 (debian) against run 1 (debian)" in words
    assert "run 4 (mine) against run 2 (mine)" in words
    assert "worse: context_switch.latency +20.0% (run 4)" in words.replace("p95 +20.0%, p99 +20.0%, ", "")
    session(db, "s3", (), "one", "two")  # of a script, which was not asked for both together
    with open_history(db) as history:
        assert [run.id for run in history.latest()] == [6]


def test_architectures_are_named_where_there_are_several(db: Path) -> None:
    for arch in ("x86_64", "arm64"):
        session(db, "s", (), "debian", arch=arch)
    said = told(db)[1]
    assert "run 1 (debian x86_64) has no baseline yet" in said
    assert "run 2 (debian arm64) has no baseline yet" in said


def test_a_series_is_of_one_kernel(db: Path) -> None:
    for index in range(6):
        session(db, f"s{index}", BOTH, f"debian@{index}", f"mine@{index}")
    with open_history(db) as history:
        for last, numbers in ((11, [1, 3, 5, 7, 9, 11]), (12, [2, 4, 6, 8, 10, 12])):
            found = history.series(history.run(last), 100)[SWITCH, "p50"]
            assert [number for number, _ in found] == numbers
            level, *others = history.other_levels(history.run(last), history.baseline_runs(history.run(last)))
            assert ({run.kernel_name for run in level}, others) == ({BOTH[last % 2]}, []), (
                "its noise is known"
            )


def test_a_baseline_with_a_profile_is_of_the_same_kernel(db: Path) -> None:
    session(db, "s1", BOTH, "mine", "debian")
    session(db, "s2", BOTH, "mine@2")
    with closing(sqlite3.connect(db)) as connection, connection:
        for run in (1, 2):
            connection.execute(
                "INSERT INTO profiles (run_id, node, test, phase, metrics, instructions, calls, blocks, accesses,"
                " functions, encoding, data) VALUES (?, 1, 't', 'p', '', 0, 0, 0, 0, 0, 'x', x'')",
                (run,),
            )
        assert profiled_baseline(connection, 3) == 1


def test_kernels_of_a_rare_one_are_kept(db: Path) -> None:
    session(db, "s0", BOTH, "debian", "mine@0")
    for index in range(1, 6):
        session(db, f"s{index}", BOTH, f"mine@{index}")
    assert {kernel_id("debian"), kernel_id("mine@5"), kernel_id("mine@4")} <= recent_kernels(db, 2)
    assert kernel_id("mine@1") not in recent_kernels(db, 2)


def test_comparing_what_was_measured_side_by_side(db: Path) -> None:
    session(db, "s1", BOTH, "debian quiet", "mine quiet")
    session(db, "s2", BOTH, "debian quiet@2", "mine quiet@2")
    for variables, words in (
        ({"base": "debian", "head": "mine"}, ["run 4 (mine quiet) against run 3 (debian quiet)"]),
        (
            {"base": "s1", "head": "s2"},
            ["run 3 (debian quiet) against run 1", "run 4 (mine quiet) against run 2"],
        ),
        ({}, ["run 3 (debian quiet) against run 1", "run 4 (mine quiet) against run 2"]),
    ):
        code, said = told(db, compare, **variables)
        assert (code, said.count(" against "), [each in said for each in words]) == (
            0,
            len(words),
            [True] * len(words),
        )


def test_the_report_names_each_kernel(db: Path, tmp_path: Path) -> None:
    session(db, "s1", BOTH, "debian", "mine")
    session(db, "s2", BOTH, "debian@2", "mine@2")
    runs = collect(db)
    assert [run.title for run in runs] == ["performance (debian)", "performance (mine)"]
    assert [[past.run_id for past in run.metrics[0].history] for run in runs] == [[1, 3], [2, 4]]
    assert '<testsuite name="performance (mine)"' in junit(runs, {})
    assert "### performance \\(mine\\)" in markdown_summary(runs)
    names = {path.name for path in write_report(db, tmp_path / "out")}
    assert {"performance_debian_results.json", "performance_mine_results.json"} <= names
    session(db, "s3", (), "mine@3")
    (run,) = collect(db)
    assert run.title == "performance"
    for arch in ("x86_64", "arm64"):
        session(db, "s4", BOTH, "debian@4", "mine@4", arch=arch)
    assert [run.title for run in collect(db)] == [
        "performance (debian, x86_64)", "performance (mine, x86_64)", "performance (debian, arm64)",
        "performance (mine, arm64)",
    ]  # fmt: skip


def test_datasette_draws_one_kernel_at_a_time(db: Path) -> None:
    session(db, "s1", BOTH, "debian", "mine")
    session(db, "s2", BOTH, "debian@2", "mine@2")
    page = f"/-/metric/{SWITCH.replace('.', '~2E')}"
    with browsing(db) as site:
        newest, chosen, none = (
            site.json(f"{page}.json{query}") for query in ("", "?kernel=debian", "?kernel=x")
        )
        assert [point["run_id"] for point in newest["points"]] == [2, 4]
        assert [point["run_id"] for point in chosen["points"]] == [1, 3]
        assert none["points"] == newest["points"]
        assert [one["name"] for one in newest["kernels"]] == ["mine", "debian"]
        status, text = site.get(page)
        assert status == 200
        assert "kernel=debian" in text
        (metric, *_) = site.json("/-/run/3.json")["metrics"]
        assert len(metric["recent"]) == 2
