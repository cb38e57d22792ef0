# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel says of programs that replace a function of another program (``freplace``)."""

from __future__ import annotations

from kfunctest.guest.libbpf import Object, Program, library
from kfunctest.guest.verdicts import Court

Said = tuple[int, str]


def judge(path: str, target: str, function: str, extensions: list[str]) -> dict[str, Said]:
    """What the kernel says of each extension that would replace ``function`` of ``target``; all are in one object.

    The errno (0: accepted) and the verifier's log; nothing stays loaded. Raises BpfError where ``target`` is refused or
    has no such function, and as :func:`kfunctest.guest.verdicts.judge` does.
    """
    with Object(path) as extended:
        extended.load([target])
        court = _Extensions(path, extensions, extended.programs[target].fd, function)
        try:
            court.sit()
            return {name: verdict[:2] for name, verdict in court.verdicts().items()}
        finally:
            court.close()


class _Extensions(Court):
    def __init__(self, path: str, extensions: list[str], target: int, function: str) -> None:
        super().__init__(library(), path, dict.fromkeys(extensions, (0, 0, False)))
        self._target, self._function = target, function

    def _aim(self, program: Program) -> None:
        c = self._lib.c
        aimed = c.bpf_program__set_attach_target(program.pointer, self._target, self._function.encode())
        self._lib.check(aimed, f"let {program.name} replace {self._function}")
