"""What a worker keeps and what it ends: its cache, templates, and hands that nobody wants any more."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from sistasks.errors import FleetError
from sistasks.fleet import cache, crew, identity, pruning, shared
from sistasks.fleet.fleet import mark
from sistasks.fleet.job import Job
from sistasks.settings import resolve
from sistasks.suites.registry import find

DAY = 86400.0
KEEP = b"the content of a file"
NAME = hashlib.sha256(KEEP).hexdigest()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def aged(path: Path, days: float, size: int = 0) -> Path:
    """A file that was used so many days ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    os.utime(path, (0, time.time() - days * DAY))
    return path


def test_what_a_worker_has_not_used_for_long_goes(folder: Path) -> None:
    old, new = aged(folder / "files/old", 31), aged(folder / "files/new", 29)
    log, fresh = aged(folder / "artifacts/logs/ab/old", 31), aged(folder / "artifacts/logs/ab/new", 1)
    template = aged(folder / "templates/key/ram", 31).parent
    os.utime(template, (0, time.time() - 31 * DAY))
    pruning.prune()
    assert [path.exists() for path in (old, log, template)] == [False] * 3
    assert [path.exists() for path in (new, fresh)] == [True] * 2


def test_what_is_used_is_not_old(folder: Path) -> None:
    cache.keep(NAME, KEEP)
    os.utime(folder / "files" / NAME, (0, 0))
    assert cache.missing([NAME]) == []
    pruning.prune()
    assert cache.missing([NAME]) == []


def test_beyond_its_size_a_cache_loses_what_was_used_least_but_nothing_of_today(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "limit", lambda: 3 << 20)
    files = [aged(folder / f"files/{days}", days, 1 << 20) for days in (0.5, 2, 3, 4, 5)]
    pruning.prune()
    assert [path.name for path in files if path.exists()] == ["0.5", "2", "3"]
    today = [aged(folder / f"files/today{number}", 0.1, 1 << 20) for number in range(5)]
    pruning.prune()
    assert all(path.exists() for path in today)


def test_the_folder_of_a_hand_that_works_stays(folder: Path) -> None:
    mine, lock = cache.own_folder()
    other, second = cache.own_folder()
    os.close(second)
    for place in (mine, other):
        aged(place / "output/log", 40)
        os.utime(place / ".lock", (0, time.time() - 40 * DAY))
    pruning.prune()
    assert (mine / "output/log").exists()
    assert not (other / "output").exists()
    os.close(lock)


@pytest.mark.parametrize("text", ["", "1G", "512G"])
def test_sizes_of_caches(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pruning.VARIABLE, text)
    assert pruning.limit() == int(text[:-1] or 20) << 30


def test_what_is_no_size_of_a_cache_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pruning.VARIABLE, "much")
    with pytest.raises(FleetError, match=r"^SIS_FLEET_CACHE_SIZE=much cannot be; it is a size from 1G to "):
        pruning.prune()


def test_nobody_waits_for_a_hand_whose_task_is_not_wanted(folder: Path) -> None:
    crew.end("before it began")
    answer = crew.ask("survey", None, limit=60, task="before it began")
    assert str(answer) == "nobody wants it any more"


def test_a_hand_that_has_gone_meanwhile_is_not_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hands: list[crew._Hand] = []
    monkeypatch.setattr(crew, "_idle", hands)
    dead = crew._Hand()
    dead.dismiss()
    dead._process.wait()
    hands.append(dead)
    assert crew._from_idle() is None
    assert hands == []


def test_a_template_that_was_damaged_is_told_from_a_whole_one(folder: Path) -> None:
    place = folder / "templates/key"
    for name in ("ram", "state"):
        aged(place / name, 0, 4096)
    record = {"key": "key", "memory": 4096, "state_size": 4096, "first_frame": 1, "hello": {}}
    (place / "template.json").write_text(json.dumps(record))
    assert not shared._is_sound(place.parent, "key")  # nobody has noted what it was
    shared._note(place.parent, "key")
    ram = bytearray((place / "ram").read_bytes())
    ram[1234] ^= 4
    (place / "ram").write_bytes(ram)
    assert not shared._is_sound(place.parent, "key")
    ram[1234] ^= 4
    (place / "ram").write_bytes(ram)
    assert shared._is_sound(place.parent, "key")


def test_workers_that_are_ready_for_one_sistasks_are_not_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = resolve({}, {}, Path("none"))
    suite = find("performance", settings)
    job = Job(suite=suite, settings=settings, records={}, files={}, metrics=(), advisories="")
    mine = mark(job)
    assert mark(job) == mine
    monkeypatch.setattr(identity, "version", lambda: "0.0.9 (0123456789ab)")
    assert mark(job) != mine
