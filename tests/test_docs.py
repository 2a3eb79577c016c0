"""The documents say what is true: tables made from the code, and nothing named that is not there."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sistasks import reference, settings
from sistasks.history.connection import writing
from sistasks.suites.metrics import METRICS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_tables_of_the_readme_are_those_of_the_code() -> None:
    assert reference.renew(README) == README, "run: python -m sistasks.reference README.md"
    for name in settings.names():
        assert f"| `{name}` |" in README
    for name in METRICS:
        assert f"| `{name}` |" in README


def test_every_task_that_is_named_exists() -> None:
    from sistasks import tasks

    known = {name.removeprefix("task_") for name in tasks.__all__ if name.startswith("task_")}
    known -= {name for name in known if name.startswith("_")}  # steps that only serve others
    known |= {"list", "help"}
    named = set()
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for code in re.findall(r"`doit ([^`]+)`", path.read_text()):
            words = [word for word in code.split() if "=" not in word and not word.startswith("-")]
            named.update(words)
    assert named <= known
    assert named >= known - {"help"}


def test_every_table_of_the_history_is_told_of_and_the_other_way_round(tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    with writing(db):
        pass
    with closing(sqlite3.connect(db)) as connection:
        found = {
            name
            for (name,) in connection.execute(
                "select name from sqlite_master where type in ('table', 'view')"
            )
        }
    found = {name for name in found if not name.startswith(("sqlite_", "_"))}
    text = (ROOT / "docs/history.md").read_text()
    told = set(re.findall(r"`(\w+)`", text.split("## Questions")[0]))
    assert found <= told
    assert told - found <= {"ok", "failed", "error", "pass", "fail", "skip"}


def test_the_questions_of_the_history_can_be_asked(tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    with writing(db):
        pass
    questions = re.findall(r"```sql\n(.*?)```", (ROOT / "docs/history.md").read_text(), re.DOTALL)
    assert questions
    with closing(sqlite3.connect(db)) as connection:
        for question in questions:
            connection.execute(question)


@pytest.mark.parametrize(
    "path", sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")]), ids=lambda path: path.name
)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
        assert (path.parent / target).stat().st_size > 0, target


def test_ci_runs_the_commands_of_the_readme() -> None:
    script = (ROOT / ".ci/run").read_text()
    for command in re.findall(r"```sh\n(.*?)```", README, re.DOTALL):
        for part in command.strip().split(" && "):
            last = part.split("/")[-1].removeprefix("python3 ")
            assert last.split("'")[0].strip() in script.replace("--quiet ", ""), part
