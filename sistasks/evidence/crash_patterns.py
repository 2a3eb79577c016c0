"""How kernels, and what starts them, say that something is wrong: the beginnings of lines, and what a title needs.

Sources: the kernel's own texts (kernel/panic.c, lib/bug.c, mm/kasan, mm/kfence, mm/kmsan, kernel/kcsan, lib/ubsan.c,
kernel/locking/lockdep.c, kernel/rcu/tree_stall.h, kernel/watchdog.c, kernel/hung_task.c, arch/*/kernel/traps.c and
arch/*/mm/fault.c), edk2's DebugLib and BdsDxe, SeaBIOS, GRUB and U-Boot; which of them matter, and which frames of
a trace name no culprit: syzkaller's pkg/report.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Final

KINDS: Final = (
    "panic", "oops", "bug", "kasan", "kcsan", "kfence", "kmsan", "ubsan", "lockdep", "rcu_stall", "soft_lockup",
    "hard_lockup", "hung_task", "gpf", "double_fault", "warning", "leak", "rust_panic", "reboot", "firmware",
    "bootloader", "sis_panic",
)  # fmt: skip

# the function that a title names: where the processor was; the first of the trace that is nobody's helper; the place
# of the lock that was wanted; or the title line says all
POINTER: Final = "pointer"
FRAME: Final = "frame"
LOCK: Final = "lock"
NOWHERE: Final = ""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One way to begin.

    Attributes:
        kind: one of KINDS.
        words: at the begin of the line, after its stamp, as a regular expression; `what` and `where` are groups that
            title may name.
        title: `{what}` and `{where}` are what the line said, without numbers.
        function: POINTER, FRAME, LOCK or NOWHERE; found, it follows the title as ` in function`.
        fatal: nothing runs after it.
        follows: it continues a fault whose report has not ended.
        stamped: only after a time stamp: programs begin lines so, too.
        linux: only where Linux speaks (True), only where it never spoke (False), or anywhere.
    """

    kind: str
    words: str
    title: str
    function: str = NOWHERE
    fatal: bool = False
    follows: bool = False
    stamped: bool = False
    linux: bool | None = None

    def match(self, body: str) -> re.Match[str] | None:
        """The words at the beginning of a line without its stamp."""
        return _compiled(self.words).match(body)


# a console that nobody reads, and a list of tasks, need none of them
_compiled: Final = functools.cache(re.compile)


def _pattern(
    kind: str, begin: str, title: str, function: str = NOWHERE, *, flags: str = "", linux: bool | None = None
) -> Pattern:
    words = flags.split()
    return Pattern(
        kind, begin, title, function,
        fatal="fatal" in words, follows="follows" in words, stamped="stamped" in words, linux=linux,
    )  # fmt: skip


_FUNCTION: Final = r"(?P<where>[A-Za-z_$][\w.$]*)"
_TRAP: Final = r"(?: \[#\d+\]|: [0-9a-f]{1,16}(?: \[#\d+\]| |$))"

PATTERNS: Final = (
    _pattern("panic", r"Kernel panic - not syncing(?:: ?(?P<what>.*?)(?:\.\s+Try passing.*)?)?$",
             "kernel panic: {what}", flags="fatal"),
    _pattern("panic", r"PANIC: early exception", "early exception", POINTER, flags="fatal"),
    _pattern("double_fault", r"(?:traps: )?PANIC: double fault", "double fault", POINTER, flags="fatal"),
    _pattern("double_fault", r"(?:Oops: )?double fault:", "double fault", POINTER, flags="follows fatal"),
    _pattern("sis_panic", r"(?:!+ *)?(?:\[(?:core|cpu) \d+\] *)?KERNEL PANIC\b[\s:!-]*(?P<what>.*)",
             "SIS panic: {what}", flags="fatal", linux=False),
    _pattern("sis_panic", r"(?:!+ *)?(?:\[(?:core|cpu) \d+\] *)?PANIC(?:: ?| at |!)(?P<what>.*)",
             "SIS panic: {what}", flags="fatal", linux=False),
    _pattern("sis_panic", r"FATAL: ?(?P<what>.*)", "SIS fatal: {what}", flags="fatal", linux=False),
    _pattern("kasan", rf"BUG: KASAN: (?P<what>[\w /-]+?) (?:in|on) (?:address|{_FUNCTION})",
             "KASAN: {what}{access}", FRAME),
    _pattern("kasan", r"KASAN: (?P<what>[\w -]+?) in range", "KASAN: {what}", POINTER, flags="follows"),
    _pattern("kcsan", r"BUG: KCSAN: (?P<what>data-race"
             r"|assert: race) in (?P<where>.+)", "KCSAN: {what} in {where}"),
    _pattern("kcsan", r"BUG: KCSAN: (?P<what>.*)", "KCSAN: {what}"),
    _pattern("kfence", rf"BUG: KFENCE: (?P<what>[\w -]+?) in {_FUNCTION}", "KFENCE: {what}", FRAME),
    _pattern("kmsan", rf"BUG: KMSAN: (?P<what>[\w -]+?) in {_FUNCTION}", "KMSAN: {what}", FRAME),
    _pattern("ubsan", r"UBSAN: (?P<what>.+?) in (?:\.\./)*(?P<where>[^\s:]+):\d+", "UBSAN: {what}", FRAME),
    _pattern("rcu_stall", r"(?:rcu: )?INFO: rcu\w* (?:self-)?detected (?:expedited )?stall", "rcu stall", POINTER),
    _pattern("rcu_stall", r"rcu: (?P<what>rcu_\w+) kthread starved", "rcu kthread starved", flags="stamped follows"),
    _pattern("soft_lockup", r"(?:watchdog: )?BUG: soft lockup", "soft lockup", POINTER),
    _pattern("soft_lockup", r"BUG: workqueue lockup", "workqueue lockup"),
    _pattern("hard_lockup", r"(?:NMI )?watchdog: Watchdog detected hard LOCKUP", "hard lockup", POINTER),
    _pattern("hung_task", r"INFO: task .{1,80} blocked (?:for more than|on an? )", "task hung", FRAME),
    _pattern("lockdep", r"(?:INFO|WARNING): possible (?:circular locking|recursive locking"
             r"|irq lock inversion) ?\w* de\w+",
             "possible deadlock", LOCK),
    _pattern("lockdep", r"(?:INFO|WARNING): \S+ \S+ lock order detected|(?:INFO"
             r"|WARNING): \S+-safe -> \S+-unsafe lock",
             "possible irq deadlock", LOCK),
    _pattern("lockdep", r"(?:INFO|WARNING): (?P<what>inconsistent lock state)", "{what}", LOCK),
    _pattern("lockdep", r"(?:INFO|WARNING): (?P<what>suspicious RCU usage)", "{what}", FRAME),
    _pattern("lockdep", r"(?:INFO|WARNING): (?P<what>bad (?:un)?lock balance|bad contention) detected", "{what}", LOCK),
    _pattern("lockdep", r"(?:BUG|WARNING): (?P<what>held lock freed|Nested lock was not taken|lock held "
             r"(?:when|at)[\w ]+)", "{what}"),
    _pattern("lockdep", r"INFO: (?P<what>trying to register non-static key)", "{what}", FRAME),
    _pattern("lockdep", r"(?:\[ )?BUG: (?P<what>Invalid wait context|MAX_\w+ too low)", "{what}", LOCK),
    _pattern("gpf", r"(?:Oops: )?general protection fault", "general protection fault", POINTER, flags="follows"),
    _pattern("oops", r"BUG: (?P<what>kernel NULL pointer dereference|unable to handle (?:kernel )?[\w ]+?|"
             r"stack guard page was hit|TASK stack guard page was hit"
             r"|[\w#]+ stack guard page was hit)(?:[,:]? (?:at|for) |, address|:)",
             "{what}", POINTER),
    _pattern("oops", r"Unable to handle kernel (?P<what>[\w -]+?) (?:at"
             r"|for) ", "unable to handle kernel {what}", POINTER),
    _pattern("oops", r"Unable to handle kernel (?P<what>.*)", "unable to handle kernel {what}", POINTER),
    _pattern("oops", r"Unhandled (?:prefetch abort"
             r"|fault): (?P<what>[^(]+?) \(", "unhandled fault: {what}", POINTER,
             flags="follows"),
    _pattern("oops", r"Internal error: (?:Oops - )?(?P<what>.+?)" + _TRAP, "{what}", POINTER, flags="follows"),
    _pattern("oops", r"Oops: (?P<what>invalid opcode|divide error|int3|stack segment"
             r"|[a-z][a-z ]{3,30}): [0-9a-f]{1,4} \[#",
             "{what}", POINTER, flags="follows"),
    _pattern("oops", r"Oops - (?P<what>[\w ]+?) \[#", "{what}", POINTER, flags="follows"),
    _pattern("oops", r"Oops(?:: [0-9a-f]+| \[#|: Oops)", "Oops", POINTER, flags="follows"),
    _pattern("oops", r"(?P<what>divide error|invalid opcode|int3|stack segment|stack guard page"
             r"|alignment check|bounds|overflow|"
             r"invalid TSS|segment not present|coprocessor segment overrun|simd exception"
             r"|trap \d+): [0-9a-f]{1,4} \[#",
             "{what}", POINTER, flags="follows"),
    _pattern("oops", r"(?:traps: )?Missing ENDBR: ", "control protection fault", POINTER),
    _pattern("oops", r"(?P<what>Insufficient stack space to handle exception)", "kernel stack overflow", POINTER),
    _pattern("oops", r"SError Interrupt on CPU", "SError interrupt", POINTER, flags="stamped"),
    _pattern("oops", r"Bad mode in (?P<what>[\w ]+) handler", "bad mode in {what} handler", POINTER),
    _pattern("bug", r"[kK]ernel BUG (?:at (?P<where>[^\s:]+):\d+|at (?P<what>\S+)"
             r"|\[#)", "kernel BUG", POINTER, flags="follows"),
    _pattern("bug", r"BUG (?P<where>[\w-]{1,60}) \([^)]*\): (?P<what>.*)", "BUG {where}: {what}"),
    _pattern("leak", r"BUG: memory leak|kmemleak: \d+ new suspected memory leaks", "memory leak"),
    _pattern("leak", r"unregister_netdevice: waiting for (?P<what>\S+) to become free",
             "unregister_netdevice: waiting for a device to become free"),
    _pattern("leak", r"VFS: Busy inodes after unmount", "VFS: busy inodes after unmount"),
    _pattern("bug", r"BUG: (?P<what>sleeping function called from invalid context|scheduling while atomic)",
             "{what}", FRAME),
    _pattern("bug", r"BUG: (?P<what>spinlock [a-z ]+|rwlock [a-z ]+"
             r"|using [\w]+\(?\)? in preemptible)", "{what}", FRAME),
    _pattern("bug", r"BUG: Bad (?P<what>page state|page map|rss-counter state)", "bad {what}"),
    _pattern("bug", r"BUG: (?P<what>\S.*)", "BUG: {what}"),
    _pattern("warning", r"WARNING: CPU: \d+ PID: \d+ at (?P<what>[^\s:]+)(?::\d+)?(?: " + _FUNCTION + ")?",
             "WARNING", POINTER),
    _pattern("warning", r"WARNING: (?P<what>[\w./-]+\.[chS]):\d+ at " + _FUNCTION, "WARNING", POINTER),
    _pattern("warning", r"WARNING: (?P<what>\S.*)", "WARNING: {what}", flags="stamped"),
    _pattern("rust_panic", r"rust_kernel: panicked at (?:'(?P<what>.*)',"
             r"|(?P<where>[^\s:]+):\d+)", "Rust panic: {what}{where}"),
    _pattern("rust_panic", r"panicked at (?:'(?P<what>.*)',"
             r"|(?P<where>[^\s:]+):\d+:\d+)", "Rust panic: {what}{where}",
             flags="fatal"),
    _pattern("firmware", r"BdsDxe: failed to load (?P<what>Boot)\w+ .*: (?P<where>[A-Z][\w ]+)",
             "firmware: failed to load a boot option: {where}"),
    _pattern("firmware", r"BdsDxe: No bootable option"
             r"|No bootable device\.", "firmware: no bootable device", flags="fatal"),
    _pattern("firmware", r"ASSERT \[(?P<where>\w+)\] (?:[^ (]*/)?(?P<what>[\w.]+)\(\d+\)",
             "firmware: ASSERT in {where}, {what}", flags="fatal", linux=False),
    _pattern("firmware", r"!!!! (?P<what>[A-Z]\w* Exception Type - \S+?\([^)]*\))", "firmware: {what}", flags="fatal"),
    _pattern("firmware", r"(?P<what>Synchronous Exception|SError Exception"
             r"|IRQ Exception) at 0x", "firmware: {what}",
             flags="fatal"),
    _pattern("firmware", r"sbi_trap_error: hart\d+: (?:trap\d+: )?(?P<what>.*?)(?: \(error.*)?$",
             "firmware: {what}", flags="fatal"),
    _pattern("bootloader", r"EFI stub: ERROR: (?P<what>.*)", "EFI stub: {what}"),
    _pattern("bootloader", r" ?-- System halted", "boot: system halted", flags="fatal"),
    _pattern("bootloader", r"error: (?P<what>.*(?:not found|no such device|no such partition|unknown filesystem).*)",
             "GRUB: {what}", linux=False),
    _pattern("bootloader", r"grub rescue>", "GRUB: rescue", flags="fatal", linux=False),
    _pattern("bootloader", r"### ERROR ### Please RESET the board", "U-Boot: reset needed", flags="fatal"),
    _pattern("bootloader", r"Boot failed: (?P<what>.*)", "boot failed: {what}", linux=False),
)  # fmt: skip

# a machine, or the kernel in it, started again though nobody had ended it
REBOOT: Final = _pattern("reboot", r"", "unexpected reboot", flags="fatal")
# the next of the boot options may do
WITHDRAWN: Final = tuple(pattern for pattern in PATTERNS if "failed" in pattern.title)
# what stands before the kernel: one failure leads to the next
BEFORE: Final = frozenset({"firmware", "bootloader"})

# what a line begins with that begins like a crash and is none
BENIGN: Final = re.compile(
    r"INFO: lockdep is turned off|BUG: 0\b$|WARNING: CPU: \d+ PID: \d+ at lib/kunit/"
    r"|WARNING: .*took too long"
)

# any of this is to be looked at closer: one look at each beginning of a line decides about nearly all of them
HEADS: Final = (
    rb"Kernel (?:panic -|BUG)", rb"kernel BUG", rb"(?:traps: )?PANIC", rb"traps: Missing",
    rb"!+ *[\[A-Z]", rb"KERNEL PANIC", rb"FATAL:", rb"\[(?:core|cpu) \d", rb"\[ BUG:",
    rb"BUG[: ]", rb"KASAN:", rb"UBSAN:", rb"(?:rcu: )?INFO:", rb"rcu: rcu_",
    rb"(?:NMI )?watchdog: (?:BUG|Watch)", rb"WARNING:", rb"general prot", rb"Unable to handle",
    rb"Unhandled ", rb"Internal error:", rb"Oops", rb"divide error:", rb"double fault:",
    rb"invalid (?:opcode|TSS)", rb"int3:", rb"stack (?:segment|guard)", rb"alignment check:", rb"bounds:",
    rb"overflow:", rb"segment not", rb"coprocessor seg", rb"simd exc", rb"trap \d", rb"Missing ENDBR",
    rb"Insufficient stack", rb"SError ", rb"Bad mode in", rb"kmemleak: \d", rb"unregister_netdevice:",
    rb"VFS: Busy", rb"rust_kernel:", rb"panicked at", rb"BdsDxe:", rb"No bootable", rb"ASSERT",
    rb"S\w+ Exc", rb"IRQ Exc", rb"sbi_trap_error", rb"EFI stub:", rb" ?-- System", rb"error: ",
    rb"grub rescue", rb"### ERR", rb"Boot failed:", rb"Booting Linux", rb"Linux version",
    rb"SeaBIOS \(", rb"UEFI firmware", rb"OpenSBI v", rb"U-Boot (?:SPL )?\d",
)  # fmt: skip

# of these, what may end a kernel
FATAL_HEADS: Final = (
    rb"Kernel panic -", rb"(?:traps: )?PANIC", rb"double fault:", rb"Oops: double", rb"!+ *[\[A-Z]",
    rb"KERNEL PANIC", rb"FATAL:", rb"\[(?:core|cpu) \d", rb"panicked at", rb"BdsDxe: No", rb"No bootable",
    rb"ASSERT", rb"S\w+ Exc", rb"IRQ Exc", rb"sbi_trap_error", rb" ?-- System", rb"grub rescue", rb"### ERR",
    rb"Booting Linux", rb"Linux version", rb"SeaBIOS \(", rb"UEFI firmware", rb"OpenSBI v", rb"U-Boot (?:SPL )?\d",
)  # fmt: skip

# a machine that starts; the last is the kernel itself
STARTS: Final = re.compile(
    r"SeaBIOS \(version|UEFI firmware \(version|BdsDxe: (?:loading|starting) Boot|OpenSBI v\d"
    r"|U-Boot (?:SPL )?\d"
    r"|Booting Linux on|EFI stub: Booting"
)
LINUX: Final = re.compile(r"Linux version \d")

# a panic because of what was said just before it
CONSEQUENCE: Final = re.compile(
    r"Fatal exception|(?:\w+: )?panic_on_warn set|hung_task: blocked tasks|softlockup: hung tasks"
    r"|RCU Stall|Oops"
    r"|kasan\.fault=|Hard LOCKUP|Aiee, killing interrupt|Attempted to kill the idle task|Machine halted"
    r"|BUG!$|Fatal hardware"
    r"|Asynchronous SError|panic_on_taint|workqueue: panic_on_stall|KFENCE|[Kk]ernel stack overflow|(?:UB"
    r"|KA|KM|KC)SAN: "
)
# with which Linux ends itself
LAST: Final = frozenset({"panic", "double_fault"})
# a fault in the first process ends the kernel with these words
KILLED_INIT: Final = re.compile(r"Attempted to kill init! exitcode=0x0000000[0-9a-f]$")
FOLLOWED: Final = frozenset({"rcu_stall", "ubsan", "kfence", "warning"})
FAULTS: Final = frozenset({"oops", "bug", "gpf", "kasan", "double_fault", "rust_panic"})

END: Final = re.compile(r"---\[ end Kernel panic|Rebooting in \d+ seconds")
TRACE_END: Final = re.compile(r"---\[ end trace")
RULE: Final = re.compile(r"={20,}$")
# reports between two rules
RULED: Final = frozenset({"kasan", "kcsan", "kfence", "kmsan", "ubsan"})

# lines that belong to a report: indented, registers, addresses, and what the kernel says beside them
_REPORT: Final = (
    r"\s|[A-Z][A-Z0-9]{1,3} ?: |[a-z][a-z0-9]{1,5} ?: |Call [Tt]race|Code: |CPU: |Hardware name"
    r"|Modules linked|Process |Tainted|Workqueue|Stack"
    r"|RIP: |PC is at|LR is at|Exception|Exit |Mem abort|Data abort|Kernel Offset|Kernel Version|---\["
    r"|note: |\[[0-9a-f<]{4,}|={20}|-{10}"
    r"|(?:Read|Write|Free|Allocated|Freed|The buggy|Memory state|page|Last potentially|Reported by"
    r"|Rebooting|Flags?:|Control|Register|Backtrace)"
    r"|<\/?(?:TASK|IRQ|NMI|#)|\#PF|Oops|Internal error|invalid opcode|KASAN: |Sending NMI|NMI backtrace"
    r"|(?:but )?task |stack backtrace|other info"
    r"|irq event|hardirqs|softirqs|[\w/:.-]+/\d+ (?:is|just)|Showing|rcu: |Unable to|Oops|status: "
    r"|user pgtable|kernel BUG|fbcon|Insufficient"
    r"|Task stack|IRQ stack|Overflow stack|Kernel panic|SMP: |R[0-9]|r[0-9]|x[0-9]|sp : |pgd|swapper|CR2"
    r"|Object|Slab|Redzone|Padding|FIX|INFO: (?:Alloc|Freed|Slab|Object|0x)"
)

_FAMILIES: Final = (
    r"_*(?:dump_stack|show_stack|show_regs|show_trace|dump_backtrace|unwind_|print_|asan_|msan_"
    r"|k(?:asan|fence|msan)_(?:report|check_|save_|set_|slab_|poison|unpoison|kmalloc|krealloc|complete"
    r"|kunit_fail"
    r"|quarantine|start|end|handle|guarded|free|copy|internal)"
    r"|kcsan_|tsan_|ubsan_|hwasan_|warn_|bug_|exc_|asm_|oops_|bad_area|do_user_addr|do_kern_addr|do_trap"
    r"|do_error_trap"
    r"|do_page_|el[01]_|el[01]h?_|el1t?_|dabt_|pabt_|und_|do_bad|kmem_cache_(?:alloc|free|create|destroy"
    r"|shrink)$|slab_|free_pages|usercopy_|fortify_"
    r"|might_|lockdep_|mark_(?:lock|usage)|check_(?:prev|noncircular|irq|deadlock|usage|preemption"
    r"|wait_context)"
    r"|(?:raw_)?(?:spin|read|write)_(?:un)?lock|mutex_lock|mutex_unlock|rwsem_|down_|schedule|io_schedule"
    r"|wait_for_|bit_wait"
    r"|out_of_line_wait|list_(?:add|del)_|refcount_|stack_chk|spin_(?:bug|dump)|rust_|_R|core::|asan\."
    r"|memcpy|memset|memmove|rep_"
    r"|copy_(?:to|from)_user|check_(?:object_size|heap_object|copy|panic_on)|report_|handle_bug"
    r"|rust_begin|lock_acquire|lock_release)"
)
_NAMES: Final = frozenset(
    [
        "panic",
        "nmi_panic",
        "die",
        "die_kernel_fault",
        "no_context",
        "page_fault",
        "page_fault_oops",
        "__warn",
        "handle_exception",
        "ret_from_exception",
        "arm_notify_die",
        "do_DataAbort",
        "do_PrefetchAbort",
        "do_mem_abort",
        "do_undefinstr",
        "do_invalid_op",
        "do_int3",
        "error_entry",
        "memcmp",
        "memchr",
        "memscan",
        "kfree",
        "kvfree",
        "vfree",
        "kfree_sensitive",
        "kmalloc",
        "kmalloc_trace",
        "kmalloc_node",
        "__kmalloc",
        "krealloc",
        "__kmalloc_node",
        "kzalloc",
        "strcpy",
        "strncpy",
        "strlcpy",
        "strscpy",
        "strlen",
        "strnlen",
        "strcmp",
        "strncmp",
        "strcat",
        "strncat",
        "strchr",
        "strrchr",
        "strstr",
        "kstrdup",
        "kmemdup",
        "kfree_const",
        "register_lock_class",
        "validate_chain",
        "add_lock_to_list",
        "__lock_acquire",
        "lock_acquired",
        "__mutex_lock",
        "__down",
        "__up",
        "down",
        "up",
        "wait_on_bit",
        "rwsem_down_write_slowpath",
        "preempt_schedule",
        "__cant_sleep",
        "___might_sleep",
        "debug_smp_processor_id",
        "check_preemption_disabled",
        "__this_cpu_preempt_check",
        "crc_kfence",
        "handle_ubsan_failure",
        "walk_stackframe",
        "dump_stack_lvl",
        "ksize",
        "memcpy_toio",
        "check_unaligned",
        "__die_body",
        "die_addr",
        "die_body",
        "rcu_lockdep_suspicious",
    ]
)


def is_report(body: str) -> bool:
    """Whether a line, without its stamp, looks like one of a report."""
    return _compiled(_REPORT).match(body) is not None


def is_helper(function: str) -> bool:
    """Whether a function of a trace merely served who did it."""
    return function in _NAMES or _compiled(_FAMILIES).match(function) is not None
