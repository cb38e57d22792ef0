# SPDX-License-Identifier: GPL-2.0-only
"""The commands: a verdict for every patch of a series, wrong requests, and the mail to maintainers."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.bisect import __main__ as entry
from kfunctest.bisect import command, mail, report, series, step
from kfunctest.bisect.builder import Builder
from kfunctest.bisect.git_bisect import History
from kfunctest.bisect.options import BAD, GOOD
from kfunctest.bisect.trials import Selection
from kfunctest.errors import EXIT_USAGE
from kfunctest.kernels import patches, source
from kfunctest.machine import host_checks
from kfunctest.results import Untested
from kfunctest.shell import GIT_ABORT as ABORT
from kfunctest.trial import digest
from kfunctest.trial.suite import Suite
from kfunctest.trial.work import work
from tests import bisecting, fakekernel, fakesource
from tests.bisecting import BASE, PlayedBuilds, PlayedSuite, memcontrol
from tests.building import needs, needs_build_tools
from tests.gating import B
from tests.histories import Writer
from tests.killing import killed

CHECKOUT = Path(__file__).resolve().parents[1]
LATEST = "series-latest"


@pytest.mark.parametrize(
    "words, said",
    [
        (["--good", "nowhere", "--bad", "HEAD"], "has no commit 'nowhere'"),
        (
            ["--good", "HEAD", "--bad", "HEAD", "-k", "x", "selftests/test_nothing.py"],
            "there is no test selftests/test_n",
        ),
        (["--good", "HEAD", "--bad", "HEAD", "--patch", "none.patch"], "none.patch does not exist"),
        (["--good", "HEAD", "--bad", "HEAD", "--contract", "v9"], "v9"),
        (["--good", "HEAD", "--bad", "HEAD", "--", "--kernel", "debian"], "--kernel is not for you to say here"),
    ],
)
def test_a_wrong_request_is_one_line(
    tree: Path, cache_here: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    status = entry.main(["--tree", str(tree), *words])
    err = capsys.readouterr().err
    assert status == ABORT + EXIT_USAGE, err
    assert said in err
    assert err.count("\n") == 1, err


def patch_of(tree: Path, folder: Path, *changes: tuple[str, str, str, str]) -> Path:
    """A series: subject, file, old and new text of each patch."""
    base = fakesource.git(tree, "rev-parse", "HEAD")
    for subject, name, old, new in changes:
        fakesource.edit(tree / name, old, new)
        fakesource.commit(tree, subject)
    fakesource.git(tree, "format-patch", "--quiet", "-o", folder, base)
    fakesource.git(tree, "reset", "--quiet", "--hard", base)
    return folder


def standings(folder: Path) -> list[str]:
    return [row["standing"] for row in json.loads((folder / LATEST / series.JSON).read_text())["rows"]]


def judged_series(tree: Path, patch: Path, folder: Path, *untested: Untested, suite: Suite | None = None) -> int:
    base = source.resolve(f"{tree}@HEAD")
    suite = suite or PlayedSuite(release=fakekernel.RELEASE, untested=untested)
    with work(folder, "series", "key") as place:
        return series.judge(base, patches.read([patch]), Selection(), (), None, suite, place)


@needs_build_tools
def test_every_patch_of_a_series_gets_a_verdict_in_order(tree: Path, cache_here: Path, tmp_path: Path) -> None:
    one = "\treturn 1;\n"
    marked = 'const char marks[] = "KF[b=failed]";\n'
    patch = patch_of(
        tree,
        tmp_path / "series",
        ("harmless", "mm/vmscan.c", "return one();", "return one() + 1;"),
        ("does not build", "mm/vmscan.c", "long scan(void)", "#error half of it\nlong scan(void)"),
        ("mends that", "mm/vmscan.c", "#error half of it\n", ""),
        ("breaks a test", "mm/memcontrol.c", "long one(void)", f"{marked}long one(void)"),
        ("leaves it broken", "mm/memcontrol.c", one, "\treturn 4;\n"),
        ("kills it at boot", "mm/memcontrol.c", "KF[b=failed]", "KF[boot=no]"),
        ("mends all", "mm/memcontrol.c", marked.replace("b=failed", "boot=no"), ""),
    )
    assert judged_series(tree, patch, tmp_path / "out") == BAD
    expected = ["good", "good", "does not build", "good", "bad", "no worse", "does not boot", "good"]
    assert standings(tmp_path / "out") == expected
    table = (tmp_path / "out" / LATEST / series.MARKDOWN).read_text()
    assert "What patch 4 breaks" in table
    assert B in table


@needs_build_tools
def test_a_series_that_breaks_nothing_passes(tree: Path, cache_here: Path, tmp_path: Path) -> None:
    patch = patch_of(tree, tmp_path / "series", ("harmless", "mm/vmscan.c", "return one();", "return one() + 1;"))
    assert judged_series(tree, patch, tmp_path / "out") == GOOD


@needs_build_tools
def test_a_series_on_a_kernel_with_what_no_test_knows(tree: Path, cache_here: Path, tmp_path: Path) -> None:
    patch = patch_of(tree, tmp_path / "series", ("harmless", "mm/vmscan.c", "return one();", "return one() + 1;"))
    assert judged_series(tree, patch, tmp_path / "out", Untested("bpf_new", "kfunc")) == GOOD
    assert " tests pass; no test covers its kfunc bpf_new" in (tmp_path / "out" / LATEST / series.MARKDOWN).read_text()


def test_a_bisection_of_kernels_with_what_no_test_knows(tmp_path: Path, cache_here: Path) -> None:
    """The run of a good commit ends with 3: no fault of the machine's, and no commit is bad for it."""
    writer, tree = Writer(tmp_path / "linux"), tmp_path / "linux"
    writer.commit("c0", {**BASE, "mm/memcontrol.c": memcontrol("")})
    for number in range(1, 5):
        writer.commit(f"c{number}", {"mm/memcontrol.c": memcontrol("b=failed" if number > 2 else "", number)})
    writer.write()
    suite = PlayedSuite(untested=(Untested("bpf_new", "kfunc"),))
    wanted = bisecting.asked(tree, tmp_path / "results", "main~4", "main")
    found = bisecting.run(wanted, PlayedBuilds(tree, tmp_path / "p"), suite)
    assert (found.culprit, found.status) == ("c3", GOOD)
    assert found.report["untested"] == ["kfunc bpf_new"]
    assert "* some of these kernels have the kfunc bpf_new, which no test covers" in found.text(report.MARKDOWN)


@needs_build_tools
def test_a_patch_that_does_not_apply_is_named_and_ends_it(tree: Path, cache_here: Path, tmp_path: Path) -> None:
    one = ("first", "mm/vmscan.c", "return one();", "return one() + 1;")
    patch = patch_of(tree, tmp_path / "series", one, ("second", "mm/vmscan.c", "one() + 1;", "one() + 2;"))
    next(iter(sorted(patch.glob("0001*")))).unlink()
    (patch / "0003-later.patch").write_bytes(next(patch.glob("0002*")).read_bytes())
    assert judged_series(tree, patch, tmp_path / "out") == BAD
    assert standings(tmp_path / "out") == ["good", "does not apply"]
    assert "1 patches behind the last one were not tried" in (tmp_path / "out" / LATEST / series.MARKDOWN).read_text()


@needs_build_tools
def test_kernels_that_are_really_built_give_the_same_culprit(tree: Path, cache_here: Path, tmp_path: Path) -> None:
    changes = [
        ("mm/vmscan.c", "return one();", "return one() + 1;"),
        ("mm/memcontrol.c", "long two(void)", "/* The object stays the same. */\nlong two(void)"),
        ("lib/Kconfig.debug", "config OTHER", "config OTHERS"),
        ("kernel/fork.c", "long spoon", "#error\nlong spoon"),
        ("kernel/fork.c", "#error\n", ""),
        ("mm/memcontrol.c", "long one", 'const char marks[] = "KF[b=failed]";\nlong one'),
        ("kernel/fork.c", "return one();", "return one() + 2;"),
    ]
    for number, change in enumerate(changes, 1):
        (tree / "Documentation").mkdir(exist_ok=True)
        (tree / "Documentation" / "a.rst").write_text(f"{number}\n")
        fakesource.commit(tree, f"d{number}")
        fakesource.edit(tree / change[0], change[1], change[2])
        fakesource.commit(tree, f"c{number}")
    before = fakesource.snapshot(tree)
    wanted = bisecting.asked(tree, tmp_path / "results", "HEAD~14", "HEAD")
    found = bisecting.run(wanted, Builder(tree), PlayedSuite(release=fakekernel.RELEASE))
    assert (found.culprit, found.report["confirmed"]) == ("c6", True)
    assert {step["verdict"] for step in found.steps} >= {"good", "bad"}
    assert fakesource.snapshot(tree) == before, "the user's tree is only read"


GET_MAINTAINER = """\
#!/usr/bin/perl
# Names who is in MAINTAINERS for a file that the patch changes.
my $patch = pop @ARGV;
open(my $in, '<', $patch) or die; my $text = join('', <$in>);
open(my $list, '<', 'MAINTAINERS') or die;
while (<$list>) {
    my ($file, $who) = split /\\t/;
    chomp $who;
    print "$who (maintainer:X)\\n" if index($text, $file) >= 0;
}
"""


@needs("perl")
def test_the_mail_goes_to_whom_the_trees_own_script_names(tmp_path: Path, cache_here: Path) -> None:
    maintainers = "mm/memcontrol.c\tMem Cg <memcg@example.org>\nkernel/fork.c\tSomebody Else <other@example.org>\n"
    base = {**BASE, "scripts/get_maintainer.pl": GET_MAINTAINER, "MAINTAINERS": maintainers}
    tree = tmp_path / "linux"
    ids = bisecting.long_history(tree, base=base)
    wanted = bisecting.asked(tree, tmp_path / "results", "main~200", "main")
    found = bisecting.run(wanted, PlayedBuilds(tree, tmp_path / "played"), PlayedSuite())
    text = found.text("mail.txt")
    head, _, body = text.partition("\n\n")
    assert "To: A U Thor <author@example.org>" in head
    assert "Mem Cg <memcg@example.org>" in head
    assert "other@example.org" not in head
    assert f"regressions@{'lists.linux.dev'}" in head
    assert "Subject: [REGRESSION] c137" in head
    assert B in body
    assert "git bisect bad" in body
    assert "scripts/kfunc --kernel LINUX" in body, "a place on this machine says nothing elsewhere"
    assert f"#regzbot introduced: {ids['c137']}" in body
    assert max(map(len, body.partition("git bisect log")[0].splitlines())) <= 80


def test_a_tree_without_the_script_names_nobody(tmp_path: Path, cache_here: Path) -> None:
    ids = bisecting.long_history(tmp_path / "linux")
    assert mail.recipients(History(tmp_path / "linux", tmp_path / "h.git"), ids["c137"]) == ()


def test_the_scripts_explain_themselves() -> None:
    for words in (["step"], ["series"], []):
        argv: Sequence[str | Path] = [sys.executable, "-m", "kfunctest.bisect", *words, "--help"]
        assert "Exit status" in proc.run(argv, seconds=60, cwd=CHECKOUT).stdout


def test_what_a_verdict_depends_on_is_in_the_keys_of_a_bisection_and_of_steps(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, builder = bisecting.asked(tree, tmp_path, "HEAD", "HEAD"), Builder(tree)
    monkeypatch.setattr(host_checks, "versions", lambda: "QEMU 7")

    def keys(*tools: str) -> tuple[str, str]:
        return command.key(wanted, tools), step.key(tree, builder, Selection(), tools)

    before = keys("gcc 12")
    assert keys("gcc 12") == before
    tools = keys("gcc 13")
    monkeypatch.setattr(digest, "of_suite", lambda: "another suite")
    for one, other, another in zip(before, tools, keys("gcc 12"), strict=True):
        assert len({one, other, another}) == 3


@needs_build_tools
@pytest.mark.parametrize("at", [1, 2])
def test_a_series_killed_at_any_run_ends_as_one_that_was_not(
    tree: Path, cache_here: Path, tmp_path: Path, at: int, capsys: pytest.CaptureFixture[str]
) -> None:
    marked = 'const char marks[] = "KF[b=failed]";\n'
    patch = patch_of(tree, tmp_path / "series", ("breaks a test", "mm/memcontrol.c", "long one(", f"{marked}long one("))

    def judged(results: str, kills: int = 0) -> tuple[int, int, list[str]]:
        suite = PlayedSuite(release=fakekernel.RELEASE, kills=kills)
        status = judged_series(tree, patch, tmp_path / results, suite=suite)
        return status, suite.runs, standings(tmp_path / results)

    assert judged("undisturbed") == (BAD, 2, ["good", "bad"])
    killed(lambda: judged("killed", at))
    if at == 2:
        assert standings(tmp_path / "killed") == ["good"], "the table is written patch by patch"
    capsys.readouterr()
    assert judged("killed") == (BAD, 3 - at, ["good", "bad"])
    assert f"resumed, {at - 1} runs of the suite are taken over" in capsys.readouterr().out
