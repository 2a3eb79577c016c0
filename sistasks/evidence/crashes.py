"""What kernels complain of, recognised by how a line begins.

Sources of the patterns: syzkaller's pkg/report and LAVA's list of kernel messages. A line that merely mentions the
words is silent: they stand at its beginning, after the time stamp.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_KINDS: Final = (
    ("panic", r"Kernel panic|PANIC: double fault|rust_kernel: panicked|panicked at "),
    (
        "stall",
        r"(?:watchdog: )?BUG: (?:soft|workqueue) lockup|INFO: rcu_|rcu: INFO: |INFO: task .{0,80} blocked for",
    ),
    ("bug", r"BUG: |kernel BUG |Kernel BUG |BUG kmalloc-|BUG \w{1,40} \("),
    (
        "oops",
        r"Oops|Internal error: |Unable to handle kernel |Unhandled fault: |general protection fault|stack segment: "
        r"|divide error: |invalid opcode: |int3: |Alignment trap: ",
    ),
    ("ubsan", r"UBSAN: "),
    ("warning", r"WARNING: |INFO: (?:possible|inconsistent|suspicious|trying)"),
    ("leak", r"unregister_netdevice: waiting for |VFS: Busy inodes after unmount"),
)
_IGNORED: Final = re.compile(
    r"INFO: lockdep is turned off|INFO: NMI handler|.*took too long|DEBUG:|ODEBUG:"
    r"|WARNING: CPU: \d+ PID: \d+ at lib/kunit/|INFO: rcu_\w+: (?:wait state|Enabled)"
)
_PATTERN: Final = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _KINDS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """One complaint.

    Attributes:
        kind: panic, stall, bug, oops, ubsan, warning or leak.
        title: the line.
        at: when, ns as fed.
        offset: of the line's first byte on the console.
    """

    kind: str
    title: str
    at: int
    offset: int


def recognise(text: str) -> str:
    """The kind of complaint that a line is, without its stamp; empty: it is none."""
    if _IGNORED.match(text):
        return ""
    match = _PATTERN.match(text)
    return (match.lastgroup or "") if match else ""
