"""Memory that CRIU is told nothing of, because it is ours to save anyway.

CRIU pins each page that it leaves to a server of lazy pages, in hundreds of pipes, and that takes
most of the time for which the tree is frozen. So when it asks the kernel which
pages a large mapping of private anonymous memory has, it is answered: none. We look for ourselves, with
the tree still frozen, and add to its pagemap what we find. All other memory it sees as it is.

That it asks us first is the work of a seccomp filter on CRIU, not on the target. Where there can be none,
CRIU sees everything, and only takes longer.
"""

from __future__ import annotations

from typing import Final

from engine.checkpoint.criu.features import Criu
from engine.errors import LinkFailed, TargetGone
from engine.kernel.maps import Maps, VmaKind, read_maps
from engine.kernel.pagemap import IN_USE, Category, Pagemap, scan_knows
from engine.kernel.process import Identity, child_processes, read_status, thread_ids
from engine.kernel.scan_request import REQUEST, ScanRequest, read_scan_request, report_all_walked
from engine.kernel.seccomp import IoctlCall
from engine.pageset import EMPTY, PAGE_SHIFT, PageSet

_LEAST_BYTES: Final = 2 << 20
"""Smaller mappings CRIU asks for together with their neighbours, and they cost little."""
_KINDS: Final = (VmaKind.HEAP, VmaKind.STACK, VmaKind.ANON, VmaKind.NAMED_ANON)
_NOT_WANTED: Final = Category.ZERO | Category.FILE
_NO_SECCOMP: Final = "0"


class WithheldMemory:
    """Keeps large mappings from CRIU during one dump, and remembers which."""

    request: Final = REQUEST

    def __init__(self, criu: Criu) -> None:
        """Nothing is withheld yet."""
        self._criu = criu
        self._maps: dict[int, Maps] = {}
        self._mappings: dict[int, PageSet] = {}

    def decide(self, call: IoctlCall) -> int | None:
        """Answer one scan of CRIU's; see `Overseer`."""
        request = read_scan_request(call)
        if request is None or not _asks_what_to_save(request):
            return None
        pages = self._whole_mapping(request)
        if not pages or not report_all_walked(call, request):
            return None
        self._mappings[request.pid] = self._mappings.get(request.pid, EMPTY) | pages
        return 0

    def mappings(self, pid: int) -> PageSet:
        """Every page, resident or not, of the mappings of that process that CRIU was told nothing of."""
        return self._mappings.get(pid, EMPTY)

    @property
    def pids(self) -> frozenset[int]:
        """The processes of which something was withheld."""
        return frozenset(self._mappings)

    def require_savable(self, pid: int) -> None:
        """Make sure that there is nothing in what was withheld that CRIU would have refused.

        Raises:
            LinkFailed: there is.
            TargetGone: the process was killed.
        """
        if self._criu.saves_guard_regions or not scan_knows(Category.GUARD):
            return
        with Pagemap(pid) as pagemap:
            for first, end in self.mappings(pid).ranges():
                if pagemap.scan(first, end, any_of=Category.GUARD).pages():
                    raise LinkFailed(
                        f"process {pid}: criu {self._criu.version_text} cannot save its guard regions "
                        "(MADV_GUARD_INSTALL)",
                        pid=pid,
                        hint="criu 4.2 can",
                    )

    def _whole_mapping(self, request: ScanRequest) -> PageSet:
        """The mapping that is asked about, if it is one to be withheld. Its process is frozen."""
        if request.end - request.start < _LEAST_BYTES:
            return EMPTY
        try:
            maps = self._maps.get(request.pid) or self._maps.setdefault(request.pid, read_maps(request.pid))
        except TargetGone:
            return EMPTY
        at = maps.index_at(request.start >> PAGE_SHIFT)
        if at is None:
            return EMPTY
        vma = maps.vmas[at]
        if (vma.start, vma.end) != (request.start, request.end):
            return EMPTY
        if not vma.is_private or not vma.is_readable or vma.kind not in _KINDS:
            return EMPTY
        return PageSet.from_ranges([(vma.start >> PAGE_SHIFT, vma.end >> PAGE_SHIFT)])


def _asks_what_to_save(request: ScanRequest) -> bool:
    """Whether that is how CRIU asks for the pages of a mapping (criu/pagemap-cache.c)."""
    return (
        not request.writes
        and request.any_of == IN_USE
        and request.none_of == _NOT_WANTED
        and not request.all_of
    )


def can_withhold(criu: Criu, root: Identity) -> bool:
    """Whether CRIU can be made to ask.

    A program under a seccomp filter may not lift the filters of others, as CRIU has to for a target
    that has one (ptrace_setoptions in kernel/ptrace.c).
    """
    if not criu.scans_pages:
        return False
    try:
        pids = [root.pid, *(stat.pid for stat in child_processes({root.pid}))]
        return all(
            read_status(pid, tid).get("Seccomp", _NO_SECCOMP) == _NO_SECCOMP
            for pid in pids
            for tid in thread_ids(pid)
        )
    except TargetGone:  # somebody has just ended: nothing is known of who is there
        return False
