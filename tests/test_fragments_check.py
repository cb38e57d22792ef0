# SPDX-License-Identifier: GPL-2.0-only
"""The final .config held to what was wanted, and the reasons that Kconfig files give, on trees of a few lines."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from kfunctest.errors import SpecError
from kfunctest.kernels import fragments, kconfig
from kfunctest.kernels.fragments import Wanted

FRAGMENT = Path("/x/memcg.config")

KCONFIG = """\
# SPDX-License-Identifier: GPL-2.0
mainmenu "A kernel"

source "init/Kconfig"
source "arch/$(SRCARCH)/Kconfig"
source "nowhere/Kconfig"
"""

INIT = """\
config CGROUPS
\tbool "Control groups"
\thelp
\t  Groups. config TRAP
\t    bool "no option: a help text"

\t  depends on MAGIC

if CGROUPS

menu "Controllers"
\tdepends on MMU && (SMP || UP)

config MEMCG
\tbool "Memory"
\tdepends on EVENTFD # the old interface
\tselect PAGE_COUNTER

config MEMCG_V1
\tbool "Legacy"
\tdepends on MEMCG && \\
\t\t!PREEMPT_RT

endmenu

endif # CGROUPS

config PAGE_COUNTER
\tbool

config EVENTFD
\tbool "eventfd" if EXPERT
\tdefault y

config NR_CPUS
\tint "CPUs" if SMP
\trange 2 64
\tdefault 8

choice
\tprompt "Unwinder"

config UNWINDER_ORC
\tbool "ORC"

config UNWINDER_GUESS
\tbool "Guess"
\tdepends on EXPERT

endchoice

config OLD_NAME
\tbool
\ttransitional

config TOOLED
\tbool "Needs a compiler's option"
\tdepends on $(cc-option,-fnovel(x))

config NEWER
\tbool "With a dependency that is not always there"
\tdepends on EXPERT if SMP

config MODULES
\tbool "Modules"
\tmodules

config DEEP
\tbool "Deep"
\tdepends on MEMCG_V1

config HZ
\tint
\tdefault 250

config TWICE
\tbool "Twice"
\tdepends on MAGIC && EXPERT

config EXPERT
\tbool "Expert"
"""

ARCH = """\
config SMP
\tbool "SMP"

config UP
\tdef_bool !SMP

config MMU
\tdef_bool y

config TWICE
\tbool "Twice, here"
\tdepends on EXPERT = y
"""

CONFIG = """\
CONFIG_CGROUPS=y
CONFIG_MMU=y
CONFIG_SMP=y
CONFIG_EVENTFD=y
CONFIG_MEMCG=y
# CONFIG_MEMCG_V1 is not set
CONFIG_PAGE_COUNTER=y
CONFIG_NR_CPUS=64
CONFIG_UNWINDER_ORC=y
CONFIG_LSM="bpf"
# CONFIG_EXPERT is not set
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree with Kconfig files."""
    for name, text in (("Kconfig", KCONFIG), ("init/Kconfig", INIT), ("arch/x86/Kconfig", ARCH)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def wanted(*pairs: str) -> list[Wanted]:
    found = []
    for number, pair in enumerate(pairs, 10):
        option, _, value = pair.partition("=")
        found.append(Wanted(f"CONFIG_{option}", value, FRAGMENT, number))
    return found


def placed(reason: str) -> str:
    """``reason`` with every <piece of a line> replaced by the file and line where it stands first."""
    for piece in re.findall(r"<([^>]*)>", reason):
        name, text = ("init", INIT) if piece in INIT else ("arch/x86", ARCH)
        line = text[: text.index(piece)].count("\n") + 1
        reason = reason.replace(f"<{piece}>", f"{name}/Kconfig:{line}")
    return reason


def complaint(tree: Path, *pairs: str, config: str = CONFIG) -> str:
    with pytest.raises(SpecError) as caught:
        fragments.check(wanted(*pairs), config, tree)
    return caught.value.problem


def without(config: str, *names: str) -> str:
    return "".join(line for line in config.splitlines(True) if not any(f"CONFIG_{name}=" in line for name in names))


def test_what_is_there_passes(tree: Path) -> None:
    fragments.check(wanted("CGROUPS=y", "NR_CPUS=64", 'LSM="bpf"', "MEMCG_V1=n", "EXPERT=n"), CONFIG, tree)


def test_what_is_invisible_and_to_be_off_passes(tree: Path) -> None:
    fragments.check(wanted("UNWINDER_GUESS=n"), CONFIG, tree)


def test_a_check_that_passes_reads_no_kconfig(tmp_path: Path) -> None:
    text = "".join(f"CONFIG_OPTION_{number}=y\n" for number in range(5000))
    start = time.monotonic()
    fragments.check(wanted(*(f"OPTION_{number}=y" for number in range(0, 5000, 10))), text, tmp_path / "nowhere")
    assert time.monotonic() - start < 0.5


@pytest.mark.parametrize(
    "pair, config, reason",
    [
        ("MEMGC=y", CONFIG, "there is no such option in this tree; did you mean CONFIG_MEMCG?"),
        ("MEMGC=n", CONFIG, "there is no such option in this tree; did you mean CONFIG_MEMCG?"),
        ("ZEBRA=y", CONFIG, "there is no such option in this tree"),
        ("TRAP=y", CONFIG, "there is no such option in this tree"),
        ("MEMCG=y", without(CONFIG, "MEMCG", "EVENTFD"), "needs CONFIG_EVENTFD, "
         "which is not set (<depends on EVENTFD>); that can be chosen only with CONFIG_EXPERT (<if EXPERT>)"),
        ("MEMCG=y", without(CONFIG, "MEMCG", "CGROUPS"), "needs CONFIG_CGROUPS, which is not set (<if CGROUPS>)"),
        ("MEMCG=y", without(CONFIG, "MEMCG", "SMP"), "needs CONFIG_SMP || CONFIG_UP (<depends on MMU>), "
         "where CONFIG_SMP is not set, CONFIG_UP is not set"),
        ("MEMCG_V1=y", CONFIG + "CONFIG_PREEMPT_RT=y\n", "needs !CONFIG_PREEMPT_RT (<depends on MEMCG &>), "
         "where CONFIG_PREEMPT_RT is not in this tree"),
        ("DEEP=y", without(CONFIG, "MEMCG", "CGROUPS"), "needs CONFIG_MEMCG_V1, "
         "which is not set (<depends on MEMCG_V1>); that needs CONFIG_CGROUPS, "
         "which is not set (<if CGROUPS>), and needs CONFIG_MEMCG, "
         "which is not set (<depends on MEMCG &>); that needs CONFIG_CGROUPS, which is not set (<if CGROUPS>)"),
        ("TWICE=y", CONFIG, "needs CONFIG_EXPERT = y (<depends on EXPERT = y>), where CONFIG_EXPERT is not set"),
        ("NEWER=y", CONFIG, "needs CONFIG_EXPERT || !CONFIG_SMP (<depends on EXPERT if SMP>), "
         "where CONFIG_EXPERT is not set, CONFIG_SMP is y"),
        ("NR_CPUS=99", CONFIG, "it is 64: its range is 2 64 (<range 2 64>)"),
        ("PAGE_COUNTER=n", CONFIG, "it is y: CONFIG_MEMCG selects it (<select PAGE_COUNTER>)"),
        ("PAGE_COUNTER=y", without(CONFIG, "PAGE_COUNTER", "MEMCG"), "cannot be set by hand: "
         "only CONFIG_MEMCG can select it (<config PAGE_COUNTER>)"),
        ("HZ=1000", CONFIG + "CONFIG_HZ=250\n", "cannot be set by hand: its default is 250 (<config HZ>)"),
        ("EVENTFD=n", CONFIG, "it is y: can be chosen only with CONFIG_EXPERT (<if EXPERT>)"),
        ("UNWINDER_ORC=y", CONFIG.replace("UNWINDER_ORC", "UNWINDER_GUESS"),
         "CONFIG_UNWINDER_GUESS was taken, of the choice at <choice>"),
        ("UNWINDER_GUESS=y", CONFIG, "needs CONFIG_EXPERT, which is not set (<depends on EXPERT\n>)"),
        ("OLD_NAME=y", CONFIG, "it is an old name that only old configurations may use (<config OLD_NAME>)"),
        ("TOOLED=y", CONFIG, "it is n: the compiler must have $(cc-option,-fnovel(x))"),
    ],
)  # fmt: skip
def test_what_was_lost_is_named_with_its_reason(tree: Path, pair: str, config: str, reason: str) -> None:
    want = wanted(pair)[0]
    assert complaint(tree, pair, config=config) == f"/x/memcg.config:10: {want}: {placed(reason)}"


def test_all_that_was_lost_is_named_at_once(tree: Path) -> None:
    seen = complaint(tree, "MEMCG_V1=y", "CGROUPS=y", "MEMGC=y", "NR_CPUS=2").splitlines()
    assert seen[0] == "the kernel would lack 3 options"
    assert [line.split(": ")[0].strip() for line in seen[1:]] == [f"{FRAGMENT}:{line}" for line in (10, 12, 13)]


def test_an_option_of_two_places_is_one_that_either_may_give(tree: Path) -> None:
    places = [definition.place for definition in kconfig.read(tree).definitions["TWICE"]]
    assert places == [placed("<config TWICE>"), "arch/x86/Kconfig:10"]


def test_a_folder_that_is_no_kernel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="is no kernel source tree"):
        fragments.check(wanted("A=y"), "", tmp_path)
