"""As much of GitHub's runner as it takes to run an action's steps in a folder: expressions, conditions, the cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from guest_project import environment

ROOT: Final = Path(__file__).resolve().parent.parent
ACTION: Final = ROOT / "action.yml"
WORKFLOWS: Final = ROOT / ".github" / "workflows"
_EXPRESSION: Final = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
# a step runs whatever became of those before it, once the suites were begun
ALWAYS: Final = "${{ !cancelled() && steps.suites.outcome != 'skipped' }}"
IF_ACCEPTED: Final = "inputs.accept != ''"


def load(text: str) -> Any:
    """What a document of YAML says."""
    return pytest.importorskip("yaml").safe_load(text)


def parses(script: str) -> str:
    """What the shell says of a script's grammar; nothing, where it is in order."""
    done = subprocess.run(
        ["bash", "-n"], input=_EXPRESSION.sub("x", script), capture_output=True, text=True, check=False
    )
    return done.stderr


@dataclass
class Runner:
    """One machine after the other: each job has a new workspace, and all share the cache.

    Attributes:
        path: folder of the programs that the jobs have.
        cache: key -> folder, in the order of saving.
        said: step -> what it said, of the last job.
        codes: step -> exit code, of the last job.
        uploaded: files that the last job uploaded.
    """

    folder: Path
    path: Path
    cache: dict[str, Path] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    uploaded: list[str] = field(default_factory=list)

    def job(self, workspace: Path, run_id: int, without: tuple[str, ...] = (), **inputs: str) -> int:
        """Run the action.

        Args:
            workspace: the folder of the job's repository.
            run_id: of the workflow's run.
            without: names of steps that this machine is spared.
            inputs: of the action, but for their defaults.

        Returns:
            The first exit code that was not 0.
        """
        action = load(ACTION.read_text())
        self.said, self.codes, self.uploaded = {}, {}, []
        known = {f"inputs.{name}": str(one["default"]) for name, one in action["inputs"].items()}
        known |= {f"inputs.{name}": text for name, text in inputs.items()}
        temp = self.folder / f"temp-{run_id}"
        temp.mkdir()
        known |= {"runner.temp": str(temp), "github.run_id": str(run_id), "github.run_attempt": "1"}
        began = False
        for step in action["runs"]["steps"]:
            name = step.get("name", step.get("uses"))
            condition = step.get("if", "")
            assert condition in {"", ALWAYS, IF_ACCEPTED}, name
            failed = any(self.codes.values())
            wanted = began if condition == ALWAYS else not failed
            if name in without or not wanted or (condition == IF_ACCEPTED and not known["inputs.accept"]):
                continue
            began = began or step.get("id") == "suites"
            self._step(name, step, known, workspace)
        return next((code for code in self.codes.values() if code), 0)

    def _step(self, name: str, step: dict[str, Any], known: dict[str, str], workspace: Path) -> None:
        def told(text: object) -> str:
            return _EXPRESSION.sub(lambda match: known[match[1]], str(text))

        if "run" in step:
            assert step["shell"] == "bash"
            temp = Path(known["runner.temp"])
            given = {
                "PATH": f"{self.path}:{os.environ['PATH']}",
                "GITHUB_ACTION_PATH": str(ROOT),
                "GITHUB_PATH": str(temp / "path"),
                "GITHUB_STEP_SUMMARY": str(temp / "summary.md"),
                **{key: told(text) for key, text in step.get("env", {}).items()},
            }
            script = temp / "step.sh"
            script.write_text(step["run"])  # what is an expression here would be pasted into a script
            assert not _EXPRESSION.search(step["run"]), name
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", script], cwd=workspace, capture_output=True,
                text=True, check=False, env=environment() | given, stdin=subprocess.DEVNULL, timeout=280,
            )  # fmt: skip
            self.said[name], self.codes[name] = done.stdout + done.stderr, done.returncode
            return
        given = {key: told(text) for key, text in step.get("with", {}).items()}
        match step["uses"].partition("@")[0]:
            case "actions/cache/restore":
                self._restore(Path(given["path"]), [given["key"], *given["restore-keys"].split()])
            case "actions/cache/save":
                saved = self.folder / f"cache-{given['key']}"
                assert given["key"] not in self.cache, "a cache never changes"
                self.cache[given["key"]] = shutil.copytree(given["path"], saved)
            case "actions/upload-artifact":
                self.uploaded = [line for line in given["path"].split() if (workspace / line).exists()]
            case other:
                assert other == "actions/setup-python"

    def _restore(self, path: Path, keys: list[str]) -> None:
        for key in keys:
            for name in reversed(self.cache):
                if name.startswith(key):
                    shutil.rmtree(path, ignore_errors=True)
                    shutil.copytree(self.cache[name], path)
                    return
