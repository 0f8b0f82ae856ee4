"""A process that obeys: each command changes its memory in one known way and is answered when done."""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine.pageset import PAGE_SHIFT, PageSet
from tests.targets import obedient

_MADV_MERGEABLE = 12


class ScriptedTarget:
    """Our end: a child process with one region of pages, and more on demand."""

    def __init__(self, pages: int = 512, *, huge: bool = False) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", obedient.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._answer() == obedient.READY
        self.pid = self.process.pid
        self.base = self.map(pages, huge=huge)
        self.region = PageSet.from_ranges([(self.base >> PAGE_SHIFT, (self.base >> PAGE_SHIFT) + pages)])
        self.fill(range(pages))

    def ask(self, **command: Any) -> Any:
        assert self.process.stdin is not None
        marshal.dump(command, self.process.stdin)
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        return marshal.load(self.process.stdout)

    def pages(self, numbers: Iterable[int], base: int | None = None) -> PageSet:
        """Pages by their number within the region (or a mapping of its own)."""
        first = (self.base if base is None else base) >> PAGE_SHIFT
        return PageSet.from_pages([first + number for number in numbers])

    def fill(self, numbers: Iterable[int], base: int | None = None, value: int = 1) -> None:
        self.ask(op="fill", base=base or self.base, numbers=list(numbers), value=value)

    def touch(self, base: int, pages: int, *, step: int = 1, value: int = 1) -> None:
        """Write one byte of every step-th page."""
        self.ask(op="touch", base=base, pages=pages, step=step, value=value)

    def scatter(self, base: int, pages: int) -> None:
        """Make each page a VMA of its own."""
        self.ask(op="scatter", base=base, pages=pages)

    def read(self, numbers: Iterable[int], base: int | None = None) -> None:
        self.ask(op="read", base=base or self.base, numbers=list(numbers))

    def map(self, pages: int, *, huge: bool = False, shared: bool = False, reserve: bool = True) -> int:
        return int(self.ask(op="map", pages=pages, huge=huge, shared=shared, reserve=reserve))

    def unmap(self, base: int, pages: int) -> None:
        self.ask(op="unmap", base=base, pages=pages)

    def remap(self, base: int, pages: int, new_pages: int) -> int:
        return int(self.ask(op="remap", base=base, pages=pages, new_pages=new_pages))

    def map_hugetlb(self, pages: int) -> int:
        return int(self.ask(op="map_hugetlb", pages=pages))

    def move(self, base: int, pages: int, to: int) -> None:
        """Move a mapping over whatever is at `to`."""
        assert self.ask(op="move", base=base, pages=pages, to=to) == to

    def map_at(self, base: int, pages: int) -> None:
        """Map private memory over whatever is at `base`."""
        assert self.ask(op="map_at", base=base, pages=pages) == base

    def map_file(self, base: int, pages: int, path: str) -> None:
        """Map the beginning of a file, read-only and private, over whatever is at `base`."""
        assert self.ask(op="map_file", base=base, pages=pages, path=path) == base

    def advise(self, base: int, pages: int, advice: int) -> None:
        """madvise(2)."""
        assert self.ask(op="advise", base=base, pages=pages, advice=advice) == 0

    def make_mergeable(self, base: int, pages: int) -> None:
        """Let the kernel merge pages of it that are equal to others."""
        self.advise(base, pages, _MADV_MERGEABLE)

    def wait_until_merged(self, pages: int) -> None:
        """Until the kernel has merged so many pages of ours."""
        while int(Path(f"/proc/{self.pid}/ksm_merging_pages").read_text()) < pages:
            time.sleep(0.01)

    def sweep(self, base: int, pages: int, value: int = 2) -> None:
        """Begin to write each page, one after the other and each only once, and answer meanwhile."""
        self.ask(op="sweep", base=base, pages=pages, value=value)

    def swept(self) -> int:
        """How many pages the sweep has written so far."""
        return int(self.ask(op="swept"))

    def protect(self, base: int, pages: int, protection: int) -> None:
        self.ask(op="protect", base=base, pages=pages, protection=protection)

    def discard(self, base: int, pages: int) -> None:
        self.ask(op="discard", base=base, pages=pages)

    def fork(self) -> int:
        """A child that sleeps until it is killed."""
        return int(self.ask(op="fork", with_userfaultfd=False))

    def fork_with_userfaultfd(self) -> int:
        """Such a child with a userfaultfd of its own, whose number is the next that is free in us."""
        return self._fork_ready(with_userfaultfd=True)

    def fork_writing(self, base: int, pages: int) -> int:
        """Such a child that has written these pages, so that they are its own."""
        return self._fork_ready(with_userfaultfd=False, base=base, pages=pages)

    def _fork_ready(self, **command: Any) -> int:
        """A child that has closed its standard output, as the last thing it does."""
        child = int(self.ask(op="fork", **command))
        while os.path.exists(f"/proc/{child}/fd/1"):
            time.sleep(0.001)
        return child

    def spawn_sleep_behind(self, gate: Path) -> int:
        """Start `sleep` in a child that has our memory until somebody opens this fifo to write."""
        return int(self.ask(op="spawn_sleep", gate=str(gate)))

    def end_child(self, pid: int) -> None:
        self.ask(op="end_child", pid=pid)

    def start_threads(self, count: int) -> None:
        self.ask(op="threads", count=count)

    def exec_sleep(self) -> None:
        """Become `sleep`; answers no more."""
        assert self.process.stdin is not None
        marshal.dump({"op": "exec"}, self.process.stdin)
        self.process.stdin.flush()
        while Path(f"/proc/{self.pid}/cmdline").read_bytes() != b"sleep\x001000\x00":
            time.sleep(0.001)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
