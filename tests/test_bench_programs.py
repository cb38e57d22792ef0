# SPDX-License-Identifier: GPL-2.0-only
"""What scripts/bench kfunc reads, and the C programs that it reads with, as far as they run without a kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kfunctest import proc
from kfunctest.bench.kfunc import programs
from kfunctest.bench.kfunc.items import PATCHS, every, patchs
from kfunctest.errors import InfraError, SpecError
from kfunctest.kernels.model import Facts, Kernel


def kernel(**options: str) -> Kernel:
    node = {"NR_ANON_MAPPED": 17, "NR_SHMEM": 21, "PGSCAN_KSWAPD": 40, "NR_ISOLATED_ANON": 5, "NR_SWAPCACHE": 37}
    facts = Facts(
        enums=(
            ("node_stat_item", tuple(node.items())),
            ("memcg_stat_item", (("MEMCG_VMALLOC", 50), ("MEMCG_KMEM", 51))),
            ("vm_event_item", (("PGFAULT", 30), ("PGFREE", 31))),
        ),
        kfuncs=frozenset(),
        bpf_functions=frozenset(),
        memcg=True,
        btf_size=0,
    )
    release: dict[str, Any] = dict.fromkeys(("spec", "release", "image_digest", "origin"), "")
    return Kernel(
        **release, image=Path(), modules=None, resolved=None, config=tuple(sorted(options.items())), facts=facts
    )


def test_all_items_are_those_that_the_kernel_tracks() -> None:
    found = every(kernel())
    assert found.names == ("NR_ANON_MAPPED", "NR_SHMEM", "PGSCAN_KSWAPD", "MEMCG_VMALLOC", "MEMCG_KMEM", "PGFAULT")
    assert (found.states, found.events) == ((17, 21, 40, 50, 51), (30,))
    assert "NR_SWAPCACHE" in every(kernel(CONFIG_SWAP="y")).names


def test_the_patchs_list_has_44_items_nine_of_which_have_moved() -> None:
    assert len(set(PATCHS)) == len(PATCHS) == 44
    assert sum(name.startswith(("PGSCAN", "PGSTEAL", "PGREFILL")) for name in PATCHS) == 9
    assert patchs(kernel()).names == every(kernel()).names, "vmalloc by its older name, and nothing that is not tracked"


def test_values_are_told_by_the_keys_of_memory_stat() -> None:
    found = every(kernel()).by_key([1, 2, 3, 4, 5, 6])
    assert found == {"anon": 1, "shmem": 2, "pgscan_kswapd": 3, "vmalloc": 4, "kernel": 5, "pgfault": 6}


STAT = "anon 4096\nfile 18446744073709551615\npgfault 7\n"


@pytest.mark.parametrize("way", ["sscanf", "hand"])
def test_the_control_decodes_every_value_of_every_file(tmp_path: Path, cache_here: Path, way: str) -> None:
    files = [tmp_path / "one", tmp_path / "two"]
    files[0].write_text(STAT)
    files[1].write_text("anon 1\n")
    program = programs.compiled(programs.SELFTESTS / "bench" / "read_file.c")
    lines = proc.run([program, way, "3", *files], seconds=10).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["real", "user", "system", "row", "row"]
    assert lines[3:] == ["row anon=4096 file=18446744073709551615 pgfault=7", "row anon=1"]


@pytest.mark.parametrize("way", ["sscanf", "hand"])
def test_the_control_fails_where_a_line_is_no_key_and_number(tmp_path: Path, cache_here: Path, way: str) -> None:
    file = tmp_path / "stat"
    file.write_text("anon none\n")
    program = programs.compiled(programs.SELFTESTS / "bench" / "read_file.c")
    assert proc.run([program, way, "1", file], seconds=10, check=False).status == 1


def test_programs_are_compiled_once_per_content(tmp_path: Path, cache_here: Path) -> None:
    source = tmp_path / "small.c"
    source.write_text("int main(void) { return 0; }\n")
    first = programs.compiled(source)
    made = first.stat().st_mtime_ns
    assert programs.compiled(source) == first
    assert first.stat().st_mtime_ns == made
    source.write_text("int main(void) { return 1; }\n")
    assert programs.compiled(source) != first


@pytest.mark.parametrize(
    "code, error, says",
    [
        ("int main(void) { return x; }", SpecError, "undeclared identifier 'x'"),
        ("#include <no/such.h>\nint main(void) { return 0; }", InfraError, "scripts/setup --build"),
    ],
)
def test_a_program_that_does_not_compile(
    tmp_path: Path, cache_here: Path, code: str, error: type[Exception], says: str
) -> None:
    source = tmp_path / "small.c"
    source.write_text(code)
    with pytest.raises(error, match=says):
        programs.compiled(source)
