# SPDX-License-Identifier: GPL-2.0-only
"""The floors that design.md draws, held by reading the imports of every file."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]

#: Each room of kfunctest and the floor it is on. A room imports itself and floors below its own.
FLOORS = {
    "guest": -1,
    "errors": 0,
    "wait": 1,
    "shell": 1,
    "proc": 1,
    "run": 1,
    "cache": 1,
    "files": 1,
    "contract": 2,
    "annotation_values": 1,
    "annotations": 2,
    "measure": 2,
    "statkeys": 2,
    "statitems": 3,
    "results": 2,
    "reports": 3,
    "kernels": 3,
    "bpfbuild": 3,
    "target": 4,
    "plugin": 5,
    "trial": 5,
    "gate": 6,
    # They judge by the suite as the gate runs it.
    "bisect": 7,
    "mutate": 7,
    "coverage": 7,
    "bench": 8,
    "build_kernel": 6,
    "setup": 6,
}
#: What runs before there is a virtual environment: nothing but the standard library and the two lowest floors.
BEFORE_PACKAGES = ("setup", "errors", "wait", "proc", "cache", "run")
#: The one part of setup that runs afterwards.
AFTER_PACKAGES = "kfunctest.setup.update"
#: Where the channel's far side takes over in the guest; the host brings its execnet there.
GUEST_ENTRY = ("kfunctest.guest.main", "kfunctest.guest.far")
PYTEST = ("pytest", "_pytest", "pluggy", "xdist")
FUNCTION_LINES = 50


@dataclass(frozen=True, slots=True)
class Module:
    """One source file: its dotted name and the dotted names that it imports."""

    name: str
    path: Path
    imports: tuple[str, ...]

    @property
    def room(self) -> str:
        """The part of kfunctest that it belongs to; empty for kfunctest itself."""
        return _room(self.name)


def _room(name: str) -> str:
    return name.partition(".")[2].partition(".")[0]


def _is(name: str, *packages: str) -> bool:
    """Whether ``name`` is one of ``packages`` or inside one."""
    return any(name == package or name.startswith(package + ".") for package in packages)


def read(root: Path) -> list[Module]:
    """Every Python file below ``root`` that belongs to the project."""
    paths = [path for top in ("kfunctest", "tests", "selftests") for path in sorted((root / top).rglob("*.py"))]
    paths += [path for path in [root / "conftest.py"] if path.exists()]
    names = {path: _name(path.relative_to(root)) for path in paths}
    known = frozenset(names.values())
    return [Module(name, path, tuple(_imports(path, known))) for path, name in names.items()]


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path, known: frozenset[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(), path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in known else base


def upward(module: Module, name: str) -> str | None:
    """Why a module of kfunctest may not import ``name``, as far as the floors decide it."""
    if name.startswith("."):
        return "a relative import"
    if _is(name, "selftests", "tests", "conftest"):
        return "kfunctest knows no tests"
    if not _is(name, "kfunctest") or name == "kfunctest" or _room(name) == module.room:
        return None
    if _room(name) not in FLOORS:
        return "a room that is on no floor"
    return None if FLOORS[_room(name)] < FLOORS.get(module.room, 99) else "not a floor below"


def foreign(module: Module, name: str) -> str | None:
    """Why a module of kfunctest may not import ``name``, where it is not the project's own."""
    top = name.split(".")[0]
    if module.name in GUEST_ENTRY and name == "execnet.gateway_base":
        return None
    if module.room == "guest" and not _is(name, "kfunctest.guest") and top not in sys.stdlib_module_names:
        return "the guest has the standard library and nothing else"
    if top in PYTEST and FLOORS.get(module.room, 99) < FLOORS["plugin"]:
        return "nothing below the plugin knows pytest"
    ours = _is(name, *(f"kfunctest.{room}" for room in BEFORE_PACKAGES)) or name == "kfunctest"
    early = module.room in BEFORE_PACKAGES and module.name != AFTER_PACKAGES
    if early and not ours and top not in sys.stdlib_module_names:
        return "runs before there is any package"
    return None


def subprocesses(module: Module, name: str) -> str | None:
    """Why a module may not import ``name``, where it starts processes."""
    if _is(name, "subprocess", "pty") and module.name != "kfunctest.proc":
        return "kfunctest/proc.py is the one door to other programs"
    return None


def entangled(module: Module, name: str) -> str | None:
    """Why a test may not import ``name``. A helper beside the tests is none of them."""
    parts = name.split(".")
    if name.startswith("."):
        return "a relative import"
    if any(part.startswith("test_") for part in parts):
        return "a test stands alone; what two of them need is a fixture or a helper"
    if parts[0] in ("tests", "selftests") and parts[0] != module.name.split(".")[0]:
        return "what judges a kernel and what judges this project know nothing of each other"
    return None


def offences(root: Path) -> list[str]:
    """Every import below ``root`` that a rule forbids, as ``file imports name: why``."""
    found = []
    for module in read(root):
        rules = [subprocesses]
        rules += [upward, foreign] if _is(module.name, "kfunctest") else [entangled]
        for name in module.imports:
            found += [
                f"{module.path.relative_to(root)} imports {name}: {why}"
                for rule in rules
                if (why := rule(module, name))
            ]
    return found


def test_every_import_goes_down() -> None:
    assert "\n".join(offences(CHECKOUT)) == ""


def test_every_room_is_on_a_floor() -> None:
    rooms = {module.room for module in read(CHECKOUT) if _is(module.name, "kfunctest")} - {""}
    assert rooms - set(FLOORS) == set()


@pytest.mark.parametrize(
    "path, source, why",
    [
        ("kfunctest/cache.py", "from kfunctest import kernels", "not a floor below"),
        ("kfunctest/cache.py", "from kfunctest import wait", "not a floor below"),
        ("kfunctest/kernels/spec.py", "import kfunctest.target.vm", "not a floor below"),
        ("kfunctest/kernels/spec.py", "from . import model", "a relative import"),
        ("kfunctest/kernels/spec.py", "def f():\n    import pytest", "knows pytest"),
        ("kfunctest/target/vm.py", "from subprocess import run", "one door"),
        ("kfunctest/plugin/a.py", "from selftests import x", "no tests"),
        ("kfunctest/guest/a.py", "import execnet", "standard library"),
        ("kfunctest/guest/a.py", "from kfunctest import wait", "standard library"),
        ("kfunctest/setup/a.py", "import tqdm", "before there is any package"),
        ("kfunctest/setup/a.py", "from kfunctest.kernels import spec", "before there is any package"),
        ("kfunctest/a.py", "from kfunctest.nowhere import x", "on no floor"),
        ("tests/test_a.py", "from tests.test_b import x", "stands alone"),
        ("tests/test_a.py", "import test_b", "stands alone"),
        ("selftests/test_a.py", "import subprocess", "one door"),
        ("selftests/test_a.py", "from tests import fake", "know nothing of each other"),
    ],
)
def test_a_breach_is_found(tmp_path: Path, path: str, source: str, why: str) -> None:
    for room in ("kernels", "target", "guest", "plugin", "setup"):
        (tmp_path / "kfunctest" / room).mkdir(parents=True)
        (tmp_path / "kfunctest" / room / "__init__.py").touch()
    (tmp_path / "kfunctest" / "wait.py").touch()
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source + "\n")
    assert [offence for offence in offences(tmp_path) if why in offence] != []


def test_functions_are_short() -> None:
    long = []
    for module in read(CHECKOUT):
        functions = [node for node in ast.walk(ast.parse(module.path.read_text())) if isinstance(node, ast.FunctionDef)]
        sizes = {f"{module.name}.{node.name}": (node.end_lineno or 0) - node.lineno + 1 for node in functions}
        long += [f"{name}: {size} lines" for name, size in sizes.items() if size > FUNCTION_LINES]
    assert long == []


def test_every_source_names_its_licence() -> None:
    ends = (".py", ".c", ".h", ".toml", ".ini", ".sh")
    tops = ("kfunctest", "tests", "selftests", "scripts", ".ci")
    sources = [path for top in tops for path in (CHECKOUT / top).rglob("*") if path.is_file()]
    sources = [path for path in sources if path.suffix in ends or path.parent.name in ("scripts", ".ci")]
    unnamed = [
        str(path.relative_to(CHECKOUT))
        for path in sources
        if not any("SPDX-License-Identifier: GPL-2.0" in line for line in path.read_text().splitlines()[:2])
    ]
    assert unnamed == []
