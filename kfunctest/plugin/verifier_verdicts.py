# SPDX-License-Identifier: GPL-2.0-only
"""What the verifier of one running kernel says, and what is expected of one of its generation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import pytest

from kfunctest.machine.bpf import Ask, Bpf, Verdict
from kfunctest.machine.vm import Vm
from kfunctest.verifier_annotations import Annotated, Expectation, generation, of_object

#: The object and the program whose verdict tells the verifier's generation.
PROBE_SOURCE, PROBE = "verifier_probe.bpf.c", "probe"
#: The object whose callers are loaded as every type of program, and the caller that stands for all that never sleep.
TYPES_SOURCE, TOGETHER = "program_types.bpf.c", "call_everything_but_flush"


class Verdicts:
    """The verdicts on the annotated programs of selftests/bpf, each file's asked for at once."""

    def __init__(self, machine: Vm, compiled: Callable[[str], Path]) -> None:
        self._machine = machine
        self._compiled = compiled
        self._found: dict[str, dict[str, Verdict]] = {}
        self._programs: dict[str, dict[str, Annotated]] = {}
        self._may_call: dict[str, dict[str, Verdict]] | None = None

    @cached_property
    def generation(self) -> str:
        """The verifier's generation, by what it says of one program that uses no memcg kfunc."""
        probe = of_object(self._compiled(PROBE_SOURCE))[PROBE]
        with Bpf(self._machine, self._compiled) as loader:
            said = loader.verdicts(PROBE_SOURCE, [Ask(PROBE)])[PROBE]
        return generation(probe, said.accepted, said.log)

    def expectation(self, source: str, program: str) -> Expectation:
        """What a verifier of this generation must say of the program."""
        return self._annotated(source)[program].at(self.generation)

    def verdict(self, source: str, program: str) -> Verdict:
        """What the verifier says of the program; all of ``source`` are judged the first time."""
        if source not in self._found:
            asked = []
            for name in self._annotated(source):
                wanted = self.expectation(source, name)
                asked.append(Ask(name, wanted.wants_log, wanted.flags, run=wanted.retval is not None))
            with Bpf(self._machine, self._compiled) as loader:
                self._found[source] = loader.verdicts(source, asked)
        return self._found[source][program]

    def may_call(self, kfuncs: Sequence[str], places: Sequence[str]) -> dict[str, dict[str, Verdict]]:
        """What the verifier says of a call of each kfunc (the last one may sleep) by each type of program.

        A type that the kernel does not load at all has a verdict on itself, and on no kfunc.
        """
        if self._may_call is None:
            callers = {f"call_{name}": name for name in kfuncs}
            with Bpf(self._machine, self._compiled) as loader:
                names = [f"at_{place}" for place in places]
                said = loader.callers_at(TYPES_SOURCE, names, list(callers), TOGETHER)
            self._may_call = {
                place.removeprefix("at_"): {callers.get(name, "itself"): verdict for name, verdict in found.items()}
                for place, found in said.items()
            }
        return self._may_call

    def _annotated(self, source: str) -> dict[str, Annotated]:
        if source not in self._programs:
            self._programs[source] = of_object(self._compiled(source))
        return self._programs[source]


def source_of(item: pytest.Item) -> str:
    """The file of BPF programs that the test's ``bpf_programs`` marker names."""
    marker = item.get_closest_marker("bpf_programs")
    assert marker, "the verdict and expectation fixtures are for tests marked bpf_programs"
    return str(marker.args[0])
