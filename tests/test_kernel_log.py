# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's log: what its records say, that none is missing, and what of it was logged meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kfunctest.guest import kmsg
from kfunctest.machine.interface import Target
from kfunctest.machine.kernel_log import LONGEST_MARK, Log, Record, clean, from_console, logged, parse, shown


class FakeKernel:
    """A kernel's log, served by stand-ins for the guest's functions; at most ``room`` records are kept."""

    def __init__(self, room: int = 1000) -> None:
        self.lost = None
        self.kept: list[tuple[int, bytes]] = []
        self.opened: dict[int, int] = {}
        self._next = 0
        self._room = room
        #: Records that one answer holds.
        self.answer = 1000

    def say(self, text: str, priority: int = 4) -> None:
        line = f"{priority},{self._next},{self._next * 1000},-;{text}\n"
        self.kept = [*self.kept, (self._next, line.encode())][-self._room :]
        self._next += 1

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        return self.call_within(0, function, *args)

    def call_within(self, _seconds: float, function: Callable[..., Any], *args: Any) -> Any:
        stand_in: Callable[..., Any] = getattr(self, f"_{function.__name__}")
        return stand_in(*args)

    def _follow(self, whole: bool) -> tuple[int, int]:
        reader = len(self.opened)
        self.opened[reader] = 0 if whole else self._next
        return reader, self.opened[reader]

    def _look(self, reader: int, mark: str, rearm: bool) -> tuple[bytes, bool, int, bool]:
        self.say(mark, priority=14)
        return (*self._rest(reader, mark), 512, rearm)

    def _rest(self, reader: int, mark: str) -> tuple[bytes, bool]:
        unread = [(number, line) for number, line in self.kept if number >= self.opened[reader]][: self.answer]
        self.opened[reader] = unread[-1][0] + 1 if unread else self._next
        raw = b"".join(line for _, line in unread)
        return raw, mark.encode() in raw

    def _passing(self) -> int | None:
        return None

    def _close(self, reader: int) -> None:
        del self.opened[reader]


def as_target(kernel: FakeKernel) -> Target:
    return cast("Target", kernel)


def test_only_what_was_logged_meanwhile() -> None:
    kernel = FakeKernel()
    kernel.say("before")

    def meanwhile() -> int:
        kernel.say("meanwhile")
        return 7

    result, log = logged(as_target(kernel), meanwhile)
    kernel.say("after")
    assert (result, log) == (7, "[    0.001000] meanwhile")
    assert logged(as_target(kernel), lambda: None)[1] == ""
    assert kernel.opened == {}, "a reader of the log was left open"


def test_what_was_overwritten_meanwhile_is_an_error() -> None:
    """A test that asserts the absence of a line must not pass for a log that holds nothing any more."""
    kernel = FakeKernel(room=4)

    def flood() -> None:
        for number in range(10):
            kernel.say(f"line {number}")

    with pytest.raises(RuntimeError, match="7 records of the kernel's log were overwritten"):
        logged(as_target(kernel), flood)


def test_slices_follow_each_other_without_a_gap() -> None:
    kernel = FakeKernel()
    kernel.say("boot")
    log = Log(as_target(kernel), whole=True)
    first = log.look("one")
    kernel.say("later")
    second = log.look("two")
    assert [record.text for record in first.records] == ["boot"]
    assert [record.text for record in second.records] == ["later"]
    assert (first.lost, second.lost, second.taint) == (0, 0, 512)


def test_a_slice_longer_than_an_answer_is_fetched_whole() -> None:
    kernel = FakeKernel()
    log = Log(as_target(kernel), whole=True)
    for number in range(25):
        kernel.say(f"line {number}")
    kernel.answer = 10
    seen = log.look("mark")
    assert [record.text for record in seen.records] == [f"line {number}" for number in range(25)]


class Storm(FakeKernel):
    """A kernel that never stops talking, and keeps less than it says between two answers."""

    def __init__(self, *, room: int) -> None:
        super().__init__(room)
        self.answer = 10
        self.answers = 0
        self.quiet = False
        #: Each record is overwritten before it is read: no answer holds any.
        self.hasty = False

    def _rest(self, reader: int, mark: str) -> tuple[bytes, bool]:
        self.answers += 1
        assert self.answers < 100, "the log is read for ever"
        for _ in range(0 if self.quiet else 30):
            self.say("and another thing")
        return (b"", False) if self.hasty else super()._rest(reader, mark)

    def _passing(self) -> int | None:
        return None if self.quiet else self._next


@pytest.mark.parametrize("room", [20, 200])
def test_a_storm_that_overwrites_the_mark_ends_the_look(room: int) -> None:
    kernel = Storm(room=room)
    log = Log(as_target(kernel), whole=True)
    for number in range(room - 10):
        kernel.say(f"line {number}")
    seen = log.look("mark")
    assert seen.lost > 0
    assert seen.records
    kernel.quiet = True
    log.look("next")
    kernel.say("calm")
    assert [record.text for record in log.look("last").records] == ["calm"]


def test_a_storm_that_no_reader_can_follow_ends_the_look() -> None:
    kernel = Storm(room=20)
    kernel.hasty = True
    assert Log(as_target(kernel), whole=True).look("mark").lost > 0


def test_a_boot_whose_first_records_are_gone_says_how_many() -> None:
    kernel = FakeKernel(room=3)
    for number in range(10):
        kernel.say(f"line {number}")
    seen = Log(as_target(kernel), whole=True).look("mark")
    assert seen.lost == 8
    assert [record.text for record in seen.records] == ["line 8", "line 9"]


@pytest.mark.parametrize(
    "raw, records",
    [
        (b"4,7,5140900,-;eth0: up\n SUBSYSTEM=net\n DEVICE=n2\n", [Record(5.1409, "eth0: up")]),
        (b"6,7,1000000,-,caller=T12;by a thread\n", [Record(1.0, "by a thread")]),
        (b"3,7,1000000,-;two\\x0alines\n", [Record(1.0, "two"), Record(1.0, "lines")]),
        (b"3,7,1000000,-;tab\\x09 and \\x5c\n", [Record(1.0, "tab\t and \\")]),
        (b"14,7,1000000,-;BUG: says a user\n", [Record(1.0, "BUG: says a user", kernel=False)]),
        (b"30,7,1000000,-;a daemon\n", [Record(1.0, "a daemon", kernel=False)]),
        (b"4,7,1000000,-;a;b\n", [Record(1.0, "a;b")]),
        (b"4,7,1000000,-;\xff\n", [Record(1.0, "\\xff")]),
    ],
)
def test_a_record_is_read_as_the_kernel_writes_it(raw: bytes, records: list[Record]) -> None:
    assert parse(raw, 7) == (records, 0, 8)


def test_missing_numbers_are_counted() -> None:
    found, lost, following = parse(b"4,5,0,-;a\n4,9,0,-;b\n", 2)
    assert (len(found), lost, following) == (2, 6, 10)


def test_a_console_is_read_without_what_is_not_the_kernels() -> None:
    text = (
        "SeaBIOS (version 1.16)\n[    1.500000] first\n[    2.000000][   T17] second\n"
        "** 12 printk messages dropped **\n[    3.000000] third\nlogin:"
    )
    records, dropped = from_console(text)
    assert [(record.seconds, record.text) for record in records] == [(1.5, "first"), (2.0, "second"), (3.0, "third")]
    assert dropped == 12


def test_a_console_without_time_stamps_is_read_too() -> None:
    assert [record.text for record in from_console("WARNING: a\nb\n")[0]] == ["WARNING: a", "b"]


def test_a_mark_is_one_short_line() -> None:
    assert clean("begin test_a[\n\\é]") == "begin test_a[???]"
    assert len(clean("x" * 5000)) == LONGEST_MARK


def test_of_a_long_log_the_end_is_shown() -> None:
    assert shown([Record(0.0, str(number)) for number in range(5)], longest=2).splitlines() == [
        "(3 lines before)",
        "[    0.000000] 3",
        "[    0.000000] 4",
    ]


class Device:
    """/dev/kmsg as a list of what each read gives: bytes, or an error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *reads: bytes | type[OSError]) -> None:
        self.reads = list(reads)
        self.cleared = 0
        monkeypatch.setattr(kmsg, "_write", lambda mark: None)
        monkeypatch.setattr(kmsg, "_SHOWS", 0.02)
        monkeypatch.setattr(kmsg, "_rearm", self._rearm)
        self.closed = 0
        flags = dict.fromkeys(("O_RDONLY", "O_NONBLOCK", "O_CLOEXEC", "SEEK_END"), 0)
        system = SimpleNamespace(read=self._read, open=lambda *_: 5, lseek=lambda *_: 0, close=self._close, **flags)
        monkeypatch.setattr(kmsg, "os", system)

    def _close(self, _reader: int) -> None:
        self.closed += 1

    def _rearm(self) -> bool:
        self.cleared += 1
        return True

    def _read(self, _reader: int, _size: int) -> bytes:
        if not self.reads:
            raise BlockingIOError
        found = self.reads.pop(0)
        if isinstance(found, bytes):
            return found
        raise found


MARK = b"14,3,0,-;mark\n"


def test_nothing_behind_the_mark_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch, b"4,2,0,-;a\n", MARK, b"4,4,0,-;next\n")
    records, found, _taint, armed = kmsg.look(0, "mark", True)
    assert (records, found, armed) == (b"4,2,0,-;a\n" + MARK, True, True)
    assert device.reads == [b"4,4,0,-;next\n"]


def test_a_record_that_is_being_written_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    Device(monkeypatch, BlockingIOError, b"4,2,0,-;a\n", BlockingIOError, MARK)
    monkeypatch.setattr(kmsg, "_SHOWS", 600.0)  # however busy this machine is
    assert kmsg.look(0, "mark", False)[1]


def test_overwritten_records_do_not_end_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    Device(monkeypatch, BrokenPipeError, b"4,2,0,-;a\n", MARK)
    assert kmsg.look(0, "mark", False)[0].startswith(b"4,2")


def test_records_that_are_overwritten_as_fast_as_they_come_end_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    Device(monkeypatch, *[BrokenPipeError] * 5000)
    assert kmsg.look(0, "mark", False)[:2] == (b"", False)


def test_a_record_that_passes_is_waited_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch, BlockingIOError, BrokenPipeError, b"4,17,0,-;a storm\n")
    assert kmsg.passing() == 17
    assert kmsg.passing() is None
    assert device.closed == 2


def test_a_log_that_takes_no_marks_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    Device(monkeypatch, b"4,2,0,-;a\n")
    with pytest.raises(kmsg.LogClosed):
        kmsg.look(0, "mark", False)


@pytest.mark.parametrize("line, times", [(b"4,2,0,-;the kernel\n", 1), (b"14,2,0,-;a user\n", 0)])
def test_warnings_are_armed_again_where_the_kernel_spoke(
    monkeypatch: pytest.MonkeyPatch, line: bytes, times: int
) -> None:
    """Clearing walks over every warning that the kernel has: it is not done for nothing."""
    device = Device(monkeypatch, line, MARK)
    kmsg.look(0, "mark", True)
    assert device.cleared == times
