# SPDX-License-Identifier: GPL-2.0-only
"""From a source, patches and flavours to a kernel in the cache, built where it is not there yet."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from kfunctest import cache, files
from kfunctest.errors import InfraError
from kfunctest.kernels import build_dir, fragments, kbuild_deps, make, patches, toolchain
from kfunctest.kernels.fragments import Wanted
from kfunctest.kernels.gitstore import Store
from kfunctest.kernels.model import Provenance
from kfunctest.kernels.patches import Patch
from kfunctest.kernels.progress import Progress
from kfunctest.kernels.source import Source
from kfunctest.kernels.toolchain import Toolchain

#: Part of every key: raise it when the same content comes out as another kernel.
_FORMAT: Final = "built-2"
#: The files of an entry of ``built/``.
IMAGE, VMLINUX, CONFIG, LOG, PROVENANCE = "vmlinuz", "vmlinux", "config", "build.log", "provenance.json"
#: With this flavour there is one more: what the compiler noted of the objects whose runs are counted (``*.gcno``), with
#: their sources.
COVERAGE, NOTES = "coverage", "gcov"
_CONFIG_FORMAT: Final = "config-1"
#: The files that a configuration comes of. Every file that a Kconfig file includes is called so too; what these run
#: to ask about the toolchain is in scripts/.
_DECIDING: Final = re.compile(r"(?:.*/)?[^/]*Kconfig[^/]*|Makefile|arch/x86/Makefile.*|scripts/(?!kconfig/tests/).*")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a kernel is made of. ``contract`` is what it is declared to keep, or None."""

    source: Source
    patches: tuple[Patch, ...] = ()
    flavours: tuple[str, ...] = ()
    contract: str | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """A kernel in the cache; ``key`` is the name of its folder below ``built/``."""

    key: str
    provenance: Provenance

    @property
    def folder(self) -> Path:
        """What ``--kernel`` takes: image, vmlinux, configuration, log and provenance."""
        return cache.root() / "built" / self.key

    @property
    def image_digest(self) -> str:
        """What tells two images apart: that of :class:`kfunctest.kernels.model.Kernel`."""
        return cache.digest((self.folder / IMAGE).read_bytes())


def build(recipe: Recipe, progress: Progress) -> Built:
    """The kernel that ``recipe`` makes, from the cache where it was made before.

    Raises SpecError when a patch does not apply, an option is lost or the source does not compile; InfraError when
    this machine cannot build it.
    """
    tools = toolchain.find(recipe.source)
    wanted, tree = _made_of(recipe)
    provenance = _provenance(recipe, tree, tools)
    record = _record(provenance, wanted)
    # A hit needs neither a checkout nor a configuration.
    if known := _recorded(record, provenance):
        return known
    with build_dir.opened(recipe.source.lineage, sorted(recipe.flavours)) as place:
        if known := _recorded(record, provenance):  # by whom we waited for
            return known
        with place.working():
            place.check_out(recipe.source.store, tree)
            config = _configure(place, recipe, tree, wanted, tools)
            built = Built(_key(provenance, config), provenance)
            if not built.folder.is_dir():
                image = make.build(place, tools, recipe.flavours, _title(recipe), progress)
                cache.entry("built", built.key, lambda folder: _keep(folder, image, place, provenance))
        _write(record, built.key)
        return built


def forget(recipe: Recipe) -> None:
    """Remove what :func:`build` made of this from the cache, if it did, so that it is made again."""
    wanted, tree = _made_of(recipe)
    provenance = _provenance(recipe, tree, toolchain.find(recipe.source))
    record = _record(provenance, wanted)
    if known := _recorded(record, provenance):
        # Renamed first: what is half removed must not look like a kernel.
        with tempfile.TemporaryDirectory(prefix=f".partial-{known.key}-", dir=known.folder.parent) as gone:
            known.folder.rename(Path(gone) / known.key)


def configuration(recipe: Recipe) -> str:
    """The final configuration of what ``recipe`` makes, without building it. Raises what :func:`build` raises."""
    tools = toolchain.find(recipe.source)
    wanted, tree = _made_of(recipe)
    known = _recall(_kept_config(recipe.source.store, tree, fragments.text(wanted), tools))
    if known is not None:
        return known
    with build_dir.opened(recipe.source.lineage, sorted(recipe.flavours)) as place, place.working():
        place.check_out(recipe.source.store, tree)
        return _configure(place, recipe, tree, wanted, tools)


def _configure(
    place: build_dir.Slot, recipe: Recipe, tree: str, wanted: Sequence[Wanted], tools: toolchain.Toolchain
) -> str:
    """Configure the slot and hold the outcome to what was wanted; from memory where it cannot have changed."""
    text = fragments.text(wanted)
    kept = _kept_config(recipe.source.store, tree, text, tools)
    known = _recall(kept)
    if known is not None:
        _put(place.obj / ".config", known)
        place.log.write_bytes(b"")
        return known
    config = make.configure(place, tools, text, recipe.flavours)
    fragments.check(wanted, config, place.src)
    _remember(kept, config)
    return config


def require_whole(folder: Path) -> None:
    """Raise InfraError where ``folder`` is an entry of ``built/`` that was damaged.

    In the cache it is one though its provenance is gone: as any image it would lose the contract declared for it.
    """
    ours = folder.is_dir() and folder.resolve().parent == (cache.root() / "built").resolve()
    readable = read_provenance(folder) is not None
    if not (ours or readable):
        return
    missing = [name for name in (IMAGE, CONFIG) if not (folder / name).is_file()]
    if missing or not readable:
        why = f"it has no {missing[0]}" if missing else f"its {PROVENANCE} cannot be read"
        raise InfraError(f"the built kernel {folder} is damaged: {why}", remedy=f"rm -r {folder}, and build it again")


def read_provenance(folder: Path) -> Provenance | None:
    """The provenance of an entry of ``built/``; None where ``folder`` is none, or it cannot be read."""
    try:
        kept = json.loads((folder / PROVENANCE).read_text())
        kept["patches"] = tuple((str(id_), str(subject)) for id_, subject in kept["patches"])
        kept["flavours"] = tuple(kept["flavours"])
        return Provenance(**kept)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _made_of(recipe: Recipe) -> tuple[Sequence[Wanted], str]:
    """The options that are wanted, and the source with its patches as a tree of the store."""
    tree = patches.apply(recipe.source.store, recipe.source.tree, recipe.patches)
    return fragments.load(recipe.flavours, recipe.source.release), tree


def _record(provenance: Provenance, wanted: Sequence[Wanted]) -> Path:
    """The file that tells which entry of ``built/`` came of this."""
    return cache.root() / "resolved" / f"build-{_key(provenance, fragments.text(wanted))}.json"


def _title(recipe: Recipe) -> str:
    major, minor = recipe.source.release
    return "-".join([f"{major}.{minor}", *(sorted(recipe.flavours) or ["slim"])])


def _key(provenance: Provenance, options: str) -> str:
    """The name of what comes of this: of all that is kept with a kernel, so that none tells another one's origin."""
    return cache.digest(_FORMAT, json.dumps(asdict(provenance)), options)


def _recorded(record: Path, provenance: Provenance) -> Built | None:
    try:
        built = Built(str(json.loads(record.read_text())["key"]), provenance)
    except (OSError, ValueError, KeyError):
        return None
    return built if built.folder.is_dir() else None


def _provenance(recipe: Recipe, tree: str, tools: toolchain.Toolchain) -> Provenance:
    return Provenance(
        source=recipe.source.words,
        tree=tree,
        patches=tuple((patch.id, patch.subject) for patch in recipe.patches),
        flavours=tuple(sorted(recipe.flavours)),
        compiler=tools.compiler,
        linker=tools.linker,
        pahole=tools.pahole,
        contract=recipe.contract,
    )


def _keep(folder: Path, image: Path, place: build_dir.Slot, provenance: Provenance) -> None:
    shutil.copyfile(image, folder / IMAGE)
    shutil.copyfile(place.obj / "vmlinux", folder / VMLINUX)
    shutil.copyfile(place.obj / ".config", folder / CONFIG)
    shutil.copyfile(place.log, folder / LOG)
    kbuild_deps.write(folder / kbuild_deps.NAME, kbuild_deps.collect(place))
    (folder / PROVENANCE).write_text(json.dumps(asdict(provenance), indent=1))
    if COVERAGE in provenance.flavours:
        _keep_notes(folder / NOTES, place)


def _keep_notes(folder: Path, place: build_dir.Slot) -> None:
    for note in place.obj.rglob("*.gcno"):
        inside = note.relative_to(place.obj)
        (folder / inside.parent).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(note, folder / inside)
        shutil.copyfile(place.src / inside.with_suffix(".c"), folder / inside.with_suffix(".c"))


def _write(record: Path, key: str) -> None:
    with cache.space_guard():
        record.parent.mkdir(parents=True, exist_ok=True)
        files.write(record, json.dumps({"key": key}))


def _kept_config(store: Store, tree: str, fragment: str, tools: Toolchain) -> Path:
    """Where the configuration that ``fragment`` gives in ``tree`` is kept, once it was made and found to hold."""
    listed = store.git("ls-tree", "-r", "-z", tree).stdout.split("\0")
    deciding = [line for line in listed if _DECIDING.fullmatch(line.partition("\t")[2])]
    return cache.root() / "resolved" / f"config-{cache.digest(_CONFIG_FORMAT, *deciding, fragment, *tools.words)}"


def _recall(place: Path) -> str | None:
    """The configuration kept there, or None."""
    try:
        return place.read_text()
    except OSError:
        return None


def _remember(place: Path, text: str) -> None:
    """Keep the configuration there."""
    with cache.space_guard():
        place.parent.mkdir(parents=True, exist_ok=True)
        files.write(place, text)


def _put(final: Path, text: str) -> None:
    """Make ``final`` that text, leaving one alone that is it already: make looks into a newer one again."""
    if _recall(final) != text:
        final.write_text(text)
