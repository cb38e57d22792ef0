# SPDX-License-Identifier: GPL-2.0-only
"""Addresses in a complaint become places in the source, by a program that stands for a kernel."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from kfunctest import proc
from kfunctest.machine.decode import decoded

SOURCES = {
    "init/main.c": "int counter;\nvoid start_kernel(void)\n{\n\tcounter++;\n}\n",
    "mm/memcontrol.c": "extern int counter;\nvoid memcg_events(void)\n{\n\tcounter++;\n\tcounter += 2;\n}\n"
    "static inline __attribute__((always_inline)) void inlined(void)\n{\n\tcounter = 3;\n}\n"
    "void around(void)\n{\n\tinlined();\n}\n"
    "static void __attribute__((used)) twice(void) { counter = 1; }\n",
    "mm/other.c": "extern int counter;\nstatic void __attribute__((used)) twice(void) { counter = 2; }\n",
    "start.c": "void start_kernel(void);\nvoid _start(void) { start_kernel(); }\n",
}


@pytest.fixture
def vmlinux(tmp_path: Path) -> Path:
    """A program whose debugging information names files below a folder, as a kernel's does."""
    for name, text in SOURCES.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_text(text)
    image = tmp_path / "vmlinux"
    sources = [str(tmp_path / "tree" / name) for name in SOURCES]
    proc.run([proc.need("clang"), "-g", "-O0", "-nostdlib", "-static", "-o", image, *sources], seconds=60)
    return image


def sizes(vmlinux: Path) -> dict[str, int]:
    said = proc.run([proc.need("nm"), "-S", vmlinux], seconds=20).stdout
    return {match[2]: int(match[1], 16) for match in re.finditer(r"^\S+ (\S+) [tT] (\w+)$", said, re.MULTILINE)}


def test_a_place_gets_its_file_and_line(vmlinux: Path) -> None:
    """Below the tree's own folder, whatever that is called on the machine that built it."""
    size = sizes(vmlinux)["memcg_events"]
    text = decoded(f"[    1.000000] RIP: 0010:memcg_events+0x4/{size:#x}", vmlinux)
    assert text == f"[    1.000000] RIP: 0010:memcg_events+0x4/{size:#x} (mm/memcontrol.c:4)"


def test_a_frame_of_a_stack_is_the_call_and_not_what_follows_it(vmlinux: Path) -> None:
    size = sizes(vmlinux)["memcg_events"]
    after_it = decoded(f" memcg_events+{size:#x}/{size:#x}", vmlinux)
    assert "(mm/memcontrol.c:" in after_it, "the address behind a function's last call is not in it any more"


def test_what_is_inlined_is_told_with_its_caller(vmlinux: Path) -> None:
    size = sizes(vmlinux)["around"]
    assert decoded(f"RIP: 0010:around+0x4/{size:#x}", vmlinux).endswith("(mm/memcontrol.c:9 in mm/memcontrol.c:13)")


def test_the_size_may_count_the_padding(vmlinux: Path) -> None:
    assert decoded("RIP: 0010:start_kernel+0x4/0x30", vmlinux).endswith("(init/main.c:4)")


@pytest.mark.parametrize(
    "text",
    [
        "nothing to decode",
        " missing_function+0x1/0x2",
        " twice+0x4/0x12",  # two of them have that size
        " memcg_events+0x4/0x20 [a_module]",
        "RIP: 0033:0x7f7d96915829",
    ],
)
def test_what_cannot_be_told_stays_as_it_is(vmlinux: Path, text: str) -> None:
    assert decoded(text, vmlinux) == text


def test_without_vmlinux_or_with_a_broken_one_nothing_is_lost(tmp_path: Path) -> None:
    text = " memcg_events+0x4/0x20"
    broken = tmp_path / "vmlinux"
    broken.write_bytes(b"\x7fELF and no more")
    assert decoded(text, None) == text
    assert decoded(text, broken) == text
    assert decoded(text, tmp_path / "none") == text


def test_without_the_tool_nothing_is_lost(vmlinux: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert shutil.which("addr2line"), "install binutils"
    text = "RIP: 0010:memcg_events+0x4/0x20"
    assert decoded(text, vmlinux) != text
    monkeypatch.setenv("PATH", str(tmp_path))
    assert decoded(text, vmlinux) == text
