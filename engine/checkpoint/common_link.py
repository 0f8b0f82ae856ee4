"""What several processes have in common of a link: `N.common`, a link between N and the one before.

A pagemap names one pages file, and lists what is in it from its beginning. So two processes that have some
pages in common, and others not, cannot share one file within a link. But each can leave pages to the link
before. So the common pages are written into a link of their own, `N.common`: one file with their data, and
the same list of them for each process. In N each process has what differs, and leaves the rest to `N.common`,
which passes on what is left to the link before N. CRIU follows `parent` as it always does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from engine.checkpoint.common_pages import CommonPages, find_common
from engine.checkpoint.rules import lazy_pages
from engine.images.layout import LinkKind, common_path
from engine.images.partial import remove_orphan
from engine.images.stats import DumpStats
from engine.images.writer import Committed, LinkWriter, PagesWriter
from engine.pageset import EMPTY, PageSet
from engine.tracking.tracked_process import LinkPlan, TrackedProcess


class CommonLink:
    """Holds what processes have in common of one link, if they have anything. Gone again unless committed."""

    def __init__(self, link: LinkWriter, plans: Mapping[TrackedProcess, LinkPlan]) -> None:
        """Look for what is in common; nothing is written yet.

        Args:
            link: what it is a part of.
            plans: what the link needs of each process.
        """
        self._link = link
        self._plans = plans
        # Where others can exchange things, what has failed half way could not be removed.
        is_ours = link.above is None or link.above.is_ours
        self._commons = find_common(plans) if is_ours else ()
        self._kept: dict[TrackedProcess, PageSet] | None = None
        self._writer: LinkWriter | None = None
        self._pages_id = 0
        self._listed: set[TrackedProcess] = set()

    @property
    def needed_bytes(self) -> int:
        """How much is to be copied, at least."""
        spared = sum(pages.size_bytes for common in self._commons for pages in common.others.values())
        return sum(plan.needed.size_bytes for plan in self._plans.values()) - spared

    def forget(self) -> None:
        """Give up what was found: each process is written by itself."""
        self._commons = ()

    def copy(self, read: Callable[[CommonPages], PageSet]) -> None:
        """Copy all of it while the tree is stopped.

        Args:
            read: copies the pages of the source; says which of them could be read. What it raises is raised.
        """
        self._kept = {}
        for common in self._commons:
            self._kept |= common.kept(read(common), has_run=False)

    def write(self, data: Callable[[CommonPages, PagesWriter], PageSet]) -> None:
        """Write all of it.

        Args:
            data: writes the pages of the source, as they are or as they were copied; says which of them could
                be read. What it raises is raised.

        Raises:
            LinkFailed: the disk would not take it.
        """
        kept: dict[TrackedProcess, PageSet] = {}
        for common in self._commons:
            pages = self._open_pages(common.source)
            read = data(common, pages)
            if self._kept is None:
                kept |= common.kept(read, has_run=True)
            for process in common.others:
                plan = self._plans[process]
                pages.list_for(process.inner_pid, plan.held, lazy_pages(plan.maps))
            plan = self._plans[common.source]
            pages.finish(plan.held, lazy_pages(plan.maps))
            self._listed |= {common.source, *common.others}
        if self._kept is None:
            self._kept = kept

    def kept(self, process: TrackedProcess) -> PageSet:
        """What of a process need not be written into the link: it is here."""
        return (self._kept or {}).get(process, EMPTY)

    def commit(self, stats: DumpStats, uptime_us: int) -> Committed:
        """Make both durable: first this, then what it is a part of; of these `stats` are.

        Returns:
            The link, with the sizes and times of both.

        Raises:
            LinkFailed: the disk would not take it. Then neither is there.
        """
        if self._writer is None:
            return self._link.commit(stats, uptime_us)
        for process, plan in self._plans.items():
            if plan.held and process not in self._listed:
                self._open_pages(process).finish(plan.held)
        written, in_parent = self._writer.pages_written, self._writer.pages_in_parent
        own = DumpStats(
            pages_written=written, pages_skipped_parent=in_parent, pages_scanned=written + in_parent
        )
        self._link.build_on(self._writer.path)
        try:
            ours = self._writer.commit(own, uptime_us)
            committed = self._link.commit(stats, uptime_us)
        except BaseException:
            remove_orphan(self._writer.path, self._link.above)
            raise
        return Committed(
            committed.path, ours.size_bytes + committed.size_bytes, ours.sync_s + committed.sync_s
        )

    @property
    def pages_written(self) -> int:
        """Pages with data, here and in the link."""
        return self._link.pages_written + (self._writer.pages_written if self._writer is not None else 0)

    @property
    def pages_in_parent(self) -> int:
        """Pages left to the link before both."""
        return self._link.pages_in_parent if self._writer is None else self._writer.pages_in_parent

    def _open_pages(self, process: TrackedProcess) -> PagesWriter:
        if self._writer is None:
            path = common_path(self._link.path)
            # A kill between the two commits leaves one that nothing is built on.
            remove_orphan(path, self._link.above)
            self._writer = LinkWriter(path, LinkKind.PRE_DUMP, self._link.parent, self._link.above)
        self._pages_id += 1
        return self._writer.open_pages(process.inner_pid, self._pages_id)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what was written, unless it was committed."""
        if self._writer is not None:
            self._writer.abort()
