# SPDX-License-Identifier: GPL-2.0-only
"""Complaints are told from the rest of a log: each sort, where it begins and ends, and what is none."""

from __future__ import annotations

import pytest

from kfunctest.machine.kernel_log import Record
from kfunctest.machine.patterns import BY_KIND, PATTERNS
from kfunctest.machine.splats import LONGEST, ends_amid, find, matching, spent_by
from kfunctest.machine.taint import TAINTS, complaints
from kfunctest.results import Splat
from tests.kernellogs import COMPLAINTS, CUT, END, HARMLESS, RULE


def log(text: str, *, kernel: bool = True) -> list[Record]:
    return [Record(1.5, line, kernel) for line in text.splitlines()]


def plain(splat: Splat) -> str:
    return "\n".join(line.partition("] ")[2] for line in splat.text.splitlines())


@pytest.mark.parametrize("name", COMPLAINTS)
def test_each_complaint_is_found_whole_and_once(name: str) -> None:
    """Harmless lines around it are no part of it."""
    (found,) = find(log(f"before\n{COMPLAINTS[name]}\nafter\nand more"))
    assert found.kind == name.partition(",")[0]
    # What ends with nothing of its own takes what follows with it, up to a limit.
    assert plain(found).startswith(COMPLAINTS[name])
    if COMPLAINTS[name].endswith((END, RULE, "</TASK>", "[ end trace ]---")):
        assert plain(found) == COMPLAINTS[name]


def test_every_pattern_has_its_example() -> None:
    """A pattern that matches no example may match nothing at all."""
    lines = [line for text in COMPLAINTS.values() for line in text.splitlines()]
    used = {pattern.line.pattern for line in lines if (pattern := matching(line))}
    unused = {pattern.kind for pattern in PATTERNS if pattern.line.pattern not in used}
    assert unused == {"kmsan"}, "give each pattern an example in kernellogs.py"


TRACE = COMPLAINTS["stack"]


@pytest.mark.parametrize(
    "before",
    [
        "python3 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0\nCPU: 1 PID: 71 Comm: python3",
        "unchecked MSR access error: RDMSR from 0x852 at rIP: 0xffffffff (made_up+0x1/0x2)",
        f"sysrq: Show backtrace of all active CPUs\n{TRACE}",
        f"sysrq: Show State\ntask:python3         state:S stack:0     pid:71    tgid:71    ppid:1\n{TRACE}\n"
        "task:kthreadd        state:S stack:0     pid:2     tgid:2     ppid:0",
        f"sysrq: Show Blocked State\ntask:python3         state:D stack:0     pid:71    tgid:71    ppid:1\n{TRACE}\n"
        "Showing busy workqueues and worker pools:",
    ],
)
def test_a_stack_that_is_no_complaint(before: str) -> None:
    assert find(log(f"{before}\n{TRACE}\nafter")) == ()


def test_one_victim_explains_one_stack() -> None:
    oom = f"python3 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0\n{TRACE}"
    assert find(log(f"{oom}\n{oom}")) == ()
    assert [splat.kind for splat in find(log(f"{oom}\n{TRACE}"))] == ["stack"]


@pytest.mark.parametrize("kind", ["workqueue", "soft-lockup", "panic"])
def test_more_stacks_of_a_complaint_are_no_more_complaints(kind: str) -> None:
    assert [splat.kind for splat in find(log(f"{COMPLAINTS[kind]}\nNMI backtrace for cpu 1\n{TRACE}"))] == [kind]


HUNG_TASK = "INFO: task python3:71 blocked for more than 122 seconds."


@pytest.mark.parametrize("last", [HUNG_TASK, COMPLAINTS["soft-lockup"], f"{COMPLAINTS['hung-task']}\nthat was it"])
def test_stacks_that_come_after_a_test_are_those_of_what_came_during_it(last: str) -> None:
    """Another CPU may be printing when the next test begins, which is not to blame for it."""
    assert ends_amid(log(f"before\n{last}"))
    assert find(log(f"NMI backtrace for cpu 1\n{TRACE}"), amid=True) == ()
    assert [splat.kind for splat in find(log(f"{TRACE}\n{COMPLAINTS['warn']}"), amid=True)] == ["warn"]


@pytest.mark.parametrize("last", ["all is well", f"{COMPLAINTS['hung-task']}\n" + "and more\n" * 60])
def test_stacks_after_a_quiet_test_are_not(last: str) -> None:
    assert not ends_amid(log(last))


def test_a_stack_that_cannot_be_walked_ends_no_complaint() -> None:
    """Nor does what is said of it hide where the complaint is from."""
    aside = COMPLAINTS["unwind"]
    (found,) = find(log(COMPLAINTS["warn"].replace(" <TASK>\n", f" <TASK>\n{aside}\n")))
    assert found.kind == "warn"
    assert found.text.endswith(END)


def test_two_complaints_are_two() -> None:
    found = find(log(f"{COMPLAINTS['warn']}\n{COMPLAINTS['kasan']}\n{COMPLAINTS['warn']}"))
    assert [splat.kind for splat in found] == ["warn", "kasan", "warn"]


def test_a_complaint_that_another_interrupts_ends_there() -> None:
    found = find(log(f"{RULE}\nBUG: KASAN: slab-out-of-bounds in a+0x1/0x2\nRead of size 1\n{COMPLAINTS['warn']}"))
    assert [splat.kind for splat in found] == ["kasan", "warn"]


def test_the_panic_that_follows_an_oops_is_told_apart() -> None:
    found = find(log(f"{COMPLAINTS['oops']}\nRIP: 0010:made_up+0x1/0x2\n{COMPLAINTS['panic']}"))
    assert [splat.kind for splat in found] == ["oops", "panic"]


def test_the_first_line_is_the_one_that_names_it() -> None:
    (found,) = find(log(COMPLAINTS["refcount"]))
    assert found.line == "WARNING: CPU: 0 PID: 9 at lib/refcount.c:28 refcount_warn_saturate+0xba/0x110"
    assert found.text.startswith(f"[    1.500000] {CUT}\n[    1.500000] refcount_t: underflow")


@pytest.mark.parametrize("line", HARMLESS.splitlines())
def test_what_is_harmless_is_none(line: str) -> None:
    assert find(log(line)) == ()


def test_a_line_of_dashes_alone_is_none() -> None:
    assert find(log(f"{CUT}\na\nb\nc\nd\ne\nf")) == ()


def test_whoever_may_write_to_the_log_cannot_complain_for_the_kernel() -> None:
    assert find(log(COMPLAINTS["kasan"], kernel=False)) == ()


def test_an_endless_complaint_is_cut() -> None:
    (found,) = find(log("BUG: KASAN: made up\n" + "\n".join(map(str, range(1000)))))
    assert len(found.text.splitlines()) == LONGEST


@pytest.mark.parametrize("kind", ["warn", "kasan", "refcount", "kmemleak", "preempt", "taint", "lost"])
def test_a_kernel_that_can_say_it_again_goes_on(kind: str) -> None:
    assert spent_by([Splat(kind, "a", "b")]) is None


@pytest.mark.parametrize("kind", ["ubsan", "lockdep", "oops", "bug", "list", "soft-lockup", "atomic"])
def test_a_kernel_that_cannot_is_booted_anew(kind: str) -> None:
    why = spent_by([Splat("warn", "a", "b"), Splat(kind, "a", "b")])
    assert why is not None
    assert why.startswith(f"{kind}: ")


def test_every_kind_has_a_reason() -> None:
    assert all(pattern.reason for pattern in BY_KIND.values())


@pytest.mark.parametrize(
    "before, after, letters",
    [
        (0, 0, ""),
        (0, 1 << 9, "W"),
        (1 << 9, 1 << 9, ""),
        (1 << 9, 1 << 9 | 1 << 5 | 1 << 7, "BD"),
        (0, 1 << 12 | 1 << 13, ""),
        (0, 1 << 14, "L"),
        (0, 1 << 40, "0x10000000000"),
    ],
)
def test_taint_that_is_new_and_a_complaint(before: int, after: int, letters: str) -> None:
    assert "".join(bit.letter for bit in complaints(before, after)) == letters


def test_the_letters_are_the_kernels() -> None:
    """As print_tainted() shows them, bit by bit."""
    assert "".join(bit.letter for bit in TAINTS) == "PFSRMBUDAWCIOELKXTNJ"
    assert [bit.letter for bit in TAINTS if bit.complaint] == list("RMBDWL")
