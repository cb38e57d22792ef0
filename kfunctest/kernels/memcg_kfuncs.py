# SPDX-License-Identifier: GPL-2.0-only
"""Which functions of a kernel are memcg BPF kfuncs, also those that no contract knows.

A function is a kfunc if BTF tags it (pahole 1.26 and newer), or if it is in one of the sets that the kernel registers,
which an image holds in its section ``.BTF_ids``. Where there is neither, as in the BTF of a running kernel that an
older pahole made, a function's name and signature decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kfunctest.contract import ALL
from kfunctest.guest.btf import Btf

#: How BTF tags a kfunc. (btf_encoder__tag_kfunc() of pahole, from the option decl_tag_kfuncs)
_TAG: Final = "bpf_kfunc"
_MEMCG: Final = "mem_cgroup"
#: In the name of a kfunc that is one of memcg's whatever it takes.
_NAMED: Final = (_MEMCG, "memcg")
#: How names of the family begin that a kernel without tags may have.
_FAMILY: Final = ("bpf_get_root_mem_cgroup", "bpf_get_mem_cgroup", "bpf_put_mem_cgroup", "bpf_mem_cgroup_")
#: Functions that have the name and the signature of a memcg kfunc, and are none: kernel/bpf/syscall.c of 7.2.
_PLAIN: Final = frozenset({"bpf_map_memcg_exit"})


def find(btf: Btf, ids: bytes) -> frozenset[str]:
    """The names of the memcg kfuncs; ``ids`` is the section ``.BTF_ids``, or empty.

    A function that a contract knows by its name, each member of a set that holds one of these, and

    * where kfuncs are tagged or their sets can be read, and those that a contract knows are among them: each kfunc that
      takes or returns a ``struct mem_cgroup *``, or is named after memcg;
    * else each ``bpf_*`` function whose first argument is a ``struct mem_cgroup *``, or whose name is of the family.
    """
    names = btf.functions()
    sets = list(_sets(names, ids))
    tagged = {name for text, name, component in btf.decl_tags() if text == _TAG and component < 0}
    kfuncs, known = tagged.union(*sets), ALL.intersection(names.values())
    if kfuncs and known <= kfuncs:
        found = {name for type_id, name in names.items() if name in kfuncs and _of_memcg(name, btf.signature(type_id))}
    else:
        found = {name for type_id, name in names.items() if name.startswith("bpf_") and _alike(btf, type_id, name)}
    return frozenset(known.union(found, *(members for members in sets if members & known)))


def _of_memcg(name: str, signature: list[str]) -> bool:
    return _MEMCG in signature or any(part in name for part in _NAMED)


def _alike(btf: Btf, type_id: int, name: str) -> bool:
    return name not in _PLAIN and (name.startswith(_FAMILY) or btf.signature(type_id)[1:2] == [_MEMCG])


def _sets(functions: dict[int, str], ids: bytes) -> Iterator[frozenset[str]]:
    """The kfunc sets of a kernel: struct btf_id_set8 of include/linux/btf_ids.h, which resolve_btfids fills and sorts.

    The section has no table of contents, so a set is looked for at every word: a count, flags of 0 or 1
    (BTF_SET8_KFUNCS), and as many pairs of an id and flags. That all ids are functions' and ascend rules out the rest.
    """
    words = memoryview(ids[: len(ids) & ~3]).cast("I")
    for at in range(len(words) - 3):
        count, flags = words[at], words[at + 1]
        if flags <= 1 and 0 < count <= (len(words) - at - 2) // 2:
            members = words[at + 2 : at + 2 + 2 * count : 2].tolist()
            if members == sorted(set(members)) and all(member in functions for member in members):
                yield frozenset(functions[member] for member in members)
