"""Scratch that goes when we go, and logs that two sessions do not share: real processes, killed."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from sistasks import session
from sistasks.layout import Layout
from sistasks.scratch import scratch_folder
from sistasks.session import session_logs

if TYPE_CHECKING:
    from pathlib import Path

HOLDS = """
import signal, sys
from pathlib import Path
from sistasks.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "inner").mkdir()
    (folder / "inner" / "file").write_text("x")
    print(flush=True)
    signal.pause()
"""
LOGS = """
import sys
from pathlib import Path
from sistasks.layout import Layout
from sistasks.session import SESSION_ID, session_logs
layout = Layout(Path(sys.argv[1]))
print(session_logs(layout), SESSION_ID, session_logs(layout) == session_logs(layout), flush=True)
sys.stdin.read()
"""


def child(code: str, path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, str(path)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=path.parent, process_group=0
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("whole_group", [True, False])
def test_scratch_goes_however_we_end(tmp_path: Path, number: signal.Signals, whole_group: bool) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with child(HOLDS, tmp_path / "a b;'$c") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "\n"
        reapers = psutil.Process(holder.pid).children()
        assert len(list(tmp_path.iterdir())) == 2
        (os.killpg if whole_group else os.kill)(holder.pid, number)
        assert holder.wait(20) == -number
    assert len(reapers) == 1
    assert psutil.wait_procs(reapers, timeout=20)[1] == []
    assert list(tmp_path.iterdir()) == [other]


def test_scratch_is_ours_alone_and_empty_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "run" / "session"
    path.mkdir(parents=True)
    (path / "old").write_text("x")
    for mask in (0, 0o077, 0o777):
        before = os.umask(mask)
        try:
            with scratch_folder(path) as folder:
                assert list(folder.iterdir()) == []
                assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        finally:
            os.umask(before)
        assert not path.exists()
    assert psutil.Process().children() == []


def test_scratch_that_got_another_name_stays(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "new") as folder:
        (folder / "file").write_text("x")
        folder.rename(tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "file").read_text() == "x"


def test_scratch_goes_with_an_error(tmp_path: Path) -> None:
    def fails() -> None:
        with scratch_folder(tmp_path / "new"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fails()
    assert list(tmp_path.iterdir()) == []


def test_sessions_at_the_same_time_have_logs_of_their_own(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    old = [layout.logs / f"20240101T{number:06}-1" for number in range(25)]
    for folder in (*old, layout.logs / "boot-direct"):
        folder.mkdir(parents=True)
    with child(LOGS, tmp_path) as first:
        assert first.stdout is not None
        given, _, same = first.stdout.readline().split()
        assert (given, same) == (str(layout.logs), "True")
        assert all(folder.exists() for folder in old)
        with child(LOGS, tmp_path) as second:
            assert second.stdout is not None
            given, mark, same = second.stdout.readline().split()
            assert (given, same) == (str(layout.logs / mark), "True")
            first.kill()
            first.wait(20)
            with child(LOGS, tmp_path) as third:
                assert third.stdout is not None
                assert third.stdout.readline().split()[0] == str(layout.logs), "the dead hold nothing"
                third.kill()
            second.kill()
    assert [folder for folder in old if folder.exists()] == old[5:]
    assert (layout.logs / "boot-direct").exists()


def test_logs_that_cannot_be_locked_are_told_of_by_who_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_given", {})
    (tmp_path / "qemu").write_text("no folder")
    assert session_logs(Layout(tmp_path)) == tmp_path / "qemu" / "logs"
