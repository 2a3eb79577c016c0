"""What the security suite must notice: protections that are turned off, one by one, in a real kernel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest
from guest_project import Project, rows

from sistasks.kinds import host_arch

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(host_arch() != "x86_64", reason="the arguments are those of a kernel for x86_64"),
]

# a processor that says it is one with Meltdown, so that the kernel has something to do about it
DODO: Final = """
from dataclasses import replace

from sistasks.machine.arch import ARCHES, X86_64

INTEL = "max,la57=off,vendor=GenuineIntel,family=6,model=94,stepping=3"
ARCHES["x86_64"] = replace(X86_64, guarded_cpu=INTEL)

from sistasks.tasks import *
"""
# argument -> rules that fail with it, or can no longer be told
TURNED_OFF: Final = {
    "nokaslr": ("runtime.kaslr", "runtime.kaslr_areas"),
    "mitigations=off": (
        "vulnerability.spectre_v1", "vulnerability.spectre_v2", "vulnerability.indirect_target_selection",
    ),
    "pti=off": ("vulnerability.meltdown", "runtime.page_table_isolation"),
    # Linux has had nosmep, nosmap and noexec until 5.19; this turns off what they did
    "clearcpuid=smep,smap,umip,nx": (
        "runtime.smep", "runtime.smap", "runtime.umip", "runtime.nx", "runtime.execute_stack",
        "runtime.execute_heap", "runtime.execute_data", "runtime.execute_mapping",
    ),
    "rodata=off": ("runtime.read_only_kernel", "runtime.no_writable_code"),
    "vsyscall=emulate": ("runtime.vsyscall",),
    "init_on_alloc=0": ("runtime.init_on_alloc",),
    "sysctl.vm.mmap_min_addr=0": ("runtime.mmap_min_addr", "runtime.map_null"),
    "sysctl.kernel.randomize_va_space=0": (
        "runtime.randomize_va_space", "runtime.aslr_stack", "runtime.aslr_heap", "runtime.aslr_mapping",
        "runtime.aslr_vdso",
    ),
    "sysctl.kernel.dmesg_restrict=0": ("runtime.dmesg_restrict", "runtime.kernel_log", "runtime.door_kmsg"),
    # who may count the kernel's events is shown its addresses
    "sysctl.kernel.perf_event_paranoid=-1": (
        "runtime.perf_event_paranoid", "runtime.unprivileged_perf", "runtime.kernel_symbols",
    ),
    "sysctl.kernel.unprivileged_bpf_disabled=0": (
        "runtime.unprivileged_bpf_disabled", "runtime.unprivileged_bpf",
    ),
    "sysctl.vm.unprivileged_userfaultfd=1": (
        "runtime.userfaultfd_restricted", "runtime.unprivileged_userfaultfd",
    ),
    "sysctl.fs.protected_symlinks=0": ("runtime.protected_symlinks", "runtime.planted_link"),
    "sysctl.fs.protected_hardlinks=0": ("runtime.protected_hardlinks", "runtime.hard_link"),
    "sysctl.fs.suid_dumpable=1": ("runtime.suid_dumpable",),
}  # fmt: skip
# argument -> rules that pass with it, and fail in Debian's kernel as it is
TURNED_ON: Final = {
    "init_on_free=1": ("runtime.init_on_free",),
    "page_alloc.shuffle=1": ("runtime.page_shuffle",),
    "module.sig_enforce=1": ("runtime.unsigned_modules",),
    "sysctl.kernel.kptr_restrict=1": ("runtime.kptr_restrict",),
    "sysctl.kernel.yama.ptrace_scope=1": ("runtime.ptrace_scope", "runtime.ptrace"),
    "sysctl.net.core.bpf_jit_harden=2": ("runtime.bpf_jit_harden",),
    "sysctl.kernel.kexec_load_disabled=1": ("runtime.kexec_load_disabled",),
    "sysctl.kernel.sysrq=0": ("runtime.sysrq",),
    "sysctl.dev.tty.ldisc_autoload=0": ("runtime.ldisc_autoload",),
    "sysctl.fs.protected_fifos=1": ("runtime.protected_fifos",),
    "sysctl.fs.protected_regular=1": ("runtime.protected_regular", "runtime.planted_file"),
    "sysctl.user.max_user_namespaces=0": ("runtime.unprivileged_namespaces",),
    "sysctl.kernel.core_pattern=|/bin/false": ("runtime.core_pattern",),
}
# what no argument turns off passes in both: a program that gets behind these has the kernel
KEPT: Final = {
    "runtime.kernel_read", "runtime.kernel_write", "runtime.kernel_jump", "runtime.root_writes_mem",
    "runtime.door_kcore", "runtime.unprivileged_modules", "runtime.setuid_files", "fuzz.crash",
}  # fmt: skip


def outcomes(folder: Path, output: Path, *arguments: str) -> dict[str, str]:
    """What each rule came to with these arguments on the kernel's command line."""
    db = folder / f"{len(arguments)}.db"
    done = Project(folder).doit(
        "security", "nodes=1", "clone=no", "clock=wall", "accel=tcg", "episodes=1", "memory=128M", f"output={output}",
        f"db={db}", f"arguments={' '.join(arguments)}", limit=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert rows(db, "select distinct status from results where test in ('hardening', 'kaslr')") == [("pass",)]
    found: dict[str, str] = dict(rows(db, "select rule, outcome from findings"))
    return found


# eight boots, on a host that may be busy with as many others
@pytest.mark.timeout(600)
def test_every_protection_that_is_turned_off_is_noticed(project: Project, tmp_path: Path) -> None:
    (tmp_path / "dodo.py").write_text(DODO)
    output = project.folder / "target/testing"
    guarded = outcomes(tmp_path, output, *TURNED_ON)
    bare = outcomes(tmp_path, output, *TURNED_OFF)
    assert guarded.keys() == bare.keys()
    worse = {rule for rule, outcome in guarded.items() if outcome == "pass" and bare[rule] != "pass"}
    assert worse == {rule for rules in (*TURNED_OFF.values(), *TURNED_ON.values()) for rule in rules}
    # without the mark that pages are checked, nobody knows
    assert {rule for rule in worse if bare[rule] != "fail"} == {"runtime.no_writable_code"}
    assert {guarded[rule] for rule in KEPT} | {bare[rule] for rule in KEPT} == {"pass"}
    better = {rule for rule, outcome in guarded.items() if outcome != "pass" and bare[rule] == "pass"}
    assert better == set()


def test_a_kernel_that_runs_no_agent_of_ours_is_looked_at_from_outside(
    project: Project, tmp_path: Path
) -> None:
    built = json.loads((project.folder / "target/testing/build/kernel-debian-x86_64.json").read_text())
    (tmp_path / "its.cpio").write_bytes(b"")
    (tmp_path / "dodo.py").write_text("from sistasks.tasks import *\n")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.sistasks.kernels.theirs]\nkind = "file"\ninitramfs = "its.cpio"\n'
        f"image = {json.dumps(str(project.folder / built['image']))}\n"
    )
    done = Project(tmp_path).doit("security", "kernel=theirs", "nodes=2")
    assert done.returncode == 0, done.stdout + done.stderr
    db = tmp_path / "results.db"
    assert rows(db, "select suite, status from runs") == [("security", "ok")]
    found = rows(db, "select node, test, status from results order by test")
    assert [(node, test) for node, test, _ in found] == [
        (0, "configuration"), (0, "image"), (0, "kaslr"), (0, "vulnerabilities")
    ]  # fmt: skip
    assert ("image", "pass") in {(test, status) for _, test, status in found}
    assert rows(db, "select message from results where test = 'kaslr'") == [
        ("this kernel does not run our agent",)
    ]
    assert rows(db, "select distinct category from findings where category not in ('config', 'image')") == [
        ("vulnerability",)
    ]
