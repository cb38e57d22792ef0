# SPDX-License-Identifier: GPL-2.0-only
"""What ``--kernel SPEC`` means."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from kfunctest.errors import SpecError
from kfunctest.kernels import build, config, debian, facts, local, named, patches, source, user_paths
from kfunctest.kernels.build import Recipe
from kfunctest.kernels.model import Kernel, Provenance
from kfunctest.kernels.named import Named
from kfunctest.kernels.progress import Progress
from kfunctest.kernels.prune_modules import Found

#: The spec that is taken when none is given.
DEFAULT: Final = "debian"

#: What is understood, for messages.
FORMS: Final = (
    "debian, debian:SERIES like debian:7.2, a name of kernel-config/kernels.toml, or the path of an image, "
    "of a folder like /lib/modules/RELEASE, or of a build tree"
)


def resolve(
    spec: str, *, mirror: str | None = None, update: bool = False, progress: Progress | None = None, base: Path = Path()
) -> Kernel:
    """The kernel that ``spec`` means, ready to boot, fetched or built where it is not here yet.

    ``mirror`` is the Debian mirror to use in place of the machine's own; ``update`` asks it anew what is newest;
    a relative path starts at ``base``. A name goes before a file of that name; ``./NAME`` is the file.
    Raises SpecError when there is no such kernel or it cannot be judged, InfraError when this machine cannot get it.
    """
    if not spec.strip():
        raise _unknown(spec)
    ask = _Ask(mirror, update, progress or Progress())
    if spec.partition(":")[0] == "debian":
        return _from_debian(spec, ask)
    path = "/" in spec or spec in (".", "..")
    if not path and (entry := named.find(spec)):
        return _from_name(entry, ask)
    if path or (base / spec).exists():
        return _from_path(spec, user_paths.written(spec, base).absolute())
    raise _unknown(spec)


def check(spec: str, *, base: Path = Path()) -> None:
    """Raise the SpecError that :func:`resolve` would, as far as it needs no network, no build and no image read."""
    if not spec.strip():  # a variable that is not set; else it would mean the directory that one is in
        raise _unknown(spec)
    if spec.partition(":")[0] == "debian":
        debian.series_of(spec)
        return
    path = "/" in spec or spec in (".", "..")
    if not path and named.find(spec):
        return
    if not path and not (base / spec).exists():
        raise _unknown(spec)
    place = user_paths.written(spec, base).absolute()
    if not build.read_provenance(_folder(place)):
        local.find(place)


def _unknown(spec: str) -> SpecError:
    return SpecError(f"there is no kernel {spec!r}", remedy=f"write {FORMS}; the names are {', '.join(named.load())}")


@dataclass(frozen=True, slots=True)
class _Ask:
    mirror: str | None
    update: bool
    progress: Progress


def recipe(
    entry: Named, *, mirror: str | None = None, update: bool = False, progress: Progress | None = None
) -> Recipe:
    """What the entry of kernels.toml is built from. Raises SpecError where it is a ready-made package."""
    if entry.source is None:
        raise SpecError(
            f"{entry.name} is the package {entry.package}, not built from source",
            remedy=f"scripts/kfunc --kernel {entry.name}",
        )
    changes = patches.read(entry.patches)  # before a source is downloaded
    found = source.resolve(entry.source, base=entry.base, mirror=mirror, update=update, progress=progress)
    return Recipe(found, changes, entry.flavours, entry.contract)


def _from_debian(spec: str, ask: _Ask) -> Kernel:
    fetched = debian.fetch(spec, mirror=ask.mirror, update=ask.update, progress=ask.progress)
    image = fetched.modules / "vmlinuz"
    location = local.Location(image, image, fetched.origin, fetched.modules / "config", release=fetched.release)
    return _kernel(spec, location, fetched.resolved)


def _from_name(entry: Named, ask: _Ask) -> Kernel:
    if entry.package is not None:
        got = resolve(entry.package, mirror=ask.mirror, update=ask.update, progress=ask.progress, base=entry.base)
        return replace(got, spec=entry.name, name=entry.name, contract=entry.contract)
    made = build.build(recipe(entry, mirror=ask.mirror, update=ask.update, progress=ask.progress), ask.progress)
    return replace(_from_built(entry.name, made.folder, made.provenance), name=entry.name)


def _from_path(spec: str, path: Path) -> Kernel:
    folder = _folder(path)
    build.require_whole(folder)
    provenance = build.read_provenance(folder)
    return _from_built(spec, folder, provenance) if provenance else _kernel(spec, local.find(path), None)


def _folder(path: Path) -> Path:
    """What would be the entry of ``built/`` that ``path`` means, if it means one."""
    real = path.resolve()
    return real.parent if real.name == build.IMAGE else real


def _from_built(spec: str, folder: Path, provenance: Provenance) -> Kernel:
    build.require_whole(folder)
    image = folder / build.IMAGE
    location = local.Location(image, image, provenance.source, folder / build.CONFIG, folder / build.VMLINUX)
    kernel = _kernel(spec, location, None, modular=False)
    return replace(kernel, contract=provenance.contract, provenance=provenance)


def _kernel(spec: str, location: local.Location, resolved: str | None, *, modular: bool = True) -> Kernel:
    reading = facts.read(location.image)
    release = reading.release
    if location.vmlinux:
        facts.require_vmlinux_of(reading, location.image, location.vmlinux)
    local.check_release(location, release)
    found = local.modules_of(location, release) if modular else Found(None, ("it was built without modules",))
    file = local.configuration(location, release, found.directory)
    # What is in the image itself is of no other kernel.
    text = reading.config or (file.read_text(errors="replace") if file else None)
    options = config.parse(text) if text is not None else None
    config.require(release, options, reading.facts)
    if reading.facts.kfuncs:  # else it is judged without a boot
        config.require_bootable(release, options, reading.facts, found)
    return Kernel(
        spec=spec,
        release=release,
        image=local.for_virtme_ng(location, release, found.directory),
        image_digest=reading.digest,
        modules=found.directory,
        origin=location.origin,
        resolved=resolved,
        config=options,
        facts=reading.facts,
        vmlinux=location.vmlinux,
    )
