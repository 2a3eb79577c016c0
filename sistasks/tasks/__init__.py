"""The tasks: what depends on what. A dodo.py needs one line: `from sistasks.tasks import *`."""

from sistasks.tasks import interrupts  # noqa: F401 - first: from here on an interrupt is answered with a sentence

# isort: split
from sistasks.tasks.build import (
    task__kernels,
    task_firmware,
    task_guest,
    task_kernel,
    task_setup,
    task_template,
)
from sistasks.tasks.configuration import DOIT_CONFIG
from sistasks.tasks.evidence import task_archive, task_artifacts
from sistasks.tasks.history import (
    task_accept,
    task_bisect,
    task_compare,
    task_gate,
    task_merge,
    task_selfcheck,
)
from sistasks.tasks.reproduce import task__crash, task_reproduce
from sistasks.tasks.show import task_browse, task_report
from sistasks.tasks.suites import (
    task__advisories,
    task__attackers,
    task__begin,
    task__cluster,
    task__fleet,
    task__programs,
    task__stressors,
    task__suites,
    task_boot,
    task_distributed,
    task_ktap,
    task_penetration,
    task_performance,
    task_programs,
    task_security,
    task_stress,
    task_test,
)
from sistasks.tasks.upkeep import task_cleanup

__all__ = [
    "DOIT_CONFIG",
    "task__advisories",
    "task__attackers",
    "task__begin",
    "task__cluster",
    "task__crash",
    "task__fleet",
    "task__kernels",
    "task__programs",
    "task__stressors",
    "task__suites",
    "task_accept",
    "task_archive",
    "task_artifacts",
    "task_bisect",
    "task_boot",
    "task_browse",
    "task_cleanup",
    "task_compare",
    "task_distributed",
    "task_firmware",
    "task_gate",
    "task_guest",
    "task_kernel",
    "task_ktap",
    "task_merge",
    "task_penetration",
    "task_performance",
    "task_programs",
    "task_report",
    "task_reproduce",
    "task_security",
    "task_selfcheck",
    "task_setup",
    "task_stress",
    "task_template",
    "task_test",
]
