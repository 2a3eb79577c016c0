"""Which episode a crash came in, as consoles tell; and what `doit reproduce` refuses before it does anything."""

from __future__ import annotations

import dataclasses
import io
from typing import TYPE_CHECKING

import history_records as records
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks import reproduce_steps
from sistasks.cluster.nodes import NodeReport
from sistasks.errors import KernelFailure, NodeError, SistasksError, UsageError
from sistasks.evidence.crashes import Recogniser
from sistasks.guest.plan import Fuzz, Plan
from sistasks.history.records import CrashRow
from sistasks.history.store import write_run
from sistasks.layout import Layout
from sistasks.machine.logs import LOG_LIMIT
from sistasks.machine.results import GuestResults, TestOutcome
from sistasks.protocols.findings import Seen
from sistasks.settings import Settings
from sistasks.suites.kept import crash_rows
from sistasks.suites.security.fuzzing import Episodes, Reproducer, seen
from sistasks.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

FIRST = "seed=5 first=1 episode=1 calls=1000"
SECOND = "seed=5 first=1 episode=2 calls=1000"
PANIC = "Kernel panic - not syncing: sysrq triggered crash"
WARNING = "WARNING: CPU: 0 PID: 79 at kernel/exit.c:1 do_exit+0x1/0x2"


def console(*lines: str) -> bytes:
    return "".join(f"[    {n}.{n:06}] {line}\r\n" for n, line in enumerate(lines, 1)).encode()


def began(words: str) -> str:
    return f"sistasks: fuzzing: {words}"


def report(folder: Path, log: bytes, error: SistasksError | None = None, number: int = 4) -> NodeReport:
    path = folder / f"node_{number}.log"
    path.write_bytes(log)
    recogniser = Recogniser()
    recogniser.feed(log)
    recogniser.finish()
    results = GuestResults(tests=[TestOutcome("fuzzing", "pass" if error is None else "error")])
    return NodeReport(
        number=number, seed=5, results=results, error=error, started=0.0, ready=0.0, finished=1.0, console=path,
        crashes=recogniser.crashes, at="fuzzing" if error else "",
    )  # fmt: skip


def reproducers(found: NodeReport) -> list[str]:
    return [row.reproducer for row in crash_rows([found], None)]


def test_each_crash_belongs_to_the_episode_before_it(tmp_path: Path) -> None:
    log = console(WARNING, began(FIRST), "noise", WARNING, "---[ end trace 0 ]---", began(SECOND), PANIC)
    assert sorted(reproducers(report(tmp_path, log, KernelFailure("node 4: it panicked", kind="panic")))) == [
        "",
        FIRST,
        SECOND,
    ]


def test_a_node_that_ends_without_a_word_fell_in_the_last_one(tmp_path: Path) -> None:
    error = KernelFailure("node 4: the guest rebooted", kind="reboot")
    assert reproducers(report(tmp_path, console(began(FIRST), began(SECOND), "half"), error)) == [SECOND]
    assert reproducers(report(tmp_path, console(began(FIRST), began("done")), error)) == [""]
    assert reproducers(report(tmp_path, b"", error)) == [""]


def test_a_console_without_its_end_does_not_tell_the_last_one(tmp_path: Path) -> None:
    log = console(began(FIRST))
    whole = Episodes(log + b"x" * (LOG_LIMIT - len(log)))
    assert (whole.under_way(), Episodes(log + b"x" * LOG_LIMIT).under_way()) == (FIRST, "")


def test_a_crash_of_another_console_is_not_looked_for_here(tmp_path: Path) -> None:
    """A node that was tried again has crashes of two consoles, and one log."""
    other = report(tmp_path, console("noise of another length", PANIC), number=5)
    mine = report(tmp_path, console(began(FIRST), began(SECOND), "and more noise behind it"))
    assert reproducers(dataclasses.replace(mine, crashes=other.crashes)) == [""]


@pytest.mark.parametrize(
    "words",
    ["", "seed=1 first=2 episode=1 calls=1", "seed=1 first=0 episode=1 calls=1", "seed=1 first=1 episode=1 calls=0",
     "seed=1 first=1 episode=4294967296 calls=1", "seed=18446744073709551616 first=1 episode=1 calls=1",
     FIRST + "\n", FIRST + " ", "seed=-1 first=1 episode=1 calls=1", "seed=\u0661 first=1 episode=1 calls=1"],
)  # fmt: skip
def test_what_no_agent_can_have_told(words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"reproducer|episode"):
        Reproducer.parse(words)
    error = KernelFailure("node 4: the guest rebooted", kind="reboot")
    log = console(began(words.strip() or "done"))
    if words.strip() != FIRST:
        assert reproducers(report(tmp_path, log, error)) == [""]


@given(
    st.integers(0, 2**64 - 1), st.integers(1, 2**32 - 1), st.integers(0, 10**6), st.integers(1, 99_999_999)
)
def test_what_is_written_is_read(seed: int, first: int, more: int, calls: int) -> None:
    made = Reproducer(seed=seed, first=first, episode=min(first + more, 2**32 - 1), calls=calls)
    assert Reproducer.parse(str(made)) == made
    assert Episodes(console(began(str(made)))).under_way() == str(made)


@given(st.binary(max_size=400), st.binary(max_size=400))
def test_whatever_a_console_says(before: bytes, behind: bytes) -> None:
    told = Episodes(before + b"\n" + console(began(FIRST)) + behind).under_way()
    assert told in {"", FIRST}
    if b"fuzzing" not in behind:
        assert told == FIRST


def test_what_episodes_came_to_is_one_finding(tmp_path: Path) -> None:
    sound = report(tmp_path, console(began(FIRST), began("done")), number=1)
    assert seen([sound]) == [Seen("fuzz.crash", "pass", "every kernel outlived its episodes")]
    fell = report(
        tmp_path,
        console(began(FIRST), began(SECOND)),
        KernelFailure("node 4: the guest rebooted", kind="reboot"),
    )
    assert seen([sound, fell]) == [Seen("fuzz.crash", "fail", "node 4, episode 2: the guest rebooted")]
    hosts = dataclasses.replace(fell, error=NodeError("node 4: QEMU ended"))
    lost = "node 4 came to no end of them: QEMU ended"
    words = f"1 of 2 kernels outlived their episodes; {lost}"
    assert seen([sound, hosts]) == [Seen("fuzz.crash", "pass", words)]
    assert seen([hosts]) == [Seen("fuzz.crash", "error", lost)]
    other = dataclasses.replace(sound, results=GuestResults())
    assert seen([other]) == []


def told(folder: Path, outcome: TestOutcome, *findings: Seen) -> NodeReport:
    """A node whose kernel lives, and whose test came to something."""
    found = report(folder, console(began(FIRST), began("done")), number=2)
    return dataclasses.replace(found, results=GuestResults(tests=[outcome], findings=[*findings]))


def test_episodes_that_were_not_played_were_not_outlived(tmp_path: Path) -> None:
    def came(status: str, words: str, *findings: Seen) -> list[Seen]:
        return seen([told(tmp_path, TestOutcome("fuzzing", status, words), *findings)])

    lost = "node 2 came to no end of them: no folder for an episode: Invalid argument"
    assert came("error", "no folder for an episode: Invalid argument") == [Seen("fuzz.crash", "error", lost)]
    assert [one.outcome for one in came("skip", "no call was made")] == ["skip"]
    stuck = "episode 3: call 7 cannot be ended"
    assert came("fail", stuck) == [Seen("fuzz.crash", "fail", f"node 2, {stuck}")]
    let_in = Seen("fuzz.privilege", "fail", "episode 3: an ordinary user could open a file of root's")
    assert [one.outcome for one in came("fail", let_in.evidence, let_in)] == ["pass"]


def test_a_kernel_that_fell_behind_the_end_of_its_log_is_told(tmp_path: Path) -> None:
    log = console(began(FIRST)) + b"x" * LOG_LIMIT
    fell = report(tmp_path, log, KernelFailure("node 4: the guest rebooted", kind="reboot"))
    assert seen([fell]) == [Seen("fuzz.crash", "fail", "node 4: the guest rebooted")]


def test_the_agent_is_told_the_episodes() -> None:
    page = Plan(node=1, seed=5, tests=("fuzzing",), fuzz=Fuzz(episodes=3, first=7, calls=50)).page()
    assert b"\nfuzz_episodes=3\nfuzz_first=7\nfuzz_calls=50\n" in page
    assert b"fuzz_" not in Plan(node=1, seed=5, tests=("fuzzing",)).page()


def test_what_cannot_be_played_again_is_refused(tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    kept = CrashRow(node=1, kind="panic", title="kernel panic: x", report="", reproducer=FIRST)
    crashes = (
        kept, dataclasses.replace(kept, reproducer=""), dataclasses.replace(kept, reproducer="seed=1")
    )  # fmt: skip
    write_run(db, records.session(), dataclasses.replace(records.run(), crashes=crashes), records.METRICS)

    def refused(arch: str = "x86_64", **given: int) -> str:
        asked = frozenset(given)
        settings = Settings(output=tmp_path, db=db, given=asked, arch=arch, **given)  # type: ignore[arg-type]
        with Terminal(settings, Layout(tmp_path), io.StringIO()) as terminal:
            try:
                reproduce_steps.check(settings, terminal)
            except UsageError as error:
                return error.problem
        return ""

    assert refused() == "reproduce needs a crash"
    assert refused(crash=1) == ""
    assert refused(arch="arm64", crash=1) == "the crash came on x86_64"
    assert refused(crash=2).startswith(
        "crash 2 has nothing that plays it again: it did not come in an episode"
    )
    assert refused(crash=3) == "crash 3 cannot be played again: 'seed=1' is no reproducer"
    assert refused(crash=4) == "crash 4 is not in the history"


def test_a_warning_counts_and_a_stall_of_a_busy_host_does_not(tmp_path: Path) -> None:
    warned = report(tmp_path, console(began(FIRST), WARNING, began("done")), number=1)
    assert [item.outcome for item in seen([warned])] == ["fail"]
    stall = "rcu: INFO: rcu_sched self-detected stall on CPU"
    stalled = report(tmp_path, console(began(FIRST), stall, began("done")), number=2)
    assert [crash.kind for crash in stalled.crashes] == ["rcu_stall"]
    assert [item.outcome for item in seen([stalled])] == ["pass"]
    gone = dataclasses.replace(stalled, error=NodeError("node 2: QEMU ended"))
    assert [item.outcome for item in seen([gone])] == ["pass"]
    both = report(
        tmp_path, console(began(FIRST), WARNING, "---[ end trace 0 ]---", began(SECOND)),
        KernelFailure("node 4: the guest rebooted", kind="reboot"),
    )  # fmt: skip
    (found,) = seen([both])
    assert "node 4, episode 1: WARNING" in found.evidence
    assert found.evidence.endswith("; node 4, episode 2: the guest rebooted")


def test_a_panic_is_told_once(tmp_path: Path) -> None:
    fell = report(tmp_path, console(began(FIRST), PANIC), KernelFailure("node 4: it panicked", kind="panic"))
    evidence = "node 4, episode 1: kernel panic: sysrq triggered crash"
    assert seen([fell]) == [Seen("fuzz.crash", "fail", evidence)]
