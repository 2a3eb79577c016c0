"""A fleet of many workers: what grows with their number must not take home's memory or time."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sistasks.fleet import identity, worker
from sistasks.fleet.board import pause
from sistasks.fleet.fleet import Fleet

if TYPE_CHECKING:
    from pathlib import Path


class _Many(Fleet):
    """Workers that lack every file, take their time to get one, and are no good then."""

    sending = most = 0

    async def _on(self, address: str, function: Any, *arguments: Any, limit: float = 1) -> Any:
        assert limit > 0
        if function is worker.version:
            return identity.version()
        if function is worker.missing:
            return arguments[0]
        if function is worker.survey:
            raise OSError(f"{address} has had its files")
        self.sending += 1
        self.most = max(self.most, self.sending)
        for _ in range(5):
            await asyncio.sleep(0)
        self.sending -= 1
        return None


def test_files_are_not_under_way_to_all_workers_at_once(tmp_path: Path) -> None:
    (tmp_path / "kernel").write_bytes(b"kernel")
    addresses = [f"tcp://worker:{number}" for number in range(100)]
    paths = {"ab": tmp_path / "kernel", "cd": tmp_path / "kernel"}
    job: Any = None
    client: Any = SimpleNamespace(subscribe_topic=lambda *_: None)
    many = _Many("tcp://home:1", client)
    told = asyncio.run(many._enlist_all(addresses, job, paths))
    assert told == {address: f"{address} has had its files" for address in addresses}
    assert many.most == 4


@pytest.mark.parametrize(("taken", "until"), [(0.0, 2.0), (0.1, 2.0), (0.2, 4.0), (60.0, 10.0)])
def test_a_look_that_takes_long_is_seldom(taken: float, until: float) -> None:
    assert pause(taken) == pytest.approx(until)
