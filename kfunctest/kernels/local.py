# SPDX-License-Identifier: GPL-2.0-only
"""Kernels that are on this machine already: an image, an installed modules folder, a build tree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kfunctest.errors import SpecError

_BZIMAGE: Final = Path("arch", "x86", "boot", "bzImage")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a kernel's image is, the file of its configuration if there is one, and what kind of place it is."""

    image: Path
    config: Path | None
    origin: str
    #: The ELF file with debugging information, where there is one.
    vmlinux: Path | None = None


def find(path: Path) -> Place:
    """What ``path`` means. Raises SpecError when it is none of the three kinds."""
    path = path.absolute()
    if not path.exists():
        raise SpecError(f"{path} does not exist")
    if not path.is_dir():
        return _image(path)
    if (path / _BZIMAGE).exists():
        return Place(path / _BZIMAGE, _first(path / ".config"), f"build tree {path}", _first(path / "vmlinux"))
    if (path / "Kconfig").exists() or (path / ".config").exists():
        raise SpecError(
            f"the build tree {path} has no {_BZIMAGE}", remedy=f"make -C {path} bzImage, or scripts/build-kernel {path}"
        )
    image = _first(path / "vmlinuz", _root(path) / "boot" / f"vmlinuz-{path.name}")
    if image is None:
        raise SpecError(
            f"{path} has neither vmlinuz nor {_BZIMAGE}",
            remedy="pass an image, a folder like /lib/modules/RELEASE, or a build tree",
        )
    config = _first(path / "config", _root(path) / "boot" / f"config-{path.name}", path / "build" / ".config")
    return Place(image, config, f"modules folder {path}")


def modules(image: Path, release: str) -> Path | None:
    """The folder of ``release``'s modules, found as virtme-ng does: below the nearest folder that has lib/modules.

    For an image in a build tree it is the tree. Raises SpecError when the folder is not indexed yet, since virtme-ng
    would then write to it.
    """
    tree = _tree(image)
    if tree is not None:
        return tree if (tree / "modules.order").exists() else None
    folder = _root(image) / "lib" / "modules" / release
    if not folder.is_dir():
        return None
    if not (folder / "modules.dep").exists():
        raise SpecError(f"{folder} has no modules.dep", remedy=f"depmod -b {_root(image)} {release}")
    return folder


def _image(path: Path) -> Place:
    tree = _tree(path)
    if tree is not None:
        return Place(path, _first(tree / ".config"), f"build tree {tree}", _first(tree / "vmlinux"))
    release = path.name.partition("vmlinuz-")[2]
    beside = [path.with_name(f"config-{release}")] if release else []
    if path.name == "vmlinuz":
        beside.append(path.with_name("config"))
    return Place(path, _first(*beside), f"file {path}")


def _tree(image: Path) -> Path | None:
    """The build tree that ``image`` is in, if it is; arch/x86_64/boot/bzImage is a link to the one in arch/x86."""
    real = image.resolve()
    if real.parts[-len(_BZIMAGE.parts) :] != _BZIMAGE.parts:
        return None
    tree = real.parents[len(_BZIMAGE.parts) - 1]
    return tree if (tree / ".config").exists() else None


def _root(path: Path) -> Path:
    return next((folder for folder in path.parents if (folder / "lib" / "modules").exists()), Path("/"))


def _first(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)
