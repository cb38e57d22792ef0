# SPDX-License-Identifier: GPL-2.0-only
"""Kernel images, modules and Debian packages made by hand: as small as what reads them allows. They do not boot."""

from __future__ import annotations

import hashlib
import io
import lzma
import struct
import tarfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kfunctest import contract, proc
from kfunctest.kernels.model import Facts, Kernel

RELEASE = "7.9.1+test-amd64"
ENUMS = {
    "node_stat_item": {"NR_LRU_BASE": 0, "NR_VM_NODE_STAT_ITEMS": 2},
    "memcg_stat_item": {"MEMCG_SWAP": 2, "MEMCG_NR_STAT": 3},
    "vm_event_item": {"PGFAULT": 0, "NR_VM_EVENT_ITEMS": 1},
    "memcg_memory_event": {"MEMCG_LOW": 0, "MEMCG_NR_MEMORY_EVENTS": 1},
}
CONFIG = "".join(
    f"CONFIG_{name}=y\n"
    for name in (
        *("CGROUPS", "MEMCG", "BPF_SYSCALL", "BPF_JIT", "DEBUG_INFO_BTF"),
        *("9P_FS", "NET_9P_VIRTIO", "VIRTIO_PCI", "VIRTIO_CONSOLE"),
    )
)
#: What tells by BTF that these four are built in.
DRIVERS = ("v9fs_session_init", "p9_virtio_probe", "virtio_pci_probe", "virtcons_probe")
MEMCG = "ptr struct"
#: A kernel of which there is no image.
NO_IMAGE = Kernel(
    spec="none",
    release="7.9.1",
    image=Path("/nonexistent/vmlinuz"),
    image_digest="",
    modules=None,
    origin="made by a test",
    resolved=None,
    config=None,
    facts=Facts(enums=(), kfuncs=frozenset(), bpf_functions=frozenset(), memcg=True, btf_size=0),
)
_ENUM, _FUNC, _FUNC_PROTO, _DECL_TAG = 6, 12, 13, 17
#: What refers to the type behind it; the last word of a type is ``void`` or one of _ENDS, with its name.
_REFERS = {"ptr": 2, "typedef": 8, "volatile": 9, "const": 10, "restrict": 11, "tag": 18}
_ENDS = {"struct": (4, "mem_cgroup"), "forward": (7, "mem_cgroup"), "other": (4, "cgroup")}


@dataclass(frozen=True, slots=True)
class Function:
    """A function with a prototype: types are words like ``ptr const struct``, a pointer to a const mem_cgroup."""

    name: str
    arguments: tuple[str, ...] = ()
    returns: str = "void"
    tagged: bool = False


class _Types:
    """The type section and the strings of BTF while they grow. Type 1 is a prototype without arguments."""

    def __init__(self) -> None:
        self.count = 0
        self.raw = bytearray()
        self.strings = bytearray(b"\0")
        self.add("", _FUNC_PROTO)

    def add(self, name: str, kind: int, size: int = 0, elements: bytes = b"", count: int = 0) -> int:
        self.raw += struct.pack("<III", self.string(name) if name else 0, kind << 24 | count, size) + elements
        self.count += 1
        return self.count

    def string(self, text: str) -> int:
        self.strings.extend(text.encode() + b"\0")
        return len(self.strings) - len(text) - 1

    def type(self, words: str) -> int:
        *refer, last = words.split()
        found = 0
        if last in _ENDS:
            kind, name = _ENDS[last]
            found = self.add(name, kind)
        for word in reversed(refer):
            found = self.add("t" if word in ("typedef", "tag") else "", _REFERS[word], found)
        return found

    def function(self, function: Function) -> int:
        arguments = b"".join(struct.pack("<II", 0, self.type(words)) for words in function.arguments)
        returns = self.type(function.returns)
        proto = self.add("", _FUNC_PROTO, returns, arguments, len(function.arguments))
        found = self.add(function.name, _FUNC, proto)
        if function.tagged:
            self.add("bpf_kfunc", _DECL_TAG, found, struct.pack("<i", -1))
        return found


def btf(enums: Mapping[str, Mapping[str, int]], functions: Iterable[str | Function]) -> bytes:
    """BTF with these enums and functions (Documentation/bpf/btf.rst)."""
    return _btf(enums, functions)[0]


def _btf(enums: Mapping[str, Mapping[str, int]], functions: Iterable[str | Function]) -> tuple[bytes, dict[str, int]]:
    types = _Types()
    for name, members in enums.items():
        elements = b"".join(struct.pack("<Ii", types.string(member), value) for member, value in members.items())
        types.add(name, _ENUM, 4, elements, len(members))
    ids = {}
    for function in functions:
        if isinstance(function, Function):
            ids[function.name] = types.function(function)
        else:
            ids[function] = types.add(function, _FUNC, 1)
    sizes = len(types.raw), len(types.raw), len(types.strings)
    return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, *sizes) + types.raw + types.strings, ids


def btf_ids(ids: Mapping[str, int], sets: Iterable[Sequence[str]]) -> bytes:
    """The section ``.BTF_ids`` with these sets of kfuncs, between lists of ids that are no sets."""
    content = struct.pack("<III", 0, 3, 7)
    for members in sets:
        pairs = (struct.pack("<II", ids[name], 16) for name in sorted(members, key=ids.__getitem__))
        content += struct.pack("<II", len(members), 1) + b"".join(pairs) + struct.pack("<II", 2, 9)
    return content


def elf(sections: Mapping[str, bytes], machine: int = 62) -> bytes:
    """A 64-bit ELF file with these sections."""
    sections = {**sections, ".shstrtab": b""}
    names = b"\0" + b"".join(name.encode() + b"\0" for name in sections)
    sections[".shstrtab"] = names
    body, headers, at = b"", bytes(64), 64
    for name, content in sections.items():
        kind = 3 if name == ".shstrtab" else 1
        offset = names.index(b"\0" + name.encode() + b"\0") + 1
        headers += struct.pack("<IIQQQQIIQQ", offset, kind, 0, 0, at, len(content), 0, 0, 1, 0)
        body += content
        at += len(content)
    ident = b"\x7fELF\2\1\1" + bytes(9)
    count = len(sections) + 1
    return (
        ident
        + struct.pack("<HHIQQQIHHHHHH", 1, machine, 1, 0, 0, at, 0, 64, 0, 0, 64, count, count - 1)
        + body
        + headers
    )


def vmlinux(
    *,
    functions: Iterable[str | Function] | None = None,
    more: Iterable[str | Function] = (),
    sets: Iterable[Sequence[str]] = (),
    enums: Mapping[str, Mapping[str, int]] = ENUMS,
    with_btf: bool = True,
    config: str | None = None,
) -> bytes:
    """What a kernel image unpacks to; all kfuncs and the memory controller are there unless told otherwise."""
    if functions is None:
        functions = [*sorted(contract.ALL), "mem_cgroup_css_alloc", *DRIVERS]
    content, ids = _btf(enums, [*functions, *more])
    sections = {".BTF": content, ".BTF_ids": btf_ids(ids, sets)} if with_btf else {}
    if config is not None:
        sections[".rodata"] = b"IKCFG_ST" + gzip(config.encode()) + b"IKCFG_ED"
    return elf({".text": b"\x90" * 16, **sections})


def gzip(data: bytes) -> bytes:
    """``data`` in gzip's format."""
    packer = zlib.compressobj(wbits=31)
    return packer.compress(data) + packer.flush()


def bzimage(payload: bytes, release: str = RELEASE, xloadflags: int = 1) -> bytes:
    """An x86 image around an already compressed ``payload`` (Documentation/arch/x86/boot.rst)."""
    setup = bytearray(5 * 512)
    setup[0x1F1] = 4
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x20E, 0x400 - 0x200)
    struct.pack_into("<H", setup, 0x236, xloadflags)
    struct.pack_into("<II", setup, 0x248, 16, len(payload))
    banner = f"{release} (builder@host) #1 SMP".encode()
    setup[0x400 : 0x400 + len(banner)] = banner
    return bytes(setup) + bytes(16) + payload + bytes(64)


def image(release: str = RELEASE, **kwargs: object) -> bytes:
    """A whole image with a gzip payload; the keywords are those of vmlinux()."""
    return bzimage(gzip(vmlinux(**kwargs)), release)  # type: ignore[arg-type]


def module(depends: str = "", softdep: str = "", release: str = RELEASE) -> bytes:
    """A kernel module that depends on others."""
    info = f"license=GPL\0depends={depends}\0vermagic={release} SMP preempt mod_unload\0"
    info += f"softdep={softdep}\0" if softdep else ""
    return elf({".modinfo": info.encode()})


def modules_folder(folder: Path, modules: Mapping[str, bytes]) -> None:
    """Modules, compressed with xz, and the files that the kernel's build puts beside them."""
    for name, content in modules.items():
        path = folder / "kernel" / f"{name}.ko.xz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lzma.compress(content))
    (folder / "modules.order").write_text("".join(f"kernel/{name}.ko\n" for name in modules))
    (folder / "modules.builtin").write_text("")


def tar_xz(top: str, files: Mapping[str, bytes | str]) -> bytes:
    """A compressed tar file of a folder; ``bytes`` are files (``NAME*`` may be run), a ``str`` is a link."""
    unpacked = io.BytesIO()
    with tarfile.open(fileobj=unpacked, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{top}/{name.removesuffix('*')}")
            member.mode = 0o755 if name.endswith("*") else 0o644
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return lzma.compress(unpacked.getvalue())


def deb(pool: Path, work: Path, name: str, version: str, files: Mapping[str, bytes], depends: str = "") -> str:
    """A package in ``pool``; returns its stanza for the list of packages."""
    tree = work / f"{name}-{version}"
    fields = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: nobody <nobody@example.org>\n"
    fields += f"Depends: {depends}\n" if depends else ""
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(f"{fields}Description: made by a test\n")
    for path, content in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content)
    pool.mkdir(parents=True, exist_ok=True)
    target = pool / f"{name}_{version}_amd64.deb"
    proc.run([proc.need("dpkg-deb"), "-Znone", "--root-owner-group", "-b", tree, target], seconds=60)
    data = target.read_bytes()
    sha = hashlib.sha256(data).hexdigest()
    return f"{fields}Filename: pool/{target.name}\nSize: {len(data)}\nSHA256: {sha}\nDescription: made by a test\n\n"


def publish(archive: Path, suite: str, stanzas: Iterable[str]) -> None:
    """Make ``archive`` one that apt reads: a suite with its list of packages, not signed."""
    lists = archive / "dists" / suite / "main" / "binary-amd64"
    lists.mkdir(parents=True, exist_ok=True)
    text = "".join(stanzas).encode()
    (lists / "Packages").write_bytes(text)
    sha = hashlib.sha256(text).hexdigest()
    (archive / "dists" / suite / "Release").write_text(
        f"Origin: Test\nSuite: {suite}\nCodename: {suite}\nArchitectures: amd64\nComponents: main\n"
        f"Date: Mon, 23 Nov 2026 00:00:00 UTC\nSHA256:\n {sha} {len(text)} main/binary-amd64/Packages\n"
    )
