# SPDX-License-Identifier: GPL-2.0-only
"""Kernels that are on this machine already: an image, an installed modules directory, a build tree.

Distributions put the image, the configuration and the modules of one kernel in different directories, and links to
them in others. A path is resolved once, to a :class:`Location`; what belongs to the image is found by its release.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from kfunctest import cache
from kfunctest.errors import SpecError
from kfunctest.kernels import prune_modules
from kfunctest.kernels.prune_modules import Found

_BZIMAGE: Final = Path("arch", "x86", "boot", "bzImage")
#: Links in an installed modules directory to what its modules are built against, or were built in. (Makefile:
#: modules_install)
_BUILD_LINKS: Final = ("build", "source")


@dataclass(frozen=True, slots=True)
class Location:
    """Where a kernel's image is, without links, and how it was asked for: what is next to a link counts too."""

    image: Path
    asked: Path
    origin: str
    #: Its configuration and its ELF file with debugging information, where they are not looked for.
    config: Path | None = None
    vmlinux: Path | None = None
    #: The release that the path says.
    release: str | None = None

    @property
    def tree(self) -> Path | None:
        """The build tree that the image is in, if it is."""
        if self.image.parts[-len(_BZIMAGE.parts) :] != _BZIMAGE.parts:
            return None
        tree = self.image.parents[len(_BZIMAGE.parts) - 1]
        return tree if (tree / ".config").exists() else None


def find(path: Path) -> Location:
    """What ``path`` means. Raises SpecError when it is none of the three kinds."""
    asked = path.absolute()
    if not asked.exists():
        leads = f" (a link to {asked.readlink()})" if asked.is_symlink() else ""
        raise SpecError(f"{asked}{leads} does not exist")
    real = asked.resolve()
    if not real.is_dir():
        tree = Location(real, asked, "").tree
        return _location(real, asked, f"build tree {tree}" if tree else f"file {asked}")
    above = asked.parent.resolve()
    installed = above if asked.name in _BUILD_LINKS and _is_installed(above) else None
    if (real / _BZIMAGE).exists():
        return _location(real / _BZIMAGE, asked, f"build tree {asked}", installed.name if installed else None)
    if installed:  # what modules are built against is no kernel
        return find(installed)
    if (real / "Kconfig").exists() or (real / ".config").exists():
        raise _unbuilt(asked, real)
    # Of the same root only: another system's image of this release may be another kernel.
    in_boot = [_base(real) / "boot" / f"vmlinuz-{real.name}"] if _is_installed(real) else []
    image = _first(real / "vmlinuz", *in_boot)
    if image is None:
        raise SpecError(
            f"{asked} has neither vmlinuz nor {_BZIMAGE}",
            remedy="pass an image, a directory like /lib/modules/RELEASE, or a build tree",
        )
    named = real.name if _is_installed(real) or image in in_boot else None
    return _location(image, image, f"modules directory {asked}", named)


def _location(image: Path, asked: Path, origin: str, release: str | None = None) -> Location:
    location = Location(image.resolve(), asked, origin, release=release)
    tree = location.tree
    return replace(location, config=tree / ".config", vmlinux=_first(tree / "vmlinux")) if tree else location


def _is_installed(directory: Path) -> bool:
    return directory.parent.name == "modules" and directory.parent.parent.name == "lib"


def _unbuilt(asked: Path, tree: Path) -> SpecError:
    release = release_of(tree)
    if release and not any((tree / part).exists() for part in ("source", "init/main.c")):
        return SpecError(
            f"{asked} is what modules of {release} are built against, without a kernel",
            remedy=f"pass /lib/modules/{release}, or the image",
        )
    return SpecError(
        f"the build tree {asked} has no {_BZIMAGE}", remedy=f"make -C {asked} bzImage, or scripts/build-kernel {asked}"
    )


def release_of(tree: Path) -> str | None:
    """The release for which make has last run in a build tree. (Makefile: include/config/kernel.release)"""
    try:
        return (tree / "include" / "config" / "kernel.release").read_text().strip()
    except OSError:
        return None


def check_release(location: Location, release: str) -> None:
    """Raise SpecError where the image, whose own ``release`` this is, is not the kernel that was asked for."""
    if location.release not in (None, release):
        raise SpecError(
            f"{location.image} is {release}, and not {location.release}, which was asked for ({location.origin})",
            remedy="name the image itself, if it is what you mean",
        )
    made = release_of(location.tree) if location.tree else None
    if made not in (None, release):
        raise SpecError(
            f"{location.image} is {release}, and make has run there for {made} since",
            remedy=f"make -C {location.tree} bzImage; or copy that image elsewhere, and name the copy",
        )


def configuration(location: Location, release: str, directory: Path | None) -> Path | None:
    """The file of the configuration of the image, whose modules are in ``directory``; None where there is none."""
    if location.config:
        return location.config
    found: list[Path] = []
    for image in (location.image, location.asked):
        named = image.name.partition("vmlinuz-")[2]
        found += [image.with_name(f"config-{name}") for name in (named, release) if name]
        found += [image.with_name("config")] if image.name == "vmlinuz" else []
    if directory:
        found += [directory / "config", *(root / "boot" / f"config-{release}" for root in _roots(directory))]
        found += [directory / "build" / ".config"] if release_of(directory / "build") in (None, release) else []
    return _first(*found)


def modules_of(location: Location, release: str) -> Found:
    """The modules of the image's own ``release``, wherever they are; those that were built for another are none.

    For an image in a build tree it is the tree. Raises SpecError when the directory is not indexed yet, since virtme-ng
    would then write to it.
    """
    if tree := location.tree:
        return Found(tree) if (tree / "modules.order").exists() else Found(None, (f"{tree} has no modules.order",))
    others: list[str] = []
    for directory in dict.fromkeys(path.resolve() for path in _module_directories(location, release) if path.is_dir()):
        made = prune_modules.built_for(directory)
        if made not in (None, release):
            others.append(f"those in {directory} are of {made}")
            continue
        if made is None and not (directory / "modules.dep").exists():
            others.append(f"there are none in {directory}")
            continue
        if not (directory / "modules.dep").exists():
            raise SpecError(f"{directory} has no modules.dep", remedy=f"depmod -b {_base(directory)} {release}")
        return Found(directory)
    roots = [root for root in _roots(location.image, location.asked) if (root / "lib" / "modules").is_dir()]
    looked = dict.fromkeys(str(root / "lib" / "modules" / release) for root in [*roots, Path("/")])
    return Found(None, (*others, *(f"there is no {directory}" for directory in looked if not Path(directory).is_dir())))


def _module_directories(location: Location, release: str) -> Iterator[Path]:
    for image in (location.image, location.asked):
        if image.parent.name == release and (image.parent / "modules.dep").exists():
            yield image.parent
    for root in _roots(location.image, location.asked):
        yield root / "lib" / "modules" / release
        yield root / "usr" / "lib" / "modules" / release


def for_virtme_ng(location: Location, release: str, directory: Path | None) -> Path:
    """The image's path by which virtme-ng finds the modules in ``directory``, and none where that is None.

    It takes no directory, and looks below the first one above the image that has lib/modules
    (get_rootfs_from_kernel_path() of virtme). Where that is not what we found, it gets a link to the image next to one
    to the modules.
    """
    if location.tree or _theirs(location.image, release) == directory:
        return location.image

    def fill(root: Path) -> None:
        (root / "lib" / "modules").mkdir(parents=True)
        (root / "vmlinuz").symlink_to(location.image)
        if directory:
            (root / "lib" / "modules" / release).symlink_to(directory)

    return cache.entry("boot", cache.digest(str(location.image), str(directory), release), fill) / "vmlinuz"


def _theirs(image: Path, release: str) -> Path | None:
    for root in image.parents:
        for lib in (root / "lib", root / "usr" / "lib"):
            if (lib / "modules").exists():
                return (lib / "modules" / release).resolve() if (lib / "modules" / release).is_dir() else None
    return None


def _roots(*paths: Path) -> list[Path]:
    """The directories above, as roots of a system, nearest first; this machine's own comes last."""
    return [*dict.fromkeys(root for path in paths for root in path.parents if root != Path("/")), Path("/")]


def _base(directory: Path) -> Path:
    """What depmod takes for the root of lib/modules/RELEASE."""
    base = directory.parents[2]
    return base.parent if base.name == "usr" and (base.parent / "lib").exists() else base


def _first(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)
