"""What QEMU shows of processors' registers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sistasks.machine.processors import read_registers

if TYPE_CHECKING:
    from collections.abc import Iterable


def fuzz(data: bytes) -> None:
    """Addresses are such as a processor can have, and there are no more processors than are told of."""
    text = data.decode("utf-8", "replace")
    found = read_registers(text)
    assert len(found) <= text.count("CPU#")
    assert all(max(one.address, one.stack_pointer) < 1 << 64 for one in found)


def seeds() -> Iterable[bytes]:
    """Some of each architecture."""
    yield (
        b"\r\nCPU#0\r\nRAX=00 RSP=ffffd02f8000fd38\r\nR15=07\r\nRIP=ffffffff8823020f RFL=46 HLT=0\r\n"
        b"\r\nCPU#1\r\nRSP=0000000000000001\r\nRIP=000000000000fff0 RFL=46 HLT=1\r\n"
    )
    yield b"\nCPU#0\n PC=ffff800008010a20 X00=0000000000000001 X01=00\nX30=ffff800008010a00  SP=ffff80000a013f50\n"
    yield b"\nCPU#0\nR00=00000000 R01=00000001\nR12=00000000 R13=c1a01f60 R14=c0109f2c R15=c0109f30\n"
    yield b"\nCPU#0\n V = 0\n pc       ffffffff80005a3e\n x1/ra    ffffffff80005a30 x2/sp    ffffffff81203f10\n"
    yield b"\nCPU#0\nRIP=ffffffff8823020f0\n"
