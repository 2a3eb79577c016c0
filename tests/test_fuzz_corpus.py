"""What fuzzers begin with and what they have found holds for ever; and where atheris is, they look for more."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz import FOUND, NAMES, target

RUN = Path(__file__).parent / "fuzz" / "run.py"


@pytest.mark.parametrize("name", NAMES)
def test_every_input_keeps_the_promises(name: str) -> None:
    parser = target(name)
    seeds = list(parser.seeds())
    assert seeds, "a fuzzer that begins with nothing gets nowhere"
    for data in seeds:
        parser.fuzz(data)
    for path in sorted((FOUND / name).glob("*")):
        parser.fuzz(path.read_bytes())


def test_a_folder_of_found_inputs_has_a_parser() -> None:
    assert {path.name for path in FOUND.glob("*")} <= set(NAMES)


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="no atheris: the extra `fuzz`")
def test_a_short_look_for_more(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, RUN, f"seconds={len(NAMES)}", "runs=300", "jobs=2", f"found={tmp_path}"],
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" edges") == len(NAMES)
