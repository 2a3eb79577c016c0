"""Which load there is: class -> stressors of stress-ng, and how each is called (stress-ng(1)).

Chosen are those that check what they do (--verify), whose outcome does not depend on how fast the machine is, and that
need neither programs nor files of a distribution. What they take of memory is bounded: all of a class together stay
below what is available. `-1` is one on every processor; `N%` stands for N hundredths of the memory that is available
when the load begins. Whoever changes this changes what the numbers mean: `version` of the suite (suites/suite.py).
"""

from __future__ import annotations

from typing import Final

STRESSORS: Final[dict[str, dict[str, str]]] = {
    "cpu": {
        "cpu": "--cpu -1",
        "matrix": "--matrix -1 --matrix-size 64",
        "bsearch": "--bsearch -1 --bsearch-size 16384",
        "vecmath": "--vecmath -1",
    },
    "scheduler": {
        "switch": "--switch -1",
        "futex": "--futex -1",
        "sem": "--sem -1",
        "pipe": "--pipe -1",
        "yield": "--yield -1",
    },
    "memory": {
        "vm": "--vm 1 --vm-bytes 15%",
        "memcpy": "--memcpy 1",
        "malloc": "--malloc 1 --malloc-max 64 --malloc-bytes 64K",
        "memfd": "--memfd 1 --memfd-bytes 4M",
    },
    "vm": {
        "mmap": "--mmap 1 --mmap-bytes 8M",
        "mremap": "--mremap 1 --mremap-bytes 4M",
        "munmap": "--munmap 1",
        "fork": "--fork 1",
        "fault": "--fault 1",
    },
    "filesystem": {
        "hdd": "--hdd 1 --hdd-bytes 1M",
        "dir": "--dir 1",
        "rename": "--rename 1",
        "seek": "--seek 1 --seek-size 1M",
        "flock": "--flock 1",
    },
    # between nodes: stress-ng knows none, so it is the agent's own (guest/agent/stress/exchange.c)
    "network": {},
    "timers": {
        "timer": "--timer 1 --timer-freq 1000",
        "nanosleep": "--nanosleep 1",
        "clock": "--clock 1",
    },
    "signals": {
        "kill": "--kill 1",
        "sigq": "--sigq 1",
        "sigpending": "--sigpending 1",
        "sigsuspend": "--sigsuspend 1",
        "sigrt": "--sigrt 1",
    },
}
CLASSES: Final = tuple(STRESSORS)
METRICS: Final = ("latency", "rest", "memory", "recovery")
"""What each class measures, beside the rate of each stressor that came to the end of a round."""
PREFIX: Final = "stress_"
"""Of the test of a class."""
