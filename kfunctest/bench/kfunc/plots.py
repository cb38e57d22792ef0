# SPDX-License-Identifier: GPL-2.0-only
"""The figures as plots, PNG and SVG."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kfunctest import files
from kfunctest.bench.kfunc import samples as names
from kfunctest.bench.kfunc.samples import Figures, clock_of
from kfunctest.bench.kfunc.stats import spread
from kfunctest.bench.kfunc.table import WORDS
from kfunctest.errors import InfraError

#: Readable on a light and on a dark page alike, also without colour: see the markers.
FILE, KFUNCS = "#b5651d", "#2a6f97"
FORMATS = ("png", "svg")


def write(figures: Figures, folder: Path) -> list[Path]:
    """Draw what was measured into ``folder``. Raises InfraError where it cannot be written."""
    wanted: list[tuple[str, Callable[[Axes, Figures], None]]] = []
    if figures.sides:
        wanted.append(("time-per-read", _sides))
    if figures.trees:
        wanted.append(("growth", _growth))
    written = []
    # The same figures give the same file, letter for letter.
    with mpl.rc_context({"svg.hashsalt": "kfunctest", "font.size": 10, "svg.fonttype": "none"}):
        for name, draw in wanted:
            figure = Figure(figsize=(8, 4.5), layout="constrained")
            axes = figure.add_subplot()
            draw(axes, figures)
            written += [_save(figure, folder / f"{name}.{kind}") for kind in FORMATS]
    return written


def _save(figure: Figure, path: Path) -> Path:
    drawn, kind = io.BytesIO(), path.suffix[1:]
    figure.savefig(drawn, format=kind, dpi=144, metadata={"Date": None} if kind == "svg" else None)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, drawn.getvalue())
    except OSError as error:
        raise InfraError(f"{path} cannot be written ({error.strerror})", remedy="name another folder") from error
    return path


def _sides(axes: Axes, figures: Figures) -> None:
    clock = clock_of(figures)
    for at, (name, runs) in enumerate(figures.sides.items()):
        each = [clock.per_second * run.each for run in runs]
        colour = FILE if name in (names.CONTROL, names.BY_HAND, names.RAW, names.PYTHON_FILE) else KFUNCS
        middle = spread(each).median
        axes.barh(at, middle, color=colour, alpha=0.6)
        axes.plot(each, [at] * len(each), "|", color="black", markersize=9)
        axes.annotate(f"{middle:.0f}", (max(each), at), xytext=(4, -4), textcoords="offset points")
    axes.set_yticks(range(len(figures.sides)), [WORDS[name].format(**figures.about) for name in figures.sides])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel(f"{clock.unit} a read; a stroke is a round")
    axes.set_title(_title("One memcg", figures), loc="left")


def _growth(axes: Axes, figures: Figures) -> None:
    clock = clock_of(figures)
    sizes = sorted(figures.trees)
    for side, words, colour, marker in (
        (names.FILES, "memory.stat of each", FILE, "s"),
        (names.ITERATOR, "one pass of the iterator", KFUNCS, "o"),
    ):
        runs = {size: figures.trees[size][side] for size in sizes if side in figures.trees[size]}
        found = [(size, spread([clock.per_second * run.each for run in made])) for size, made in runs.items()]
        middles = [one.median for _, one in found]
        ends = [[one.median - one.least for _, one in found], [one.most - one.median for _, one in found]]
        axes.errorbar(
            [size for size, _ in found], middles, yerr=ends, color=colour, marker=marker, capsize=3, label=words
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("memcgs in the tree")
    axes.set_ylabel(f"{clock.unit} for all of it")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend()
    axes.set_title(_title("Whole trees", figures), loc="left")


def _title(what: str, figures: Figures) -> str:
    about = figures.about
    return f"{what}: {about.get('kernel')} under {str(about.get('accelerator')).upper()}"
