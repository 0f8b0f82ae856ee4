"""The figures of a dump: the `dump` half of `stats-dump`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from engine.images.proto.stats_pb2 import DumpStatsEntry, StatsEntry

_U32_MAX: Final = 2**32 - 1


def microseconds(seconds: float | None) -> int:
    """A time as these figures have it, which know no unknown: that is 0 in them."""
    return int((seconds or 0.0) * 1e6)


@dataclass(frozen=True, slots=True)
class DumpStats:
    """The figures of one link, as CRIU counts them (criu/stats.c)."""

    pages_written: int = 0
    """Pages of processes with data in this link."""
    pages_skipped_parent: int = 0
    """Pages of processes left to the parent."""
    pages_scanned: int = 0
    """Counted differently by each version of CRIU: never a denominator."""
    pages_lazy: int = 0
    shpages_written: int = 0
    """The same of shared memory."""
    shpages_skipped_parent: int = 0
    shpages_scanned: int = 0
    freezing_us: int = 0
    """From the first task stopped to the last."""
    frozen_us: int = 0
    """How long all were stopped."""
    memdump_us: int = 0
    """Of that, finding and copying pages."""
    memwrite_us: int = 0
    """Of that, writing them."""

    @property
    def most_pages(self) -> int:
        """The largest of its numbers of pages."""
        return max(
            self.pages_written,
            self.pages_skipped_parent,
            self.pages_scanned,
            self.pages_lazy,
            self.shpages_written,
            self.shpages_skipped_parent,
            self.shpages_scanned,
        )

    def to_message(self) -> StatsEntry:
        """As it is stored. Times saturate at 71 minutes, where CRIU's wrap."""
        return StatsEntry(
            dump=DumpStatsEntry(
                freezing_time=min(self.freezing_us, _U32_MAX),
                frozen_time=min(self.frozen_us, _U32_MAX),
                memdump_time=min(self.memdump_us, _U32_MAX),
                memwrite_time=min(self.memwrite_us, _U32_MAX),
                pages_scanned=self.pages_scanned,
                pages_skipped_parent=self.pages_skipped_parent,
                pages_written=self.pages_written,
                pages_lazy=self.pages_lazy,
                shpages_scanned=self.shpages_scanned,
                shpages_skipped_parent=self.shpages_skipped_parent,
                shpages_written=self.shpages_written,
            )
        )

    @classmethod
    def from_message(cls, message: StatsEntry) -> DumpStats | None:
        """As it was stored; None if the file tells of a restore instead."""
        if not message.HasField("dump"):
            return None
        dump = message.dump
        return cls(
            pages_written=dump.pages_written,
            pages_skipped_parent=dump.pages_skipped_parent,
            pages_scanned=dump.pages_scanned,
            pages_lazy=dump.pages_lazy,
            shpages_written=dump.shpages_written,
            shpages_skipped_parent=dump.shpages_skipped_parent,
            shpages_scanned=dump.shpages_scanned,
            freezing_us=dump.freezing_time,
            frozen_us=dump.frozen_time,
            memdump_us=dump.memdump_time,
            memwrite_us=dump.memwrite_time,
        )
