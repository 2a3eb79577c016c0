"""Fuzz the parsers of a guest's bytes: `python tests/fuzz/run.py [NAME ...] [OPTION=VALUE ...]`.

`seconds=600` are shared by the names, `jobs=1` of which run at once; with `runs` none has more inputs than that. What
breaks a promise is kept in `found/NAME/`; with a folder `corpus` the inputs that reach new code are kept, too, and the
next run begins with them. Needs the extra `fuzz`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parent.parent))

from fuzz import FOUND, NAMES, target

_COVERED: Final = re.compile(r"cov: (\d+)")
_DONE: Final = re.compile(r"Done (\d+) (?:runs )?in (\d+) second")
_MEMORY: Final = 1024
_SLOW: Final = 10
_LONGEST: Final = 8192


def one(name: str, options: list[str]) -> None:
    """Fuzz one parser in this process; does not come back."""
    import atheris

    with atheris.instrument_imports(include=["sistasks"]):
        module = target(name)
    atheris.Setup([sys.argv[0], *options], module.fuzz)
    atheris.Fuzz()


def start(name: str, seconds: int, runs: int, corpus: Path, found: Path) -> bool:
    """Fuzz one parser in a process of its own, say what it came to, and whether all promises were kept."""
    own = corpus / name
    own.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target(name).seeds()):
        (own / f"seed-{number}").write_bytes(seed)
    (found / name).mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds}", f"-runs={runs}", f"-rss_limit_mb={_MEMORY}", f"-timeout={_SLOW}",
        f"-max_len={_LONGEST}", "-print_final_stats=1", f"-artifact_prefix={found / name}/",
        str(own), str(found / name),
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, __file__, "--one", name, *options],
        capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    said = done.stderr + done.stdout
    covered = _COVERED.findall(said)
    counts = re.findall(r"number_of_executed_units:\s*(\d+)", said) or [
        count for count, _ in _DONE.findall(said)
    ]
    speed = re.findall(r"average_exec_per_sec:\s*(\d+)", said)
    print(
        f"{name:10} {counts[-1] if counts else '?':>9} runs, {speed[-1] if speed else '?':>6}/s, "
        f"{covered[-1] if covered else '?':>5} edges" + ("" if done.returncode == 0 else ", BROKEN"),
        flush=True,
    )
    if done.returncode != 0:
        print("\n".join(said.splitlines()[-40:]), flush=True)
    if not any((found / name).iterdir()):
        (found / name).rmdir()
    return done.returncode == 0


def main(words: list[str]) -> int:
    """The command line; 0: all promises were kept."""
    values = dict(word.split("=", 1) for word in words if "=" in word)
    names = [word for word in words if "=" not in word] or list(NAMES)
    each = max(1, int(values.get("seconds", "600")) // len(names))
    runs = int(values.get("runs", "-1"))
    found = Path(values.get("found", FOUND))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = folder  # who is ended by libFuzzer leaves what it has written
        corpus = Path(values.get("corpus", folder))
        with ThreadPoolExecutor(int(values.get("jobs", "1"))) as pool:
            kept = list(pool.map(lambda name: start(name, each, runs, corpus, found), names))
    return 0 if all(kept) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], sys.argv[3:])
    sys.exit(main(sys.argv[1:]))
