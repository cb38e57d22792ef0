# SPDX-License-Identifier: GPL-2.0-only
"""What a run found, as data: the one file that every report, the gate and the bisection read.

``results.jsonl`` holds one JSON object a line: ``{"run": ...}`` first, ``{"result": ...}`` for each test as soon as it
has ended, ``{"end": ...}`` last. A file without its last line is a run that was cut short, and never a pass.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

NAME = "results.jsonl"
#: Raised with every change that an older reader would misunderstand.
FORMAT = 1


class Outcome(StrEnum):
    """How a test ended. The last three are never mixed with ``failed``."""

    PASSED = "passed"
    FAILED = "failed"
    #: Not applicable to this kernel, by name.
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    #: A known quirk that is gone: the mark must go too.
    XPASSED = "xpassed"
    #: The kernel died.
    CRASHED = "crashed"
    #: No answer within the deadline.
    HUNG = "hung"
    #: The machine, a tool or the network: nothing was learned about the kernel.
    INFRA = "infra"

    @property
    def bad(self) -> bool:
        """Whether it speaks against the kernel."""
        return self in (Outcome.FAILED, Outcome.XPASSED, Outcome.CRASHED, Outcome.HUNG)

    @property
    def judged(self) -> bool:
        """Whether the kernel was put to the test at all."""
        return self not in (Outcome.SKIPPED, Outcome.INFRA)


@dataclass(frozen=True, slots=True)
class Splat:
    """One complaint of the kernel: ``kind`` names the pattern, ``line`` is its first line, ``text`` all of it."""

    kind: str
    line: str
    text: str
    expected: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """How one test ended on one kernel. ``test`` is its node id without the kernel's; ``seconds`` are the host's."""

    test: str
    kernel: str
    outcome: Outcome
    seconds: float = 0.0
    #: One line: what was expected and seen, or why the test did not apply.
    message: str = ""
    #: Everything that pytest shows of a failure.
    details: str = ""
    #: One command line: same kernel, same test.
    reproduce: str = ""
    file: str = ""
    line: int = 0
    splats: tuple[Splat, ...] = ()
    #: The test's slice of the kernel's log.
    log: str = ""
    #: What the verifier said, where the test asked it.
    verifier: str = ""
    #: Which worker of pytest-xdist ran it; empty without.
    worker: str = ""
    #: Names and values that the test recorded (pytest's ``user_properties``): a row of a table in the HTML report.
    properties: tuple[tuple[str, str], ...] = ()
    #: The file with the whole console of the VM that it ran in, in the run's folder; empty where it asked for none.
    console: str = ""
    #: Where it first went another way than passing: setup, call, teardown, or boot where the kernel died as it booted.
    phase: str = ""


@dataclass(frozen=True, slots=True)
class Untested:
    """What a kernel has and no test covers: ``kind`` is ``kfunc``, or the enum that an enumerator is of.

    ``accepted`` is whether the run was told that this will do (``--accept-kfunc``).
    """

    name: str
    kind: str
    accepted: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.name}{' (accepted)' if self.accepted else ''}"


@dataclass(frozen=True, slots=True)
class JudgedKernel:
    """Where a kernel of the run came from. ``id`` is what the results' ``kernel`` names; the rest is as printed."""

    id: str
    #: What was asked for: a spec or a name.
    spec: str
    release: str
    origin: str
    contract: str
    how_contract: str
    #: Ids and subjects, in the order applied.
    patches: tuple[tuple[str, str], ...] = ()
    flavours: tuple[str, ...] = ()
    config_digest: str = ""
    compiler: str = ""
    image: str = ""
    #: Its kfuncs and enumerators that no test covers.
    untested: tuple[Untested, ...] = ()

    @property
    def unaccepted(self) -> tuple[Untested, ...]:
        """What keeps the run from being a plain pass, whatever its results."""
        return tuple(one for one in self.untested if not one.accepted)


@dataclass(frozen=True, slots=True)
class Between:
    """Splats that no test was running for: ``after`` and ``before`` are the neighbours' node ids, or empty."""

    kernel: str
    after: str
    before: str
    splats: tuple[Splat, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """A run, as far as it came: ``status`` is None, and ``complete`` false, where its last line is missing."""

    #: ISO 8601, UTC.
    started: str
    command: str
    accelerator: str
    versions: str
    kernels: tuple[JudgedKernel, ...]
    project: str = ""
    results: tuple[Result, ...] = ()
    between: tuple[Between, ...] = ()
    ended: str = ""
    status: int | None = None
    #: Why the run ended early, one line.
    stopped: str = ""
    #: Whether it did so because as many were bad as it was to end for (``--maxfail``).
    enough: bool = False
    #: Node ids that were to run, with their kernel's id: what has no result among them was never reached.
    planned: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def complete(self) -> bool:
        """Whether the run came to its own end, with a result for everything it had planned."""
        return self.status is not None and not self.unreached

    @property
    def unreached(self) -> tuple[tuple[str, str], ...]:
        """What was planned and has no result."""
        done = {(result.test, result.kernel) for result in self.results}
        return tuple(pair for pair in self.planned if pair not in done)

    @property
    def unaccepted(self) -> tuple[tuple[str, Untested], ...]:
        """What its kernels have that no test covers and nobody accepted, each with its kernel's id."""
        return tuple((kernel.id, one) for kernel in self.kernels for one in kernel.unaccepted)

    @property
    def counts(self) -> dict[str, int]:
        """How many results of each outcome, only those that there are."""
        return dict(Counter(str(result.outcome) for result in self.results))


class Incomplete(Exception):
    """The file is missing, empty, cut short, or not of this format. The message is one line."""


def now() -> str:
    """The time as results have it: ISO 8601, UTC, in seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_line(file: Path, kind: str, content: Result | Between | Mapping[str, object]) -> None:
    """Append one record, in one write: a killed run leaves whole lines but for the last. Raises OSError."""
    data = dict(content) if isinstance(content, Mapping) else asdict(content)
    text = json.dumps({kind: data}, ensure_ascii=True, separators=(",", ":"))
    with file.open("ab", buffering=0) as out:
        out.write(text.encode() + b"\n")


def begin(file: Path, run: Run) -> None:
    """Start the file with the run's facts; ``planned`` among them. Raises OSError."""
    facts = asdict(run)
    for later in ("results", "between", "ended", "status", "stopped", "enough"):
        del facts[later]
    file.write_bytes(b"")
    write_line(file, "run", {"format": FORMAT, **facts})


def end(file: Path, run: Run) -> None:
    """Close the file of a run that has ended, with the number of result lines that it must hold. Raises OSError."""
    closing = {name: getattr(run, name) for name in ("ended", "status", "stopped", "enough")}
    write_line(file, "end", {**closing, "results": len(run.results)})


def read(file: Path) -> Run:
    """The run in ``file``. Raises Incomplete unless the file is whole; see :func:`read_partial`."""
    run, problem = read_partial(file)
    if run is None or problem:
        raise Incomplete(problem)
    return run


def read_partial(file: Path) -> tuple[Run | None, str]:
    """What can be read of ``file``, and what is wrong with it in one line, empty where nothing is."""
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError as error:
        return None, f"{file} cannot be read ({error.strerror})"
    records, problem = _records(file, lines)
    if not records or "run" not in records[0]:
        return None, problem or f"{file} holds no run"
    facts = dict(records[0]["run"])
    if facts.pop("format", None) != FORMAT:
        return None, f"{file} is of another format"
    found = [record["result"] for record in records if "result" in record]
    between = [record["between"] for record in records if "between" in record]
    closing: dict[str, Any] = dict(records[-1].get("end", {}))
    if not closing:
        problem = problem or f"{file} was cut short after {len(found)} results"
    elif (said := closing.pop("results", None)) != len(found):
        problem = problem or f"{file} holds {len(found)} results and says {said}"
    try:
        return from_data({**facts, "results": found, "between": between, **closing}), problem
    except ValueError as error:
        return None, f"{file}: {error}"


def from_data(data: Mapping[str, Any]) -> Run:
    """The run whose ``asdict`` is ``data``, also after a way through JSON. Raises ValueError for anything else."""
    try:
        return Run(
            **{
                **data,
                "kernels": tuple(map(_kernel, data["kernels"])),
                "planned": tuple((str(test), str(kernel)) for test, kernel in data["planned"]),
                "results": tuple(map(_result, data["results"])),
                "between": tuple(map(_between, data["between"])),
            }
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no run ({type(error).__name__}: {error})") from error


def _records(file: Path, lines: list[bytes]) -> tuple[list[dict[str, Any]], str]:
    records = []
    for number, line in enumerate(lines[:-1] if lines[-1] == b"" else lines, 1):
        try:
            records.append(json.loads(line))
        except ValueError:
            return records, f"{file}:{number} is not whole"
        if not isinstance(records[-1], dict):
            return records[:-1], f"{file}:{number} is no record"
    return records, "" if records else f"{file} is empty"


def _result(data: dict[str, Any]) -> Result:
    properties = tuple((str(name), str(value)) for name, value in data.get("properties", ()))
    typed = {"outcome": Outcome(data["outcome"]), "splats": _splats(data["splats"]), "properties": properties}
    return Result(**{**data, **typed})


def _between(data: dict[str, Any]) -> Between:
    return Between(**{**data, "splats": _splats(data["splats"])})


def _splats(data: Iterable[dict[str, Any]]) -> tuple[Splat, ...]:
    return tuple(Splat(**splat) for splat in data)


def _kernel(data: dict[str, Any]) -> JudgedKernel:
    patches = tuple((str(id_), str(subject)) for id_, subject in data["patches"])
    untested = tuple(Untested(**one) for one in data.get("untested", ()))
    return JudgedKernel(**{**data, "patches": patches, "flavours": tuple(data["flavours"]), "untested": untested})
