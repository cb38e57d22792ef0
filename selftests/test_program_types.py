# SPDX-License-Identifier: GPL-2.0-only
"""Which type of program may call which kfunc: docs/program-types.md, held row by row.

The kfuncs are registered for every type, so a monitor may read a memcg wherever it runs: in an interrupt, on the path
of a packet, in a security hook. Only flushing waits, and is refused where that is forbidden, by name.
"""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from kfunctest.contract import FLUSH_STATS, Contract
from kfunctest.kernels.model import Kernel
from kfunctest.machine.bpf import Bpf, Verdict
from kfunctest.machine.vm import Vm
from kfunctest.plugin.applicable import needs
from kfunctest.plugin.verifier_verdicts import Verdicts
from kfunctest.verifier_annotations import GENERATIONS
from selftests.typetable import WORDS, Row, read, written

# What all types may call is asked for at once: too long for the quick suite.
pytestmark = [pytest.mark.kfunc(name="verifier"), pytest.mark.slow_boot]

TABLE = read()
#: No types, apart from the extension, which is judged as what it replaces a part of.
NOT_IN_THE_TABLE = ("UNSPEC", "EXT", "__MAX_BPF_PROG_TYPE")
#: What an extension replaces: a function that never sleeps, and one of a program that may sleep, which does.
REPLACED, SLEEPS = "replaced", "replaced_that_flushes"
#: What a newer verifier says of an extension that sleeps, before it looks at what is called.
MAY_SLEEP = "Extension program may sleep, while original does not"
MUST_SLEEP = f"program must be sleepable to call sleepable kfunc {FLUSH_STATS}"


@pytest.fixture
def asked(contract: Contract, kernel: Kernel) -> list[str]:
    """The table's names of the kfuncs that the contract promises; what is missing is for test_presence.py to say."""
    present = contract.kfuncs & kernel.facts.kfuncs
    full = {name: ("bpf_mem_cgroup_" + name, f"bpf_{name}_mem_cgroup") for name in TABLE[0].may_call}
    return [name for name, either in full.items() if present & set(either)]


@pytest.fixture
def seen(verdicts: Verdicts, asked: list[str]) -> dict[str, dict[str, Verdict]]:
    """What the verifier says, by program and kfunc; all are asked for at once."""
    return verdicts.may_call(asked, [row.program for row in TABLE])


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_program_type_may_call(
    row: Row,
    seen: dict[str, dict[str, Verdict]],
    asked: list[str],
    verdicts: Verdicts,
    kernel: Kernel,
    request: pytest.FixtureRequest,
) -> None:
    """Every cell of a row as the table says; a refusal is EACCES, and its reason is that the program may not sleep.

    What was seen is a row of the report's table.
    """
    needs(not row.needs or kernel.option(row.needs) is not None, f"this kernel lacks {row.needs}")
    old = row.since and GENERATIONS.index(verdicts.generation) < GENERATIONS.index(row.since)
    needs(not old, f"a verifier older than {row.since} loads no {row.section}")
    said = seen[row.program]
    assert "itself" not in said, f"{row.section} was to be loaded, without any call: {said['itself']}"
    expected = {kfunc: WORDS[row.may_call[kfunc]] for kfunc in asked}
    found = {kfunc: WORDS[verdict.accepted] for kfunc, verdict in said.items()}
    # record_property would warn, and so fail, where pytest writes JUnit XML of the newer family.
    request.node.user_properties.extend(found.items())
    logs = "\n".join(f"{kfunc}: {verdict.log}" for kfunc, verdict in said.items() if verdict.log)
    assert found == expected, f"what {row.section} may call: expected {expected}, seen {found}\n{logs}"
    for kfunc, verdict in said.items():
        assert verdict.accepted or (verdict.errno == errno.EACCES and MUST_SLEEP in verdict.log), (
            f"{row.section} that calls {kfunc}: expected EACCES and {MUST_SLEEP!r}, "
            f"seen {errno.errorcode.get(verdict.errno, verdict.errno)} and {verdict.log!r}"
        )


def test_the_table_has_every_type_that_this_kernel_has(
    seen: dict[str, dict[str, Verdict]], kernel: Kernel, consoles: Path
) -> None:
    """A type of a newer kernel is added to the table. What was seen is kept beside the consoles."""
    words = {
        program: {name: WORDS[verdict.accepted] for name, verdict in said.items() if name != "itself"}
        for program, said in seen.items()
    }
    (consoles / f"program-types-{kernel.id}.md").write_text(written(words))
    known = {*(row.type for row in TABLE), *NOT_IN_THE_TABLE}
    types = {name.removeprefix("BPF_PROG_TYPE_") for name in kernel.facts.enum("bpf_prog_type")}
    assert types <= known, f"types of program that docs/program-types.md does not know: {sorted(types - known)}"


@pytest.mark.parametrize(
    "target, function",
    [
        ("extended_tc", REPLACED),
        ("extended_xdp", REPLACED),
        ("extended_syscall", REPLACED),
        ("extended_syscall", SLEEPS),
    ],
)
def test_an_extension_may_call_what_the_program_may_that_it_extends(
    vm: Vm, bpf: Bpf, verdicts: Verdicts, target: str, function: str
) -> None:
    """Reading is for every type. An extension cannot sleep, not even in the place of a function that does; and owes its
    puts as any other.
    """
    seen = bpf.extensions_of("extensions.bpf.c", target, function, ["reads", "flushes", "leaks"])
    what = f"{function}() of {target}"
    assert seen["reads"].accepted, f"{what}, replaced by what reads a memcg: expected to be taken, seen {seen['reads']}"
    newer = GENERATIONS.index(verdicts.generation) > GENERATIONS.index("6.12")
    messages = {"flushes": MAY_SLEEP if newer and function != SLEEPS else MUST_SLEEP, "leaks": "Unreleased reference"}
    for program, message in messages.items():
        said = seen[program]
        assert said.errno in (errno.EACCES, errno.EINVAL), (
            f"{what}, replaced by {program}: expected a refusal, seen {said}"
        )
        assert message in said.log, f"{what}, replaced by {program}: expected {message!r}, seen {said.log!r}"
