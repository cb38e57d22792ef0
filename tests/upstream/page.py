# SPDX-License-Identifier: GPL-2.0-only
"""docs/upstream.md, as the test that judges upstream's programs writes it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

from tests.upstream.reasons import REASONS
from tests.upstream.verdicts import Found

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "upstream.md"
_INTRODUCTION: Final = """\
# Upstream's verdicts

The annotations in `selftests/bpf` are those of the kernel's own BPF selftests. Here the kernel's own files go through
our loader: the annotated ones of `{where}` that need neither `vmlinux.h` nor the module
`bpf_testmod`. They are read from the project's store of sources when the test runs; `tox -e upstream` writes this page.

Source: {source}. Kernel: {kernel}. Compiler: this machine's clang, `-mcpu=v3`.

| | |
|---|---|
| files compiled, of those that qualify | {compiled} of {files} |
| programs judged | {programs} |
| annotations held | {annotations} |
| verdicts that are upstream's | {agreeing} ({share:.1%}) |
{left_out}
An annotation about what becomes of an accepted program is not held: {not_held}. What concerns loading by
an unprivileged user is passed over.
"""


def write(found: Found, source: str, kernel: str) -> None:
    """Write the page anew."""
    files = {one.file for one in found.judged}
    not_held = Counter(name for one in found.judged for name in set(one.not_held))
    text = _INTRODUCTION.format(
        where="tools/testing/selftests/bpf/progs",
        source=source,
        kernel=kernel,
        compiled=len(files),
        files=len(files) + len(found.files_left_out),
        programs=len(found.judged),
        annotations=sum(one.annotations for one in found.judged),
        agreeing=found.agreeing,
        share=found.agreeing / max(1, len(found.judged)),
        left_out="".join(f"| programs {why}, left out | {count} |\n" for why, count in found.programs_left_out.items()),
        not_held=", ".join(f"`{name}` ({count})" for name, count in sorted(not_held.items())) or "none",
    )
    rows = [f"| `{name}` | {_cell(why)} |" for name, why in found.files_left_out]
    text += "\n## Files left out\n\n| file | the compiler's first error |\n|---|---|\n" + "\n".join(rows) + "\n"
    different = [one for one in found.judged if one.wrong]
    rows = [
        f"| `{one.name}` | {_cell(_short(one.wrong))} | {REASONS.get(one.name, 'not known')} |" for one in different
    ]
    text += "\n## Verdicts that differ\n\n| program | how | why |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    PAGE.write_text(text)


def _short(wrong: str) -> str:
    return "; ".join(wrong.splitlines()[:2])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
