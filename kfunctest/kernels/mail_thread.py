# SPDX-License-Identifier: GPL-2.0-only
"""Threads: which of the mails in one place are to be applied, and in which order."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kfunctest.errors import SpecError
from kfunctest.kernels.mbox import Mail


@dataclass
class _Series:
    """A version of a series of ``count`` parts, with its thread's Message-IDs; or, of count 0, a patch in none."""

    version: int
    count: int
    parts: dict[int, Mail] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """For messages."""
        return f'v{self.version} of "{self.parts[min(self.parts, key=lambda number: (number == 0, number))].subject}"'

    def precedes(self, other: _Series) -> bool:
        """Whether the other is a newer version of it: in the same thread, or with a title of it."""
        titles = [{part.subject for part in each.parts.values()} for each in (self, other)]
        return self.version < other.version and bool(self.ids & other.ids or titles[0] & titles[1])

    def checked(self, older: Sequence[_Series], place: Path) -> list[Mail]:
        """Its patches in order. Raises SpecError where one is missing, or where it may replace one part alone."""
        lacking = [f"{number}/{self.count}" for number in range(1, self.count + 1) if number not in self.parts]
        if lacking:
            what = f"{len(lacking)} of {self.count} {'are' if lacking[1:] else 'is'} missing: {', '.join(lacking)}"
            raise SpecError(
                f"{place}: {self.name}: {what}", remedy="add what is missing, or name the files to apply one by one"
            )
        if not self.count and any(each.count > 1 for each in older):
            problem = f"{place} holds {self.name} as a single patch, and an older version in a series"
            raise SpecError(problem, remedy="put the patches that you mean into a mailbox of their own")
        version = f" (v{self.version})" if older else ""
        if older:
            _say(place, f"{self.name} is taken, older versions are passed over")
        base = next((part.base for part in self.parts.values() if part.base), "")  # the cover letter's, or the first's
        patches = (part for number, part in sorted(self.parts.items()) if number)
        return [replace(patch, subject=f"{patch.subject}{version}", base=base) for patch in patches]


def chosen(mails: Sequence[Mail], place: Path) -> list[Mail]:
    """What is to be applied of the mails in ``place``: each series in its newest version, complete and in order.

    Cover letters and replies are skipped. What was chosen is printed on stderr. Raises SpecError where a series has a
    gap, where nothing says which mail is meant, and where there is none.
    """
    tagged = any(mail.part for mail in mails)
    # Some answer under another subject.
    patches = [mail for mail in mails if not mail.answer and not (tagged and mail.ids and not mail.part)]
    if {mail.part and mail.part[0] for mail in patches} == {0}:
        raise SpecError(f"{place} holds a cover letter only, no patch", remedy="add the patches that it introduces")
    if len(mails) == 1 and mails[0].id:
        return list(mails)  # nothing else can be meant
    found = _series(patches, {id_ for mail in mails for id_ in mail.ids})
    newest = [series for series in found if not any(map(series.precedes, found))]
    taken = [
        part for series in newest for part in series.checked([each for each in found if each.precedes(series)], place)
    ]
    if not taken:
        but = " but in answers" if any(mail.id for mail in mails) else ""
        raise SpecError(f"{place} holds no diff{but}", remedy="pass a file that git format-patch or git diff wrote")
    if newest[1:] and any(series.count for series in newest):
        _say(place, f"applied one after another: {', '.join(series.name for series in newest)}")
    if patches != list(mails):
        _say(place, f"answers passed over: {len(mails) - len(patches)}")
    return taken


def _say(place: Path, note: str) -> None:
    sys.stderr.write(f"{place}: {note}\n")


def _change(mail: Mail) -> bytes:
    """Its diff, without what lists add below."""
    return (mail.diff.rpartition(b"\n-- \n")[0] or mail.diff).strip()


def _series(mails: Sequence[Mail], answered: set[str]) -> list[_Series]:
    found: list[_Series] = []
    known: dict[str, Mail] = {}
    for mail in mails:
        number, count = mail.part or (1, 0)
        alike = [each for each in found if count and (each.version, each.count) == (mail.version, count)]
        numbered = (each.parts[number] for each in alike if number in each.parts)
        alias = next((part for part in numbered if part.subject == mail.subject), mail)
        if (twin := known.setdefault(mail.message_id or mail.place, alias)) is not mail:
            if _change(twin) == _change(mail):
                continue
            raise SpecError(
                f'two different mails are "{mail.subject}" ({twin.place}; {mail.place})', remedy="remove one"
            )
        if not mail.id and mail.part and number:
            remedy = mail.fault or "add its diff, or remove the mail"
            raise SpecError(f'the mail "{mail.subject}" ({mail.place}) has no diff in it', remedy=remedy)
        if not mail.id and not mail.part:
            continue
        ids = {mail.message_id, *mail.ids[:1]} - {""} if mail.ids or mail.message_id in answered else set()
        fits = (each for each in alike if number not in each.parts and (not ids or not each.ids or ids & each.ids))
        if (series := next(fits, None)) is None:
            found.append(series := _Series(mail.version, count))
        series.parts[number] = mail
        series.ids |= ids
    return found
