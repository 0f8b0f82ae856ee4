"""What links of one engine cost for one target and one file system: guessed first, then learnt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from engine.checkpoint.copy_buffer import FIRST_BYTES, KEPT_BYTES, SPARE_BYTES, SPARE_PART
from engine.checkpoint.link import After, Engine, LinkResult
from engine.forecast.costs.line import CostLine
from engine.forecast.costs.parts import Parts
from engine.forecast.estimate import Estimate
from engine.images.layout import LinkKind


@dataclass(frozen=True, slots=True, kw_only=True)
class _Habits:
    """The habits of an engine that make a difference to costs."""

    fixed_stop_s: float
    """Of a dump: stopping, registers, and everything that is not memory."""
    stop_per_process_s: float
    walks: int
    """How often it walks the page tables while the target is stopped, measured in ticks."""
    pre_dump_files: int
    """Files and directories it makes durable one by one."""
    dump_files: int
    lead_s: float
    """From the order to dump to the stop, beside walks and making room to copy to."""
    pre_dump_stops: bool = False
    """Whether pre-dumps, too, copy while the target is stopped."""
    writes_while_stopped: bool = False
    stop_per_page_s: float = 0.0
    """Of a dump, for each page in use, whether or not it has to be saved."""


# Measured with CRIU 4.1.1 on Linux 6.18: one process of little memory 9 to 13 ms, five 30 and 47 ms.
# Spliced dumps of 128 MiB, 1 and 2 GiB in pages of 4 KiB, of which 16 MiB were pending: 17, 40 and 74 ms.
_HABITS: Final = {
    Engine.MEMORY: _Habits(
        fixed_stop_s=0.0008, stop_per_process_s=0.0003, walks=2, pre_dump_files=8, dump_files=14, lead_s=0.01
    ),
    Engine.CRIU: _Habits(
        fixed_stop_s=0.005,
        stop_per_process_s=0.005,
        walks=2,
        pre_dump_files=8,
        dump_files=30,
        lead_s=0.05,
        pre_dump_stops=True,
        writes_while_stopped=True,
    ),
    Engine.SPLICED: _Habits(
        fixed_stop_s=0.003,
        stop_per_process_s=0.008,
        walks=2,
        pre_dump_files=8,
        dump_files=30,
        lead_s=0.05,
        stop_per_page_s=0.1e-6,
    ),
}


_PRE_DUMPS_OF: Final = {Engine.SPLICED: (Engine.SPLICED, Engine.MEMORY)}
"""Engines whose pre-dumps tell of another: a spliced chain pre-dumps as one of memory alone does."""


@dataclass(frozen=True, slots=True)
class _Setting:
    """What a first guess is made from, beside what was measured."""

    tick_s: float
    processes: int
    soft_dirty: bool
    present_pages: int = 0


@dataclass(frozen=True, slots=True)
class CostModel:
    """Times of pre-dumps and dumps by their size in bytes. Immutable: `after` gives the next."""

    engine: Engine
    pre_dump: CostLine
    """From beginning to end, durable."""
    pre_dump_stop: CostLine
    dump: CostLine
    dump_stop: CostLine
    """How long the target is stopped, if it is to run on."""
    dump_lead: CostLine
    """From the order to dump until the stop. What the target writes meanwhile has to be saved too."""
    parts: Parts | None = None
    """What these are made of; without them pre-dumps tell nothing about dumps."""
    setting: _Setting = _Setting(0.003, 1, False)
    anyway_pages: int = 0
    """What a dump saves each time, whether or not it is pending."""
    kept_bytes: int = 0
    """Memory to copy to that is mapped in already, by links made before."""
    can_pre_dump: bool = True
    """Whether the engine can make pre-dumps of this target at all."""

    @classmethod
    def first_guess(
        cls,
        engine: Engine,
        parts: Parts,
        tick_s: float = 0.003,
        processes: int = 1,
        *,
        present_pages: int = 0,
        anyway_pages: int = 0,
        soft_dirty: bool = False,
    ) -> CostModel:
        """Before any link has been made.

        Args:
            engine: who will make them.
            parts: of this machine and the chosen directory.
            tick_s: what a tick of this target takes; a link looks at as many pages.
            processes: of the target's tree.
            present_pages: what all of them have in use.
            anyway_pages: what CRIU saves each time (`pages_saved_anyway`).
            soft_dirty: whether that is the tracker: then a pre-dump stops the target to collect.
        """
        habits, setting = _HABITS[engine], _Setting(tick_s, processes, soft_dirty, present_pages)
        save_s_per_byte = sum(each.s_per_byte for each in (parts.reading, parts.writing, parts.syncing))
        collect_s = habits.walks * tick_s
        pre_dump_stop = CostLine.of(0.0, 0.0)
        if habits.pre_dump_stops:
            pre_dump_stop = CostLine.of(_stopping_s(habits, parts, setting), parts.reading.s_per_byte)
        elif soft_dirty:
            pre_dump_stop = CostLine.of(habits.stop_per_process_s * processes + collect_s, 0.0)
        nothing = CostLine.of(0.0, 0.0)
        model = cls(
            engine,
            CostLine.of(collect_s + habits.pre_dump_files * parts.syncing.fixed_s, save_s_per_byte),
            pre_dump_stop,
            dump=nothing,
            dump_stop=nothing,
            dump_lead=nothing,
            parts=parts,
            setting=setting,
            anyway_pages=anyway_pages if engine is Engine.SPLICED else 0,
        )
        return model._with_parts(parts)

    @property
    def drain_bytes_per_s(self) -> float:
        """How fast pre-dumps save memory, copying and durable writing together."""
        return self.pre_dump.bytes_per_s

    def stop(self, size_bytes: float, after: After = After.RUN) -> Estimate:
        """How long a dump of so many bytes keeps the target from running.

        If the target is not to run on, that is until the dump is complete and can be restored elsewhere.
        """
        return (self.dump_stop if after is After.RUN else self.dump).seconds(size_bytes)

    def lead(self, size_bytes: float) -> Estimate:
        """From the order to dump until the target is stopped, if so much is pending at the order."""
        return self.dump_lead.seconds(self._mapped_in_bytes(size_bytes))

    def _mapped_in_bytes(self, size_bytes: float) -> float:
        """How much memory to copy to has to be mapped in first (see `copy_buffer`)."""
        if _HABITS[self.engine].writes_while_stopped:
            return 0.0
        room_bytes = size_bytes + max(SPARE_PART * size_bytes, SPARE_BYTES)
        return max(0.0, max(room_bytes, FIRST_BYTES) - self.kept_bytes)

    def _keeping(self, result: LinkResult) -> CostModel:
        """The same once this link has left behind what it had mapped in."""
        more_bytes = 0.0 if result.kind is LinkKind.PRE_DUMP else self._mapped_in_bytes(result.size_bytes)
        kept_bytes = min(max(self.kept_bytes, FIRST_BYTES) + int(more_bytes), KEPT_BYTES)
        return replace(self, kept_bytes=kept_bytes)

    def bytes_within(self, budget_s: float, after: After = After.RUN) -> float:
        """How much a dump may hold if it is to stop the target for no longer than this; 0 if it cannot."""
        line = self.dump_stop if after is After.RUN else self.dump
        return max(0.0, (budget_s - line.fixed_s) / line.s_per_byte)

    def after(self, result: LinkResult, after: After = After.RUN) -> CostModel:
        """The same once this link has been made.

        Args:
            result: what it took. A link of another engine, or one that does not tell, teaches nothing.
            after: what became of the target. Unless it ran on, its stop had no end that could be measured.
        """
        seconds, stopped_s = result.seconds, result.stopped_s
        if seconds is None or stopped_s is None:
            return self
        if result.kind is LinkKind.PRE_DUMP:
            tells = result.engine in _PRE_DUMPS_OF.get(self.engine, (self.engine,))
            return self._after_pre_dump(result, seconds, stopped_s) if tells else self
        if result.engine is not self.engine:
            return self
        return self._after_dump(result, seconds, stopped_s, ran_on=after is After.RUN)

    def _after_pre_dump(self, result: LinkResult, seconds: float, stopped_s: float) -> CostModel:
        size = result.size_bytes
        model = replace(
            self,
            pre_dump=self.pre_dump.after(size, seconds),
            pre_dump_stop=self.pre_dump_stop.after(size, stopped_s),
        )
        return (model._with_parts(self.parts.after(result)) if self.parts else model)._keeping(result)

    def _after_dump(self, result: LinkResult, seconds: float, stopped_s: float, *, ran_on: bool) -> CostModel:
        size = result.size_bytes
        model = replace(
            self,
            dump=self.dump.after(size, seconds),
            # In a first link everything is pending: it tells nothing of what the next one saves anyway.
            anyway_pages=result.beyond_pending_pages if result.pages_in_parent else self.anyway_pages,
        )
        if self.parts:
            parts = self.parts.after(result)
            model = model._with_parts(parts.after_stop(result) if ran_on else parts)
        lead_s = result.times.lead_s
        if ran_on:
            model = replace(model, dump_stop=model.dump_stop.after(size, stopped_s))
            if lead_s is None and _HABITS[self.engine].writes_while_stopped:
                lead_s = seconds - max(result.copy_s or 0.0, stopped_s) - (result.sync_s or 0.0)
        if lead_s is not None and lead_s > 0:
            model = replace(model, dump_lead=model.dump_lead.after(self._mapped_in_bytes(size), lead_s))
        return model._keeping(result)

    def _with_parts(self, parts: Parts) -> CostModel:
        """The same with dumps made of these parts; what dumps themselves have taught stays on top of it."""
        habits, before = _HABITS[self.engine], self.setting
        stopping_s = _stopping_s(habits, parts, before)
        touching_s_per_byte = 0.0 if habits.writes_while_stopped else parts.touching_s_per_byte
        stop_s_per_byte = parts.reading.s_per_byte
        if habits.writes_while_stopped:
            stop_s_per_byte += parts.writing.s_per_byte
        lead_s = habits.lead_s + habits.walks * before.tick_s
        more_files = habits.dump_files - habits.pre_dump_files
        return replace(
            self,
            parts=parts,
            dump=self.dump.on(
                self.pre_dump.fixed_s + lead_s + stopping_s + more_files * parts.syncing.fixed_s,
                self.pre_dump.s_per_byte + (1 + SPARE_PART) * touching_s_per_byte,
            ),
            dump_stop=self.dump_stop.on(
                stopping_s + parts.reading.fixed_s, stop_s_per_byte, is_sum=bool(parts.stoppings_s)
            ),
            dump_lead=self.dump_lead.on(lead_s, touching_s_per_byte),
        )


def _stopping_s(habits: _Habits, parts: Parts, setting: _Setting) -> float:
    """What a stop takes beside reading memory."""
    threads_s = habits.fixed_stop_s + habits.stop_per_process_s * setting.processes
    pages_s = habits.stop_per_page_s * setting.present_pages
    return parts.stopping_s(threads_s + pages_s + parts.collect_s(habits.walks * setting.tick_s))
