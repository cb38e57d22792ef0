# SPDX-License-Identifier: GPL-2.0-only
"""What ``--kernel SPEC`` means."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from kfunctest.errors import SpecError
from kfunctest.kernels import config, debian, facts, local
from kfunctest.kernels.model import Kernel
from kfunctest.kernels.progress import Progress

#: The spec that is taken when none is given.
DEFAULT: Final = "debian"

#: What is understood, for messages.
FORMS: Final = (
    "debian, debian:SERIES like debian:7.2, or the path of an image, of a folder like /lib/modules/RELEASE, "
    "or of a build tree"
)


def resolve(
    spec: str, *, mirror: str | None = None, update: bool = False, progress: Progress | None = None, base: Path = Path()
) -> Kernel:
    """The kernel that ``spec`` means, ready to boot, fetched where it is not here yet.

    ``mirror`` is the Debian mirror to use in place of the machine's own; ``update`` asks it anew what is newest;
    a relative path starts at ``base``.
    Raises SpecError when there is no such kernel or it cannot be judged, InfraError when this machine cannot get it.
    """
    if spec.partition(":")[0] == "debian":
        return _from_debian(spec, debian.fetch(spec, mirror=mirror, update=update, progress=progress or Progress()))
    if "/" in spec or spec in (".", "..") or (base / spec).exists():
        return _from_path(spec, base / Path(spec).expanduser())
    raise SpecError(f"there is no kernel {spec!r}", remedy=f"write {FORMS}")


def _from_debian(spec: str, fetched: debian.Fetched) -> Kernel:
    folder = fetched.modules
    return _kernel(spec, local.Place(folder / "vmlinuz", folder / "config", fetched.origin), fetched.resolved)


def _from_path(spec: str, path: Path) -> Kernel:
    return _kernel(spec, local.find(path), None)


def _kernel(spec: str, place: local.Place, resolved: str | None) -> Kernel:
    reading = facts.read(place.image)
    text = place.config.read_text(errors="replace") if place.config else reading.config
    options = config.parse(text) if text is not None else None
    modules = local.modules(place.image, reading.release)
    config.require(reading.release, options, reading.facts, modules)
    return Kernel(
        spec=spec,
        release=reading.release,
        image=place.image,
        image_digest=reading.digest,
        modules=modules,
        origin=place.origin,
        resolved=resolved,
        config=options,
        facts=reading.facts,
    )
