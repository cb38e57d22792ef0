# SPDX-License-Identifier: GPL-2.0-only
"""``kernel-config/kernels.toml``: kernels by name."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kfunctest import contract
from kfunctest.errors import SpecError
from kfunctest.kernels import fragments

FILE: Final = Path(__file__).resolve().parents[2] / "kernel-config" / "kernels.toml"
_KEYS: Final[Mapping[str, type]] = {
    "package": str,
    "source": str,
    "patches": list,
    "flavours": list,
    "contract": str,
    "kfuncs": bool,
    "gate": bool,
}
_CALLED: Final = {str: "a string", list: "a list of strings", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Named:
    """One entry: either ``package``, a spec of a ready-made kernel, or ``source`` with what is done to it."""

    name: str
    package: str | None = None
    source: str | None = None
    patches: tuple[Path, ...] = ()
    flavours: tuple[str, ...] = ()
    contract: str | None = None
    #: False: it has none of the kfuncs, and the gate holds it to that.
    kfuncs: bool = True
    #: Whether a gate that is told no names judges it.
    gate: bool = True
    #: Where a relative ``source`` starts.
    base: Path = FILE.parent


def load(file: Path = FILE) -> Mapping[str, Named]:
    """The entries of the file, in its order. Raises SpecError that names the file and the key that is wrong."""
    try:
        content = tomllib.loads(file.read_text())
    except OSError as error:
        raise SpecError(f"{file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{file} is no TOML: {error}") from error
    return {name: _entry(file, name, table) for name, table in content.items()}


def find(name: str, file: Path = FILE) -> Named | None:
    """The entry of this name. Raises what :func:`load` raises."""
    return load(file).get(name)


def _entry(file: Path, name: str, table: object) -> Named:
    where = f"{file}: [{name}]"
    if not isinstance(table, dict):
        raise SpecError(f"{where} is no table", remedy=f"write [{name}] on a line of its own")
    for key, value in table.items():
        if key not in _KEYS:
            raise SpecError(f"{where} has an unknown key {key!r}", remedy=f"the keys are {', '.join(_KEYS)}")
        texts = value if isinstance(value, list) else []
        if not isinstance(value, _KEYS[key]) or not all(isinstance(text, str) for text in texts):
            raise SpecError(f"{where} {key} = {value!r} is not {_CALLED[_KEYS[key]]}")
    _check(where, table)
    return Named(
        name=name,
        package=table.get("package"),
        source=table.get("source"),
        patches=tuple(file.parent / path for path in table.get("patches", ())),
        flavours=tuple(table.get("flavours", ())),
        contract=table.get("contract"),
        kfuncs=table.get("kfuncs", True),
        gate=table.get("gate", True),
        base=file.parent,
    )


def _check(where: str, table: Mapping[str, Any]) -> None:
    if ("package" in table) == ("source" in table):
        raise SpecError(f"{where} needs either package or source")
    package = str(table.get("package", "debian"))
    if package.partition(":")[0] != "debian" and "/" not in package:
        raise SpecError(
            f"{where} package = {package!r} is no ready-made kernel",
            remedy="write debian, debian:SERIES like debian:7.2, or a path with a / in it",
        )
    for key in ("patches", "flavours"):
        if "package" in table and key in table:
            raise SpecError(f"{where} has {key}, and a package is not built", remedy="give it a source in its place")
    known = fragments.names()
    for flavour in table.get("flavours", ()):
        if flavour not in known:
            raise SpecError(f"{where} has an unknown flavour {flavour!r}", remedy=f"there are {', '.join(known)}")
    if "contract" in table and not table.get("kfuncs", True):
        raise SpecError(f"{where} has a contract, and no kfuncs that could keep it", remedy="take one of the two out")
    if "contract" in table:
        try:
            contract.by_name(str(table["contract"]))
        except SpecError as error:
            raise SpecError(f"{where} contract: {error.problem}", remedy=error.remedy) from error
