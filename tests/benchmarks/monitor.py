"""What watching costs: processor time of the monitor as a share of one processor, for 10 and for 100 processes.

    python tests/benchmarks/monitor.py [SECONDS] [--sleep]

The processes are QEMU machines that stand still (`-S`), each with its threads and files, or with `--sleep` programs
that sleep. The share is a ratio of two clocks of one run (the threads' processor time, and the wall clock), and the
least of three rounds, for a host that is shared makes caches cold.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from typing import Final

from sistasks.evidence.monitor import INTERVAL, ResourceMonitor

ROUNDS: Final = 3
# processes -> the most that watching them may cost, as a share of one processor
BOUNDS: Final = {10: 0.01, 100: 0.05}
MACHINE: Final = "-S -machine q35 -m 64 -smp 4 -display none -nodefaults -monitor none -serial none"


def command(*, sleeping: bool) -> list[str]:
    """A process to watch."""
    qemu = shutil.which("qemu-system-x86_64")
    if sleeping or qemu is None:
        return ["sleep", "3600"]
    return [qemu, *MACHINE.split()]


def cost(watched: list[subprocess.Popen[bytes]], seconds: float) -> tuple[float, int]:
    """(share of one processor, rows) for watching these for so long."""
    with ResourceMonitor(INTERVAL) as monitor:
        for number, process in enumerate(watched, 1):
            monitor.started(number, process.pid)
        begun, used = time.monotonic(), monitor.cpu_seconds
        time.sleep(seconds)
        share = (monitor.cpu_seconds - used) / (time.monotonic() - begun)
        return share, len(monitor.rows())


def main() -> int:
    sleeping = "--sleep" in sys.argv
    numbers = [float(text) for text in sys.argv[1:] if not text.startswith("-")]
    seconds = numbers[0] if numbers else 10.0
    kept = True
    with contextlib.ExitStack() as stack:
        watched: list[subprocess.Popen[bytes]] = []
        print(
            f"{'processes':>10} {'share of a processor':>21} {'at most':>8} {'rows':>6}  every {INTERVAL} s"
        )
        for count, bound in BOUNDS.items():
            while len(watched) < count:
                process = subprocess.Popen(command(sleeping=sleeping), stdin=subprocess.DEVNULL)
                stack.callback(process.wait)
                stack.callback(process.kill)
                watched.append(process)
            # they have started when their memory is there
            time.sleep(min(5.0, count / 20))
            share, rows = min(cost(watched, seconds) for _ in range(ROUNDS))
            kept &= share <= bound
            word = "kept" if share <= bound else "missed"
            print(f"{count:>10} {100 * share:>19.2f} % {100 * bound:>6.0f} % {rows:>6}  {word}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
