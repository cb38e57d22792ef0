# SPDX-License-Identifier: GPL-2.0-only
"""scripts/bench kfunc: measure, report, keep the record, compare it with an earlier one."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kfunctest import files, shell
from kfunctest.bench.kfunc import experiment, gate, items, plots, programs, samples, table, time_source
from kfunctest.bench.kfunc.experiment import Experiment, Plan
from kfunctest.bench.kfunc.runs import Lab
from kfunctest.bench.kfunc.samples import Figures
from kfunctest.bench.options import Options
from kfunctest.errors import EXIT_INTERRUPTED, GuestError, InfraError, SpecError, VmDied
from kfunctest.kernels import spec
from kfunctest.kernels.model import Kernel
from kfunctest.machine import host_checks
from kfunctest.machine.accelerator import Accelerator
from kfunctest.machine.console import Console
from kfunctest.machine.vm import boot
from kfunctest.trial.suite import CHECKOUT

#: Both sides do not read the same, or the kfuncs have become slower.
EXIT_BAD = 1

Say = Callable[[str], None]


def add(parsers: argparse._SubParsersAction[shell.Parser]) -> shell.Parser:
    """Declare the command; returns its parser."""
    parser = parsers.add_parser("kfunc", help="reading memcgs through the kfuncs against reading memory.stat")
    parser.add_argument("--kernel", default=spec.DEFAULT, metavar="SPEC", help="as in pytest --kernel")
    parser.add_argument("--rounds", type=_count, default=7, metavar="N", help="rounds, of all sides each (default: 7)")
    much = parser.add_mutually_exclusive_group()
    much.add_argument("--iterations", type=_count, metavar="N", help="reads a side and round (the patch's: 1000000)")
    much.add_argument("--seconds", type=_seconds, metavar="S", help="else: how long each takes by the guest's clock")
    parser.add_argument(
        "--clock",
        choices=("auto", *time_source.CLOCKS),
        default="auto",
        help="measure time, or count the guest's instructions, as TCG can (default: that where there is only TCG)",
    )
    parser.add_argument(
        "--figures",
        type=_figures,
        default=experiment.FIGURES,
        metavar="NAMES",
        help=f"some of {','.join(experiment.FIGURES)} (default: all)",
    )
    parser.add_argument("--results", type=Path, metavar="DIR", help="where to (default: results/bench/TIME)")
    parser.add_argument(
        "--from",
        dest="record",
        type=Path,
        metavar="JSON",
        help="report an earlier run, with --results draw it too; none is made",
    )
    parser.add_argument(
        "--gate", type=Path, metavar="JSON", help="status 1 where the ratio is worse than in this record"
    )
    parser.add_argument(
        "--allowed", type=_factor, metavar="X", help="by which factor (default: by the clock, docs/bench.md)"
    )
    return parser


@dataclass(frozen=True, slots=True, kw_only=True)
class Kfunc(Options):
    """scripts/bench kfunc."""

    kernel: str
    rounds: int
    iterations: int | None
    seconds: float | None
    clock: str
    figures: tuple[str, ...]
    results: Path | None
    record: Path | None
    gate: Path | None
    allowed: float | None

    def run(self) -> int:
        """Measure, or read a record, and report it."""
        return run(self, shell.say)


def run(options: Kfunc, say: Say) -> int:
    """Run the command; returns its status. Raises KfunctestError."""
    base = shell.base()
    # A baseline that cannot be read is said before anything is measured.
    baseline = samples.load(base / options.gate) if options.gate else None
    folder = (base / options.results).resolve() if options.results else None
    if options.record:
        found = samples.load(base / options.record)
    else:
        folder = folder or CHECKOUT / "results" / "bench" / time.strftime("%Y%m%d-%H%M%S")
        found = measured(options, folder, base, say)
    return finish(found, folder, baseline, options.allowed, say)


def finish(found: Figures, folder: Path | None, baseline: Figures | None, allowed: float | None, say: Say) -> int:
    """Report what was measured, keep it in ``folder``, and judge it; returns the status."""
    kept: list[Path] = []
    if folder:
        found.save(folder / "kfunc.json")
        kept = [folder / "kfunc.json", *plots.write(found, folder)]
    lines = table.report(found)
    for line in lines:
        say(line)
    if folder:
        files.write(folder / "kfunc.md", "\n".join(lines) + "\n")
        say(f"kept: {', '.join(map(str, [*kept, folder / 'kfunc.md']))}")
    if found.wrong:
        return EXIT_BAD
    if not found.whole:
        return EXIT_INTERRUPTED
    if baseline:
        verdict = gate.judge(baseline, found, allowed)
        for line in verdict.lines:
            say(line)
        return EXIT_BAD if verdict.slower else 0
    return 0


def measured(options: Kfunc, folder: Path, base: Path, say: Say) -> Figures:
    """Boot the kernel and measure; what there is when Ctrl-C is pressed, or when the kernel dies, is returned.

    Raises KfunctestError where nothing can be measured.
    """
    host_checks.check()
    kernel = spec.resolve(options.kernel, base=base)
    if not kernel.facts.kfuncs:
        raise SpecError(f"{kernel.release} has none of the memcg BPF kfuncs", remedy="measure a kernel of 7.0 or newer")
    accel = options.accelerator()
    clock = _clock(options.clock, accel)
    if clock is time_source.INSTRUCTIONS:
        accel = time_source.counted(accel)
    compiled = programs.build()
    wanted = {samples.KFUNCS: items.every(kernel), samples.PATCHS: items.patchs(kernel)}
    found = Figures({**_about(kernel, accel, wanted), "clock": clock.name})
    plan = Plan(options.rounds, options.seconds or clock.seconds, options.iterations, options.figures, clock.per_second)
    folder.mkdir(parents=True, exist_ok=True)
    say(f"kernel {kernel.release}, accelerator {accel.name} ({accel.why}); Ctrl-C ends it with what was measured")
    with suppress(KeyboardInterrupt), boot(kernel, accel, Console(folder / "console"), clock.shape) as vm:
        found.about["cpus"] = vm.cpus
        try:
            Experiment(Lab(vm, compiled), vm, wanted, plan, found, say).run()
        except (VmDied, GuestError) as error:
            for line in table.report(found):
                say(line)
            raise InfraError(f"the experiment ended early: {error}", remedy=f"see {folder / 'console'}") from error
    return found


def _about(kernel: Kernel, accel: Accelerator, wanted: dict[str, items.Items]) -> dict[str, str | int | None]:
    return {
        "kernel": kernel.release,
        "image": kernel.image_digest,
        "config": kernel.config_digest,
        "accelerator": accel.name,
        "why": accel.why,
        "machine": _cpu(),
        "cpus": None,
        "versions": host_checks.versions(),
        "memcg": "the root memcg",
        "reader": "the root memcg",
        "items": len(wanted[samples.KFUNCS].names),
        "patchs_items": len(wanted[samples.PATCHS].names),
        "measured": time.strftime("%Y-%m-%d"),
    }


def _clock(asked: str, accel: Accelerator) -> time_source.Clock:
    if asked == "auto":
        return time_source.INSTRUCTIONS if accel.name == "tcg" else time_source.TIME
    if asked == time_source.INSTRUCTIONS.name and accel.name != "tcg":
        raise SpecError(f"{accel.name} cannot count the guest's instructions", remedy="add --accel tcg")
    return time_source.CLOCKS[asked]


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "an unknown CPU"


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no count")
    return int(text)


def _seconds(text: str) -> float:
    return _more_than(text, 0)


def _factor(text: str) -> float:
    return _more_than(text, 1)


def _more_than(text: str, least: float) -> float:
    with suppress(ValueError):
        if least < float(text) < 1e6:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number above {least}")


def _figures(text: str) -> tuple[str, ...]:
    asked = tuple(text.split(","))
    if unknown := [name for name in asked if name not in experiment.FIGURES]:
        raise argparse.ArgumentTypeError(f"there is no {unknown[0]!r}; choose of {','.join(experiment.FIGURES)}")
    return tuple(dict.fromkeys(asked))
