# SPDX-License-Identifier: GPL-2.0-only
"""What a bisection has found out so far, in a file that survives its end, whatever ends it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from kfunctest.bisect.types import Made, Place, Purpose, Trial
from kfunctest.trial.log import Log

NAME: Final = "judged.jsonl"


class Memory:
    """Places of commits, and trials of images. Each is on the disk before anything is concluded from it."""

    def __init__(self, file: Path) -> None:
        self._log = Log(file)
        self.places: dict[str, Place] = {}
        self.trials: dict[str, list[Trial]] = {}
        for entry in self._log.entries:
            if "place" in entry:
                self._add_place(_place(entry["place"]))
            elif "trial" in entry:
                self._add_trial(_trial(entry["trial"]))
        #: Whether the bisection has come to its end.
        self.finished = any("end" in entry for entry in self._log.entries)
        #: How many of the trials were there when we began.
        self.recalled = sum(map(len, self.trials.values()))

    def _add_place(self, place: Place) -> None:
        if place.made or place.problem:
            self.places[place.commit] = place
        else:  # forgotten
            self.places.pop(place.commit, None)

    def _add_trial(self, trial: Trial) -> None:
        self.trials.setdefault(trial.image, []).append(trial)

    def place(self, place: Place) -> Place:
        """Keep what a commit comes to."""
        self._log.add(place=asdict(place))
        self._add_place(place)
        return place

    def trial(self, trial: Trial) -> Trial:
        """Keep what a run found."""
        self._log.add(trial=asdict(trial))
        self._add_trial(trial)
        return trial

    def finish(self) -> None:
        """Keep that nothing is left to be found out."""
        self._log.add(end={})

    def forget_arguments(self) -> None:
        """Drop every commit that was held for another one's image without having been built."""
        for place in [place for place in self.places.values() if place.same_as]:
            self.place(Place(place.commit))

    def of(self, image: str) -> tuple[Trial, ...]:
        """The trials of an image, in order."""
        return tuple(self.trials.get(image, ()))


def _place(data: dict[str, Any]) -> Place:
    made = data["made"]
    return Place(**{**data, "made": Made(**{**made, "kfuncs": tuple(made["kfuncs"])}) if made else None})


def _trial(data: dict[str, Any]) -> Trial:
    untested = tuple(data.get("untested", ()))
    return Trial(**{**data, "purpose": Purpose(data["purpose"]), "untested": untested})
