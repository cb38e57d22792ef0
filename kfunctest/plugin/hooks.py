# SPDX-License-Identifier: GPL-2.0-only
"""The pytest plugin: options and hooks. What they do is in the modules beside this one, imported when needed."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Generator
from typing import Any

import pytest

from kfunctest.plugin import RECORD, SESSION


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare what a run may be told."""
    from kfunctest.plugin import parallel, report_files, targets

    for part in (targets, parallel):  # before pytest-xdist decides on its workers
        pluginmanager.register(part)
    # What pytest shows below a wrong command line: its own are the folder and the file of its settings.
    parser.extra_info.clear()
    parser.extra_info["see"] = "scripts/kfunc --help"
    group = parser.getgroup("kfunctest", "judge the memcg BPF kfuncs of a kernel")
    group.addoption(
        "--kernel",
        action="append",
        metavar="SPEC",
        help="the kernel to judge (repeatable): debian (default: the Debian archive's newest that has the kfuncs), "
        "debian:SERIES, a name of kernel-config/kernels.toml (built where it is not yet), or the path of an image, of "
        "an installed modules folder, or of a build tree",
    )
    group.addoption(
        "--contract", metavar="NAME", help="judge by this revision's contract: v2 or v7.0 (default: by BTF)"
    )
    group.addoption(
        "--accept-kfunc",
        action="append",
        default=[],
        metavar="NAME",
        help="accept that no test covers this kfunc or enumerator (repeatable)",
    )
    group.addoption("--debian-mirror", metavar="URL", help="the Debian archive to use (default: the system's own)")
    group.addoption(
        "--accel", choices=("auto", "kvm", "tcg"), default="auto", help="the accelerator (default: KVM where it works)"
    )
    group.addoption("--cpus", type=_cpus, default=2, metavar="N", help="CPUs of a VM (default: 2)")
    group.addoption("--memory", type=_memory, default="1G", metavar="SIZE", help="memory of a VM (default: 1G)")
    group.addoption(
        "--results", metavar="DIR", help="where reports and consoles are kept (default: results/ below the root folder)"
    )
    group.addoption(
        "--frantic",
        action="store_true",
        help="in VMs: run background work (khugepaged, kcompactd, ...) continuously, and keep CPUs busy",
    )
    report_files.add_options(group)


def _cpus(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of CPUs")
    return int(text)


def _memory(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d*[MG]", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no size like 1G or 768M")
    return text


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, int, int]:
    """Decide on the exit status, whatever ends the run."""
    from kfunctest.plugin import run_end

    return (yield from run_end.decided(config))


def pytest_configure(config: pytest.Config) -> None:
    """Attach the session. Nothing is looked up until a test asks for a kernel."""
    from kfunctest import cache
    from kfunctest.plugin import record, terminal
    from kfunctest.plugin.run_end import RunEnd
    from kfunctest.plugin.session import Session
    from kfunctest.plugin.splats import Splats

    cache.hold_own_environment()
    config.addinivalue_line(
        "markers", "bpf_programs(source): one test for each annotated program of selftests/bpf/<source>"
    )
    config.addinivalue_line(
        "markers",
        "boot(append, without, memory): in a VM whose kernel gets these arguments beyond the usual ones, lacks those, "
        "or that has this much memory",
    )
    session = config.stash[SESSION] = Session(config)
    run_end = RunEnd(config)
    splats = Splats(config, run_end)
    config.stash[RECORD] = record.of_this_process(config, session, splats, run_end)
    config.pluginmanager.register(terminal, "kfunctest-terminal")
    config.pluginmanager.register(run_end, "kfunctest-run-end")
    config.pluginmanager.register(config.stash[RECORD], "kfunctest-record")
    config.pluginmanager.register(splats, "kfunctest-splats")


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what runs, also after an interrupt."""
    if session := config.stash.get(SESSION, None):  # not there where another plugin could not be configured
        session.close()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Reach the machine to judge. Under pytest-xdist, fetch the kernels and name them: its workers have no terminal."""
    from kfunctest.plugin import collect, stop

    config = session.config
    if sys.flags.optimize:
        config.stash[SESSION].impossible = stop.no_asserts()
        return
    if hasattr(config, "workerinput") or not collect.may_ask_for_a_kernel(config):
        return
    ours = config.stash[SESSION]
    ours.reach()
    if config.pluginmanager.hasplugin("dsession") and not ours.impossible:
        ours.prepare_for_workers()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Let the workers of pytest-xdist keep their consoles in one folder."""
    node.workerinput["kfunctest_run"] = node.config.stash[SESSION].run_name


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """End here what :func:`pytest_sessionstart` found to be impossible; pytest does not expect it to be said there."""
    if impossible := session.config.stash[SESSION].impossible:
        raise impossible


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on each kernel, and one test per annotated BPF program."""
    if "kernel" in metafunc.fixturenames:
        from kfunctest.plugin import collect

        collect.generate(metafunc, metafunc.config.stash[SESSION])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is run on request only."""
    from kfunctest.plugin import collect

    collect.leave_out_what_nobody_asked_for(config, items)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch the kernels, if a test asks for one, before the first test runs."""
    if not session.testsfailed:
        from kfunctest.plugin import collect, parallel

        run = not session.config.option.collectonly
        collect.finish(session.items, session.config.stash[SESSION], run=run)
        parallel.same_kernels(session)


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """Name the kernel, contract, accelerator and versions before the first test."""
    return config.stash[SESSION].header()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say at the end, where a reader of a long log looks, what was judged and where the consoles are."""
    for line in config.stash[SESSION].footer():
        terminalreporter.write_line(line)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the run, when fixtures and pytest-xdist's workers have ended."""
    session.config.stash[RECORD].finish(session)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note where the console is when a test begins."""
    item.config.stash[SESSION].test_begins()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Decide on the phase, after all other plugins."""
    from kfunctest.plugin import test_result
    from kfunctest.plugin.outcome import Seen

    report = yield
    splats = item.config.pluginmanager.getplugin("kfunctest-splats")  # -p no:kfunctest-splats: no kernel is looked at
    test_result.judge(item, call, report, splats.seen(item, report.when) if splats else Seen())
    return report
