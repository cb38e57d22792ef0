# SPDX-License-Identifier: GPL-2.0-only
"""When a commit may be held for another one's image without being built: the evidence, and what counts as touching."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from kfunctest.bisect import build_impact
from kfunctest.bisect.judge import Judge, Refuted
from kfunctest.bisect.state import Memory
from kfunctest.bisect.trials import ImageTrials, Selection
from kfunctest.bisect.types import Made
from kfunctest.kernels import build, kbuild_deps
from kfunctest.kernels.build_dir import Slot
from kfunctest.kernels.kbuild_deps import Inputs
from tests import bisecting, fakesource
from tests.bisecting import BASE, PlayedBuilds, PlayedSuite
from tests.building import made, needs_build_tools
from tests.histories import Writer

READ = Inputs(
    frozenset({"mm/memcontrol.c", "include/linux/mm.h", "scripts/syscalltbl.sh", "lib/crc.c"}),
    frozenset({"mm/memcontrol.o", "lib/crc.o", "arch/x86/entry/entry.o", "drivers/net/loopback.o"}),
    frozenset({".", "mm", "lib", "drivers", "drivers/net"}),
)


def reaches(*changes: tuple[str, str], config: str = "", read: Inputs | None = READ) -> bool:
    """Whether such a difference may reach the image."""
    return build_impact.untouched(changes, read, config) is None


@pytest.mark.parametrize(
    "how, path",
    [
        ("M", "mm/memcontrol.c"),
        ("D", "lib/crc.c"),
        ("M", "include/linux/mm.h"),
        ("M", "scripts/syscalltbl.sh"),
        ("M", "Makefile"),
        ("M", "mm/Makefile"),
        ("M", "scripts/Makefile.build"),
        ("M", "include/asm-generic/Kbuild"),
        ("A", "include/linux/new.h"),
        ("D", "include/linux/unread.h"),
        ("A", "arch/x86/entry/entry.c"),
        ("M", "arch/x86/lib/x86-opcode-map.txt"),
        ("M", "arch/x86/kernel/vmlinux.lds"),
        ("M", "drivers/net/Makefile"),
        ("M", "drivers/net/wan/Makefile"),
        ("M", "lib/vdso/Makefile"),
        ("M", "usr/initramfs_data.cpio"),
        ("T", "Documentation/link.rst"),
        ("A", "localversion-next"),
        ("M", "init/version-timestamp"),
    ],
)
def test_what_may_reach_the_image_is_built(how: str, path: str) -> None:
    assert reaches((how, path))


@pytest.mark.parametrize(
    "how, path, kind",
    [
        ("M", "Documentation/mm/index.rst", build_impact.TEXT),
        ("A", "MAINTAINERS", build_impact.TEXT),
        ("M", "tools/testing/selftests/mm/Makefile", build_impact.TEXT),
        ("M", "arch/arm64/Kconfig", build_impact.ARCH),
        ("D", "arch/riscv/kernel/head.S", build_impact.ARCH),
        ("M", "drivers/gpu/nic.c", build_impact.SOURCE),
        ("A", "drivers/gpu/new.c", build_impact.SOURCE),
        ("M", "drivers/gpu/unread.h", build_impact.HEADER),
        ("M", "drivers/gpu/drm/Makefile", build_impact.MAKEFILE),
        ("M", "drivers/gpu/Kconfig", build_impact.KCONFIG),
        ("A", "rust/kernel/new.rs", build_impact.RUST),
    ],
)
def test_what_no_build_reads_is_not_built(how: str, path: str, kind: str) -> None:
    assert build_impact.untouched([(how, path)], READ, "") == {kind: 1}


@pytest.mark.parametrize(
    "path, config",
    [("drivers/gpu/unread.h", "CONFIG_IKHEADERS=y\n"), ("rust/kernel/new.rs", "CONFIG_RUST=y\n")],
)
def test_an_option_that_makes_the_build_read_more_makes_it_count(path: str, config: str) -> None:
    assert not reaches(("M", path))
    assert reaches(("M", path), config=config)


def test_one_file_that_counts_is_enough() -> None:
    assert reaches(("M", "Documentation/a.rst"), ("M", "mm/memcontrol.c"), ("M", "drivers/gpu/nic.c"))


def test_without_evidence_only_what_no_build_reads_is_left_out() -> None:
    assert not reaches(("M", "Documentation/a.rst"), ("M", "arch/arm/mm/fault.c"), read=None)
    assert reaches(("M", "drivers/gpu/nic.c"), read=None)
    assert reaches(("M", "drivers/gpu/Kconfig"), read=None)


def test_evidence_is_read_from_the_command_lines_that_kbuild_keeps(tmp_path: Path) -> None:
    place = Slot(tmp_path)
    commands: Mapping[str, str] = {
        "mm/.memcontrol.o.cmd": f"savedcmd_mm/memcontrol.o := gcc -I{place.src}/include {place.src}/mm/memcontrol.c\n\n"
        f"deps_mm/memcontrol.o := \\\n  $(wildcard include/config/MEMCG) \\\n  {place.src}/include/linux/mm.h \\\n"
        f"  {place.src}/arch/x86/include/../include/asm/page.h \\\n",
        "scripts/.conf.o.cmd": "source_scripts/conf.o := ../src/scripts/conf.c\n",
        "drivers/.built-in.a.cmd": "savedcmd_drivers/built-in.a := ar cDPrST drivers/built-in.a\n",
    }
    for name, text in commands.items():
        (place.obj / name).parent.mkdir(parents=True, exist_ok=True)
        (place.obj / name).write_text(text)
    read = kbuild_deps.collect(place)
    expected = {"mm/memcontrol.c", "include/linux/mm.h", "arch/x86/include/asm/page.h", "scripts/conf.c"}
    assert read.files - {"include"} == expected
    assert read.targets == {"mm/memcontrol.o", "scripts/conf.o", "drivers/built-in.a"}
    assert {"mm", "drivers"} <= read.folders
    kbuild_deps.write(tmp_path / kbuild_deps.NAME, read)
    assert kbuild_deps.read(tmp_path / kbuild_deps.NAME) == read
    (tmp_path / kbuild_deps.NAME).write_text("{")
    assert kbuild_deps.read(tmp_path / kbuild_deps.NAME) is None


@needs_build_tools
def test_every_kernel_that_is_built_says_what_its_build_read(tree: Path, cache_here: Path) -> None:
    read = kbuild_deps.read(made(tree).folder / kbuild_deps.NAME)
    assert read is not None
    assert {"mm/memcontrol.o", "kernel/fork.o"} <= read.targets


@needs_build_tools
def test_the_configuration_can_be_had_without_a_build(tree: Path, cache_here: Path) -> None:
    from kfunctest.bisect.builder import Builder

    commit = fakesource.git(tree, "rev-parse", "HEAD")
    builder = Builder(tree)
    text = builder.configuration(commit)
    assert not (cache_here / "built").exists(), "nothing was built for it"
    assert text == (Path(builder.make(commit).folder) / build.CONFIG).read_text()


def judge_of(tree: Path, folder: Path) -> tuple[Judge, PlayedBuilds]:
    folder.mkdir()
    builds = PlayedBuilds(tree, folder)
    quiet: list[str] = []
    trials = ImageTrials(PlayedSuite(), folder / "runs")
    return Judge(builds, trials, Memory(folder / "judged.jsonl"), Selection(), quiet.append), builds


@pytest.mark.parametrize("sets, built", [("NOTHING", 1), ("SOMETHING", 2)])
def test_a_kconfig_file_counts_only_if_it_changes_the_configuration(
    tmp_path: Path, cache_here: Path, sets: str, built: int
) -> None:
    writer = Writer(tmp_path / "linux")
    writer.commit("c0", {**BASE, "Kconfig": "config X # sets NOTHING\n"})
    writer.commit("c1", {"Kconfig": f"config Y # sets {sets}\n"})
    commits = writer.write()
    judge, builds = judge_of(tmp_path / "linux", tmp_path / "state")
    judge.place(commits["c0"])
    place = judge.place(commits["c1"])
    assert len(builds.made) == built
    assert (build_impact.KCONFIG in place.argument) is (built == 1)


def test_what_does_not_build_is_as_another_commit_only_where_no_build_reads_the_difference(
    tmp_path: Path, cache_here: Path
) -> None:
    writer = Writer(tmp_path / "linux")
    writer.commit("c0", {**BASE, "kernel/fork.c": "#error\n"})
    writer.commit("c1", {"Documentation/a.rst": "a\n"})
    writer.commit("c2", {"drivers/net/nic.c": "int nic;\n"})
    commits = writer.write()
    judge, _ = judge_of(tmp_path / "linux", tmp_path / "state")
    places = [judge.place(commits[name]) for name in ("c0", "c1", "c2")]
    assert [bool(place.problem) for place in places] == [True] * 3
    assert [place.same_as for place in places] == ["", commits["c0"], ""]


def test_an_argument_that_a_build_refutes_is_not_kept(tmp_path: Path, cache_here: Path) -> None:
    tree = tmp_path / "linux"
    commits = bisecting.long_history(tree)

    class Forgetful(PlayedBuilds):
        """Builds that read kernel/fork.c, and do not say so."""

        def make(self, commit: str) -> Made:
            found = super().make(commit)
            wrong = Inputs(frozenset({"mm/memcontrol.c"}), frozenset({"mm/memcontrol.o"}), frozenset({"."}))
            kbuild_deps.write(Path(found.folder) / kbuild_deps.NAME, wrong)
            return found

    judge, _ = judge_of(tree, tmp_path / "state")
    judge.builds = Forgetful(tree, tmp_path / "state")
    judge.place(commits["c84"])
    assert judge.place(commits["c85"]).same_as == commits["c84"]
    with pytest.raises(Refuted, match=f"{commits['c85'][:12]} was held for the image of {commits['c84'][:12]}"):
        judge.place(commits["c85"], built=True)
