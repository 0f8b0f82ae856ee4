"""The kinds of target: what there is about each that we could harm, and what it is refused for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from engine.tracking.sample import TrackerKind

_NOTHING: Final = r"(?!)"


@dataclass(frozen=True, slots=True)
class Kind:
    """One of those that `tests/targets/knowing_*.c` can be."""

    program: str
    name: str
    what: str
    """What it has that could be harmed, for a table."""
    begins_as: str = ""
    """The kind by which the program knows it, if not by its name."""
    restless: str = _NOTHING
    """What it changes itself all the time: a pattern of what can be seen of it."""
    has_passing_children: bool = False
    """Whether descendants of it come and go, so that it is looked at without them."""
    is_suspended: bool = False
    """Whether it is stopped as by job control while we work."""
    is_soak: bool = False
    """Whether it takes too long for each run of the tests."""
    refused: str = _NOTHING
    """Which operations it may be refused with which error: a pattern of "OPERATION by TRACKER: MESSAGE"."""

    def may_refuse(self, operation: str, tracker: TrackerKind, message: str) -> bool:
        """Whether it may be refused that operation so."""
        return re.search(self.refused, f"{operation} by {tracker.value}: {message}", re.DOTALL) is not None

    def changes(self, name: str) -> bool:
        """Whether it changes that itself."""
        return re.search(self.restless, name) is not None


KINDS: Final = (
    # -- signals and timers
    Kind("signals", "plain", "nothing special"),
    Kind("signals", "handling", "a handler for every signal, each with other flags and another mask"),
    Kind("signals", "pending", "blocked signals that wait, real-time ones in a queue with values"),
    Kind("signals", "trapping", "SIGTRAP and SIGCHLD of its own: handled, blocked, waiting"),
    Kind("signals", "ignoring", "every signal ignored"),
    Kind("signals", "suspended", "stopped by job control (state T)", begins_as="plain", is_suspended=True),
    Kind("signals", "altstack", "works in a handler on an alternate signal stack"),
    Kind("signals", "timers", "timers of every kind, which go on"),
    # -- system calls
    Kind("calls", "confined", "a seccomp filter that kills it for our system call"),
    Kind("calls", "strict", "seccomp's strict mode"),
    Kind(
        "calls",
        "diverting",
        "Syscall User Dispatch: its system calls go to a handler",
        refused="(?:spliced|criu).*: criu could not dump",
    ),
    Kind("calls", "spinning", "computes, in whole numbers and others, and makes no system call"),
    Kind("calls", "sequences", "threads in restartable sequences (rseq) all the time"),
    # -- waiting
    Kind("waits", "waiting", "a thread in each of 43 system calls that wait without end"),
    Kind("waits", "timing", "the same with timeouts"),
    Kind(
        "waits",
        "transferring",
        "calls that have moved a part of what they are to move",
        restless="^system call",
    ),
    Kind("waits", "thousand", "a thousand threads", is_soak=True),
    Kind("waits", "ring", "an io_uring with requests under way"),
    Kind("waits", "worked", "an io_uring with a worker of the kernel's"),
    Kind("waits", "polled", "an io_uring that the kernel polls"),
    Kind("waits", "aio", "asynchronous I/O under way, and a thread that waits for it"),
    Kind(
        "waits",
        "vfork",
        "its main thread waits for a child made by vfork, which nothing interrupts",
        # Soft-dirty bits are read and cleared while every thread is stopped, not one that is borrowed.
        refused=r"(?:memory (?:dump|chain|core) .*|.* by soft-dirty): .* cannot be stopped \(state D\)",
    ),
    # -- memory
    Kind("memory", "tree", "memory shared with children until somebody writes (copy on write)"),
    Kind("memory", "merged", "pages that KSM keeps once"),
    Kind("memory", "huge", "transparent huge pages, shared with a child"),
    Kind("memory", "hugetlb", "pages of hugetlbfs"),
    Kind("memory", "swapped", "pages on a swap device"),
    Kind("memory", "growing", "mremap all the time", restless=r"^(?:mappings|memory|page tables|watched)"),
    Kind("memory", "crowded", "as many mappings as it may have", is_soak=True),
    Kind("memory", "sharing", "memfds, shared memory, modified files, with holes"),
    Kind(
        "memory",
        "faulting",
        "a userfaultfd of its own, and one in a child",
        restless=r"^(?:memory|page tables)",
    ),
    Kind("memory", "locked", "locked memory, a part of it on fault only"),
    Kind("memory", "advised", "DONTFORK, WIPEONFORK, MADV_FREE, guard regions, PROT_NONE, zero pages"),
    Kind("memory", "deep", "a deep stack"),
    # -- files
    Kind("files", "descriptors", "a descriptor of every kind, with positions, owners, bytes that wait"),
    Kind(
        "files",
        "full",
        "as many descriptors as it may have",
        refused="gives it no userfaultfd .Too many open files|"
        "(?:spliced|criu).*: criu could not dump .*Too many open files",
    ),
    Kind("files", "locking", "locks of every kind, and a lease on a file that it maps"),
    Kind("files", "told", "is told by inotify of what is done with its files"),
    Kind("files", "named", "program, files and threads with names like lines of maps"),
    # -- processes
    Kind("processes", "children", "children that are zombies, stopped, continued, told of or not"),
    Kind(
        "processes",
        "tracing",
        "traces children of its own",
        # Which pre-flight would have said; a child that was to be tracked before is left out instead.
        refused="memory (?:dump|chain|core).* is already traced by knowing_process",
    ),
    Kind(
        "processes",
        "headless",
        "its main thread has ended",
        refused="(?:spliced|criu).*: criu could not dump",
    ),
    Kind("processes", "hidden", "PR_SET_DUMPABLE 0"),
    Kind("processes", "nobody", "another user's, at its limit of processes"),
    Kind("processes", "containing", "a child that is the first process of namespaces of all kinds"),
    Kind("processes", "personality", "addresses not randomized, READ_IMPLIES_EXEC"),
    Kind(
        "processes",
        "limited",
        "at its limits of memory, signals, files, locked memory",
        refused="(?:spliced|criu).*: criu could not dump .*Cannot allocate memory",
    ),
    Kind("processes", "scheduled", "real-time scheduling, one processor, a priority"),
    Kind("processes", "robust", "robust futexes and priority inheritance"),
    Kind(
        "processes",
        "execing",
        "a child that starts programs all the time",
        has_passing_children=True,
        restless=r"^(?:memory|page tables)",
    ),
    Kind(
        "processes",
        "forking",
        "a thread that forks all the time",
        has_passing_children=True,
        # It waits for another child each time. The C library blocks signals in fork; a child tells its mask.
        restless=r"^(?:memory|page tables|system call|status SigBlk)",
    ),
)
