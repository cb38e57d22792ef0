# SPDX-License-Identifier: GPL-2.0-only
"""What a kernel's complaints look like: first lines, where each ends, why it counts, and whether it spends the boot.

Texts as printed by 6.12 to 7.3; each reason names the place in the kernel's source. Matched against single lines,
without their time stamps. The first pattern that matches decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Ends(Enum):
    """Where a complaint ends, if nothing else begins before."""

    #: ``---[ end trace ... ]---``
    TRACE = "trace"
    #: A line of equal signs.
    RULE = "rule"
    #: The end of its first stack of a task, ``</TASK>``.
    TASK = "task"
    #: It is one line.
    LINE = "line"


@dataclass(frozen=True, slots=True)
class Pattern:
    """One sort of complaint."""

    kind: str
    line: re.Pattern[str]
    ends: Ends
    #: What the kernel says by it, and where that is printed.
    reason: str
    #: Why nothing that this boot says later can be trusted, or empty.
    spent: str = ""
    #: Kinds whose first lines within this one are no complaints of their own.
    absorbs: tuple[str, ...] = ()


#: The line that opens a WARN() or BUG() (include/asm-generic/bug.h, CUT_HERE).
CUT_HERE: Final = re.compile(r"^-+\[ cut here \]-+$")
#: The line around reports of KASAN, KCSAN, KFENCE and lockdep.
RULE: Final = re.compile(r"^={20,}$")

_LOCKS_OFF = "lockdep turns itself off with its first report (lib/debug_locks.c)"
_DAMAGED = "the kernel's own state is damaged"
_DIES = ("oops", "kfence", "kasan")


def _pattern(
    kind: str, line: str, ends: Ends, reason: str, *, spent: str = "", absorbs: tuple[str, ...] = ()
) -> Pattern:
    return Pattern(kind, re.compile(line), ends, reason, spent, absorbs)


PATTERNS: Final = (
    _pattern(
        *("panic", r"^Kernel panic - not syncing: ", Ends.LINE, "the kernel gave up (kernel/panic.c)"),
        spent="the kernel is dead",
    ),
    _pattern(
        *("kasan", r"^BUG: KASAN: ", Ends.RULE),
        "memory that is nobody's, or nobody's any more, was used (mm/kasan/report.c; kasan_multi_shot)",
    ),
    _pattern(
        *("kfence", r"^BUG: KFENCE: ", Ends.RULE, "as KASAN, for sampled objects (mm/kfence/report.c)"),
        spent="KFENCE reports an object once",
    ),
    _pattern(
        *("kcsan", r"^BUG: KCSAN: ", Ends.RULE, "a data race (kernel/kcsan/report.c)"),
        spent="KCSAN says nothing of a pair of functions that it reported a moment ago",
    ),
    _pattern("kmsan", r"^BUG: KMSAN: ", Ends.RULE, "memory that nobody wrote was used (mm/kmsan/report.c)"),
    _pattern(
        *("ubsan", r"^UBSAN: \S+ in |^UBSAN: .* in \S+:\d+", Ends.TRACE),
        "what C does not define: an index past an array, a shift too far (lib/ubsan.c)",
        spent="UBSAN reports a place once a boot (lib/ubsan.c, was_reported())",
    ),
    _pattern(
        "lockdep",
        r"^WARNING: (possible (circular|recursive) locking|possible irq lock inversion|inconsistent lock state"
        r"|\S+-safe -> \S+-unsafe lock order|suspicious RCU usage|bad unlock balance|bad contention"
        r"|held lock freed|lock held when returning|Nested lock was not taken|chain_key collision"
        r"|.* still has locks held)|^\[ BUG: Invalid wait context \]|^\[ BUG: .*\]$"
        r"|^INFO: trying to register non-static key|^BUG: (MAX_(LOCK|STACK)\w+ too low|looking up invalid subclass"
        r"|key \S+ has not been registered)|^BUG: workqueue leaked atomic, lock or RCU",
        Ends.TASK,
        "locks in the wrong order or context, RCU without its read side (kernel/locking/lockdep.c)",
        spent=_LOCKS_OFF,
    ),
    _pattern(
        *("atomic", r"^BUG: (sleeping function called from invalid context|scheduling while atomic)", Ends.TASK),
        "sleeping where that is forbidden (kernel/sched/core.c)",
        spent="its messages are held back for a while (kernel/sched/core.c, prev_jiffy)",
        absorbs=("lockdep",),
    ),
    _pattern(
        *("preempt", r"^BUG: (using \S+ in preemptible|assuming non migratable context)", Ends.TASK),
        "per-CPU data used where the task may move (lib/smp_processor_id.c)",
    ),
    _pattern(
        *("rcu-stall", r"^(rcu: )?INFO: \S+ (self-)?detected (expedited )?stalls?\b", Ends.TASK),
        "a CPU or task that keeps RCU waiting (kernel/rcu/tree_stall.h, tree_exp.h, tasks.h)",
        spent="who held up RCU may still do so",
        absorbs=("rcu-stall",),
    ),
    _pattern(
        *("hung-task", r"^INFO: task .* blocked( in I/O wait)? for more than \d+ seconds", Ends.TASK),
        "a task that sleeps uninterruptibly for minutes (kernel/hung_task.c)",
        spent="the task is still stuck",
    ),
    _pattern(
        *("soft-lockup", r"^(watchdog: )?BUG: soft lockup - CPU#\d+ stuck", Ends.TASK),
        "a CPU that does not schedule (kernel/watchdog.c)",
        spent="the CPU may still be stuck",
    ),
    _pattern(
        *("hard-lockup", r"^((NMI )?watchdog: )?(CPU\d+: )?Watchdog detected hard LOCKUP", Ends.TASK),
        "a CPU that takes no interrupts (kernel/watchdog.c)",
        spent="the CPU may still be stuck",
    ),
    _pattern(
        *("workqueue", r"^BUG: workqueue lockup - pool", Ends.TASK, "work that is never done (kernel/workqueue.c)"),
        spent="the pool may still be stuck",
    ),
    _pattern(
        *("bad-page", r"^BUG: (Bad (page|rss-counter)|non-zero pgtables_bytes)|^BUG: mempool element", Ends.TASK),
        "a page or an address space in an impossible state (mm/page_alloc.c, mm/memory.c, kernel/fork.c)",
        spent=_DAMAGED,
    ),
    _pattern(
        *("slab", r"^BUG [\w,.:-]+ \((Not tainted|Tainted: .*)\): |^Slab corruption", Ends.TASK),
        "a slab object with marks of misuse (mm/slub.c)",
        spent=_DAMAGED,
    ),
    _pattern(
        *(
            "spinlock",
            r"^BUG: (spinlock|rwlock) ",
            Ends.TASK,
            "a lock in a bad state (kernel/locking/spinlock_debug.c)",
        ),
        spent=_LOCKS_OFF,
    ),
    _pattern(
        *("bug", r"^kernel BUG at ", Ends.TRACE, "an assertion of the kernel's failed, BUG_ON() (lib/bug.c)"),
        spent=_DAMAGED,
        absorbs=_DIES,
    ),
    _pattern(
        "oops",
        r"^BUG: (unable to handle|kernel NULL pointer dereference|stack guard page|TASK stack guard page"
        r"|IRQ stack guard page)|: [0-9a-f]{4,} \[#\d+\]|^traps: PANIC: ",
        Ends.TRACE,
        "the kernel faulted (arch/x86/mm/fault.c, arch/x86/kernel/dumpstack.c)",
        spent=_DAMAGED,
        absorbs=_DIES,
    ),
    _pattern(
        *("warn", r"^WARNING: .*\bat \S+, CPU#\d+: |^WARNING: CPU: \d+ PID: \d+ at ", Ends.TRACE),
        "the kernel noticed what should not be, WARN() (kernel/panic.c, __warn())",
    ),
    _pattern(
        "unwind",
        r"^WARNING: (kernel stack (regs|frame pointer) at .* has bad|can't access registers at"
        r"|stack recursion on stack type|stack going in the wrong direction)",
        Ends.LINE,
        "a stack that cannot be walked (arch/x86/kernel/unwind_orc.c, unwind_frame.c)",
    ),
    _pattern(
        *("sysfs", r"^sysfs: cannot create duplicate filename ", Ends.TASK),
        "a name that is taken, or an object without a place (fs/sysfs/dir.c, lib/kobject.c)",
    ),
    _pattern(
        *("sysfs", r"^(kobject: )?kobject_add_internal failed for ", Ends.LINE),
        "a name that is taken, or an object without a place (fs/sysfs/dir.c, lib/kobject.c)",
    ),
    _pattern(
        *("page-allocation", r": page allocation (failure: order:\d|stalls? for )", Ends.TASK),
        "no memory where some should be (mm/page_alloc.c, warn_alloc())",
        spent="it says so once in ten seconds",
    ),
    _pattern(
        *("kmemleak", r"^kmemleak: \d+ new suspected memory leaks", Ends.LINE),
        "objects that nothing points to any more (mm/kmemleak.c)",
    ),
    _pattern(
        *("bug", r"^(\S+: )?BUG: ", Ends.TASK, "what the kernel calls a bug and no line above knows"),
        spent=_DAMAGED,
        absorbs=_DIES,
    ),
)

#: A headline between lines of equal signs that no pattern knows: lockdep's and the sanitizers' reports look so.
REPORT: Final = _pattern(
    *("report", r"^(WARNING|INFO): ", Ends.TASK, "a report in the form of lockdep's, of a sort that no line here knows")
)
#: A stack, where the same stretch of the log has neither a complaint before it, nor one of the lines below.
STACK: Final = _pattern(
    *("stack", r"^Call [Tt]race:", Ends.TASK, "a stack that nothing before it explains (lib/dump_stack.c)")
)
#: The lines that are followed by one stack without being a complaint: mm/oom_kill.c, dump_header(), and
#: arch/x86/mm/extable.c, ex_handler_msr(), which is the emulated CPU's; and those that are followed by many.
ONE_STACK: Final = re.compile(r" invoked oom-killer: |^unchecked MSR access error: ")
MANY_STACKS: Final = re.compile(r"^sysrq: ")
#: What may stand amid any complaint, and then belongs to it.
ASIDE: Final = ("unwind",)

#: What a warning's or a bug's own message makes of it.
REFINED: Final = (
    ("refcount", re.compile(r"^refcount_t: ")),  # lib/refcount.c
    ("percpu-ref", re.compile(r"^percpu ref \(.*\) <= 0 ")),  # lib/percpu-refcount.c
    ("list", re.compile(r"^list_(add|del) corruption")),  # lib/list_debug.c
    ("debug-objects", re.compile(r"^ODEBUG: ")),  # lib/debugobjects.c
)

_MESSAGES = {
    "refcount": "a reference count that overflowed, or was used at zero (lib/refcount.c)",
    "percpu-ref": "a per-CPU reference count below zero, such as a css's (lib/percpu-refcount.c)",
    "list": "a linked list whose neighbours disagree (lib/list_debug.c)",
    "debug-objects": "an object used before its making or after its end (lib/debugobjects.c)",
}
_SPENT = {
    "list": _DAMAGED,
    "debug-objects": "it speaks five times a boot",
}
_OURS = {
    "taint": "the kernel says that it is tainted, and its log does not say why",
    "lost": "a part of the log was overwritten before it was read: what it said is not known",
    "died": "the kernel ended while no test was running",
}

#: One pattern of each kind; those of the kinds that are no first lines match nothing.
BY_KIND: Final = {
    **{pattern.kind: pattern for pattern in reversed((*PATTERNS, REPORT, STACK))},
    **{
        kind: _pattern(kind, r"(?!)", Ends.TRACE, reason, spent=_SPENT.get(kind, ""))
        for kind, reason in (_MESSAGES | _OURS).items()
    },
}
