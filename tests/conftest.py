"""What holds for every test; and one project for all guest tests: set up once, one kernel, one template."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from guest_project import DODO, SMALL, Project, nodes_of
from hypothesis import settings

from sistasks.kinds import host_cpus
from sistasks.session import release_logs

if TYPE_CHECKING:
    from collections.abc import Iterator


# what a person waits for each time, and what a machine may look for overnight: HYPOTHESIS_PROFILE=thorough
settings.register_profile("usual", max_examples=50)
settings.register_profile("thorough", max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "usual"))


# beyond, their nodes would stand in each other's way
PROCESSES = 4


@pytest.hookimpl(tryfirst=True)  # before that of pytest-xdist, which reads what is decided here
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Folders of tests run in a process for each processor; tests named by their file in one, as with `-n 0`."""
    if not config.pluginmanager.hasplugin("xdist") or hasattr(config, "workerinput"):
        return
    asked = config.option
    folders = all(Path(name).is_dir() for name in config.args)
    watched = asked.usepdb or asked.trace or asked.capture == "no" or asked.collectonly
    processes = min(PROCESSES, host_cpus())
    if asked.numprocesses is None and asked.dist == "no" and folders and not watched and processes > 1:
        asked.numprocesses = processes
    if asked.numprocesses and asked.dist == "no":
        # tests of a file share what is costly to make; those that boot kernels come first, and nothing long is last
        asked.dist = "loadfile"
        asked.loadscopereorder = False


def pytest_configure() -> None:
    """Signals as a terminal gives them: under nohup or in a background job they would be ignored, and inherited so."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("project")
    (folder / "dodo.py").write_text(DODO)
    made = Project(folder)
    done = made.doit("template", *SMALL, limit=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return made


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project of a module's own, for what others must not find in theirs: kernels of other architectures."""
    folder = tmp_path_factory.mktemp("apart")
    (folder / "dodo.py").write_text(DODO)
    return Project(folder)


@pytest.fixture(autouse=True)
def logs_let_go() -> Iterator[None]:
    """A test that runs nodes by itself is a session, which keeps the folder of logs until it ends."""
    yield
    release_logs()


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test does: no node of the project outlives it."""
    yield
    for name in {"project", "apart"} & set(request.fixturenames):
        folder: Path = request.getfixturevalue(name).folder
        assert nodes_of(folder) == []
        assert not list(folder.glob("target/testing/run/*"))
