"""Having a userfaultfd watch the mappings of a process, which changes them meanwhile.

The kernel watches address ranges, and cuts a mapping in two where a range ends inside it. A program
notices that by mremap(2) alone, which does not work across two mappings: growing memory by it fails then.
What `maps` says is old the moment it is read. No range therefore ends where a mapping may have grown to: each
reaches from one mapping that cannot be watched to the next such mapping, over all that lies between, holes
included.

A mapping made right behind a watched one does not merge with it before it is watched too.
"""

from __future__ import annotations

import errno
import os
from bisect import bisect_left
from itertools import pairwise

from engine.errors import TargetGone
from engine.kernel.maps import Maps, Vma, VmaKind
from engine.kernel.userfaultfd import register_write_protect
from engine.pageset import PAGE_SHIFT

BUSY = "another userfaultfd watches it"
KERNEL_MADE = (VmaKind.VVAR, VmaKind.VDSO, VmaKind.VSYSCALL)
_KERNELS_OWN = "the kernel's own"
_REFUSALS = {
    errno.EINVAL: "the kernel cannot watch this kind of mapping",
    errno.EPERM: "a read-only shared file mapping",
    errno.EBUSY: BUSY,
    errno.ENOMEM: "the process is at its limit of mappings",
}


class Watching:
    """The mappings of one process that its userfaultfd watches, and those that it cannot watch."""

    def __init__(self, pid: int, descriptor: int) -> None:
        """Nothing is watched yet; the descriptor stays the caller's."""
        self._pid = pid
        self._descriptor = descriptor
        self._maps = Maps()
        self.refused: dict[Vma, str] = {}
        """What cannot be watched, with the reason in words."""

    def follow(self, maps: Maps) -> bool:
        """Watch the mappings that are new; all their pages read as written at the next scan.

        Returns:
            Whether anything has changed in the mappings.

        Raises:
            TargetGone: the process has exited, or has started another program.
        """
        if maps is self._maps:
            return False
        # The reader hands out the same object for the same line, and the last map keeps them alive.
        known = set(map(id, self._maps.vmas))
        self._maps = maps
        self.refused = {vma: why for vma, why in self.refused.items() if self._place(vma) is not None}
        self.watch([at for at, vma in enumerate(maps.vmas) if id(vma) not in known])
        return True

    def watch(self, wanted: list[int]) -> None:
        """Watch these mappings, except those that were refused; by their place in the map last followed.

        Errors as of `follow`.
        """
        vmas = self._maps.vmas
        for at in wanted:
            if vmas[at].kind in KERNEL_MADE:
                self.refused[vmas[at]] = _KERNELS_OWN
        bounds = sorted(place for vma in self.refused if (place := self._place(vma)) is not None)
        waiting = sorted(set(wanted).difference(bounds))
        for before, behind in pairwise((-1, *bounds, len(vmas))):
            if bisect_left(waiting, before) < bisect_left(waiting, behind):
                self._watch_run(before + 1, behind)

    def _place(self, vma: Vma) -> int | None:
        """Where this very mapping stands in the map; None if it is not there any more."""
        at = self._maps.index_at(vma.start >> PAGE_SHIFT)
        return at if at is not None and self._maps.vmas[at] is vma else None

    def _watch_run(self, first: int, end: int) -> None:
        """Watch mappings that follow one another: at once, or half by half if one is refused."""
        why_not = self._register(*self._reach(first, end))
        if not why_not:
            return
        if end - first > 1:
            middle = (first + end) // 2
            self._watch_run(first, middle)
            self._watch_run(middle, end)
            return
        # Something else may have been mapped beside it by now: then it alone.
        vma = self._maps.vmas[first]
        # Why that is refused is why it cannot be watched; behind the stack, say, no range may reach so far.
        if why_not := self._register(vma.start, vma.end):
            self.refused[vma] = why_not

    def _reach(self, first: int, end: int) -> tuple[int, int]:
        """The byte addresses from the mapping before these to the one behind them."""
        vmas = self._maps.vmas
        low = vmas[first - 1].end if first else vmas[first].start
        high = vmas[end].start if end < len(vmas) else vmas[end - 1].end
        return low, high

    def _register(self, start: int, end: int) -> str:
        """Watch a range; why not, or ''."""
        try:
            register_write_protect(self._descriptor, start, end)
        except OSError as error:
            if error.errno == errno.ESRCH:
                raise TargetGone(
                    f"process {self._pid} has exited or started another program", pid=self._pid
                ) from error
            return _REFUSALS.get(error.errno or 0, os.strerror(error.errno or 0))
        return ""
