# SPDX-License-Identifier: GPL-2.0-only
"""Fragments of configuration: how they are read and put together, and what the ones in kernel-config/ say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kfunctest.errors import SpecError
from kfunctest.kernels import fragments

#: The sources that kernels.toml builds from; an option asked of none of them is checked by nobody.
RELEASES = ((6, 12), (7, 2), (7, 3))
FILES = sorted(fragments.FOLDER.glob("*.config"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of fragments, to be filled by the test."""
    for name in fragments.ALWAYS:
        (tmp_path / f"{name}.config").write_text(f"CONFIG_{name.upper()}=y\n")
    return tmp_path


def options(folder: Path, *flavours: str, release: tuple[int, int] = (7, 2)) -> dict[str, str]:
    return {want.option: want.value for want in fragments.load(flavours, release, folder)}


def test_what_every_kernel_gets_comes_first_and_in_order(folder: Path) -> None:
    (folder / "aaa.config").write_text("CONFIG_AAA=y\n")
    assert list(options(folder, "aaa")) == ["CONFIG_BASE", "CONFIG_BPF", "CONFIG_MEMCG", "CONFIG_AAA"]


def test_flavours_are_the_other_files(folder: Path) -> None:
    (folder / "v1.config").write_text("")
    (folder / "debug.config").write_text("")
    assert fragments.names(folder) == ("debug", "v1")


def test_values_keep_the_form_of_a_config(folder: Path) -> None:
    lines = ["CONFIG_A=y", "CONFIG_B=-1", "CONFIG_C=0x1f", 'CONFIG_D="a b=c"', "# CONFIG_E is not set"]
    (folder / "base.config").write_text("\n".join(lines))
    assert fragments.text(fragments.load((), (7, 2), folder)).splitlines()[:5] == lines


def test_place_is_the_line(folder: Path) -> None:
    (folder / "base.config").write_text("# why\n\n# since 7.2:\nCONFIG_A=y\n")
    (want,) = [want for want in fragments.load((), (7, 2), folder) if want.option == "CONFIG_A"]
    assert (want.fragment, want.line) == (folder / "base.config", 4)


def test_a_flavour_overrides_what_every_kernel_gets(folder: Path) -> None:
    (folder / "debug.config").write_text("# CONFIG_BASE is not set\n")
    assert options(folder, "debug")["CONFIG_BASE"] == "n"
    assert options(folder)["CONFIG_BASE"] == "y"


def test_flavours_that_contradict_each_other_are_refused(folder: Path) -> None:
    (folder / "one.config").write_text("CONFIG_A=1\n")
    (folder / "two.config").write_text("CONFIG_A=2\n")
    with pytest.raises(SpecError, match=r"two.config:1 wants CONFIG_A=2, and \S*one.config:1 wants CONFIG_A=1"):
        options(folder, "one", "two")


def test_a_flavour_named_twice_is_one(folder: Path) -> None:
    (folder / "one.config").write_text("CONFIG_A=1\n")
    assert options(folder, "one", "one")["CONFIG_A"] == "1"


@pytest.mark.parametrize("name", ["debgu", "base", "../base"])
def test_an_unknown_flavour_is_refused_with_those_there_are(folder: Path, name: str) -> None:
    (folder / "debug.config").write_text("")
    with pytest.raises(SpecError, match=re.escape(f"there is no flavour {name!r}") + ".*debug"):
        options(folder, name)


@pytest.mark.parametrize(
    "condition, releases",
    [
        ("# since 6.13:", [(6, 13), (7, 2)]),
        ("# before 6.13:", [(6, 12)]),
        ("# since 6.13:\n# before 7.2:", [(6, 13)]),
        ("# before 10.0:", [(6, 12), (6, 13), (7, 2)]),
    ],
)
def test_conditions(folder: Path, condition: str, releases: list[tuple[int, int]]) -> None:
    (folder / "base.config").write_text(f"{condition}\nCONFIG_A=y\nCONFIG_B=y\n")
    seen = {release: options(folder, release=release) for release in ((6, 12), (6, 13), (7, 2))}
    assert [release for release, found in seen.items() if "CONFIG_A" in found] == releases
    assert all("CONFIG_B" in found for found in seen.values()), "a condition is about one line"


def test_the_same_option_for_different_releases(folder: Path) -> None:
    (folder / "base.config").write_text("# before 7.2:\nCONFIG_A=1\n# since 7.2:\nCONFIG_A=2\n")
    assert [options(folder, release=release)["CONFIG_A"] for release in ((6, 12), (7, 2))] == ["1", "2"]


@pytest.mark.parametrize(
    "lines",
    [
        "CONFIG_A",
        "CONFIG_A=m",
        "CONFIG_A=n",
        "CONFIG_A = y",
        "CONFIG_A=y # why",
        "A=y",
        'CONFIG_A="x',
        " CONFIG_A=y",
        "#CONFIG_A is not set",
        "# CONFIG_A=y",
        "# CONFIG_A is not  set",
        "# since 6.13\nCONFIG_A=y",
        "#since 6.13:\nCONFIG_A=y",
        "# Since 6.13:\nCONFIG_A=y",
        "# until 6.13:\nCONFIG_A=y",
        "# since 6.13.4:\nCONFIG_A=y",
        "# since 6.13:\n\nCONFIG_A=y",
        "# since 6.13:\n# the reason\nCONFIG_A=y",
        "# since 6.13:",
    ],
)
def test_a_line_that_would_be_passed_over_is_refused(folder: Path, lines: str) -> None:
    (folder / "bpf.config").write_text(f"# why\n{lines}\n")
    with pytest.raises(SpecError, match=r"bpf\.config:[2-5]: .*write CONFIG_X=y"):
        options(folder)


def test_an_option_asked_for_twice_in_a_file_is_refused(folder: Path) -> None:
    (folder / "bpf.config").write_text("CONFIG_A=y\nCONFIG_B=y\n# CONFIG_A is not set\n")
    with pytest.raises(SpecError, match=r"bpf\.config:3: CONFIG_A stands in line 1 already"):
        options(folder)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_group_says_who_needs_it(path: Path) -> None:
    bare = []
    for block in path.read_text().split("\n\n"):
        lines = block.strip("\n").splitlines()
        wants = [line for line in lines if re.match(r"CONFIG_|# CONFIG_\w+ is not set", line)]
        first = lines[0] if lines else ""
        reason = re.match(r"# (?!CONFIG_|since |before )\w.{15,}", first)
        bare += [first] if wants and not reason else []
    assert bare == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_condition_divides_our_releases(path: Path) -> None:
    idle = []
    for how, major, minor in re.findall(r"^# (since|before) (\d+)\.(\d+):$", path.read_text(), re.MULTILINE):
        bound = (int(major), int(minor))
        applies = [release >= bound if how == "since" else release < bound for release in RELEASES]
        idle += [f"{how} {major}.{minor}"] if len(set(applies)) == 1 else []
    assert idle == [], "it holds for all of the sources that we build from, or for none"


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: f"{release[0]}.{release[1]}")
def test_every_flavour_can_be_had(release: tuple[int, int]) -> None:
    alone = {name: fragments.load([name], release) for name in fragments.names()}
    assert set(alone) >= {"debug", "faults", "v1", "mglru"}
    slim = set(fragments.load((), release))
    assert [name for name, wanted in alone.items() if not set(wanted) - slim] == [], "a flavour that changes nothing"


def test_an_oops_is_survived_where_it_is_judged() -> None:
    slim, debug = ({w.option: w.value for w in fragments.load(names, (7, 2))} for names in ((), ("debug",)))
    assert (slim["CONFIG_PANIC_ON_OOPS"], debug["CONFIG_PANIC_ON_OOPS"]) == ("y", "n")
