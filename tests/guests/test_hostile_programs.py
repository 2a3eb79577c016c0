"""Programs in a real guest that flood us and mean us harm: it ends in words, and costs us little."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from guest_project import DODO, Project, environment, rows

from sistasks.kinds import host_arch
from sistasks.machine.arch import ARCHES
from sistasks.machine.logs import LOG_LIMIT
from sistasks.tools import find_compiler

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.guest

# what it does is its first argument
SOURCE = r"""
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "";
    static char block[65536];
    if (strcmp(what, "words") == 0) {
        printf("METRIC latency=1 us\nMETRIC <script>alert(1)</script>=1\nMETRIC latency=1e308\nMETRIC x=nan\n");
        printf("METRIC y=-5\nMETRIC \033[31mred=1\nMETRIC [/red]=1\nMETRIC a=1 <b>\nMETRIC latency=");
        for (int i = 0; i < 300000; i++) {
            putchar('9');
        }
        fprintf(stderr, "\n\033[31m\033]0;title\007<img src=x onerror=alert(1)> [/nothing]\n");
        return 3;
    }
    if (strcmp(what, "metrics") == 0) {
        for (;;) {
            printf("METRIC latency=1 us\n");
        }
    }
    int console = open("/dev/console", O_WRONLY);
    memset(block, 'x', sizeof block);
    for (size_t i = 79; i < sizeof block; i += 80) {
        block[i] = '\n';
    }
    for (;;) {
        write(console, block, sizeof block);
    }
}
"""
TABLE = '[tool.sistasks.programs.{name}]\npath = "hostile"\narguments = ["{name}"]\ntimeout = 2\n'
# doit, and the most memory that it had, in KiB; not by getrusage, which counts what the process was forked from
DOIT = """
import re, sys
from pathlib import Path
from doit.doit_cmd import DoitMain
code = DoitMain().run(sys.argv[1:])
print("peak", re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
sys.exit(code)
"""


def test_floods_and_markup_end_in_words(project: Project, tmp_path: Path) -> None:
    (tmp_path / "dodo.py").write_text(DODO)
    (tmp_path / "hostile.c").write_text(SOURCE)
    compiler = find_compiler(ARCHES[host_arch()])
    made = [*compiler, "-O1", "-static", "-o", str(tmp_path / "hostile"), str(tmp_path / "hostile.c")]
    subprocess.run([*made, "-Wno-unused-result"], check=True)
    names = ("words", "metrics", "console")
    (tmp_path / "pyproject.toml").write_text("".join(TABLE.format(name=name) for name in names))
    Project(tmp_path).share_output(project)
    done = subprocess.run(
        [sys.executable, "-c", DOIT, "programs", "nodes=1", "memory=128M", "clock=wall"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=250, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    found = {
        test: (status, message)
        for test, status, message in rows(
            tmp_path / "results.db", "select test, status, message from results"
        )
    }
    assert found["words"] == ("fail", "exit code 3: ?[31m?]0;title?<img src=x onerror=alert(1)> [/nothing]")
    assert found["console"] == ("fail", "it was still running after 2 s and was killed")
    assert found["metrics"][0] in {"fail", "error"}
    assert rows(tmp_path / "results.db", "select name from metrics where name glob '*[^a-z0-9_./-]*'") == []
    said = done.stdout + done.stderr
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", said)
    peak = int(said.rpartition("peak ")[2].split()[0]) >> 10
    assert peak < 200, "MiB"
    logs = list((project.folder / "target/testing").rglob("node_1.log"))
    assert max(path.stat().st_size for path in logs) <= LOG_LIMIT + 200
