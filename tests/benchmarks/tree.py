"""What building a kernel tree costs more than the same `make` by hand.

    python tests/benchmarks/tree.py TREE [ARCH]

From zero, with one changed file, and untouched. Wants a quiet machine, ten minutes and 1 GB below the temporary
folder; TREE is a Linux tree that nobody has built in place (`doit kernel kernel=source` leaves one below
target/testing/build/kernels/sources). A file of it is touched; its content stays.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sistasks.kernels import make, tree
from sistasks.kinds import host_arch, host_cpus
from sistasks.machine.arch import ARCHES
from sistasks.settings import resolve

CHANGED = "kernel/fork.c"


def timed(what: str, *command: str) -> float:
    """Seconds of a command, which says nothing."""
    started = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    seconds = time.monotonic() - started
    print(f"{what:32} {seconds:8.1f} s")
    return seconds


def main() -> None:
    """Both ways, one after the other, three states each."""
    path = Path(sys.argv[1]).resolve()
    arch = ARCHES[sys.argv[2] if len(sys.argv) > 2 else host_arch()]
    settings = resolve({"arch": arch.name}, environ={}, pyproject=Path("/nonexistent"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        out = folder / "hand"
        out.mkdir()
        command = ("make", "-C", str(path), f"O={out}", f"-j{host_cpus()}", *make.words(arch, ()))
        fragments = [tree._OWN / part for part in ("wished.config", "base.config", f"{arch.name}.config")]

        def by_hand(what: str) -> float:
            return timed(f"by hand, {what}", *command, Path(arch.linux_image).name)

        def ours(what: str) -> float:
            started = time.monotonic()
            tree.Tree(name="benchmark", path=path).provide(settings, folder / "ours", lambda _: None)
            seconds = time.monotonic() - started
            print(f"{f'ours, {what}':32} {seconds:8.1f} s")
            return seconds

        configured = timed("by hand, tinyconfig", *command, "tinyconfig")
        with (out / ".config").open("a") as config:
            config.writelines(part.read_text() for part in fragments)
        configured += timed("by hand, olddefconfig", *command, "olddefconfig")
        zero = configured + by_hand("from zero")
        print(f"{'from zero, ratio':32} {ours('from zero') / zero:8.3f}")
        os.utime(path / CHANGED)
        one = by_hand("one file")
        print(f"{'one file, ratio':32} {ours('one file') / one:8.3f}")
        by_hand("untouched")
        ours("untouched, asked to build")
        started = time.monotonic()
        tree.Tree(name="benchmark", path=path).describe(settings)
        print(f"{'ours, untouched':32} {time.monotonic() - started:8.3f} s")


if __name__ == "__main__":
    main()
