"""Everything that can be seen of a target: by itself, and from outside, by whoever reads `/proc`."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from engine.errors import TargetGone
from engine.kernel.pidfd import is_same_open_file, open_pidfd, take_descriptor
from engine.kernel.process import read_stat, read_status, thread_ids
from tests.harm.memory_view import blocks, mappings
from tests.harm.target import Knowing
from tests.zdtm.outside import View, view_tree

_SEEN_BETTER_HERE = ("maps", "flags of mappings")
_FALLS_ASLEEP_S = 0.5
_RUNNING = "R"


@dataclass(slots=True)
class Onlooker:
    """Looks at a tree again and again, and holds copies of its descriptors to compare them with."""

    target: Knowing
    with_descendants: bool = True
    copies: dict[tuple[int, int], int] = field(default_factory=dict)
    """By pid and descriptor of the tree: a descriptor of ours."""
    sleepers: set[int] = field(default_factory=set)
    """Threads of the target that slept when they were last looked at."""

    def look(self, *, by_itself: bool = True) -> View:
        """What there is, by name. What the target says of itself begins with "self: ".

        Args:
            by_itself: whether the target is asked too.
        """
        view: View = {}
        if by_itself:
            self._let_fall_asleep()
            view |= {f"self: {name}": value for name, value in self.target.account().items()}
        view |= {
            name: value
            for name, value in self._seen().items()
            if name.partition(": ")[2] not in _SEEN_BETTER_HERE
        }
        for pid in _pids(view):
            with suppress(TargetGone):
                view |= {f"{pid}: {name}": value for name, value in self._of_process(pid)}
        self.sleepers = {tid for tid in thread_ids(self.target.pid) if not self._runs(tid)}
        return view

    def _let_fall_asleep(self) -> None:
        """Wait until those that slept have been seen asleep again, each for itself.

        A thread in open(2) or accept(2) has the number of its next descriptor already, and gives it back when
        it is stopped. Whoever is asked, and opens something, before it is back in its call takes that number.
        """
        deadline_s = time.monotonic() + _FALLS_ASLEEP_S
        awake = self.sleepers
        while awake := {tid for tid in awake if self._runs(tid)}:
            if time.monotonic() > deadline_s:
                return
            time.sleep(0.001)

    def _runs(self, tid: int) -> bool:
        try:
            return read_stat(self.target.pid, tid).state == _RUNNING
        except TargetGone:  # it has ended
            return False

    def _seen(self) -> View:
        view = view_tree(self.target.pid)
        if self.with_descendants:
            return view
        return {name: value for name, value in view.items() if _process_of(name) == self.target.pid}

    def _of_process(self, pid: int) -> Iterator[tuple[str, str]]:
        found = mappings(pid)
        yield "mappings", "\n".join(mapping.text for mapping in found)
        yield (
            "watched by userfaultfd",
            "\n".join(f"{one.start:x} {one.watched}" for one in found if one.watched),
        )
        with suppress(OSError):
            for mapping in found:
                yield f"memory {mapping.start:x} {mapping.name!a}", mapping.content
                if (there := blocks(pid, mapping)) is not None:
                    yield f"blocks {mapping.start:x} {mapping.name!a}", str(there)
        yield "page tables", read_status(pid).get("VmPTE", "")
        yield "locks", _locks(pid)
        yield "open files", " ".join(self._same_open_files(pid))
        for tid in thread_ids(pid):
            yield f"switches {tid}", read_status(pid, tid).get("voluntary_ctxt_switches", "")

    def _same_open_files(self, pid: int) -> Iterator[str]:
        """Of each descriptor that it had at the first look, whether it is the same open file still."""
        for (owner, number), copy in self.copies.items():
            if owner == pid:
                try:
                    is_same = is_same_open_file(os.getpid(), copy, pid, number)
                except OSError:
                    is_same = False
                yield f"{number}{'' if is_same else ' is another'}"

    def take_copies(self) -> None:
        """Take a copy of each descriptor of the tree."""
        for pid in _pids(self._seen()):
            try:
                pidfd = open_pidfd(pid)
            except TargetGone:
                continue
            with suppress(OSError):
                for name in os.listdir(f"/proc/{pid}/fd"):
                    self.copies[pid, int(name)] = take_descriptor(pidfd, int(name))
            os.close(pidfd)

    def close(self) -> None:
        """Give the copies back."""
        for copy in self.copies.values():
            os.close(copy)


def _pids(view: View) -> list[int]:
    """The processes that something was seen of."""
    return sorted({pid for name in view if (pid := _process_of(name)) is not None})


def _process_of(name: str) -> int | None:
    """The process that it was seen of; None of what the target says."""
    whose = re.match(r"\d+", name)
    return None if whose is None else int(whose[0])


def _locks(pid: int) -> str:
    with open("/proc/locks") as file:
        lines = [line.split() for line in file]
    return "\n".join(sorted(" ".join(words[1:]) for words in lines if str(pid) in words))
