# SPDX-License-Identifier: GPL-2.0-only
"""The layers of kfunctest and other rules for its source, held by reading every file."""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kfunctest import proc

CHECKOUT = Path(__file__).resolve().parents[1]

#: The parts of kfunctest, layer by layer, the lowest first. A part imports itself and the layers below its own.
LAYERS = (
    ("guest",),
    ("errors",),
    ("wait", "shell", "proc", "run", "cache", "files"),
    ("contract", "verifier_annotations", "tolerances", "statkeys", "results"),
    ("statitems", "reports", "kernels", "bpfbuild"),
    ("machine",),
    ("plugin", "trial"),
    ("gate", "build_kernel", "setup"),
    ("bisect", "mutate", "coverage"),
    ("bench",),
)
LAYER = {part: number for number, parts in enumerate(LAYERS) for part in parts}
#: What runs before there is a virtual environment: nothing but the standard library and the two lowest layers.
BEFORE_PACKAGES = ("setup", "errors", "wait", "proc", "cache", "run")
#: The one part of setup that runs afterwards.
AFTER_PACKAGES = "kfunctest.setup.refresh_kernels"
#: What renames by itself, and why it cannot leave that to kfunctest/files.py.
RENAMES = {
    "kfunctest.cache": "runs before there are packages, and renames folders",
    "kfunctest.setup.venv": "runs before there are packages",
    "kfunctest.kernels.build": "renames a folder",
    "kfunctest.kernels.gitstore": "renames a folder",
    "kfunctest.files": "is what the others leave it to",
}
#: Parts that write what people and programs read while a command runs, or after it was killed.
REPORTING = ("plugin", "trial", "reports", "gate", "bisect", "mutate", "coverage", "bench")
#: What writes in place there.
IN_PLACE = {
    "kfunctest.trial.suite": "the suite's output as it comes, a log",
    "kfunctest.gate.run": "what a kernel's build printed before it failed, for people alone",
    "kfunctest.bisect.git_bisect": "a git directory that git has just made",
    "kfunctest.bisect.mail": "a temporary folder",
    "kfunctest.bench.bisect": "a temporary folder",
    "kfunctest.bench.build": "a kernel's source",
}
#: Where the channel's far side takes over in the guest; the host brings its execnet there.
GUEST_ENTRY = ("kfunctest.guest.main", "kfunctest.guest.remote_agent")
PYTEST = ("pytest", "_pytest", "pluggy", "xdist")
FUNCTION_LINES = 50


@dataclass(frozen=True, slots=True)
class Module:
    """One source file: its dotted name, its nodes, and the dotted names that it imports."""

    name: str
    path: Path
    nodes: tuple[ast.AST, ...]
    imports: tuple[str, ...]

    @property
    def part(self) -> str:
        """The part of kfunctest that it belongs to; empty for kfunctest itself."""
        return _part(self.name)


def _part(name: str) -> str:
    return name.partition(".")[2].partition(".")[0]


def _is(name: str, *packages: str) -> bool:
    """Whether ``name`` is one of ``packages`` or inside one."""
    return any(name == package or name.startswith(package + ".") for package in packages)


@functools.cache
def read(root: Path) -> tuple[Module, ...]:
    """Every Python file below ``root`` that belongs to the project, parsed once for all tests."""
    paths = [path for top in ("kfunctest", "tests", "selftests") for path in sorted((root / top).rglob("*.py"))]
    paths += [path for path in [root / "conftest.py"] if path.exists()]
    names = {path: _name(path.relative_to(root)) for path in paths}
    known = frozenset(names.values())
    nodes = {path: tuple(ast.walk(ast.parse(path.read_bytes(), path))) for path in paths}
    return tuple(Module(name, path, nodes[path], tuple(_imports(nodes[path], known))) for path, name in names.items())


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(nodes: Iterable[ast.AST], known: frozenset[str]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in known else base


def upward(module: Module, name: str) -> str | None:
    """Why a module of kfunctest may not import ``name``, as far as the layers decide it."""
    if name.startswith("."):
        return "a relative import"
    if _is(name, "selftests", "tests", "conftest"):
        return "kfunctest knows no tests"
    if not _is(name, "kfunctest") or name == "kfunctest" or _part(name) == module.part:
        return None
    if _part(name) not in LAYER:
        return "a part that is in no layer"
    return None if LAYER[_part(name)] < LAYER.get(module.part, 99) else "not a layer below"


def foreign(module: Module, name: str) -> str | None:
    """Why a module of kfunctest may not import ``name``, where it is not the project's own."""
    top = name.split(".")[0]
    if module.name in GUEST_ENTRY and name == "execnet.gateway_base":
        return None
    if module.part == "guest" and not _is(name, "kfunctest.guest") and top not in sys.stdlib_module_names:
        return "the guest has the standard library and nothing else"
    if top in PYTEST and LAYER.get(module.part, 99) < LAYER["plugin"]:
        return "nothing below the plugin knows pytest"
    ours = _is(name, *(f"kfunctest.{part}" for part in BEFORE_PACKAGES)) or name == "kfunctest"
    early = module.part in BEFORE_PACKAGES and module.name != AFTER_PACKAGES
    if early and not ours and top not in sys.stdlib_module_names:
        return "runs before there is any package"
    return None


def subprocesses(module: Module, name: str) -> str | None:
    """Why a module may not import ``name``, where it starts processes."""
    if _is(name, "subprocess", "pty") and module.name != "kfunctest.proc":
        return "kfunctest/proc.py is the only module that starts programs"
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


def test_every_part_is_in_a_layer() -> None:
    parts = {module.part for module in read(CHECKOUT) if _is(module.name, "kfunctest")} - {""}
    assert parts - set(LAYER) == set()


def renames(nodes: Iterable[ast.AST]) -> list[int]:
    """The lines where a file or a folder is renamed: ``os.rename``, ``os.replace``, and a Path's own of these."""
    calls = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    return [
        call.lineno
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and (
            call.func.attr in ("rename", "renames")
            or (call.func.attr == "replace" and (len(call.args) == 1 or ast.unparse(call.func.value) == "os"))
        )
        and not call.keywords
    ]


def in_place(nodes: Iterable[ast.AST]) -> list[int]:
    """The lines where a file's whole content is written while others can see it."""
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    return [
        call.lineno
        for call in calls
        if (isinstance(call.func, ast.Attribute) and call.func.attr in ("write_text", "write_bytes"))
        or (
            ast.unparse(call.func).rpartition(".")[2] == "open"
            and any(
                isinstance(word, ast.Constant) and re.fullmatch("[wx][bt+]*", str(word.value)) for word in call.args
            )
        )
    ]


def test_whole_files_and_links_are_written_by_one_module() -> None:
    ours = [module for module in read(CHECKOUT) if _is(module.name, "kfunctest") and module.part != "guest"]
    assert {module.name for module in ours if renames(module.nodes)} == RENAMES.keys()
    written = {module.name for module in ours if module.part in REPORTING and in_place(module.nodes)}
    assert written == IN_PLACE.keys()


@pytest.mark.parametrize(
    "source, found",
    [
        ("partial.replace(file)", "renames"),
        ("partial.rename(file)", "renames"),
        ("os.replace(a, b)", "renames"),
        ("os.rename(a, b)", "renames"),
        ("text.replace('a', 'b')", ""),
        ("dataclasses.replace(row, name='a')", ""),
        ("file.write_text(text)", "in place"),
        ("(folder / 'a').write_bytes(data)", "in place"),
        ("file.open('wb')", "in place"),
        ("open(file, 'w')", "in place"),
        ("file.open('ab')", ""),
        ("file.open()", ""),
    ],
)
def test_what_writes_is_found(source: str, found: str) -> None:
    nodes = list(ast.walk(ast.parse(source)))
    kinds = {"renames": renames(nodes), "in place": in_place(nodes)}
    assert [kind for kind, lines in kinds.items() if lines] == ([found] if found else [])


def test_a_status_that_all_commands_share_is_defined_once() -> None:
    def constants(module: Module) -> set[str]:
        targets = [target for node in module.nodes if isinstance(node, ast.Assign) for target in node.targets]
        targets += [node.target for node in module.nodes if isinstance(node, ast.AnnAssign)]
        return {target.id for target in targets if isinstance(target, ast.Name)}

    found = {module.name: constants(module) for module in read(CHECKOUT) if _is(module.name, "kfunctest")}
    shared = {name for name in found["kfunctest.errors"] if name.startswith("EXIT_")}
    assert "EXIT_INTERRUPTED" in shared
    assert [name for name, own in found.items() if own & shared] == ["kfunctest.errors"]


def test_the_layers_in_the_documentation_are_these() -> None:
    text = (CHECKOUT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| ([a-z_, ]+) \|", text.partition("| layer |")[2].partition("\n\n")[0], re.MULTILINE)
    assert tuple(tuple(row.split(", ")) for row in reversed(rows)) == LAYERS


def test_only_tox_says_which_tests_are_the_hosts_own() -> None:
    done = proc.run(
        [proc.need("git"), "grep", "-lF", "-e", "not vm", "--", ":!*.py", ":!*.patch"], seconds=20, cwd=CHECKOUT
    )
    assert done.stdout.split() == ["tox.ini"]


@pytest.mark.parametrize(
    "path, source, why",
    [
        ("kfunctest/cache.py", "from kfunctest import kernels", "not a layer below"),
        ("kfunctest/cache.py", "from kfunctest import wait", "not a layer below"),
        ("kfunctest/kernels/spec.py", "import kfunctest.machine.vm", "not a layer below"),
        ("kfunctest/kernels/spec.py", "from . import model", "a relative import"),
        ("kfunctest/kernels/spec.py", "def f():\n    import pytest", "knows pytest"),
        ("kfunctest/machine/vm.py", "from subprocess import run", "only module that starts"),
        ("kfunctest/plugin/a.py", "from selftests import x", "no tests"),
        ("kfunctest/guest/a.py", "import execnet", "standard library"),
        ("kfunctest/guest/a.py", "from kfunctest import wait", "standard library"),
        ("kfunctest/setup/a.py", "import tqdm", "before there is any package"),
        ("kfunctest/setup/a.py", "from kfunctest.kernels import spec", "before there is any package"),
        ("kfunctest/a.py", "from kfunctest.nowhere import x", "in no layer"),
        ("tests/test_a.py", "from tests.test_b import x", "stands alone"),
        ("tests/test_a.py", "import test_b", "stands alone"),
        ("selftests/test_a.py", "import subprocess", "only module that starts"),
        ("selftests/test_a.py", "from tests import fake", "know nothing of each other"),
    ],
)
def test_a_breach_is_found(tmp_path: Path, path: str, source: str, why: str) -> None:
    for part in ("kernels", "machine", "guest", "plugin", "setup"):
        (tmp_path / "kfunctest" / part).mkdir(parents=True)
        (tmp_path / "kfunctest" / part / "__init__.py").touch()
    (tmp_path / "kfunctest" / "wait.py").touch()
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source + "\n")
    assert [offence for offence in offences(tmp_path) if why in offence] != []


def test_functions_are_short() -> None:
    long = []
    for module in read(CHECKOUT):
        functions = [node for node in module.nodes if isinstance(node, ast.FunctionDef)]
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
