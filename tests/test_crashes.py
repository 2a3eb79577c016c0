"""What a kernel complains of is recognised at the beginning of a line, and only there."""

from __future__ import annotations

import pytest

from sistasks.evidence.crashes import recognise
from sistasks.protocols.profile import PROFILES
from sistasks.protocols.reader import reader_for


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("Kernel panic - not syncing: Fatal exception", "panic"),
        ("PANIC: double fault, error_code: 0x0", "panic"),
        ("rust_kernel: panicked at 'x'", "panic"),
        ("BUG: kernel NULL pointer dereference, address: 0000000000000008", "bug"),
        ("BUG: KASAN: use-after-free in x", "bug"),
        ("kernel BUG at fs/inode.c:1!", "bug"),
        ("BUG kmalloc-64 (Not tainted): Redzone overwritten", "bug"),
        ("watchdog: BUG: soft lockup - CPU#0 stuck for 22s!", "stall"),
        ("rcu: INFO: rcu_sched self-detected stall on CPU", "stall"),
        ("INFO: task kworker/0:1:7 blocked for more than 120 seconds.", "stall"),
        ("Oops: 0002 [#1]", "oops"),
        ("Internal error: Oops: 96000004 [#1] SMP", "oops"),
        ("Unable to handle kernel NULL pointer dereference at virtual address 0", "oops"),
        ("general protection fault, probably for non-canonical address", "oops"),
        ("divide error: 0000 [#1]", "oops"),
        ("UBSAN: shift-out-of-bounds in x.c:1:2", "ubsan"),
        ("WARNING: CPU: 0 PID: 1 at kernel/x.c:1", "warning"),
        ("INFO: possible recursive locking detected", "warning"),
        ("unregister_netdevice: waiting for lo to become free.", "leak"),
        ("VFS: Busy inodes after unmount of sda. Self-destruct in 5 seconds.", "leak"),
        ("INFO: lockdep is turned off.", ""),
        ("INFO: NMI handler (x) took too long to run: 1 msecs", ""),
        ("DEBUG: BUG: x", ""),
        ("ODEBUG: free active", ""),
        ("test: a log that says BUG: is silent", ""),
        (" Kernel panic", ""),
        ("Debugging symbols", ""),
        ("", ""),
    ],
)
def test_kinds(line: str, kind: str) -> None:
    assert recognise(line) == kind


def test_complaints_have_their_place_and_change_no_status() -> None:
    log = b"boot\n[    1.0] WARNING: CPU: 0 PID: 1 at a.c:1\n[    1.0] KTAP version 1\n[    1.0] 1..1\n"
    log += b"[    1.0] ok 1 a\n"
    reader = reader_for(PROFILES["ktap"])
    reader.feed(4, log)
    reading = reader.result()
    (crash,) = reading.crashes
    assert (crash.kind, crash.title, crash.at) == ("warning", "WARNING: CPU: 0 PID: 1 at a.c:1", 4)
    assert log[crash.offset :].startswith(b"[    1.0] WARNING")
    assert reading.status == "pass"


def test_what_did_not_come_after_a_complaint_is_told_with_it() -> None:
    reader = reader_for(PROFILES["ktap"])
    reader.feed(
        0, b"KTAP version 1\n1..2\nok 1 a\nWARNING: x\nBUG: kernel NULL pointer dereference\nRIP: 0\n"
    )
    assert reader.overdue(300 * 10**9) == (
        "test 2 of 2 of main did not come within 300 s; the kernel complained: BUG: kernel NULL pointer dereference"
    )


def test_linux_that_starts_again_has_fallen() -> None:
    boot = b"[    0.000000] Linux version 6.1.0 (a@b)\n[    0.1] KTAP version 1\n[    0.1] 1..2\n[    0.1] ok 1 a\n"
    reader = reader_for(PROFILES["ktap"])
    reader.feed(0, boot + boot)
    reading = reader.result()
    assert reading.panic == "the kernel started again: Linux version 6.1.0 (a@b)"
    assert [result.status for result in reading.results] == ["pass", "crash"]


def test_modprobe_s_fatal_is_no_last_word_of_linux() -> None:
    reader = reader_for(PROFILES["ktap"])
    reader.feed(0, b"FATAL: Module x not found\nKTAP version 1\n1..1\nok 1 a\n")
    assert reader.result().status == "pass"


def test_complaints_are_bounded() -> None:
    reader = reader_for(PROFILES["ktap"])
    reader.feed(0, b"WARNING: x\n" * 1000)
    assert len(reader.result().crashes) == 100
