# SPDX-License-Identifier: GPL-2.0-only
"""What a BPF file expects of the verifier: the declaration tags that ``__failure``, ``__msg`` ... leave in its BTF.

The tags and their meaning are those of the kernel's tools/testing/selftests/bpf/test_loader.c, so that a file moves
between the two trees as it is. Supported are ``__success``, ``__failure``, ``__msg``, ``__not_msg``, ``__retval``,
``__log_level``, ``__flag`` and ``__description``. What concerns unprivileged loading is passed over, and any other tag
is an error, because to pass over it would pass a program that was not judged. In the kernel's own files the rest is
read as well, as far as it says when a program is to be judged at all; what it says beyond that is noted as not held.

These say what the newest verifier does. What an older one says or decides instead stands beside them, in tags of our
own that name the last generation of verifiers for which it holds: ``__msg_until("6.12", "...")``.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from elftools.elf.elffile import ELFFile

from kfunctest.errors import SpecError
from kfunctest.guest.btf import Btf

#: The verifier's generations, oldest first, each called after the kernel in which its wording was first seen. Which one
#: a kernel has, its verifier's words about one program tell (selftests/bpf/verifier_probe.bpf.c), and not its version:
#: a distribution may carry the verifier of another kernel.
GENERATIONS: Final = ("6.12", "7.2", "7.3")

#: What test_loader.c does not read as a number but takes for anything at all: a pointer, as a result.
_ANYTHING = 0xBADCAFE
#: Annotations of the kernel's own files about what becomes of an accepted program, which is not held here.
_NOT_HELD = {
    "test_expect_xlated": "__xlated",
    "test_jited": "__jited",
    "test_expect_stdout": "__stdout",
    "test_expect_stderr": "__stderr",
    "test_linear_size": "__linear_size",
    "test_btf_path": "__btf_path",
    "test_btf_func_path": "__btf_func_path",
}

#: ``comment:``, in newer kernels the value of ``__COUNTER__`` to keep the order, and the name with its value; in ours
#: also the generation.
_TAG = re.compile(
    r"comment:(?:(?P<number>\d+):)?(?:kfunctest_until=(?P<until>[^:]*):)?"
    r"(?P<name>(?:test|kfunctest|load)_\w+)(?:=(?P<value>.*))?",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Message:
    """One ``__msg``, or with ``negative`` one ``__not_msg``: the text as written, and the expression it stands for."""

    text: str
    pattern: re.Pattern[str]
    negative: bool = False


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must hold when the kernel is asked to load one program. Without ``success`` it must refuse it.

    ``retval`` is what a test run must return, None for no test run. ``log_level`` is 0 where none was asked for.
    ``errno`` is what bpf(2) must then give, 0 where nothing is said of it.
    ``kfuncs`` names those that the program cannot do without and that have nothing to do with memcgs.

    Of the kernel's own files only: ``auxiliary`` programs are loaded beside others and not judged, ``machines`` names
    those that the program is for, if not all, ``with_jit`` whether it is for kernels with or without a JIT, if not
    both, and ``not_held`` the annotations that are not.
    """

    success: bool = True
    errno: int = 0
    messages: tuple[Message, ...] = field(default=())
    retval: int | None = None
    log_level: int = 0
    flags: int = 0
    description: str = ""
    kfuncs: tuple[str, ...] = ()
    auxiliary: bool = False
    machines: tuple[str, ...] = ()
    with_jit: bool | None = None
    not_held: tuple[str, ...] = ()

    @property
    def wants_log(self) -> int:
        """The log level to load with. An accepted program leaves a log only when one is asked for, and a refused one is
        verified a second time for it where none was.
        """
        return self.log_level or int(not self.success or bool(self.messages))

    def returned_wrongly(self, retval: int) -> str | None:
        """What a test run was expected to return and what it returned, or None. Numbers are of 32 bits."""
        if self.retval is None or self.retval == _ANYTHING or (self.retval ^ retval) & 0xFFFFFFFF == 0:
            return None
        return f"expected: {self.retval}\nseen: {retval}, when it was run"

    def refused_wrongly(self, number: int) -> str | None:
        """The errno that the refusal was expected to have and the one it has, or None when they agree."""
        if self.success or number == self.errno:
            return None
        names = (errno.errorcode.get(one, str(one)) for one in (self.errno, number))
        return "expected: {}\nseen: {}, with the right message".format(*names)

    def mismatch(self, loaded: bool, log: str) -> str | None:
        """What was expected and what was seen, or None when they agree. Messages are found one behind the other."""
        if loaded != self.success:
            words = ("refused", "accepted")
            return _explain(f"expected: {words[self.success]}\nseen: {words[loaded]}", log)
        at, before, forbidden = 0, "the start", []
        for message in self.messages:
            if message.negative:
                forbidden.append(message)
                continue
            found = message.pattern.search(log, at)
            if not found:
                return _explain(f"expected, behind {before}: {message.text!r}\nseen: no such text there", log)
            problem = _unwanted(forbidden, log, at, found.start())
            if problem:
                return problem
            at, before, forbidden = found.end(), repr(message.text), []
        return _unwanted(forbidden, log, at, len(log))


@dataclass(frozen=True, slots=True)
class Annotated:
    """What the annotations of one program expect: of the newest verifier, and of older generations, newest first."""

    newest: Expectation
    older: tuple[tuple[str, Expectation], ...] = ()

    def at(self, generation: str) -> Expectation:
        """What a verifier of this generation must do: it is named in the nearest annotation that is not older."""
        found = self.newest
        for last, expectation in self.older:
            if GENERATIONS.index(generation) <= GENERATIONS.index(last):
                found = expectation
        return found


def generation(probe: Annotated, loaded: bool, log: str) -> str:
    """Which of GENERATIONS says this of the probe. The newest where none does: its own test then fails."""
    for name in GENERATIONS:
        if probe.at(name).mismatch(loaded, log) is None:
            return name
    return GENERATIONS[-1]


def expectations(btf: Btf, start: Expectation | None = None) -> dict[str, Annotated]:
    """The expectations of each program of an object that has any, by the program's name.

    ``start`` is what programs of the kernel's own files expect without a word; None for files of ours.
    Raises SpecError when an annotation is not supported or its value cannot be read.
    """
    tags: dict[str, list[_Tag]] = {}
    for text, function, component in btf.decl_tags():
        match = _TAG.fullmatch(text)
        if match and component == -1 and "_unpriv" not in match["name"]:
            tag = _Tag(int(match["number"] or 0), match["until"], match["name"], match["value"] or "")
            tags.setdefault(function, []).append(tag)
    # A stable sort: where there are no numbers, the compiler's own order is all there is.
    return {
        function: _annotated(function, sorted(found, key=lambda tag: tag.number), start)
        for function, found in tags.items()
    }


def of_object(path: Path, start: Expectation | None = None) -> dict[str, Annotated]:
    """The expectations that the compiled BPF object ``path`` holds, as :func:`expectations` says. Raises SpecError."""
    with path.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".BTF")
        if section is None:
            raise SpecError(f"{path} has no BTF", remedy="compile it with -g")
        return expectations(Btf(section.data()), start)


@dataclass(frozen=True, slots=True)
class _Tag:
    number: int
    until: str | None
    name: str
    value: str


def _annotated(function: str, tags: list[_Tag], start: Expectation | None) -> Annotated:
    plain = [tag for tag in tags if tag.until is None]
    if start is not None:
        start, plain = _upstream(start, plain)
    found = newest = _expectation(function, start or Expectation(), plain)
    older = []
    for last in reversed(GENERATIONS[:-1]):
        if own := [tag for tag in tags if tag.until == last]:
            found = _expectation(function, replace(found, messages=()), own)
            older.append((last, found))
    known = (None, *GENERATIONS[:-1])
    if unknown := [tag.until for tag in tags if tag.until not in known]:
        raise SpecError(
            f"{function}: {unknown[0]!r} is no older generation of verifiers",
            remedy=f"the known ones are {', '.join(GENERATIONS[:-1])}",
        )
    return Annotated(newest, tuple(older))


def _upstream(start: Expectation, tags: list[_Tag]) -> tuple[Expectation, list[_Tag]]:
    """What the annotations say that only the kernel's own files have, and the rest of them."""
    found, rest = start, []
    for tag in tags:
        if tag.name == "test_auxiliary":
            found = replace(found, auxiliary=True)
        elif tag.name == "test_arch":
            found = replace(found, machines=(*found.machines, tag.value))
        elif tag.name == "load_mode":
            found = replace(found, with_jit=tag.value == "jited")
        elif tag.name in _NOT_HELD:
            found = replace(found, not_held=(*found.not_held, _NOT_HELD[tag.name]))
        else:
            rest.append(tag)
    return found, rest


def _expectation(function: str, start: Expectation, tags: list[_Tag]) -> Expectation:
    found = start
    for tag in tags:
        match tag.name:
            case "test_expect_failure" | "test_expect_success":
                found = replace(found, success=tag.name == "test_expect_success")
            case "test_expect_msg" | "test_expect_not_msg":
                negative = tag.name == "test_expect_not_msg"
                message = Message(tag.value, pattern(function, tag.value), negative)
                found = replace(found, messages=(*found.messages, message))
            case "test_retval":
                found = replace(found, retval=number(function, tag.value))
            case "test_log_level":
                found = replace(found, log_level=number(function, tag.value))
            case "test_prog_flags":
                found = replace(found, flags=with_flag(function, found.flags, tag.value))
            case "test_description":
                found = replace(found, description=tag.value)
            case "kfunctest_errno":
                found = replace(found, errno=errno_of(function, tag.value))
            case "kfunctest_needs_kfunc":
                found = replace(found, kfuncs=(*found.kfuncs, tag.value))
            case _:
                raise SpecError(f"{function}: the annotation {tag.name} is not supported", remedy="take it away")
    return found


def _unwanted(forbidden: list[Message], log: str, start: int, end: int) -> str | None:
    for message in forbidden:
        found = message.pattern.search(log, start, end)
        if found:
            return _explain(f"not expected: {message.text!r}\nseen: {found[0]!r}", log)
    return None


def _explain(what: str, log: str) -> str:
    lines = log.rstrip().splitlines()
    if not lines:
        return f"{what}\nthe verifier's log is empty"
    return f"{what}\nthe verifier's log ends with:\n" + "\n".join(f"  {line}" for line in lines[-15:])


#: enum values of include/uapi/linux/bpf.h, as test_loader.c takes them by name.
_FLAGS = {
    "BPF_F_STRICT_ALIGNMENT": 1 << 0,
    "BPF_F_ANY_ALIGNMENT": 1 << 1,
    "BPF_F_TEST_RND_HI32": 1 << 2,
    "BPF_F_TEST_STATE_FREQ": 1 << 3,
    "BPF_F_SLEEPABLE": 1 << 4,
    "BPF_F_XDP_HAS_FRAGS": 1 << 5,
    "BPF_F_TEST_REG_INVARIANTS": 1 << 7,
}
#: POSIX's character classes, which Python's regular expressions lack.
_CLASSES = {"[:digit:]": "0-9", "[:xdigit:]": "0-9a-fA-F", "[:alpha:]": "a-zA-Z", "[:alnum:]": "a-zA-Z0-9"} | {
    "[:space:]": r"\s"
}


def with_flag(function: str, flags: int, value: str) -> int:
    """``flags`` with another one, by name or as a number, or with ``!`` without it."""
    name = value.removeprefix("!")
    flag = _FLAGS[name] if name in _FLAGS else number(function, name)
    return flags & ~flag if value.startswith("!") else flags | flag


def number(function: str, text: str) -> int:
    """A C literal. Results are signed 32-bit numbers."""
    if text in ("INT_MIN", "_INT_MIN"):
        return -(1 << 31)
    try:
        return int(text.strip("() ").rstrip("uUlL"), 0)
    except ValueError:
        raise SpecError(f"{function}: the annotation's value {text!r} is no number", remedy="write it out") from None


def errno_of(function: str, name: str) -> int:
    """The number of an errno by its name."""
    found = getattr(errno, name, None)
    if not isinstance(found, int):
        raise SpecError(f"{function}: the annotation's value {name!r} is no errno", remedy="name one of errno(3)")
    return found


def pattern(function: str, text: str) -> re.Pattern[str]:
    """``text`` is taken as it is, apart from extended regular expressions in double braces."""
    parts = re.split(r"\{\{(.*?)\}\}", text)
    if any("{{" in verbatim for verbatim in parts[::2]):
        raise SpecError(f"{function}: {text!r} opens {{{{ and does not close it", remedy="close it with }}")
    expression = ""
    for place, part in enumerate(parts):
        regular = part
        for theirs, ours in _CLASSES.items():
            regular = regular.replace(theirs, ours)
        expression += f"(?:{regular})" if place % 2 else re.escape(part)
    try:
        return re.compile(expression, re.MULTILINE)
    except re.error as error:
        raise SpecError(f"{function}: {text!r} holds a bad regular expression: {error}", remedy="mend it") from None
