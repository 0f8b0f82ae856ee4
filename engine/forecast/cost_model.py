"""What links of one engine cost for one target and one directory: probed at first, then learnt from each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from engine.checkpoint.link import After, Engine, LinkResult
from engine.forecast.cost_line import CostLine
from engine.forecast.estimate import Estimate
from engine.images.layout import LinkKind


@dataclass(frozen=True, slots=True)
class Probe:
    """What `calibrate` measured: each a fixed part and so much a byte."""

    copying: CostLine
    """Reading another process's memory into ours."""
    writing: CostLine
    """Handing memory to the page cache of the chosen directory's file system."""
    syncing: CostLine
    """Making that durable."""


@dataclass(frozen=True, slots=True)
class _Habits:
    """How an engine works, as far as costs go."""

    fixed_stop_s: float
    """Of a dump: stopping, registers, and everything that is not memory."""
    stop_per_process_s: float
    walks: int
    """How often it walks the page tables while the target is stopped, measured in ticks."""
    pre_dump_stops: bool
    writes_while_stopped: bool
    pre_dump_files: int
    """Files and directories it makes durable one by one."""
    dump_files: int
    lead_s: float
    """From the order to dump to the stop, beside walks and making room to copy to."""


_HABITS: Final = {
    Engine.MEMORY: _Habits(0.0015, 0.0005, 2, False, False, 8, 14, 0.01),
    # A dump of 1 GiB by CRIU 4.2 held its target for 1.14 s, most of it for writing.
    Engine.CRIU: _Habits(0.05, 0.01, 2, True, True, 8, 30, 0.03),
    Engine.SPLICED: _Habits(0.06, 0.01, 2, False, False, 8, 30, 0.03),
}


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
    """From the order to dump until the target is stopped: what it writes meanwhile has to be saved too."""

    @classmethod
    def first_guess(
        cls,
        engine: Engine,
        probe: Probe,
        tick_s: float = 0.003,
        processes: int = 1,
        *,
        soft_dirty: bool = False,
    ) -> CostModel:
        """Before any link has been made.

        Args:
            engine: who will make them.
            probe: of this machine and the chosen directory.
            tick_s: what a tick of this target takes; a link looks at as many pages.
            processes: of the target's tree.
            soft_dirty: whether that is the tracker: then a pre-dump stops the target to collect.
        """
        habits = _HABITS[engine]
        copy, write, sync = probe.copying, probe.writing, probe.syncing
        save_s_per_byte = copy.s_per_byte + write.s_per_byte + sync.s_per_byte
        stopping_s = habits.fixed_stop_s + habits.stop_per_process_s * processes + habits.walks * tick_s
        stop_s_per_byte = copy.s_per_byte + (write.s_per_byte if habits.writes_while_stopped else 0.0)
        pre_dump_stop = CostLine.of(0.0, 0.0)
        if habits.pre_dump_stops:
            pre_dump_stop = CostLine.of(stopping_s, copy.s_per_byte)
        elif soft_dirty:
            pre_dump_stop = CostLine.of(habits.stop_per_process_s * processes + habits.walks * tick_s, 0.0)
        return cls(
            engine,
            pre_dump=CostLine.of(
                habits.walks * tick_s + habits.pre_dump_files * sync.fixed_s, save_s_per_byte
            ),
            pre_dump_stop=pre_dump_stop,
            # Memory to copy to is mapped in before the target is stopped: about as dear as copying.
            dump=CostLine.of(
                stopping_s + habits.walks * tick_s + habits.dump_files * sync.fixed_s,
                save_s_per_byte + copy.s_per_byte,
            ),
            dump_stop=CostLine.of(stopping_s, stop_s_per_byte),
            dump_lead=CostLine.of(habits.lead_s + habits.walks * tick_s, copy.s_per_byte),
        )

    @property
    def drain_bytes_per_s(self) -> float:
        """How fast pre-dumps save memory, copying and durable writing together."""
        return self.pre_dump.bytes_per_s

    def stop(self, size_bytes: float, after: After = After.RUN) -> Estimate:
        """How long a dump of so many bytes keeps the target from running.

        If it is not to run on, until the dump is complete: that is when it can be restored elsewhere.
        """
        return (self.dump_stop if after is After.RUN else self.dump).seconds(size_bytes)

    def bytes_within(self, budget_s: float, after: After = After.RUN) -> float:
        """How much a dump may hold if it is to stop the target for no longer than this; 0 if it cannot."""
        line = self.dump_stop if after is After.RUN else self.dump
        return max(0.0, (budget_s - line.fixed_s) / line.s_per_byte)

    def after(self, result: LinkResult, after: After = After.RUN) -> CostModel:
        """The same once this link has been made.

        Args:
            result: what it took; a link of another engine teaches nothing.
            after: what became of the target. Unless it ran on, its stop had no end that could be measured.
        """
        if result.engine is not self.engine or result.seconds <= 0:
            return self
        size, stopped_s = result.size_bytes, result.stopped_us / 1e6
        if result.kind is LinkKind.PRE_DUMP:
            return replace(
                self,
                pre_dump=self.pre_dump.after(size, result.seconds),
                pre_dump_stop=self.pre_dump_stop.after(size, stopped_s),
            )
        model = replace(self, dump=self.dump.after(size, result.seconds))
        if after is not After.RUN:
            return model
        saving_s = max(result.copy_s + result.sync_s, stopped_s)
        return replace(
            model,
            dump_stop=self.dump_stop.after(size, stopped_s),
            dump_lead=self.dump_lead.after(size, max(0.0, result.seconds - saving_s)),
        )
