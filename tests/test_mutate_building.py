# SPDX-License-Identifier: GPL-2.0-only
"""The kernels of mutants in the cache: as few as a run needs, and nobody else's."""

from __future__ import annotations

import json
import os
from pathlib import Path

from kfunctest.kernels import build
from kfunctest.mutate import building, catalogue

CHECKOUT = Path(__file__).resolve().parents[1]


def made(cache: Path, name: str, age: int, *subjects: str) -> Path:
    """A kernel in the cache that was used ``age`` seconds before the newest."""
    folder = cache / "built" / name
    folder.mkdir(parents=True)
    provenance = {
        "source": "linux-source-7.2",
        "tree": "0" * 40,
        "patches": [["1", subject] for subject in subjects],
        "flavours": [],
        "compiler": "gcc",
        "linker": "ld",
        "pahole": "pahole",
        "contract": None,
    }
    (folder / build.PROVENANCE).write_text(json.dumps(provenance))
    (folder / build.IMAGE).write_bytes(b"kernel")
    os.utime(folder, (1_000_000 - age, 1_000_000 - age))
    return folder


def test_the_mutants_used_last_are_kept_and_the_others_go(cache_here: Path) -> None:
    folders = [made(cache_here, f"m{age}", age, "mutation: usage is in pages") for age in range(4)]
    building.prune(keep=2)
    assert [folder.is_dir() for folder in folders] == [True, True, False, False]


def test_kernels_of_somebody_else_are_left_alone(cache_here: Path) -> None:
    ours = made(cache_here, "plain", 99)
    patched = made(cache_here, "patched", 99, "mm: memcontrol: let BPF programs get and put a memcg")
    building.prune(keep=0)
    assert ours.is_dir()
    assert patched.is_dir()


def test_the_subject_of_every_mutation_says_so() -> None:
    """By it they are known in the cache, and in a report."""
    texts = {one.id: one.patch.read_text() for one in catalogue.load().values()}
    assert [name for name, text in texts.items() if f"Subject: [PATCH] {building.SUBJECT}" not in text] == []
