"""What this kernel can do, found out by doing it to a page of our own.

Neither a version nor a configuration file tells: a kernel without soft-dirty accepts the command
to clear and then tracks nothing, and a vendor's kernel may lack what its version suggests.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from engine.errors import DirtytopError, NotSupported
from engine.kernel.clear_refs import clear_soft_dirty
from engine.kernel.libc import system_call
from engine.kernel.pagemap import Category, Pagemap
from engine.kernel.userfaultfd import (
    CREATE_FLAGS,
    SYS_USERFAULTFD,
    enable_async_write_protect,
    register_write_protect,
)
from engine.pageset import PAGE_SHIFT, PAGE_SIZE
from engine.privileges import may_clear_soft_dirty
from engine.tracking.sample import TrackerKind
from engine.tracking.trackers import abilities_of

_PAGES = 256
_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class TrackerSupport:
    """Whether something works on this kernel."""

    works: bool
    reason: str = ""
    """Why not, in words; empty if it works."""
    fault_s: float = 0.0
    """Measured: what the first write to a page after each re-arming costs the writer, in seconds."""


@dataclass(frozen=True, slots=True)
class Support:
    """What the probe found."""

    soft_dirty: TrackerSupport
    write_protect: TrackerSupport
    pagemap_scan: TrackerSupport

    def of(self, kind: TrackerKind) -> TrackerSupport:
        """Whether this tracker works."""
        support = {TrackerKind.SOFT_DIRTY: self.soft_dirty, TrackerKind.WRITE_PROTECT: self.write_protect}
        return support[kind]

    def best_for(self, pid: int) -> TrackerKind:
        """What `auto` means for one process: `best`, unless that means soft-dirty bits that we may not clear.

        Raises:
            NotSupported: no tracker works here. TargetGone: there is no such process.
        """
        best = self.best()
        if best is TrackerKind.SOFT_DIRTY and self.write_protect.works and not may_clear_soft_dirty(pid):
            return TrackerKind.WRITE_PROTECT
        return best

    def best(self) -> TrackerKind:
        """What `auto` means: soft-dirty where the kernel has it, for it injects nothing; else write-protect.

        Raises:
            NotSupported: neither works here.
        """
        for kind in TrackerKind:
            if self.of(kind).works:
                return kind
        raise NotSupported(
            "this kernel cannot track writes: "
            f"soft-dirty: {self.soft_dirty.reason}; write-protect: {self.write_protect.reason}",
            hint="Linux 6.7 or later has write-protect tracking; `dirtytop doctor` tells more",
        )

    def best_to_wait_by(self) -> TrackerKind:
        """A tracker whose ticks never stop the target, for one that ticks for long; else the best.

        Raises:
            NotSupported: none works here.
        """
        unstopping = [kind for kind in TrackerKind if not abilities_of(kind).stops_to_rearm]
        return next((kind for kind in unstopping if self.of(kind).works), None) or self.best()

    def require(self, kind: TrackerKind) -> None:
        """Make sure that this tracker works.

        Raises:
            NotSupported: it does not; with the reason.
        """
        if not self.of(kind).works:
            raise NotSupported(
                f"{kind.value} tracking does not work on this kernel: {self.of(kind).reason}",
                hint="`--tracker auto` takes what works; `dirtytop doctor` tells more",
            )


@lru_cache(maxsize=1)
def probe() -> Support:
    """Try everything once on memory of our own; the answer is kept for the life of the program."""
    return Support(
        pagemap_scan=_probe_scan(), write_protect=_probe_write_protect(), soft_dirty=_probe_soft_dirty()
    )


@contextmanager
def _own_pages() -> Iterator[tuple[mmap.mmap, int]]:
    """Private pages of ours, each of them touched, and the number of the first."""
    size = _PAGES * PAGE_SIZE
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            memory.madvise(mmap.MADV_NOHUGEPAGE)
        memory[::PAGE_SIZE] = b"\1" * _PAGES
        yield memory, ctypes.addressof(ctypes.c_char.from_buffer(memory)) >> PAGE_SHIFT


def _probe_soft_dirty() -> TrackerSupport:
    pid = os.getpid()
    with _own_pages() as (memory, first):
        try:
            with Pagemap(pid) as pagemap:
                clear_soft_dirty(pid)
                memory[PAGE_SIZE] = 2
                dirty = pagemap.read([(first, first + _PAGES)]).pages(with_all=Category.SOFT_DIRTY)
        except DirtytopError as error:
            return TrackerSupport(False, error.message)
        if dirty.pages().tolist() == [first + 1]:
            return TrackerSupport(True, fault_s=_measure_fault_s(memory, lambda: clear_soft_dirty(pid)))
        if not dirty:
            return TrackerSupport(False, "the kernel was built without CONFIG_MEM_SOFT_DIRTY")
        return TrackerSupport(False, f"one page was written, and {dirty.count} read as dirty")


def _probe_scan() -> TrackerSupport:
    with _own_pages() as (_, first):
        try:
            with Pagemap(os.getpid()) as pagemap:
                found = pagemap.scan(first, first + _PAGES).pages()
        except DirtytopError as error:
            return TrackerSupport(False, error.message)
        except OSError:
            return TrackerSupport(False, "the kernel has no PAGEMAP_SCAN (Linux 6.7)")
        if found.count == _PAGES:
            return TrackerSupport(True)
        return TrackerSupport(False, f"of {_PAGES} pages it found {found.count}")


def _probe_write_protect() -> TrackerSupport:
    if SYS_USERFAULTFD < 0:
        return TrackerSupport(False, f"not yet known on {os.uname().machine}")
    try:
        descriptor = system_call(SYS_USERFAULTFD, CREATE_FLAGS)
    except OSError as error:
        return TrackerSupport(False, f"userfaultfd(2) is refused ({os.strerror(error.errno or 0)})")
    try:
        enable_async_write_protect(descriptor)
        with _own_pages() as (memory, first):
            register_write_protect(descriptor, first << PAGE_SHIFT, (first + _PAGES) << PAGE_SHIFT)
            return _count_own_writes(memory, first)
    except OSError:
        return TrackerSupport(False, "the kernel has no asynchronous write-protect (Linux 6.7)")
    except DirtytopError as error:
        return TrackerSupport(False, error.message)
    finally:
        os.close(descriptor)


def _count_own_writes(memory: mmap.mmap, first: int) -> TrackerSupport:
    span = (first, first + _PAGES)
    with Pagemap(os.getpid()) as pagemap:
        fault_s = _measure_fault_s(
            memory, lambda: pagemap.scan(*span, all_of=Category.WRITTEN, write_protect=True)
        )
        written = pagemap.scan(*span, all_of=Category.WRITTEN, write_protect=False).pages()
    if written.count != _PAGES:
        return TrackerSupport(False, f"{_PAGES} pages were written, and {written.count} reported")
    return TrackerSupport(True, fault_s=fault_s)


def _measure_fault_s(memory: mmap.mmap, rearm: Callable[[], object]) -> float:
    """Seconds that a first write after each re-arming takes longer than another, for each page."""
    costs_s = []
    for value in range(_ROUNDS):
        rearm()
        faulting_s = _time_writing(memory, value)
        costs_s.append(faulting_s - _time_writing(memory, value))
    # Whatever else runs can only make a round longer.
    return max(0.0, min(costs_s)) / _PAGES


def _time_writing(memory: mmap.mmap, value: int) -> float:
    """Seconds to write one byte of every page."""
    content = bytes([value]) * _PAGES
    since = time.perf_counter()
    memory[::PAGE_SIZE] = content
    return time.perf_counter() - since
