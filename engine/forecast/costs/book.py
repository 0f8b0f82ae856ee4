"""All that is known of what links of one target cost: a model for each engine and file system.

A file system is probed once, whoever makes the links. The first model for an engine needs a tick as well, for
what a link takes beside copying grows with the target. From then on every link corrects the model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

from engine.checkpoint.link import After, Engine, LinkResult
from engine.forecast.costs.model import CostModel
from engine.forecast.costs.parts import Parts
from engine.forecast.costs.saved_anyway import pages_saved_anyway
from engine.tracking.sample import Sample
from engine.tracking.trackers import abilities_of


@dataclass(frozen=True, slots=True)
class _Place:
    """What a model is kept for."""

    engine: Engine
    device: int


@final
class CostBook:
    """Shown probes, ticks and links, it has the model of the links that are to come. Not locked."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._parts: dict[int, Parts] = {}
        self._models: dict[_Place, CostModel] = {}
        self._place: _Place | None = None
        self._can_pre_dump = True
        self._newest: Sample | None = None

    @property
    def model(self) -> CostModel | None:
        """What the links to come cost; None before there were a probe of their file system and a tick."""
        return None if self._place is None else self._models.get(self._place)

    def is_probed(self, device: int) -> bool:
        """Whether this file system (by its device number) has been probed."""
        return device in self._parts

    def keep_probe(self, device: int, parts: Parts) -> None:
        """Keep what a probe of this file system has measured."""
        self._parts[device] = parts

    def choose(self, engine: Engine, device: int, *, can_pre_dump: bool = True) -> None:
        """Have the links to come made by this engine, to this file system, which has been probed.

        Args:
            engine: who is to make them.
            device: number of the file system.
            can_pre_dump: whether pre-dumps can be made at all.
        """
        self._place, self._can_pre_dump = _Place(engine, device), can_pre_dump
        model = self.model
        if model is not None:
            self._models[self._place] = replace(model, can_pre_dump=can_pre_dump)
        else:
            self._guess()

    def see(self, sample: Sample) -> None:
        """Take in a tick with processes: a first guess is made from it if there is no model yet."""
        self._newest = sample
        if self.model is None:
            self._guess()

    def learn(self, result: LinkResult, after: After = After.RUN) -> None:
        """Correct the model by a link that was made.

        Args:
            result: what it took.
            after: what became of the target.
        """
        model = self.model
        if self._place is not None and model is not None:
            self._models[self._place] = model.after(result, after)

    def _guess(self) -> None:
        place, sample = self._place, self._newest
        if place is None or sample is None:
            return
        guess = CostModel.first_guess(
            place.engine,
            self._parts[place.device],
            sample.tick_ms / 1e3,
            len(sample.processes),
            present_pages=sample.totals.present_pages,
            anyway_pages=pages_saved_anyway(sample),
            soft_dirty=abilities_of(sample.tracker).stops_to_rearm,
        )
        self._models[place] = replace(guess, can_pre_dump=self._can_pre_dump)
