"""What a person sees, on a real terminal, in a real pipe and when the reader goes away."""

from __future__ import annotations

import fcntl
import io
import os
import re
import struct
import subprocess
import sys
import termios
import threading
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.table import Table

from sistasks.layout import Layout
from sistasks.settings import resolve
from sistasks.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sistasks.settings import Settings

PLAIN = resolve({}, environ={}, pyproject=Path("/nonexistent"))
STAMP = re.compile(r"[0-9]{2}:[0-9]{2}:[0-9]{2} ")
LOG_STAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}\+00:00 ")


class Heard:
    """A stream that the terminal writes to, and what came out of it."""

    def __init__(self, out: IO[str]) -> None:
        self.out = out
        self.raw = b""

    @property
    def lines(self) -> list[str]:
        return self.raw.decode().splitlines()


def listener(reader: int, heard: Heard) -> threading.Thread:
    def listen() -> None:
        while True:
            try:
                data = os.read(reader, 4096)
            except OSError:  # how a pty says that its other end was closed
                return
            if not data:
                return
            heard.raw += data

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    return thread


class Pair:
    """Opens a stream for the terminal and hears it to its end."""

    def __init__(self, folder: Path, *, tty: bool) -> None:
        self.layout = Layout(folder)
        self._reader, writer = os.openpty() if tty else os.pipe()
        if tty:
            fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self.heard = Heard(os.fdopen(writer, "w", encoding="utf-8"))
        self._thread = listener(self._reader, self.heard)

    def close(self) -> Heard:
        self.heard.out.close()
        self._thread.join()
        os.close(self._reader)
        return self.heard

    @property
    def log(self) -> list[str]:
        """The lines of orchestrator.log, without the times that each must have."""
        lines = self.layout.orchestrator_log.read_text(encoding="utf-8").splitlines()
        assert all(LOG_STAMP.match(line) for line in lines)
        return [LOG_STAMP.sub("", line, count=1) for line in lines]


@pytest.fixture
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


def speak(pair: Pair, *, quiet: bool = False, verbose: bool = False) -> Heard:
    try:
        _say_everything(replace(PLAIN, quiet=quiet, verbose=verbose), pair)
    finally:
        heard = pair.close()
    return heard


def _say_everything(settings_: Settings, pair: Pair) -> None:
    with Terminal(settings_, pair.layout, pair.heard.out) as terminal:
        terminal.say("said")
        terminal.say("said always", always=True)
        terminal.detail("a detail")
        terminal.result("a result")
        terminal.log("logged")
        table = Table(title="a table")
        table.add_column("figure")
        table.add_row("5.60 µs")
        terminal.table(table)
        with terminal.nodes(2) as nodes:
            nodes.stage(1, "starting")
            nodes.stage(1, "running")
            nodes.stage(1, "done")
            nodes.stage(2, "starting")
            nodes.stage(2, "failed", "the kernel panicked")


EVERYTHING = ["said", "said always", "a detail", "a result", "logged", "node 1: starting", "node 1: running"]


def test_in_a_pipe_each_line_has_its_time(tmp_path: Path) -> None:
    pair = Pair(tmp_path, tty=False)
    heard = speak(pair)
    assert b"\x1b" not in heard.raw
    stamped = [STAMP.sub("", line) for line in heard.lines if STAMP.match(line)]
    assert stamped[:2] == ["said", "said always"]
    assert re.fullmatch(r"node 1: done after [0-9.]+ s", stamped[2])
    assert re.fullmatch(r"node 2: failed the kernel panicked after [0-9.]+ s", stamped[3])
    assert len(stamped) == 4
    plain = [line.strip() for line in heard.lines if not STAMP.match(line)]
    assert plain[0] == "a result"
    assert "5.60 µs" in " ".join(plain[1:])
    assert "a table" in plain[1]


def test_verbose_says_details_and_stages_too(tmp_path: Path) -> None:
    heard = speak(Pair(tmp_path, tty=False), verbose=True)
    stamped = [STAMP.sub("", line) for line in heard.lines if STAMP.match(line)]
    assert stamped[:3] == ["said", "said always", "a detail"]
    assert stamped[3:5] == ["node 1: starting", "node 1: running"]


@pytest.mark.parametrize("tty", [False, True])
def test_quiet_says_results_alone(tmp_path: Path, no_ci: None, *, tty: bool) -> None:
    heard = speak(Pair(tmp_path, tty=tty), quiet=True)
    lines = [STAMP.sub("", line) for line in heard.lines]
    assert lines[:2] == ["said always", "a result"]
    assert "5.60 µs" in heard.raw.decode()
    for word in ("said\n", "detail", "node 1", "node 2", "logged"):
        assert word not in heard.raw.decode()


@pytest.mark.parametrize("tty", [False, True])
@pytest.mark.parametrize("changes", [{}, {"quiet": True}, {"verbose": True}])
def test_the_log_has_everything(tmp_path: Path, no_ci: None, changes: dict[str, bool], *, tty: bool) -> None:
    pair = Pair(tmp_path, tty=tty)
    speak(pair, **changes)
    said = [line for line in pair.log if line in EVERYTHING]
    assert said == EVERYTHING
    assert any("5.60 µs" in line for line in pair.log)
    assert any(line.startswith("node 2: failed the kernel panicked after ") for line in pair.log)


def test_the_log_goes_on_where_it_was(tmp_path: Path) -> None:
    for _ in range(2):
        pair = Pair(tmp_path, tty=False)
        speak(pair)
    assert pair.log.count("said") == 2


def test_on_a_terminal_nodes_are_live_lines_that_go_away(tmp_path: Path, no_ci: None) -> None:
    pair = Pair(tmp_path, tty=True)
    raw = speak(pair).raw.decode()
    assert "said\r\n" in raw, "no time on a terminal"
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", raw)
    assert "node    1  done" in text
    assert "node    2  failed the kernel panicked" in text
    assert "2 of 2 nodes ended" in text
    assert "done after" not in text
    assert "\x1b[2K" in raw, "the lines are erased at the end"
    assert raw.rstrip().endswith(("\x1b[2K", "\x1b[?25h")), "nothing is left below them"


def test_ci_is_no_terminal(tmp_path: Path, no_ci: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    raw = speak(Pair(tmp_path, tty=True)).raw.decode()
    assert re.search(r"[0-9:]{8} node 1: done after", raw)
    assert "\x1b[2K" not in raw


def test_a_thousand_nodes_fit_the_terminal(tmp_path: Path, no_ci: None) -> None:
    pair = Pair(tmp_path, tty=True)
    with Terminal(PLAIN, pair.layout, pair.heard.out) as terminal, terminal.nodes(1000) as nodes:
        for number in range(1, 1000):
            nodes.stage(number, "starting")
            nodes.stage(number, "done")
        nodes.stage(1000, "failed", "it fell")
        shown = nodes._render().plain.splitlines()
    pair.close()
    assert len(shown) <= 24
    assert shown[-1] == "  1000 of 1000 nodes ended"
    assert any("node 1000  failed it fell" in line for line in shown), "the failed one is never left out"


def test_a_tables_lines_have_no_blanks_at_their_ends(tmp_path: Path) -> None:
    heard = speak(Pair(tmp_path, tty=False))
    assert [line for line in heard.lines if line != line.rstrip()] == []


@pytest.fixture
def ascii_out() -> Iterator[io.TextIOWrapper]:
    with io.TextIOWrapper(io.BytesIO(), encoding="ascii") as out:
        yield out


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_can_be_said_on_any_terminal(tmp_path: Path, ascii_out: io.TextIOWrapper, text: str) -> None:
    with Terminal(PLAIN, Layout(tmp_path), ascii_out) as terminal:
        terminal.say(text)
        terminal.result(text)


def test_what_cannot_be_written_is_spelled_out(tmp_path: Path, ascii_out: io.TextIOWrapper) -> None:
    with Terminal(PLAIN, Layout(tmp_path), ascii_out) as terminal:
        terminal.result("5.60 µs in caf\udce9")
    assert isinstance(ascii_out.buffer, io.BytesIO)
    assert ascii_out.buffer.getvalue() == b"5.60 \\xb5s in caf\\udce9\n"
    assert "5.60 µs in caf\\udce9" in Layout(tmp_path).orchestrator_log.read_text(encoding="utf-8")


TALKER = """
import sys
from pathlib import Path
from sistasks.layout import Layout
from sistasks.settings import resolve
from sistasks.terminal import Terminal

settings = resolve({}, environ={}, pyproject=Path("/nonexistent"))
with Terminal(settings, Layout(Path(sys.argv[1]))) as terminal, terminal.nodes(1) as nodes:
    for number in range(20000):
        terminal.say(f"line {number}")
    nodes.stage(1, "done")
    terminal.result("the end")
print("after")
"""


def test_a_reader_that_goes_away_ends_the_talking_and_not_the_work(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", TALKER, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as talker:
        assert talker.stdout is not None
        head = subprocess.run(["head", "-1"], stdin=talker.stdout, capture_output=True, text=True, check=True)
        talker.stdout.close()
        assert talker.stderr is not None
        assert talker.stderr.read() == b""
        assert talker.wait() == 0
    assert head.stdout.endswith("line 0\n")
    log = Layout(tmp_path).orchestrator_log.read_text().splitlines()
    assert sum("line " in line for line in log) == 20000
    assert log[-1].endswith("the end")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_under_the_output_is_said_once_and_the_work_goes_on(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", TALKER, str(tmp_path)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 0
    assert done.stderr == "the output cannot be written: No space left on device; the work goes on\n"
    assert Layout(tmp_path).orchestrator_log.read_text().splitlines()[-1].endswith("the end")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_under_the_log_takes_the_log_alone(tmp_path: Path) -> None:
    pair = Pair(tmp_path, tty=False)
    log = pair.layout.orchestrator_log
    log.parent.mkdir(parents=True)
    log.symlink_to("/dev/full")
    heard = speak(pair)
    assert "a result" in heard.lines


HANGS_UP = """
import os, sys
from pathlib import Path
from sistasks.layout import Layout
from sistasks.settings import resolve
from sistasks.terminal import Terminal

person, machine = os.openpty()
out = os.fdopen(machine, "w")
settings = resolve({}, environ={}, pyproject=Path("/nonexistent"))
with Terminal(settings, Layout(Path(sys.argv[1])), out) as terminal:
    with terminal.nodes(3) as nodes:
        assert nodes._live is not None
        os.close(person)
        nodes.stage(1, "done")
    terminal.say("to nobody")
print("the work was done")
"""


def test_a_terminal_that_hangs_up_is_a_reader_that_goes_away(tmp_path: Path, no_ci: None) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGS_UP, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "the work was done\n"
    assert "to nobody" in Layout(tmp_path).orchestrator_log.read_text()
