"""What QEMU says on lines: it is kept up to a limit, whatever a guest brings it to say, and QEMU never waits for it."""

from __future__ import annotations

import asyncio
import io
import shutil
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks.errors import NodeError
from sistasks.machine import logs
from sistasks.machine.arch import X86_64
from sistasks.machine.foreign import ForeignNode
from sistasks.machine.lines import CappedLog
from sistasks.machine.logs import CappedFile, EmulatorFiles
from sistasks.machine.spec import Machine

if TYPE_CHECKING:
    from typing_extensions import Buffer

QEMU = shutil.which(X86_64.qemu)
LIMIT = 1000
MARK = b"\n[sistasks: %s said more than 1000 bytes; the rest is left out]\n"
# mov dx, 0x402; out dx, al; jmp to the out: what firmware says for its makers, without an end
SAYS = bytes.fromhex("ba0204eeebfd")


class Short(io.BytesIO):
    """Takes some of what it gets, as a disk that is nearly full."""

    def write(self, data: Buffer, /) -> int:
        return super().write(bytes(data)[:3])


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_the_beginning_is_kept_however_it_comes(chunks: list[bytes]) -> None:
    file = Short()

    async def feed() -> None:
        log = CappedLog(CappedFile(file, "somebody", 100))
        for chunk in chunks:
            log.data_received(chunk)
        log.connection_lost(None)
        await log.closed

    asyncio.run(feed())
    whole = b"".join(chunks)
    mark = b"\n[sistasks: somebody said more than 100 bytes; the rest is left out]\n"
    assert file.getvalue() == whole[:100] + (mark if len(whole) > 100 else b"")


def test_a_full_disk_takes_the_log_and_nothing_else() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")

    async def feed(file: IO[bytes]) -> str:
        log = CappedLog(CappedFile(file, "somebody", LIMIT))
        log.data_received(b"x")
        log.data_received(b"y")
        return log.file.problem

    with Path("/dev/full").open("wb", buffering=0) as file:
        assert asyncio.run(feed(file)) == "No space left on device"


@pytest.mark.skipif(QEMU is None, reason=f"{X86_64.qemu} is not installed here")
def test_firmware_and_an_emulator_without_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOG_LIMIT", LIMIT)
    (tmp_path / "code").write_bytes(bytes((1 << 20) - 16) + SAYS.ljust(16, b"\0"))
    (tmp_path / "vars").write_bytes(b"\xff" * (1 << 16))
    talks = tmp_path / "qemu"
    talks.write_text(f'#!/bin/sh\nhead -c 3000000 /dev/zero | tr "\\0" w >&2\nexec {QEMU} "$@"\n')
    talks.chmod(0o755)
    machine = Machine(
        arch=X86_64, qemu=talks, accel="tcg", cpu="qemu64", cpus=1, memory=16 << 20, clock="wall", agent=False,
        firmware=(tmp_path / "code", tmp_path / "vars"),
    )  # fmt: skip
    files = EmulatorFiles(
        console=tmp_path / "console", stderr=tmp_path / "stderr", firmware_log=tmp_path / "firmware"
    )

    async def run() -> None:
        async with ForeignNode(1, machine, files, session="t") as node:
            await node.start()
            await node.go()
            while (tmp_path / "firmware").stat().st_size <= LIMIT:
                await node.monitor.execute("query-status")
            # it goes on, and nobody waits for anybody
            assert (await node.monitor.execute("query-status"))["running"]

    asyncio.run(run())
    assert files.stderr.read_bytes() == b"w" * LIMIT + MARK % b"QEMU"
    said = (tmp_path / "firmware").read_bytes()
    assert said == said[:1] * LIMIT + MARK % b"the firmware"


@pytest.mark.skipif(QEMU is None, reason=f"{X86_64.qemu} is not installed here")
def test_what_an_emulator_says_last_is_there(tmp_path: Path) -> None:
    files = EmulatorFiles(console=tmp_path / "console", stderr=tmp_path / "stderr")
    machine = Machine(
        arch=X86_64, qemu=Path(str(QEMU)), accel="tcg", cpu="qemu64", cpus=1, memory=16 << 20, clock="wall",
        agent=False,
    )  # fmt: skip

    async def run(machine: Machine) -> None:
        async with ForeignNode(1, machine, files, session="t") as node:
            await node.start()
            await node.go()

    asyncio.run(run(machine))
    assert "terminating on signal 15" in files.stderr.read_text()
    with pytest.raises(NodeError, match="QEMU ended") as caught:
        asyncio.run(run(replace(machine, cpu="abacus")))
    assert "abacus" in caught.value.detail
