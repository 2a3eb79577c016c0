"""sistasks itself: what is shipped, what it depends on, what its linter and its workflows are told."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
SOURCES = [path for folder in ("sistasks", "tests") for path in (ROOT / folder).rglob("*.py")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        ROOT,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


class TestTheWheel:
    KINDS = frozenset({".py", ".c", ".h", ".S", ".config", ".toml", ".html", ".css", ".js", ".md", ".svg"})

    def test_has_the_package_and_nothing_else(self, wheel: zipfile.ZipFile) -> None:
        version = PROJECT["project"]["version"]
        own, about = "sistasks/", f"sistasks-{version}.dist-info/"
        for name in wheel.namelist():
            assert name.startswith((own, about)), name
            assert not re.search(r"results\.db|__pycache__|\.fd$|\.env|\.pem$|\.log$|/tests?/", name), name
            if name.startswith(own):
                assert Path(name).suffix in self.KINDS, name
        assert {name.removeprefix(about) for name in wheel.namelist() if name.startswith(about)} <= {
            "METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE",
        }  # fmt: skip

    def test_has_all_that_it_needs_at_run_time(self, wheel: zipfile.ZipFile) -> None:
        names = set(wheel.namelist())
        folders = {
            "guest/agent": "*.c",
            "machine/probe": "*.S",
            "kernels/config": "*.config",
            "suites/security/rules": "*.toml",
        }
        for folder, pattern in folders.items():
            files = list((ROOT / "sistasks" / folder).rglob(pattern))
            assert files
            assert {str(path.relative_to(ROOT)) for path in files} <= names
        assert "sistasks/data/firmware/manifest.toml" in names

    def test_has_its_licence(self, wheel: zipfile.ZipFile) -> None:
        (name,) = [name for name in wheel.namelist() if name.endswith("/licenses/LICENSE")]
        assert wheel.read(name) == (ROOT / "LICENSE").read_bytes()

    def test_has_no_secret_and_no_path_of_where_it_was_built(self, wheel: zipfile.ZipFile) -> None:
        private = re.compile(
            rb"-----BEGIN [A-Z ]*PRIVATE KEY|\bgh[pousr]_[A-Za-z0-9]{30}|\bAKIA[0-9A-Z]{16}\b|\bxox[bp]-\d{5}"
            rb"|//[^/\s:@]+:[^/\s:@{]+@|%b|%b"
            % (re.escape(str(ROOT).encode()), re.escape(str(Path.home()).encode() + b"/"))
        )
        for name in wheel.namelist():
            found = private.search(wheel.read(name))
            assert found is None, f"{name}: {found[0] if found else b''!r}"

    def test_files_have_no_rights_that_they_do_not_need(self, wheel: zipfile.ZipFile) -> None:
        for entry in wheel.infolist():
            assert entry.external_attr >> 16 & 0o6022 == 0, entry.filename
            assert not Path(entry.filename).is_absolute()
            assert ".." not in Path(entry.filename).parts


class TestDependencies:
    def required(self) -> list[Requirement]:
        extras = PROJECT["project"]["optional-dependencies"].values()
        texts = [*PROJECT["project"]["dependencies"], *(text for extra in extras for text in extra)]
        return [Requirement(text) for text in [*texts, *PROJECT["build-system"]["requires"]]]

    def test_have_bounds(self) -> None:
        tools = {"ruff", "ziglang", "pytest-timeout"}  # whatever they change, no code of ours calls them
        for one in self.required():
            assert one.url is None, one
            bounds = {spec.operator: spec.version for spec in one.specifier}
            assert ">=" in bounds, f"{one} has no lower bound"
            if bounds[">="].startswith("0.") and one.name not in tools:
                assert "<" in bounds, f"{one} has no stable release yet, and no upper bound"

    def test_what_is_imported_is_asked_for(self) -> None:
        """Every foreign module of the package comes from a dependency, not from one of a dependency's."""
        asked = {one.name.lower().replace("_", "-").replace(".", "-") for one in self.required()}
        homes = metadata.packages_distributions()
        for name in sorted(_imported() - sys.stdlib_module_names - {"sistasks"}):
            # what is not installed here is taken only where it happens to be there
            found = {home.lower().replace("_", "-").replace(".", "-") for home in homes.get(name, [])}
            assert not found or found & asked, f"{name} comes from {found}, which nothing asks for"

    def test_have_no_known_vulnerabilities(self, tmp_path: Path) -> None:
        beside = Path(sys.executable).with_name("pip-audit")
        program = str(beside) if beside.exists() else shutil.which("pip-audit")
        if program is None:
            pytest.skip("pip-audit is not installed")
        pins = tmp_path / "requirements.txt"
        pins.write_text("".join(f"{name}=={version}\n" for name, version in sorted(_closure().items())))
        done = subprocess.run(
            [program, "-r", pins, "--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        try:
            told = json.loads(done.stdout)["dependencies"]
        except ValueError:
            last = (done.stderr.strip().splitlines() or ["no word of it"])[-1]
            pytest.skip(f"pip-audit cannot reach its service: {last}")
        if all("skip_reason" in one for one in told):
            pytest.skip(f"pip-audit's service knows none of them: {told[0]['skip_reason']}")
        assert [(one["name"], one["version"], one["vulns"]) for one in told if one.get("vulns")] == []


def _imported() -> set[str]:
    """The first parts of the names of all modules that the package imports."""
    nodes = [
        node for path in (ROOT / "sistasks").rglob("*.py") for node in ast.walk(ast.parse(path.read_bytes()))
    ]
    whole = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    parts = {
        node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }
    return {name.partition(".")[0] for name in whole | parts}


def _closure() -> dict[str, str]:
    """What is installed of what the package depends on: name -> version."""
    found: dict[str, str] = {}
    left = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
    while left:
        one = left.pop()
        if one.name in found or (one.marker is not None and not one.marker.evaluate({"extra": ""})):
            continue
        try:
            found[one.name] = metadata.version(one.name)
        except metadata.PackageNotFoundError:
            continue
        left += [Requirement(text) for text in metadata.requires(one.name) or []]
    return found


class TestTheLinter:
    def test_security_rules_are_on(self) -> None:
        lint = PROJECT["tool"]["ruff"]["lint"]
        assert "S" in lint["select"]
        # programs are started without a shell: that is what this package does
        assert {rule for rule in lint["ignore"] if re.fullmatch(r"S\d*", rule)} == {"S603", "S607"}
        for files, rules in lint["per-file-ignores"].items():
            of_security = {rule for rule in rules if re.fullmatch(r"S\d*", rule)}
            assert of_security == ({"S101"} if files == "tests/**" else set())

    def test_the_package_keeps_them(self) -> None:
        command = [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--quiet",
            "--select",
            "S",
            "--ignore",
            "S603,S607",
            "sistasks",
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_what_is_passed_over_says_why(self) -> None:
        bare = []
        for path in SOURCES:
            for number, line in enumerate(path.read_text().splitlines(), 1):
                found = re.search(r"# noqa(?::\s*(?P<codes>[A-Z]+\d+(?:,\s*[A-Z]+\d+)*))?(?P<why>.*)$", line)
                if found is None or path == Path(__file__):
                    continue
                codes = (found["codes"] or "").replace(",", " ").split()
                of_security = not codes or any(re.fullmatch(r"S\d+", code) for code in codes)
                if of_security and not re.search(r"\w{2}", found["why"]):
                    bare.append(f"{path.relative_to(ROOT)}:{number}")
        assert bare == []


def workflow_problems(text: str) -> list[str]:
    """What is wrong with a workflow of GitHub's."""
    yaml: Any = pytest.importorskip("yaml")
    flow = yaml.safe_load(text)
    found = []
    triggers = flow.get("on", flow.get(True)) or {}  # YAML 1.1 takes `on` for a boolean
    if "pull_request_target" in ([triggers] if isinstance(triggers, str) else triggers):
        found.append("pull_request_target runs what strangers send with our rights")
    jobs = flow.get("jobs", {})
    granted = [
        flow.get("permissions"),
        *(job["permissions"] for job in jobs.values() if "permissions" in job),
    ]
    if granted[0] is None and len(granted) <= len(jobs):
        found.append("a job has the rights that happen to be the default")
    if "write-all" in granted:
        found.append("a job has all rights")
    for job in jobs.values():
        for step in [job, *job.get("steps", [])]:
            uses = step.get("uses", "./")
            pinned = uses.startswith("./") or re.search(r"@(?:[0-9a-f]{40}|v\d+|sha256:[0-9a-f]{64})$", uses)
            if not pinned:
                found.append(f"{uses} is whatever it is that day")
            if re.search(r"\$\{\{\s*github\.(event|head_ref)", str(step.get("run", ""))):
                found.append("a stranger's words are pasted into a script")
    return found


class TestWorkflows:
    GOOD = """
on: [push, pull_request]
permissions: {contents: read}
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: somebody/thing@0123456789abcdef0123456789abcdef01234567
      - run: .ci/run
"""

    def test_ours(self) -> None:
        for path in ROOT.glob(".github/workflows/*.y*ml"):
            assert (path.name, workflow_problems(path.read_text())) == (path.name, [])

    def test_a_good_one(self) -> None:
        assert workflow_problems(self.GOOD) == []
        of_its_job = self.GOOD.replace("permissions: {contents: read}\n", "").replace(
            "    runs-on", "    permissions: {contents: read}\n    runs-on"
        )
        assert workflow_problems(of_its_job) == []

    @pytest.mark.parametrize(
        ("good", "bad", "problem"),
        [
            (
                "pull_request]",
                "pull_request_target]",
                "pull_request_target runs what strangers send with our rights",
            ),
            ("permissions: {contents: read}", "", "a job has the rights that happen to be the default"),
            ("{contents: read}", "write-all", "a job has all rights"),
            ("checkout@v4", "checkout@main", "actions/checkout@main is whatever it is that day"),
            ("checkout@v4", "checkout", "actions/checkout is whatever it is that day"),
            (
                ".ci/run",
                "echo ${{ github.event.issue.title }}",
                "a stranger's words are pasted into a script",
            ),
        ],
    )
    def test_a_bad_one(self, good: str, bad: str, problem: str) -> None:
        assert workflow_problems(self.GOOD.replace(good, bad)) == [problem]
