# SPDX-License-Identifier: GPL-2.0-only
"""kernel-config/mutations: what stands there is whole, and what is wrong in it is told in one line."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from kfunctest.errors import SpecError
from kfunctest.kernels import patches
from kfunctest.mutate import catalogue

CHECKOUT = Path(__file__).resolve().parents[1]
MUTANTS = catalogue.load()
PATCHES = {one.id: patch for one in MUTANTS.values() for patch in patches.read([one.patch])}
#: What issue and contract ask for.
AT_LEAST, OF_EACH_CLASS = 60, 5
HUNK = re.compile(r"^@@ ", re.MULTILINE)


def test_there_are_enough_and_enough_of_each_class() -> None:
    real = [one for one in MUTANTS.values() if not one.equivalent]
    counts = Counter(one.kind for one in real)
    assert len(real) >= AT_LEAST
    assert {kind: counts[kind] for kind in catalogue.CLASSES if counts[kind] < OF_EACH_CLASS} == {}


def test_every_expected_test_is_there() -> None:
    """A name that no test has would make a mutant survive for ever."""
    there = {
        f"selftests/{file.name}::{name}"
        for file in (CHECKOUT / "selftests").glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    asked = {name for one in MUTANTS.values() for name in one.expected}
    assert sorted(name for name in asked if name.partition("[")[0] not in there) == []


def test_every_program_that_an_expected_test_names_is_there() -> None:
    """Cases of test_verifier.py are named after programs of selftests/bpf."""
    programs = {
        name
        for file in (CHECKOUT / "selftests" / "bpf").glob("*.bpf.c")
        for name in re.findall(r"^int (?:BPF_PROG\()?(\w+)", file.read_text(), re.MULTILINE)
    }
    cases = {
        name.partition("[")[2].removesuffix("]")
        for one in MUTANTS.values()
        for name in one.expected
        if "test_verifier.py" in name and "[" in name
    }
    assert sorted(cases - programs) == []


@pytest.mark.parametrize("one", MUTANTS.values(), ids=lambda one: str(one.id))
def test_a_mutation_is_one_change_to_the_kernel_alone(one: catalogue.Mutant) -> None:
    """One file, few lines: what is wrong can be read off the patch."""
    text = PATCHES[one.id].diff.decode()
    files = re.findall(r"^\+\+\+ b/(\S+)", text, re.MULTILINE)
    changed = [line for line in text.splitlines() if re.match(r"[+-](?![+-]{2} [ab]/|- ?\d?)", line)]
    assert len(files) == 1, f"{one.id} changes {files}"
    assert re.match(r"(mm|kernel/bpf|kernel/cgroup)/\w+\.c$", files[0]), files[0]
    assert 1 <= len(changed) <= 12, f"{one.id} changes {len(changed)} lines"


def test_no_two_mutations_are_the_same() -> None:
    ids = Counter(patch.id for patch in PATCHES.values())
    assert [found for found, count in ids.items() if count > 1] == []


def test_an_argument_is_given_for_each_equivalent_one() -> None:
    short = [one.id for one in MUTANTS.values() if one.equivalent and len(one.equivalent.split()) < 10]
    assert short == []


GOOD = '[a]\nclass = "unit"\nbreaks = "it"\nexpected = ["selftests/test_usage.py::test_x"]\n'


@pytest.mark.parametrize(
    "text, said",
    [
        ("[a\n", "no TOML"),
        ('a = "b"\n', "no table"),
        (GOOD.replace("unit", "uint"), "no class that we know"),
        (GOOD.replace("breaks", "brakes"), "unknown key 'brakes'"),
        (GOOD.replace("expected = [", "expected = [] # ["), "expected = []"),
        (GOOD + 'equivalent = "it is"\n', "either expected or equivalent"),
        (GOOD.replace("[a]", "[b]"), "no b.patch beside it"),
        (GOOD, "says nothing of stray.patch"),
    ],
)
def test_what_is_wrong_with_an_entry_is_told_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.patch").touch()
    if text == GOOD:
        (tmp_path / "stray.patch").touch()
    (tmp_path / catalogue.NAME).write_text(text)
    with pytest.raises(SpecError) as error:
        catalogue.load(tmp_path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_each_commit_has_a_sample_of_its_own_and_all_get_their_turn() -> None:
    mutants = list(MUTANTS.values())
    first = catalogue.sample(mutants, "c0ffee", 6)
    assert first == catalogue.sample(mutants, "c0ffee", 6), "the same commit has the same sample"
    seen = {one.id for number in range(400) for one in catalogue.sample(mutants, f"{number:040x}", 6)}
    never = [one.id for one in mutants if not one.equivalent and one.id not in seen]
    assert never == [], f"in 400 commits these never got their turn: {never}"


def test_a_sample_is_of_as_many_classes_as_it_can_be() -> None:
    for number in range(50):
        kinds = [one.kind for one in catalogue.sample(list(MUTANTS.values()), f"{number:040x}", 6)]
        assert len(set(kinds)) == 6, kinds


def test_equivalent_mutants_are_in_no_sample() -> None:
    found = catalogue.sample(list(MUTANTS.values()), "c0ffee", len(MUTANTS))
    assert [one.id for one in found if one.equivalent] == []
    assert len(found) == sum(not one.equivalent for one in MUTANTS.values())
