"""What Dask costs: the same runs with and without two workers on this machine, and tasks that do nothing.

    python tests/benchmarks/fleet.py [RUNS]        # 20 by default

Run it with nothing else running. It needs what `doit setup` installs, and `distributed`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster

from sistasks.fleet import cache
from sistasks.fleet.job import Job, pack
from sistasks.settings import Settings, resolve
from sistasks.suites import registry
from sistasks.suites.recipe import recipes

RUNS = 20
TASKS = 200
SMALL = {"nodes": "2", "iterations": "1000"}


def doit(folder: Path, **variables: object) -> float:
    """Seconds that a command took."""
    asked = [f"{name}={value}" for name, value in {**SMALL, **variables}.items()]
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "doit", "performance", "quiet=yes", *asked], cwd=folder, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - began


def job_of(settings: Settings) -> Job:
    """What goes to a worker with each run."""
    suite = registry.find("performance", settings)
    return pack(suite, settings, recipes(suite, settings))[0]


def nothing(job: Job) -> str:
    """A task that is as large as a run's and does nothing."""
    return job.suite.name


def tiny(client: Client, job: Job) -> float:
    """Seconds for each of many tasks that do nothing."""
    client.gather([client.submit(nothing, job, pure=False) for _ in range(10)])
    began = time.perf_counter()
    futures: list[Any] = [client.submit(nothing, job, pure=False) for _ in range(TASKS)]
    client.gather(futures)
    return (time.perf_counter() - began) / TASKS


def main() -> None:
    """Measure and print."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "dodo.py").write_text("from sistasks.tasks import *\n")
        os.environ[cache.VARIABLE] = str(folder / "cache")
        os.chdir(folder)
        with (
            LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as local,
            Client(local) as client,
        ):
            doit(folder, seed=1)  # kernel, guest, template
            doit(folder, seed=2, runs=4, cluster=local.scheduler_address)  # the same, and hands, over there
            here = doit(folder, seed=3, runs=runs)
            there = doit(folder, seed=4, runs=runs, cluster=local.scheduler_address)
            each = tiny(client, job_of(resolve(SMALL)))
    print(f"{runs} runs: {here:.1f} s here, {there:.1f} s on two workers, ratio {there / here:.2f}")
    print(f"{TASKS} tasks that do nothing: {each * 1000:.1f} ms each")


if __name__ == "__main__":
    main()
