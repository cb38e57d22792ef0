# SPDX-License-Identifier: GPL-2.0-only
"""What a BPF file expects of the verifier, and how a log is held against it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from kfunctest import bpfbuild
from kfunctest.errors import SpecError
from kfunctest.verifier_annotations import GENERATIONS, Annotated, Expectation, generation, of_object

BPF = Path(__file__).parent.parent / "selftests" / "bpf"
PROGRAM = '#include "kfunctest.h"\n{} __attribute__((section("syscall"))) int program(void *ctx) {{ return 0; }}\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KFUNCTEST_CACHE", str(tmp_path / "cache"))
    (tmp_path / "kfunctest.h").write_text((BPF / "kfunctest.h").read_text())
    return tmp_path


def annotated(folder: Path, tags: str) -> Annotated:
    """What a program with these annotations expects, through the compiler."""
    source = folder / "tagged.bpf.c"
    source.write_text(PROGRAM.format(tags))
    return of_object(bpfbuild.build(source))["program"]


def read(folder: Path, tags: str) -> Expectation:
    """What it expects of the newest verifier."""
    return annotated(folder, tags).newest


def test_program_without_annotations_has_no_expectation(folder: Path) -> None:
    source = folder / "plain.bpf.c"
    source.write_text(PROGRAM.format(""))
    assert of_object(bpfbuild.build(source)) == {}


def test_everything_is_read(folder: Path) -> None:
    found = read(
        folder,
        "__failure __errno(EACCES) __retval(-7) __log_level(2) "
        '__flag(BPF_F_STRICT_ALIGNMENT) __flag(0x40) __description("a name")',
    )
    assert found == Expectation(False, errno.EACCES, (), -7, 2, 0x41, "a name")


def test_success_is_what_is_expected_without_a_word(folder: Path) -> None:
    assert read(folder, "__retval(0x10)") == Expectation(success=True, retval=16)


def test_flag_with_a_bang_takes_it_away(folder: Path) -> None:
    assert read(folder, "__flag(BPF_F_TEST_RND_HI32) __flag(0x1) __flag(!BPF_F_TEST_RND_HI32)").flags == 1


def test_order_of_messages_is_that_of_the_file(folder: Path) -> None:
    texts = [f"message {number}" for number in range(12)]
    found = read(folder, "__failure " + " ".join(f'__msg("{text}")' for text in texts))
    assert [message.text for message in found.messages] == texts


def test_tags_without_numbers_are_read_too(folder: Path) -> None:
    """As older kernels' bpf_misc.h writes them."""
    tag = '__attribute__((btf_decl_tag("comment:{}")))'
    found = read(folder, tag.format("test_expect_failure") + tag.format("test_expect_msg=a=b"))
    assert (found.success, [message.text for message in found.messages]) == (False, ["a=b"])


def test_what_concerns_unprivileged_users_is_passed_over(folder: Path) -> None:
    tags = '__test_tag("test_expect_failure_unpriv") __test_tag("test_expect_msg_unpriv=x") __success'
    assert read(folder, tags) == Expectation()


def test_annotation_that_is_not_supported_is_an_error(folder: Path) -> None:
    with pytest.raises(SpecError, match="program: the annotation test_jited is not supported"):
        read(folder, '__test_tag("test_jited=nop")')


def upstream(folder: Path, tags: str, flags: int = 0x84) -> Expectation:
    """What the same would mean in the kernel's own tree."""
    source = folder / "tagged.bpf.c"
    source.write_text(PROGRAM.format(tags))
    return of_object(bpfbuild.build(source), Expectation(flags=flags))["program"].newest


def test_upstreams_annotations_say_when_a_program_is_judged(folder: Path) -> None:
    tags = "test_arch=X86_64", "test_arch=ARM64", "load_mode=no_jited", "test_auxiliary", "test_expect_xlated=0: exit"
    found = upstream(folder, "".join(f'__test_tag("{tag}")' for tag in tags) + " __failure")
    assert (found.machines, found.with_jit, found.auxiliary) == (("X86_64", "ARM64"), False, True)
    assert (found.not_held, found.success) == (("__xlated",), False)


def test_upstreams_programs_begin_with_flags_that_can_be_taken_away(folder: Path) -> None:
    assert upstream(folder, "__flag(!BPF_F_TEST_REG_INVARIANTS)").flags == 4


def test_what_only_upstream_has_is_an_error_in_files_of_ours(folder: Path) -> None:
    with pytest.raises(SpecError, match="program: the annotation load_mode is not supported"):
        read(folder, '__test_tag("load_mode=no_jited")')


@pytest.mark.parametrize("expected, returned", [("-7", -7), ("0xfffffff9", -7), ("1", 1), ("0xbadcafe", 5)])
def test_result_of_a_run_that_agrees(folder: Path, expected: str, returned: int) -> None:
    """Numbers are of 32 bits, and upstream's POINTER_VALUE is any."""
    assert read(folder, f"__retval({expected})").returned_wrongly(returned) is None


def test_result_of_a_run_that_disagrees(folder: Path) -> None:
    assert read(folder, "__retval(7)").returned_wrongly(-7) == "expected: 7\nseen: -7, when it was run"


@pytest.mark.parametrize(
    "tags, why",
    [
        ("__retval(MANY)", "'MANY' is no number"),
        ("__errno(ENONESUCH)", "'ENONESUCH' is no errno"),
        ("__flag(BPF_F_NONE_SUCH)", "'BPF_F_NONE_SUCH' is no number"),
        ('__msg("a {{b")', "does not close it"),
        ('__msg("a {{(}}")', "bad regular expression"),
    ],
)
def test_bad_value_names_program_and_value(folder: Path, tags: str, why: str) -> None:
    with pytest.raises(SpecError, match=f"program: .*{why}"):
        read(folder, tags)


LOG = "0: call\nR1 (first) [x]\nid=12 leaks\nR1 (last) [x]\nprocessed 2 insns\n"


@pytest.mark.parametrize(
    "tags",
    [
        '__failure __msg("R1 (first) [x]")',
        '__failure __msg("R1 (first)") __msg("R1 (last)")',
        '__failure __msg("id={{[0-9]+}} leaks")',
        '__failure __msg("id={{[[:digit:]]+}} leaks")',
        '__failure __msg("{{^}}id=")',
        '__failure __msg("{{first|second}}) [x]")',
        '__failure __msg("first") __not_msg("processed") __msg("last")',
        '__failure __msg("last") __not_msg("leaks")',
    ],
)
def test_log_that_agrees(folder: Path, tags: str) -> None:
    assert read(folder, tags).mismatch(loaded=False, log=LOG) is None


@pytest.mark.parametrize(
    "tags, problem",
    [
        ('__failure __msg("R1 .first.")', "expected, behind the start: 'R1 .first.'\nseen: no such text there"),
        ('__failure __msg("last") __msg("first")', "expected, behind 'last': 'first'\nseen: no such text there"),
        ('__failure __msg("leaks") __msg("leaks")', "expected, behind 'leaks': 'leaks'\nseen: no such text there"),
        ('__failure __msg("call{{.*}}leaks")', "expected, behind the start: 'call{{.*}}leaks'\nseen: no such text"),
        ('__failure __msg("first") __not_msg("{{l.*s}}") __msg("last")', "not expected: '{{l.*s}}'\nseen: 'leaks'"),
        ('__failure __not_msg("processed")', "not expected: 'processed'\nseen: 'processed'"),
        ("__success", "expected: accepted\nseen: refused"),
    ],
)
def test_log_that_disagrees(folder: Path, tags: str, problem: str) -> None:
    seen = read(folder, tags).mismatch(loaded=False, log=LOG)
    assert seen is not None
    assert seen.startswith(problem)
    assert seen.endswith("  R1 (last) [x]\n  processed 2 insns")


def test_accepted_program_that_was_to_be_refused(folder: Path) -> None:
    assert read(folder, "__failure").mismatch(loaded=True, log="") == (
        "expected: refused\nseen: accepted\nthe verifier's log is empty"
    )


def test_log_of_an_accepted_program_is_asked_for_where_it_is_judged(folder: Path) -> None:
    assert read(folder, '__success __msg("x")').wants_log == 1
    assert read(folder, '__success __log_level(2) __msg("x")').wants_log == 2
    assert read(folder, "__success").wants_log == 0


def test_older_wording_holds_from_its_generation_down(folder: Path) -> None:
    assert GENERATIONS == ("6.12", "7.2", "7.3")
    found = annotated(folder, '__failure __msg("a") __msg("b") __msg_until("6.12", "old") __flag(0x1)')
    texts = {name: [message.text for message in found.at(name).messages] for name in GENERATIONS}
    assert texts == {"6.12": ["old"], "7.2": ["a", "b"], "7.3": ["a", "b"]}
    assert {(found.at(name).success, found.at(name).flags) for name in GENERATIONS} == {(False, 1)}
    between = annotated(folder, '__failure __msg("new") __not_msg_until("7.2", "not") __msg_until("7.2", "old")')
    assert (
        [message.text for message in between.at("6.12").messages]
        == ["not", "old"]
        == [message.text for message in between.at("7.2").messages]
    )
    assert [message.text for message in between.at("7.3").messages] == ["new"]


def test_errno_of_a_refusal(folder: Path) -> None:
    found = annotated(folder, '__failure __errno(EACCES) __errno_until("6.12", EINVAL) __msg("a")')
    assert found.newest.refused_wrongly(errno.EACCES) is None
    assert found.newest.refused_wrongly(errno.EINVAL) == "expected: EACCES\nseen: EINVAL, with the right message"
    assert found.at("6.12").refused_wrongly(errno.EINVAL) is None


def test_older_generation_may_decide_otherwise(folder: Path) -> None:
    found = annotated(
        folder, '__failure __msg("new") __success_until("7.2") __failure_until("6.12") __msg_until("6.12", "x")'
    )
    assert [(found.at(name).success, len(found.at(name).messages)) for name in GENERATIONS] == [
        (False, 1),
        (True, 0),
        (False, 1),
    ]
    assert found.at("7.2").mismatch(loaded=False, log="new") is not None
    assert found.at("7.3").mismatch(loaded=True, log="") is not None


@pytest.mark.parametrize("name", ["7.3", "6.13", ""])
def test_until_takes_the_name_of_an_older_generation(folder: Path, name: str) -> None:
    with pytest.raises(SpecError, match=f"program: {name!r} is no older generation of verifiers; .*6.12, 7.2"):
        annotated(folder, f'__msg_until("{name}", "text")')


def test_needed_kfuncs_are_named(folder: Path) -> None:
    found = annotated(folder, '__needs_kfunc(bpf_one) __needs_kfunc(bpf_two) __msg_until("6.12", "x")')
    assert found.newest.kfuncs == found.at("6.12").kfuncs == ("bpf_one", "bpf_two")


def test_generation_is_the_one_whose_wording_is_seen(folder: Path) -> None:
    """And each wording of the probe is that of one generation only."""
    probe = of_object(bpfbuild.build(BPF / "verifier_probe.bpf.c"))["probe"]
    for name in GENERATIONS:
        (message,) = probe.at(name).messages
        assert generation(probe, False, f"1: call\n{message.text}\n") == name
        agreeing = [other for other in GENERATIONS if probe.at(other).mismatch(False, message.text) is None]
        assert agreeing == [name]


@pytest.mark.parametrize("loaded, log", [(False, "what nobody ever said"), (True, "")])
def test_unknown_wording_is_judged_as_the_newest(folder: Path, loaded: bool, log: str) -> None:
    probe = of_object(bpfbuild.build(BPF / "verifier_probe.bpf.c"))["probe"]
    assert generation(probe, loaded, log) == GENERATIONS[-1]


@pytest.mark.parametrize(
    "name, success",
    [
        ("refused", False),
        ("refused_license", False),
        ("refused_contexts", False),
        ("refused_pointers", False),
        ("accepted", True),
        ("accepted_contexts", True),
        ("accepted_deferred", True),
    ],
)
def test_programs_of_the_suite_are_annotated(folder: Path, name: str, success: bool) -> None:
    found = of_object(bpfbuild.build(BPF / f"{name}.bpf.c"))
    assert {program.newest.success for program in found.values()} == {success}
    every = [program.at(name) for program in found.values() for name in GENERATIONS]
    assert all(expectation.messages and expectation.errno for expectation in every if not expectation.success)


def test_object_without_btf(folder: Path) -> None:
    plain = folder / "plain.o"
    source = folder / "plain.bpf.c"
    source.write_text("int nothing;\n")
    made = bytearray(bpfbuild.build(source).read_bytes())
    plain.write_bytes(made.replace(b".BTF\0", b".BTX\0"))
    with pytest.raises(SpecError, match="has no BTF"):
        of_object(plain)
