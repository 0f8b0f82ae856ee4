"""Watching an epoch that CRIU has begun: whether anybody has cleared the soft-dirty bits since.

CRIU itself does not look. If another program clears between two of its links, CRIU leaves out pages that
have changed, and restores wrong memory without a word. After each of its links a canary is therefore planted
in every process, and looked at before the next link. A clear in the few milliseconds between CRIU's own and
the planting would go unseen.

Nor do the bits tell everything: the kernel loses them where it merges equal pages (KSM), and pages that are
moved with their page table keep the bits that they had elsewhere (`FrameMarks`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from engine.errors import TargetGone
from engine.kernel.ksm import merges_pages_of
from engine.kernel.maps import read_maps
from engine.kernel.pagemap import Pagemap
from engine.kernel.process import Identity, require_same
from engine.kernel.stopping import StoppedProcess, on_own_thread
from engine.pageset import PageSet
from engine.tracking.canary import Canary, choose, plant
from engine.tracking.frame_marks import NO_MARKS, FrameMarks
from engine.tracking.residency import PageReader

_CHOICES: Final = 3


@dataclass(frozen=True, slots=True)
class _Watched:
    identity: Identity
    canary: Canary | None
    marks: FrameMarks = NO_MARKS


class EpochWatch:
    """The canaries of one epoch, in every process of a tree."""

    def __init__(self) -> None:
        self._watched: tuple[_Watched, ...] = ()

    def begin(self, identities: Iterable[Identity]) -> None:
        """An epoch has begun in these processes; each is stopped for a moment to plant its canary.

        Raises:
            NotPermitted, AlreadyTraced, NotSupported: one cannot be stopped; nothing is watched then.
        """
        self._watched = ()
        watched = []
        for identity in identities:
            try:
                watched.append(_watch(identity))
            except TargetGone:
                continue
        self._watched = tuple(watched)

    @property
    def canaries(self) -> dict[Identity, Canary | None]:
        """What was planted where."""
        return {each.identity: each.canary for each in self._watched}

    @property
    def marks(self) -> dict[Identity, FrameMarks]:
        """What tells moved memory where."""
        return {each.identity: each.marks for each in self._watched}

    def adopt(self, canaries: Mapping[Identity, Canary | None], marks: Mapping[Identity, FrameMarks]) -> None:
        """Watch on what an earlier program has planted; `disturbance` tells whether it is still so."""
        self._watched = tuple(
            _Watched(identity, canary if canary is not None and canary.is_telling else None, marks[identity])
            for identity, canary in canaries.items()
        )

    def has_moved(self, identity: Identity, clean: PageSet) -> bool:
        """Whether any of these pages of a process, which read as clean, is not what it was.

        Raises:
            TargetGone: it has exited.
        """
        marks = self.marks.get(identity)
        if marks is None:
            return False
        with Pagemap(identity.pid) as pagemap:
            return bool(marks.replaced(pagemap, clean))

    def disturbance(self) -> str:
        """What has happened to the epoch, in words; empty if nothing has.

        A process that has exited disturbs nothing. One without a canary cannot be vouched for.
        """
        for each in self._watched:
            pid = each.identity.pid
            try:
                require_same(each.identity)
                if merges_pages_of(pid):
                    return (
                        f"the kernel merges equal pages of process {pid} (KSM), which loses soft-dirty bits"
                    )
                if each.canary is None:
                    return f"it cannot be told whether another program cleared the soft-dirty bits of {pid}"
                with Pagemap(pid) as pagemap:
                    intact = each.canary.is_intact(pagemap)
            except TargetGone:
                continue
            if not intact:
                return (
                    f"another program, or process {pid} itself, cleared the soft-dirty bits of that process"
                )
        return ""


def _watch(identity: Identity) -> _Watched:
    with PageReader(identity.pid) as reader:
        canary = _plant_in(identity, _choose(reader.pagemap))
        dumpable = reader.in_use(read_maps(identity.pid)).dumpable
        return _Watched(identity, canary, FrameMarks.take(reader.pagemap, dumpable))


def _choose(pagemap: Pagemap) -> Canary | None:
    for _ in range(_CHOICES):
        canary = choose(pagemap, read_maps(pagemap.pid))
        if canary is None or canary.fits(read_maps(pagemap.pid)):
            return canary
    return None


def _plant_in(identity: Identity, canary: Canary | None) -> Canary | None:
    def plant_stopped() -> Canary | None:
        with StoppedProcess(identity.pid):
            require_same(identity)
            return canary if canary is not None and plant(identity.pid, canary) else None

    return on_own_thread(plant_stopped)
