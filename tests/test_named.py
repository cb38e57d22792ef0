# SPDX-License-Identifier: GPL-2.0-only
"""kernels.toml: what is in it, and what is said about mistakes there."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from kfunctest.errors import SpecError
from kfunctest.kernels import build, named, source, spec
from kfunctest.kernels.build import Built, Recipe
from kfunctest.kernels.model import Provenance
from tests import fakekernel


def test_ours_has_the_kernels_that_are_promised() -> None:
    entries = named.load()
    assert {"debian-newest", "7.2-slim", "7.2-debug", "7.3-slim", "6.12-bare", "6.12-slim", "6.12-debug"} <= set(
        entries
    )
    assert [name for name, entry in entries.items() if entry.contract == "v2"] == ["6.12-slim", "6.12-debug"]
    assert [name for name, entry in entries.items() if not entry.kfuncs] == ["6.12-bare"]
    assert all(path.is_dir() for entry in entries.values() for path in entry.patches)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[a]\nsource = debian\n", r"kernels\.toml is no TOML: "),
        ("a = 1\n", r"\[a\] is no table; write \[a\] on a line of its own"),
        ("[a]\n", r"\[a\] needs either package or source"),
        ('[a]\npackage = "debian"\nsource = "x"\n', r"\[a\] needs either package or source"),
        ('[a]\nsuorce = "x"\n', r"\[a\] has an unknown key 'suorce'; the keys are package, source, patches"),
        ("[a]\nsource = 7.2\n", r"\[a\] source = 7\.2 is not a string"),
        ('[a]\nsource = "x"\npatches = "x"\n', r"\[a\] patches = 'x' is not a list of strings"),
        ('[a]\nsource = "x"\npatches = [1]\n', r"\[a\] patches = \[1\] is not a list of strings"),
        ('[a]\nsource = "x"\nflavours = ["debgu"]\n', r"\[a\] has an unknown flavour 'debgu'; there are .*debug"),
        ('[a]\nsource = "x"\ncontract = "v9"\n', r"\[a\] contract: there is no contract 'v9'; the known ones are v2"),
        ('[a]\npackage = "a"\n', r"\[a\] package = 'a' is no ready-made kernel; write debian, debian:SERIES"),
        ('[a]\nsource = "x"\ngate = "no"\n', r"\[a\] gate = 'no' is not true or false"),
        ('[a]\nsource = "x"\nkfuncs = 0\n', r"\[a\] kfuncs = 0 is not true or false"),
        ('[a]\nsource = "x"\nkfuncs = false\ncontract = "v2"\n', r"\[a\] has a contract, and no kfuncs"),
        ('[a]\npackage = "debian"\nflavours = ["debug"]\n', r"\[a\] has flavours, and a package is not built"),
    ],
)
def test_a_mistake_is_named_with_file_and_key(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "kernels.toml"
    file.write_text(text)
    with pytest.raises(SpecError, match=problem) as raised:
        named.load(file)
    assert str(file) in str(raised.value)


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"kernels\.toml cannot be read: No such file"):
        named.load(tmp_path / "kernels.toml")


def test_an_unknown_name_is_told_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"there is no kernel '7\.2-slmi'; .*the names are debian-newest, 7\.2-slim"):
        spec.resolve("7.2-slmi", base=tmp_path)


def test_a_package_is_not_built() -> None:
    with pytest.raises(SpecError, match=r"debian-newest is the package debian, not built from source; scripts/kfunc"):
        spec.recipe(named.load()["debian-newest"])


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Built:
    """A kernel of this name as if it were built, patched, and declared to keep v2."""
    monkeypatch.setenv("KFUNCTEST_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "kernels.toml"
    file.write_text('[mine]\nsource = "linux"\ncontract = "v2"\nflavours = ["debug"]\n')
    monkeypatch.setattr(named.find, "__defaults__", (file,))
    made = Provenance(
        source="somewhere",
        tree="1234",
        patches=(("abcdef", "mm: better"),),
        flavours=("debug",),
        compiler="gcc 12",
        linker="ld 2",
        pahole="v1.24",
        contract="v2",
    )
    built = Built("key", made)
    (built.folder).mkdir(parents=True)
    (built.folder / build.IMAGE).write_bytes(fakekernel.image())
    (built.folder / build.VMLINUX).write_bytes(b"")
    (built.folder / build.CONFIG).write_text(fakekernel.CONFIG)
    (built.folder / build.PROVENANCE).write_text(json.dumps(asdict(made)))
    monkeypatch.setattr(source, "resolve", lambda text, **_: text)
    monkeypatch.setattr(build, "build", lambda recipe, _progress: built if recipe == EXPECTED else None)
    return built


EXPECTED = Recipe("linux", (), ("debug",), "v2")  # type: ignore[arg-type]


def test_a_name_is_a_kernel_with_provenance(entry: Built) -> None:
    kernel = spec.resolve("mine")
    assert (kernel.spec, kernel.name, kernel.id, kernel.contract) == ("mine", "mine", "mine", "v2")
    assert kernel.image == entry.folder / "vmlinuz"
    assert kernel.vmlinux == entry.folder / "vmlinux"
    assert kernel.provenance == entry.provenance
    assert kernel.origin == "somewhere"
    assert kernel.modules is None


def test_a_name_goes_before_a_file_of_that_name(entry: Built, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"")
    assert spec.resolve("mine", base=tmp_path).name == "mine"
    with pytest.raises(SpecError, match="is no kernel image"):
        spec.resolve("./mine", base=tmp_path)
