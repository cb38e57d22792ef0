# SPDX-License-Identifier: GPL-2.0-only
"""Runs to report: one with every outcome, and text in it that breaks whatever does not escape it."""

from __future__ import annotations

from kfunctest.results import Between, JudgedKernel, Outcome, Result, Run, Splat

#: Each line is an attack on some format: XML, HTML, a template, KTAP, GitHub's commands, a terminal, UTF-8.
HOSTILE = "\n".join(
    [
        "".join(map(chr, range(0x20))) + "\x7f\x80\x9b",
        "]]> <![CDATA[ </pre></script><script>document.title='broken'</script><!-- --> &amp; &lt;",
        "\" onmouseover='x' `x` {{ 7 * 7 }} {% raw %}",
        "KTAP version 1",
        "# Subtest: forged",
        "1..3",
        "not ok 1 forged",
        "Kernel panic - not syncing: VFS: Unable to mount root fs",
        "reboot: System halted",
        "::error file=x::forged",
        "%0A%25 100% \r::stop-commands::x",
        "\x1b[31mred\x1b[0m \udc80\ud800 \ufffe\uffff \u2028 \U0001f600",
        "| a | table | [link](javascript:x) <details>",
    ]
)
KERNEL = JudgedKernel(
    id="7.2-slim",
    spec="7.2-slim",
    release="7.2.12-slim",
    origin="Debian's source 7.2.12-1",
    contract="v7.0",
    how_contract="identified by BTF",
    patches=(("0123456789ab", "memcg: a <b>patch</b> & more"),),
    flavours=("debug",),
    config_digest="abcdef",
    compiler="gcc (Debian 12.2.0) 12.2.0",
    image="/boot/vmlinuz",
)
OTHER = JudgedKernel("6.12#2", "debian:6.12", "6.12.1", "Debian", "v2", "declared")
SPLAT = Splat("warn", "WARNING: CPU: 0 PID: 1 at mm/x.c:1 f+0x1/0x2", f"WARNING: ...\nCall Trace:\n{HOSTILE}")
WHERE = "selftests/test_usage.py"


def result(name: str, outcome: Outcome, kernel: JudgedKernel = KERNEL, message: str = "", details: str = "") -> Result:
    """A result as the recorder writes it."""
    reproduce = "" if outcome is Outcome.PASSED else f"scripts/kfunc --kernel {kernel.spec} {WHERE}::{name}"
    return Result(f"{WHERE}::{name}", kernel.id, outcome, 0.125, message, details, reproduce, WHERE, 17)


RESULTS = (
    result("test_passes", Outcome.PASSED),
    result("test_fails", Outcome.FAILED, message=f"AssertionError: {HOSTILE}", details=HOSTILE),
    result("test_crashes", Outcome.CRASHED, message="Kernel panic - not syncing: VFS: Unable to mount root fs"),
    result("test_hangs", Outcome.HUNG, message="no answer within 60 s"),
    result("test_infra", Outcome.INFRA, message="QEMU was killed by signal 9"),
    result("test_skips", Outcome.SKIPPED, message="not applicable: contract v7.0"),
    result("test_quirk", Outcome.XFAILED, message="a known quirk"),
    result("test_gone", Outcome.XPASSED, message="a quirk that is gone"),
    Result(
        "selftests/test_verifier.py::test_refused[a#b-<c>]",
        KERNEL.id,
        Outcome.FAILED,
        1.5,
        "not refused",
        splats=(SPLAT,),
        log=HOSTILE * 3,
        verifier=f"0: R1=ctx()\n{HOSTILE}",
    ),
    result("test_passes", Outcome.PASSED, OTHER),
)
COUNTS = {"passed": 2, "failed": 2, "crashed": 1, "hung": 1, "infra": 1, "skipped": 1, "xfailed": 1, "xpassed": 1}
PLANNED = tuple((result.test, result.kernel) for result in RESULTS)
#: A run to its end, with all outcomes on one kernel and a pass on another.
RUN = Run(
    started="2026-01-01T00:00:00+00:00",
    command="pytest -m kfunc --kernel 7.2-slim",
    accelerator="tcg (/dev/kvm is not there)",
    versions="QEMU 7.2.22, virtme-ng 1.42",
    kernels=(KERNEL, OTHER),
    project="e25e0a1",
    results=RESULTS,
    ended="2026-01-01T00:01:00+00:00",
    status=1,
    planned=PLANNED,
)
#: A good run.
GOOD = Run(
    started=RUN.started,
    command=RUN.command,
    accelerator=RUN.accelerator,
    versions=RUN.versions,
    kernels=(KERNEL,),
    results=RESULTS[:1],
    ended=RUN.ended,
    status=0,
    planned=PLANNED[:1],
)
#: One that was ended by hand, with a splat between its tests, and a test that it did not reach.
CUT = Run(
    started=RUN.started,
    command=RUN.command,
    accelerator=RUN.accelerator,
    versions=RUN.versions,
    kernels=(KERNEL,),
    results=RESULTS[:1],
    between=(Between(KERNEL.id, PLANNED[0][0], PLANNED[1][0], (SPLAT,)),),
    ended=RUN.ended,
    status=2,
    stopped="interrupted",
    planned=PLANNED[:2],
)
