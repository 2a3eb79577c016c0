"""What did not come is the kernel's failure, unless we or the host ended it."""

from __future__ import annotations

import pytest

from sistasks.protocols.profile import SIS
from sistasks.protocols.reader import reader_for
from sistasks.suites.console.outcome import heard


@pytest.mark.parametrize(("ours", "status"), [(False, "fail"), (True, "error")])
def test_whose_failure_it_is(ours: bool, status: str) -> None:
    reader = reader_for(SIS, tests=["context_switch", "ai_inference"])
    typed = reader.feed(1, b"sis> ")
    reader.feed(2, typed.encode() + b"\nMETRIC latency=5 ns\nTEST PASSED\nsis> ")
    found = heard(reader.result("QEMU ended"), SIS, boot=False, started=0, own={}, ours=ours)
    assert {test.name: test.status for test in found.results.tests} == {
        "context_switch": "pass", "ai_inference": status,
    }  # fmt: skip
    assert found.results.samples == {"context_switch.latency": [5]}
