"""What suites from Python refuse before anything is done, and how a host's refusals are told."""

from __future__ import annotations

import asyncio
import errno
import math
from pathlib import Path

import pytest

from sistasks.api import Environment, QemuTestRunner
from sistasks.errors import UsageError
from sistasks.refusals import refusal


@pytest.fixture
def runner(tmp_path: Path) -> QemuTestRunner:
    return QemuTestRunner(Environment(output=tmp_path / "out", db=tmp_path / "results.db"))


@pytest.mark.parametrize("timeout", [-1, 0, math.nan, math.inf, "abc", True])
def test_a_timeout_is_the_variable(runner: QemuTestRunner, tmp_path: Path, timeout: float) -> None:
    with pytest.raises(UsageError, match=r"^timeout=\S+ cannot be; timeout is a number from 0.1 to 86400$"):
        runner.execute("performance", timeout=timeout)
    assert list(tmp_path.iterdir()) == []


def test_several_architectures_are_refused_wherever_they_are_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pyproject.toml").write_text('[tool.sistasks]\narch = "x86_64,arm64"\n')
    refusal = r"^arch=x86_64,arm64 are several, and a runner is of one; make a runner for each"
    with pytest.raises(UsageError, match=refusal):
        Environment(nodes=2)
    assert Environment(arch="arm64").settings.arch == "arm64"


def test_a_running_event_loop_is_refused_in_one_sentence(runner: QemuTestRunner, tmp_path: Path) -> None:
    async def in_a_notebook() -> None:
        runner.execute("performance")

    with pytest.raises(
        UsageError, match=r"event loop runs .*; call it from a thread .* or from a plain script$"
    ):
        asyncio.run(in_a_notebook())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.EIO])
def test_what_the_host_refuses_is_a_failure_with_a_remedy(number: int, tmp_path: Path) -> None:
    told = refusal(OSError(number, "words", "/a/file"), tmp_path)
    assert told is not None
    assert told.exit_code == 2
    assert str(told).startswith("/a/file cannot be used: words; ")
    nameless = refusal(OSError(number, "words"), tmp_path)
    assert str(nameless).startswith(f"{tmp_path} cannot be used: words; ")


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EBADF, errno.EINVAL, errno.EPIPE])
def test_mistakes_of_ours_are_none_of_the_hosts(number: int, tmp_path: Path) -> None:
    assert refusal(OSError(number, "words", "/a/file"), tmp_path) is None
