"""How the agent sets a trace up, beside a folder that looks like tracefs; and that its remarks are said."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from native import compile_harness, run_harness

from sistasks.layout import Layout
from sistasks.settings import Settings
from sistasks.suites.showing import say_notes
from sistasks.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

# the arguments: how to trace, and whether the kernel has tracefs
HARNESS = r"""
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mount.h>
static int mounted;
static int try_mount(const char *a, const char *b, const char *c, unsigned long d, const void *e)
{
    (void)a, (void)b, (void)c, (void)d, (void)e;
    errno = ENODEV;
    return mounted;
}
#define mount try_mount
#define TRACING "@FOLDER@"
#include "trace.c"

static const char *how;

bool plan_value(const char *key, char *value, size_t size)
{
    snprintf(value, size, "%s", how);
    return strcmp(key, "trace") == 0 && *how != 0;
}

uint64_t plan_number(const char *key)
{
    return strcmp(key, "trace_room") == 0 ? 8 << 20 : 0;
}

void channel_text(enum frame_type type, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vprintf(type == FRAME_NOTE ? format : "?", arguments);
    va_end(arguments);
}

bool channel_file(const char *name, const char *path, uint64_t most)
{
    printf("file %s %s %d\n", name, strrchr(path, '/') + 1, (int)most);
    return true;
}

int main(int count, char **arguments)
{
    how = arguments[1];
    mounted = count > 2 ? -1 : 0;
    trace_prepare();
    trace_clear();
    trace_run(true);
    trace_run(false);
    trace_send("a");
    return 0;
}
"""


@pytest.fixture
def tracefs(tmp_path: Path) -> Path:
    folder = tmp_path / "tracing"
    for name in (
        "tracing_on",
        "buffer_size_kb",
        "trace",
        "current_tracer",
        "events/sched/enable",
        "events/irq/enable",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    return folder


SENT = f"file a trace {8 << 20}\n"
NO_FUNCTIONS = "text=no function tracer in this kernel: "


@pytest.mark.parametrize(
    ("how", "missing", "said", "tracer", "event"),
    [
        ("yes", "", SENT, "function", ""),
        ("function", "", SENT, "function", ""),
        ("events", "", SENT, "", "1"),
        ("yes", "current_tracer", NO_FUNCTIONS + "events only\n" + SENT, "", "1"),
        ("function", "current_tracer", NO_FUNCTIONS + "no trace\n", "", ""),
        ("", "", "", "", ""),
    ],
)
def test_what_is_traced(
    tmp_path: Path, tracefs: Path, how: str, missing: str, said: str, tracer: str, event: str
) -> None:
    if missing:
        (tracefs / missing).unlink()
    (tracefs / "trace").write_text("of the test before")
    program = compile_harness(tmp_path, HARNESS.replace("@FOLDER@", str(tracefs)))
    assert run_harness(program, how).decode() == said
    assert (tracefs / "events/sched/enable").read_text() == event
    if not missing:
        assert (tracefs / "current_tracer").read_text() == tracer
    if SENT in said:
        # of 8 MiB of text on this machine's processors
        assert 64 <= int((tracefs / "buffer_size_kb").read_text()) <= 8192 // 5
        assert (tracefs / "trace").read_text() == ""
        assert (tracefs / "tracing_on").read_text() == "0"
    else:
        assert (tracefs / "trace").read_text() == "of the test before"


def test_a_kernel_without_tracefs_is_no_error(tmp_path: Path, tracefs: Path) -> None:
    program = compile_harness(tmp_path, HARNESS.replace("@FOLDER@", str(tracefs)))
    assert run_harness(program, "yes", "none") == b"text=no trace: the kernel has no tracefs\n"


def test_what_guests_remark_is_said_once(tmp_path: Path) -> None:
    out = io.StringIO()
    notes = [(1, "same"), (2, "same"), (2, "other")]
    with Terminal(Settings(output=tmp_path), Layout(tmp_path), out) as terminal:
        say_notes(notes, terminal)
    assert [line.split(maxsplit=1)[1] for line in out.getvalue().splitlines()] == [
        "2 nodes: same",
        "node 2: other",
    ]
