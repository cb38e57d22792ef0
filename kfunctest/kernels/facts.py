# SPDX-License-Identifier: GPL-2.0-only
"""What a kernel image says about itself, read once per content and kept in the cache."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from kfunctest import cache
from kfunctest.contract import ALL
from kfunctest.errors import InfraError, SpecError
from kfunctest.guest import build_id
from kfunctest.guest.btf import Btf, BtfError
from kfunctest.kernels import config, image, memcg_kfuncs
from kfunctest.kernels.model import ENUMS, Facts

#: Part of the cache's key: raise it when what is read, or how it is written, changes.
_FORMAT: Final = "facts-9"

#: What the names of the kfuncs begin with that programs of selftests/bpf call.
_CALLED: Final = ("bpf_", "css_rstat_")
#: A function of mm/memcontrol.c whose address is taken, so that it is there whenever CONFIG_MEMCG is.
_MEMCG_WITNESS: Final = "mem_cgroup_css_alloc"


@dataclass(frozen=True, slots=True)
class Reading:
    """One image: its release, the digest of its content, its facts, and the configuration embedded in it, if any."""

    release: str
    digest: str
    facts: Facts
    config: str | None


def read(path: Path) -> Reading:
    """Read the image at ``path``; unpacked only when the cache lacks its content.

    Raises SpecError when it is no x86-64 kernel image or has no BTF, InfraError when the cache cannot be written.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for, and a device read for ever
        raise SpecError(f"{path} is no regular file", remedy="pass a bzImage, as in arch/x86/boot/ or /boot/vmlinuz-*")
    try:
        data = path.read_bytes()
    except PermissionError:
        raise SpecError(f"{path} cannot be read by this user", remedy=f"sudo chmod +r {path}") from None
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror}") from error
    header = image.parse(path, data)
    digest = cache.digest(data)

    def make(folder: Path) -> None:
        (folder / "facts.json").write_text(json.dumps(_read_payload(header)))

    folder = cache.entry("facts", cache.digest(_FORMAT, digest), make)
    try:
        kept = json.loads((folder / "facts.json").read_text())
        return Reading(header.release, digest, replace(_facts(kept), build_id=str(kept["build_id"])), kept["config"])
    except (OSError, ValueError, KeyError) as error:
        raise InfraError(f"the cache's {folder} is damaged", remedy=f"rm -r {folder}") from error


def require_vmlinux_of(reading: Reading, image: Path, vmlinux: Path) -> None:
    """Raise SpecError where ``image`` was not made of ``vmlinux``, as after make was stopped between them.

    Known by their build IDs; where one has none, nothing is known.
    """
    try:
        with vmlinux.open("rb") as file:
            section = ELFFile(file).get_section_by_name(".notes")
            made = build_id.find(section.data()) if section is not None else ""
    except (OSError, ELFError):
        return
    if made and reading.facts.build_id not in ("", made):
        raise SpecError(
            f"{image} was not made of {vmlinux}: their build IDs are {reading.facts.build_id[:12]} and {made[:12]}",
            remedy="build the image again, or copy it elsewhere and name the copy",
        )


def of_btf(raw: bytes, whose: str) -> Facts:
    """The facts in a kernel's BTF. Raises SpecError, with ``whose`` it is, when it cannot be read."""
    return _facts(_read_btf(raw, b"", whose))


def _facts(kept: dict[str, Any]) -> Facts:
    kfuncs = frozenset(kept["kfuncs"])
    return Facts(
        enums=tuple((name, tuple((str(k), int(v)) for k, v in members)) for name, members in kept["enums"]),
        kfuncs=kfuncs & ALL,
        unknown_kfuncs=kfuncs - ALL,
        bpf_functions=frozenset(kept["bpf_functions"]),
        memcg=bool(kept["memcg"]),
        btf_size=int(kept["btf_size"]),
        built_in=frozenset(kept["built_in"]),
    )


def _read_payload(header: image.Image) -> dict[str, object]:
    elf = image.vmlinux(header)
    raw = image.section(elf, ".BTF")
    if not raw:
        raise SpecError(
            f"{header.path} ({header.release}) has no BTF, by which kfuncs are found",
            remedy="build it with CONFIG_DEBUG_INFO_BTF=y",
        )
    ids = image.section(elf, ".BTF_ids") or b""
    identity = build_id.find(image.section(elf, ".notes") or b"")
    return {**_read_btf(raw, ids, str(header.path)), "config": config.embedded(elf), "build_id": identity}


def _read_btf(raw: bytes, ids: bytes, whose: str) -> dict[str, object]:
    try:
        btf = Btf(raw)
    except BtfError as error:
        raise SpecError(f"the BTF of {whose} cannot be read: {error}") from error
    functions = frozenset(btf.functions().values())
    enums = []
    for name in ENUMS:
        try:
            enums.append((name, list(btf.enum(name).items())))
        except KeyError:
            continue
    return {
        "enums": enums,
        "kfuncs": sorted(memcg_kfuncs.find(btf, ids)),
        "bpf_functions": sorted(name for name in functions if name.startswith(_CALLED)),
        "memcg": _MEMCG_WITNESS in functions,
        "btf_size": len(raw),
        "built_in": sorted(module for _, module, function in config.BOOTED_BY if function in functions),
    }
