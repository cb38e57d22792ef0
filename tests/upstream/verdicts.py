# SPDX-License-Identifier: GPL-2.0-only
"""What the running kernel makes of upstream's programs, held against what their annotations expect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kfunctest.errors import GuestError, SpecError
from kfunctest.guest import upstream_selftests
from kfunctest.machine.vm import Vm
from kfunctest.verifier_annotations import Expectation, of_object
from tests.upstream.sources import Compiled

#: BPF_F_TEST_RND_HI32 | BPF_F_TEST_REG_INVARIANTS: what testing_prog_flags() gives every program.
_FLAGS: Final = 1 << 2 | 1 << 7
#: Seconds for one object with KVM.
_SECONDS: Final = 120.0
_MACHINE: Final = "X86_64"


@dataclass(frozen=True, slots=True)
class Judged:
    """One annotated program: ``wrong`` says how the verdict differs from upstream's, and is empty where it does not."""

    file: str
    program: str
    annotations: int
    wrong: str
    not_held: tuple[str, ...]

    @property
    def name(self) -> str:
        """``file.c::program``."""
        return f"{self.file}::{self.program}"


@dataclass(frozen=True, slots=True)
class Found:
    """What came of upstream's files: programs judged, files left out with their reasons, programs left out, counted."""

    judged: tuple[Judged, ...]
    files_left_out: tuple[tuple[str, str], ...]
    programs_left_out: Counter[str]

    @property
    def agreeing(self) -> int:
        """How many verdicts are upstream's."""
        return sum(not one.wrong for one in self.judged)


def judge(vm: Vm, files: Sequence[Compiled]) -> Found:
    """Let the kernel judge every program of the files that compiled."""
    judged: list[Judged] = []
    left_out = [(file.name, file.error) for file in files if file.path is None]
    programs_left_out: Counter[str] = Counter()
    for file in files:
        if file.path is None:
            continue
        try:
            expected = {name: one.newest for name, one in of_object(file.path, Expectation(flags=_FLAGS)).items()}
        except SpecError as error:
            left_out.append((file.name, str(error)))
            continue
        wanted = {}
        for name, expectation in expected.items():
            if why := _not_for_us(expectation):
                programs_left_out[why] += 1
            else:
                wanted[name] = expectation
        if wanted:
            judged += _of_file(vm, file, wanted, [name for name, one in expected.items() if one.auxiliary])
    return Found(tuple(judged), tuple(sorted(left_out)), programs_left_out)


def _not_for_us(expectation: Expectation) -> str:
    if expectation.auxiliary:
        return "loaded beside others"
    if expectation.machines and _MACHINE not in expectation.machines:
        return "for other machines"
    if {"__btf_path", "__btf_func_path"} & set(expectation.not_held):
        return "to be relocated by another BTF than the kernel's"
    return "for kernels without a JIT" if expectation.with_jit is False else ""


def _of_file(vm: Vm, file: Compiled, wanted: dict[str, Expectation], auxiliary: list[str]) -> list[Judged]:
    assert file.path is not None
    asked = [
        (name, one.log_level, one.flags, one.success and one.retval is not None and "__linear_size" not in one.not_held)
        for name, one in wanted.items()
    ]
    try:
        said = vm.call_within(_SECONDS, upstream_selftests.judge, vm.file(file.path), asked, auxiliary)
    except GuestError as error:
        # The page is of the same words on every machine.
        why_not = str(error).partition("\n")[0].replace(f"{file.path.parent}/", "")
        said = dict.fromkeys(wanted, (-1, "", 0, f"not asked: {why_not}"))
    found = []
    for (name, _, _, run), expectation in zip(asked, wanted.values(), strict=True):
        number, log, result, why = said[name]
        wrong = why or expectation.mismatch(number == 0, log) or (run and expectation.returned_wrongly(result)) or ""
        count = 1 + len(expectation.messages) + (expectation.retval is not None)
        found.append(Judged(file.name, name, count, wrong, expectation.not_held))
    return found
