"""A fleet's parts without nodes: what is refused, what goes over pipes, what a worker keeps."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from guest_project import DODO, Project
from hypothesis import given
from hypothesis import strategies as st

from sistasks.errors import FleetError, UsageError
from sistasks.fleet import cache, crew, frames, identity
from sistasks.fleet.progress import RunLines
from sistasks.layout import Layout
from sistasks.settings import resolve
from sistasks.terminal import Terminal

KEEP = b"the content of a file"
TLS = ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY")
NAME = hashlib.sha256(KEEP).hexdigest()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def empty(tmp_path: Path) -> Project:
    (tmp_path / "dodo.py").write_text(DODO)
    return Project(tmp_path)


@pytest.mark.parametrize(
    "text", ["tcp://host:8786", "tls://10.0.0.1:1", "tcp://[::1]:65535", "tcp://a-b.c_d:22"]
)
def test_addresses_of_schedulers(text: str) -> None:
    assert resolve({"cluster": text}, {}, Path("none")).cluster == text


@pytest.mark.parametrize("text", ["", "none"])
def test_a_command_may_take_back_the_address_of_the_project(text: str, tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text('[tool.sistasks]\ncluster = "tcp://host:8786"\n')
    assert resolve({}, {}, project).cluster == "tcp://host:8786"
    assert resolve({"cluster": text}, {}, project).cluster == ""


@pytest.mark.parametrize(
    "text", ["host:8786", "tcp://host", "tcp://host:0", "tcp://host:65536", "http://host:80", "tcp://:1", "x"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"cannot be; cluster is an address like tcp://host:8786, or none$"):
        resolve({"cluster": text}, {}, Path("none"))


def test_a_scheduler_that_does_not_answer_is_a_sentence_before_anything_is_built(empty: Project) -> None:
    done = empty.doit("performance", "cluster=tcp://127.0.0.1:1")
    assert done.returncode == 2
    assert "no scheduler answers at tcp://127.0.0.1:1; start one" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(empty.folder.glob("target/testing/build/kernel*"))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "no keys are configured for tls://127.0.0.1:1; Dask's configuration names them"),
        (
            {"DASK_DISTRIBUTED__COMM__TLS__CA_FILE": "/nowhere/ca.pem"},
            "the keys for tls://127.0.0.1:1 cannot be read: [Errno 2] No such file",
        ),
    ],
)
def test_a_scheduler_behind_keys_needs_them(empty: Project, keys: dict[str, Any], said: str) -> None:
    keys = {name.replace("CA_FILE", part): path for name, path in keys.items() for part in TLS}
    done = empty.doit("performance", "cluster=tls://127.0.0.1:1", **keys)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_extra_its_name_is_told(empty: Project, tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/distributed.py").write_text("raise ModuleNotFoundError('distributed')\n")
    done = empty.doit("performance", "cluster=tcp://127.0.0.1:1", PYTHONPATH=str(tmp_path / "hidden"))
    assert done.returncode == 2
    assert "cluster= needs distributed, which is not installed; pip install 'sistasks[dask]'" in done.stderr


def test_all_that_is_asked_for_is_begun_before_any_of_it_is_waited_for(empty: Project) -> None:
    asked = ("arch=x86_64,arm64", "nodes=1", "cluster=tcp://127.0.0.1:1")
    needs = [
        line.removeprefix(" - ")
        for line in empty.doit("info", "test:x86_64", *asked).stdout.splitlines()
        if line.startswith(" - ")
    ]
    waited = [name for name in needs if not name.startswith("_")]
    assert waited == ["boot:x86_64", "performance:x86_64", "stress:x86_64", "security:x86_64"]
    # of both architectures: a group
    assert needs == [*(f"__{name.partition(':')[0]}" for name in waited), *waited]
    assert " - __boot:arm64\n" in empty.doit("info", "__boot", *asked).stdout


def test_without_a_cluster_nothing_of_dask_is_imported(empty: Project, tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    for name in ("distributed", "dask"):
        (tmp_path / f"hidden/{name}.py").write_text("raise SystemExit('imported')\n")
    done = empty.doit("list", PYTHONPATH=str(tmp_path / "hidden"))
    assert done.returncode == 0
    assert "imported" not in done.stdout + done.stderr


def test_this_sistasks_is_told_from_others() -> None:
    version, _, digest = identity.version().partition(" ")
    assert version[0].isdigit()
    assert len(digest) == 14


@given(st.binary(max_size=200_000))
def test_what_is_sent_is_received(data: bytes) -> None:
    reading, writing = os.pipe()
    try:
        sender = threading.Thread(target=frames.send, args=(writing, data))
        sender.start()
        assert frames.receive(reading, 10) == data
        sender.join()
    finally:
        os.close(reading)
        os.close(writing)


def test_the_end_of_a_pipe_and_silence_are_told_apart() -> None:
    reading, writing = os.pipe()
    with pytest.raises(TimeoutError):
        frames.receive(reading, 0.01)
    os.write(writing, b"half")
    os.close(writing)
    with pytest.raises(EOFError):
        frames.receive(reading, 1)
    os.close(reading)


def test_files_are_kept_by_what_is_in_them(folder: Path) -> None:
    assert cache.missing([NAME]) == [NAME]
    cache.keep(NAME, KEEP)
    assert cache.missing([NAME]) == []
    (folder / "files" / NAME).write_bytes(KEEP[:-1])
    assert cache.missing([NAME]) == [NAME]
    with pytest.raises(FleetError, match=r"^the file .{12} was damaged on its way$"):
        cache.keep(NAME, KEEP[:-1])


def test_no_two_processes_have_the_same_folder(folder: Path) -> None:
    first, lock = cache.own_folder()
    second, other = cache.own_folder()
    assert first != second
    os.close(lock)
    third, lock = cache.own_folder()
    assert third == first
    os.close(lock)
    os.close(other)


def test_a_hand_that_takes_too_long_is_ended(folder: Path) -> None:
    answer = crew.ask("survey", None, limit=0.001)
    assert str(answer) == "it did not end within 0 s; raise timeout="


def test_a_hand_that_ends_in_the_middle_is_a_sentence(folder: Path) -> None:
    answer = crew.ask("survey", None, limit=60)  # there is no job that is None
    assert str(answer) == "its process ended with 1 in the middle; the worker's own log says more"


def test_what_waits_at_a_worker_is_told_from_what_it_does(tmp_path: Path) -> None:
    settings = resolve({}, {}, tmp_path / "none")
    with Terminal(settings, Layout(tmp_path), io.StringIO()) as terminal:
        lines = RunLines(terminal, 4)
        lines.runs("performance run 1", "one", time.monotonic() - 7)
        lines.runs("performance run 2", "one", None)
        lines.runs("performance run 3", "two", time.monotonic())
        shown = str(lines._render())
        assert shown.splitlines() == [
            "  performance run 1  one, 7 s",
            "  performance run 3  two, 0 s",
            "  0 of 4 runs ended, 2 under way, 2 waiting",
        ]
        lines.ended("performance run 3", "two")
        assert str(lines._render()).endswith("  1 of 4 runs ended (two: 1), 1 under way, 2 waiting")
