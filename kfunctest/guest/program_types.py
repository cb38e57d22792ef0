# SPDX-License-Identifier: GPL-2.0-only
"""One program loaded as every type there is, for the price of loading one object (selftests/bpf/program_types.bpf.c).

libbpf relocates all programs of an object before it loads the first. So when a *place* is about to be loaded, a program
that does nothing and has the type and the target that matter, the instructions of the *callers* are ready, and are
loaded in its stead one after the other.
"""

from __future__ import annotations

import os

from kfunctest.guest.libbpf import library
from kfunctest.guest.verdicts import Court

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kfunctest.guest.libbpf_abi import ProgLoadOpts
    from kfunctest.guest.verdicts import Code

Said = tuple[int, str]


def judge(path: str, places: list[str], callers: list[str], together: str) -> dict[str, dict[str, Said]]:
    """What the kernel says of every caller at every place: the errno (0: accepted) and the verifier's log.

    ``together`` is a caller that calls what all but the last of ``callers`` call. Where it is accepted, so is each of
    them, and is not asked about: a third of the time.
    A place that does not load as it stands, with nothing in it that calls, has what the kernel says of that under its
    own name, and no caller. Raises KeyError and BpfError as :func:`kfunctest.guest.verdicts.judge` does.
    """
    court = _Places(path, places, callers, together)
    try:
        court.sit()
        lacking = {name: verdict[:2] for name, verdict in court.verdicts().items() if name in places}
        return court.said | {place: {place: said} for place, said in lacking.items()}
    finally:
        court.close()


class _Places(Court):
    def __init__(self, path: str, places: list[str], callers: list[str], together: str) -> None:
        super().__init__(library(), path, dict.fromkeys((*callers, together, *places), (0, 0, False)))
        self._callers, self._together = callers, together
        self._code: dict[str, Code] = {}
        self.said: dict[str, dict[str, Said]] = {}

    def heard(self, program: int, name: str, opts: ProgLoadOpts, _level: int) -> None:
        """Keep a caller for the places, which come behind it in the object; let all callers be judged at a place."""
        if name in self._callers or name == self._together:
            self._code[name] = self.code(program)
            return
        alone = self._ask(program, opts, self.code(program))
        if alone[0]:
            self.said[name] = {name: alone}
            return
        # What libbpf knows of lines and functions is of the place.
        opts.line_info_cnt = opts.func_info_cnt = 0
        *most, last = self._callers
        all_of_them = self._ask(program, opts, self._code[self._together])
        accepted = not all_of_them[0]
        self.said[name] = {
            caller: all_of_them if accepted else self._ask(program, opts, self._code[caller]) for caller in most
        }
        self.said[name][last] = self._ask(program, opts, self._code[last])

    def _ask(self, program: int, opts: ProgLoadOpts, code: Code) -> Said:
        fd, said = self.load(program, code, opts)
        if fd >= 0:
            os.close(fd)
        return said
