"""The action, the workflow and the examples of the documents: what they say can be run."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from actions import ACTION, ALWAYS, IF_ACCEPTED, ROOT, WORKFLOWS, load, parses
from test_own_security import workflow_problems

from sistasks import settings, tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

CI = (ROOT / "docs/ci.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", CI, re.DOTALL)
TASKS = {name.removeprefix("task_") for name in tasks.__all__ if name.startswith("task_")}


def scripts() -> Iterator[tuple[str, str]]:
    """Where it stands, and the script, of all that a shell is given."""
    for step in load(ACTION.read_text())["runs"]["steps"]:
        if "run" in step:
            yield f"action.yml: {step['name']}", step["run"]
    texts = [path.read_text() for path in WORKFLOWS.glob("*.yml")] + EXAMPLES
    for number, text in enumerate(texts):
        for name, job in jobs(load(text)).items():
            for step in job.get("steps", []):
                if "run" in step:
                    yield f"{number}: {name}", step["run"]
            for key in ("before_script", "script", "after_script"):
                if key in job:
                    yield f"{number}: {name}: {key}", "\n".join(job[key])


def jobs(flow: dict[Any, Any]) -> dict[str, Any]:
    """Of GitHub's, or of GitLab's."""
    found: dict[str, Any] = flow.get("jobs", flow)
    return {name: job for name, job in found.items() if isinstance(job, dict)}


def test_every_script_is_one() -> None:
    found = dict(scripts())
    assert len(found) >= 8
    for where, script in found.items():
        assert parses(script) == "", where
    assert "syntax error" in parses("if true; then")


def test_every_command_of_ours_is_one() -> None:
    """Tasks and variables that are typed exist."""
    inputs = load(ACTION.read_text())["inputs"]
    typed = [script for _, script in scripts()]
    typed += [f"doit {line}" for line in inputs["suites"]["default"].splitlines()]
    for text in (*WORKFLOWS.glob("*.yml"), *EXAMPLES):
        flow = load(text if isinstance(text, str) else text.read_text())
        for job in jobs(flow).values():
            for step in job.get("steps", []):
                given = step.get("with", {})
                assert not re.search(r"sistasks|^\./", step.get("uses", "")) or given.keys() <= inputs.keys()
                typed += [f"doit {line}" for line in str(given.get("suites", "")).splitlines()]
    words = [
        word
        for script in typed
        for line in re.findall(r"\bdoit ([^|&;<\n]*)", script)
        for word in line.split()
        if re.fullmatch(r"[a-z]\w*(=.*)?", word)
    ]
    assert {word for word in words if "=" not in word} <= TASKS
    assert {word.partition("=")[0] for word in words if "=" in word} <= set(settings.names())
    assert {"setup", "performance", "distributed", "report", "gate", "merge", "accept"} <= set(words)


def test_the_action_can_be_used() -> None:
    """What GitHub asks of a composite action: descriptions, a shell for each script, inputs that are declared."""
    action = load(ACTION.read_text())
    assert {"name", "description", "inputs", "runs"} == action.keys()
    assert action["runs"]["using"] == "composite"
    for name, one in action["inputs"].items():
        assert one.keys() == {"description", "default"}, name
        assert isinstance(one["default"], str), name
    for step in action["runs"]["steps"]:
        assert ("run" in step) != ("uses" in step)
        assert ("shell" in step) == ("run" in step)
        assert step.keys() <= {"name", "id", "if", "shell", "env", "run", "uses", "with"}
        assert step.get("if", "") in {"", ALWAYS, IF_ACCEPTED}
    used = set(re.findall(r"inputs\.([\w-]+)", ACTION.read_text()))
    assert used == action["inputs"].keys()


def test_the_action_is_as_careful_as_a_workflow() -> None:
    """Its steps, as those of a workflow; and nothing is pasted into a script, not even what our own user gives."""
    steps = load(ACTION.read_text())["runs"]["steps"]
    yaml = pytest.importorskip("yaml")
    flow = {"on": "push", "permissions": {"contents": "read"}, "jobs": {"one": {"steps": steps}}}
    assert workflow_problems(yaml.safe_dump(flow)) == []
    for step in steps:
        assert "${{" not in step.get("run", "")


def test_the_workflow_gives_what_it_must() -> None:
    flow = load((WORKFLOWS / "kernel.yml").read_text())
    triggers = flow.get("on", flow.get(True))
    assert {"push", "pull_request", "schedule", "workflow_dispatch"} == triggers.keys()
    assert flow["permissions"] == {"contents": "read"}
    assert "github.ref" in flow["concurrency"]["group"]
    (job,) = flow["jobs"].values()
    assert job["timeout-minutes"] <= 60
    assert job["steps"][1]["uses"] == "./"
    lines = job["steps"][1]["with"]["suites"].splitlines()
    assert lines == ["performance nodes=5", "distributed nodes=8"]


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples_are_careful_too(text: str) -> None:
    if "jobs:" in text:
        assert workflow_problems(text) == []


def test_actionlint_finds_nothing() -> None:
    program = shutil.which("actionlint")
    if program is None:
        pytest.skip("actionlint is not installed")
    done = subprocess.run([program, *WORKFLOWS.glob("*.yml")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
