# SPDX-License-Identifier: GPL-2.0-only
"""The first error of a build, out of logs as make, gcc, ld and pahole write them."""

from __future__ import annotations

import pytest

from kfunctest.kernels import first_error

NOISE = "".join(f"  CC      mm/file{number}.o\n" for number in range(300))
LAST_PAGE = """\
make[4]: *** [../scripts/Makefile.build:287: mm/memcontrol.o] Error 1
make[3]: *** [../scripts/Makefile.build:544: mm] Error 2
make[2]: *** [/src/Makefile:2167: .] Error 2
make[1]: *** [/src/Makefile:248: __sub-make] Error 2
make: *** [Makefile:248: __sub-make] Error 2
"""
WARNING = """\
../mm/slab.c: In function 'kfree':
../mm/slab.c:12:7: warning: unused variable 'error' [-Wunused-variable]
   12 |   int error;
      |       ^~~~~
"""
COMPILER = """\
In file included from ../include/linux/memcontrol.h:22,
                 from ../mm/memcontrol.c:28:
../mm/memcontrol.c: In function 'mem_cgroup_usage':
../mm/memcontrol.c:3605:9: error: 'vol' undeclared (first use in this function); did you mean 'val'?
 3605 |         vol = 0;
      |         ^~~
      |         val
../mm/memcontrol.c:3605:9: note: each undeclared identifier is reported only once
"""
LINKER = """\
ld: mm/memcontrol.o: in function `mem_cgroup_usage':
/src/mm/memcontrol.c:3610:(.text+0x1b): undefined reference to `page_counter_raed'
"""


@pytest.mark.parametrize(
    ("said", "line", "evidence"),
    [
        (COMPILER, "../mm/memcontrol.c:3605:9: error: 'vol' undeclared (first", ["In file included", "did you mean"]),
        (LINKER, "/src/mm/memcontrol.c:3610:(.text+0x1b): undefined reference to `page_counter_raed'", ["in function"]),
        ("mm/x.S: Assembler messages:\nmm/x.S:7: Error: no such instruction: `mow'\n", "mm/x.S:7: Error: no such", []),
        ("FAILED unresolved symbol bpf_iter_cgroup\n", "FAILED unresolved symbol bpf_iter_cgroup", []),
        ("FAILED: load BTF from vmlinux: Invalid argument\n", "FAILED: load BTF from vmlinux: Invalid argument", []),
        (
            "  BTF     .tmp_vmlinux1.btf.o\nError: failed to load BTF from .tmp_vmlinux1: Unknown error -22\n",
            "Error: failed to load BTF",
            [],
        ),
        ("libbpf: failed to find '.BTF' ELF section in vmlinux\n", "libbpf: failed to find '.BTF'", []),
        ('ERROR: modpost: "x" [mm/y.ko] undefined!\n', 'ERROR: modpost: "x" [mm/y.ko] undefined!', []),
        ("mm/Makefile:104: *** missing separator.  Stop.\n", "mm/Makefile:104: *** missing separator.  Stop.", []),
        ("mm/Kconfig:3:warning: 'X': no\nmm/Kconfig:12: syntax error\n", "mm/Kconfig:12: syntax error", []),
        ('lib/Kconfig.debug:7: unknown statement "dpends"\n', 'lib/Kconfig.debug:7: unknown statement "dpends"', []),
        (
            "mm/Kconfig:12:error: recursive dependency detected!\nmm/Kconfig:12:\tsymbol A depends on A\n",
            "mm/Kconfig:12:error: recursive dependency detected!",
            ["symbol A depends on A"],
        ),
        ("ld: cannot find vmlinux.lds: No such file or directory\n", "ld: cannot find vmlinux.lds", []),
    ],
)
def test_what_the_source_is_to_blame_for(said: str, line: str, evidence: list[str]) -> None:
    found = first_error.find(NOISE + WARNING + said + NOISE + COMPILER.replace("3605", "9999") + LAST_PAGE)
    assert found
    assert found.line.startswith(line)
    assert all(text in found.context for text in evidence), found.context
    assert found.context.count("\n") < 15
    assert "CC " not in found.context
    assert "9999" not in found.context
    assert not found.machine


@pytest.mark.parametrize(
    ("said", "line", "remedy"),
    [
        (
            "gcc: fatal error: Killed signal terminated program cc1\n",
            "gcc: fatal error: Killed signal",
            "out of memory",
        ),
        ("gcc: internal compiler error: Killed (program cc1)\n", "gcc: internal compiler error: Killed", "memory"),
        ("Killed\n", "Killed", "memory"),
        ("make[4]: *** [Makefile:287: mm/x.o] Killed\n", "make[4]: *** [Makefile:287: mm/x.o] Killed", "memory"),
        ("ccache: error: Failed to create directory /.ccache\n", "ccache: error: Failed", "set CCACHE_DIR"),
        (
            "elf.h:10:10: fatal error: gelf.h: No such file or directory\n",
            "elf.h:10:10: fatal error: gelf.h",
            "scripts/setup --build",
        ),
        ("certs/extract-cert.c:21:10: fatal error: openssl/bio.h: No such file\n", "certs/extract-cert.c", "setup"),
        ("/usr/bin/ld: cannot find -lelf: No such file or directory\n", "/usr/bin/ld: cannot find -lelf", "setup"),
        ("/bin/sh: 1: flex: not found\n", "/bin/sh: 1: flex: not found", "scripts/setup --build"),
        (
            "***\n*** Compiler is too old.\n***   Your GCC version: 4.9.2\n***   Minimum GCC version: 8.1.0\n***\n",
            "*** Compiler is too old.",
            "",
        ),
    ],
)
def test_what_the_machine_is_to_blame_for(said: str, line: str, remedy: str) -> None:
    found = first_error.find(NOISE + said + LAST_PAGE)
    assert found
    assert found.machine
    assert found.line.startswith(line)
    assert remedy in found.remedy


def test_where_no_program_said_more_make_is_quoted() -> None:
    found = first_error.find(NOISE + LAST_PAGE)
    assert found
    assert found.line == LAST_PAGE.splitlines()[0]
    stopped = "make[1]: *** No rule to make target 'mm/nowhere.o', needed by 'mm/built-in.a'.  Stop.\n"
    found = first_error.find(NOISE + stopped + LAST_PAGE)
    assert found
    assert found.line == stopped.strip()


def test_a_log_without_an_error() -> None:
    assert first_error.find(NOISE + WARNING) is None
