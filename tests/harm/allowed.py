"""What may be different in a target, and why it cannot be otherwise: the table of `docs/harm.md`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from engine.tracking.sample import TrackerKind
from tests.harm.comparing import Difference
from tests.harm.kinds import Kind
from tests.harm.operations import Operation


@dataclass(frozen=True, slots=True)
class Allowed:
    """One difference."""

    what: str
    """What differs, for the table."""
    name: str
    """Its name: a pattern."""
    operations: str
    """Of which operations: a pattern."""
    why: str
    """Why it cannot be otherwise."""
    when: str = "any"
    """The operations in words, for the table."""
    kinds: str = ".*"
    """Of which kinds of target: a pattern."""
    change: str = ".*"
    """Of what to what: a pattern of "WAS -> IS"."""
    is_crius: bool = False
    """Whether CRIU does it, as it does when it is run without us."""
    is_while_attached: bool = False
    """Whether it is gone once dirtytop has let go."""
    is_of_arming: bool = False
    """Whether arming by soft-dirty bits does it too, as every thread is stopped for that."""

    def allows(
        self,
        difference: Difference,
        kind: Kind,
        operation: Operation,
        tracker: TrackerKind,
        *,
        is_attached: bool,
    ) -> bool:
        """Whether it is this one."""
        is_by_arming = self.is_of_arming and tracker is TrackerKind.SOFT_DIRTY
        return (
            (is_attached or not self.is_while_attached)
            and re.fullmatch(self.kinds, kind.name) is not None
            and (is_by_arming or re.fullmatch(self.operations, operation.name) is not None)
            and re.fullmatch(self.name, difference.name, re.DOTALL) is not None
            and re.fullmatch(self.change, f"{difference.was} -> {difference.now}", re.DOTALL) is not None
        )


_STOPPING: Final = r"(?:memory|spliced|criu) (?!pre-dump).*"
"""Every thread of the tree is stopped."""
_BY_CRIU: Final = r"spliced chain|spliced dump cancelled|criu .*"
"""CRIU seizes the tree and runs its own code in it."""
_BY_STOP: Final = "memory dump that stops"

ALLOWED: Final = (
    Allowed(
        "how often its threads have waited",
        r"switches \d+",
        ".*",
        "a stopped thread waits until it may go on; so does the thread that this test asks",
    ),
    Allowed(
        "which userfaultfd watches its memory",
        "watched by userfaultfd",
        ".*",
        "that is what write-protect tracking is; smaps shows it",
        is_while_attached=True,
    ),
    Allowed(
        "which number the next descriptor gets, for less than a millisecond",
        "self: children that were not as their parent",
        ".*",
        "only the process itself can create its userfaultfd, which is a descriptor. A thread that opens a "
        "file or forks at this moment sees it; it is closed again in parent and child",
        kinds="forking",
    ),
    Allowed(
        "a call with a timeout that is not epoll_wait's returns EINTR, if its thread is stopped twice in it",
        r"self: EINTR of (?:accept|connect|epoll_pwait2|io_getevents|io_uring_enter|recv|recvmmsg|recvmsg|"
        r"semtimedop|send|sigtimedwait)",
        ".*",
        "the kernel ends it at each stop. It is made to wait its whole time again, but only once: otherwise "
        "it might never end",
        kinds="timing",
    ),
    Allowed(
        "epoll_wait's timeout, in its register",
        "system call",
        ".*",
        "it waits on for the rest of its time; with its whole timeout it would wait too long. Only calls of "
        "the C library are treated so, which does not use the register afterwards",
        change=r"(\S+ \S+ \S+) \S+ (.*) -> \1 \S+ \2",
        kinds="timing",
    ),
    Allowed(
        "the fifth register of a call with four arguments that has returned EINTR",
        "system call",
        ".*",
        "its program has run since, and made the call again",
        change=r"(\S+ \S+ 0x1 \S+|\S+ 0x0 \S+ 0x8) (?!0x0 )\S+ (.*) -> \1 (?!0x0 )\S+ \2",
        kinds="timing",
    ),
    Allowed(
        "write, send, sendfile and recv of all return what they have moved so far",
        r"self: parts of .*",
        _STOPPING,
        "the kernel ends them when their thread is stopped; what they return is true",
        kinds="transferring",
        when="dumps, and arming by soft-dirty bits",
        is_of_arming=True,
    ),
    Allowed(
        "its handler of SIGCONT runs, or that signal waits if it is blocked",
        r"self: (?:EINTR of read|signal 18|signals came with|signals pending)|status ShdPnd|"
        r"memory \S+ b'\[stack\]'",
        _BY_STOP,
        "whoever lets it go on again sends SIGCONT",
        kinds="handling|timers|pending",
        when="a dump that stops it",
    ),
    Allowed(
        "its parent, or its tracer, is told that it stopped and went on",
        r"self: (?:storm|running|signal 17|signals came with|.*traced.*|.*tracing.*)",
        _BY_STOP,
        "the kernel tells a parent of SIGSTOP and of SIGCONT",
        kinds="execing|children|tracing",
        when="a dump that stops it",
    ),
    Allowed(
        "a SIGSTOP waits, if the process was stopped already",
        "status ShdPnd",
        _BY_STOP,
        "it is to be stopped after the dump even if somebody lets it go on meanwhile; SIGCONT takes it away",
        kinds="suspended|children",
        when="a dump that stops it",
    ),
    Allowed(
        "the page of its program from which CRIU makes it call the kernel is a copy",
        r"memory \S+ b'/.*'",
        _BY_CRIU,
        "CRIU writes an instruction there and puts the old one back",
        change=r".* -> (?:.*, )?Anonymous 4",
        is_crius=True,
        when="dumps by CRIU, and spliced ones",
    ),
    Allowed(
        "4 KiB more of page tables",
        "page tables",
        _BY_CRIU,
        "CRIU maps memory for its own code and unmaps it again",
        is_crius=True,
        when="dumps by CRIU, and spliced ones",
    ),
    Allowed(
        "SIGTRAP, if it was ignored, no longer is",
        r"status SigIgn|self: signal 5",
        _BY_CRIU,
        "CRIU's code ends in a breakpoint, and the kernel does not let a breakpoint be ignored",
        kinds="ignoring",
        is_crius=True,
        when="dumps by CRIU, and spliced ones",
    ),
    Allowed(
        "a SIGSTOP waits, if the process was stopped already",
        "status ShdPnd",
        _BY_CRIU,
        "CRIU makes what was stopped stop again; SIGCONT takes it away",
        kinds="suspended|children",
        is_crius=True,
        when="dumps by CRIU, and spliced ones",
    ),
    Allowed(
        "where a stopped process goes on: at its system call, which it makes again, instead of behind it",
        "system call",
        _BY_CRIU,
        "CRIU restores the registers so; the kernel would have restarted the call as well",
        change=r"(.*) \S+ -> \1 \S+",
        kinds="suspended|children",
        is_crius=True,
        when="dumps by CRIU, and spliced ones",
    ),
    Allowed(
        "a watcher of its files (inotify) is told that they are opened, read and closed",
        "self: what was done with its files",
        _BY_CRIU,
        "CRIU opens mapped files to find their build-id",
        change="0 -> 31",
        kinds="told",
        is_crius=True,
        when="dumps by CRIU, and spliced ones",
    ),
    Allowed(
        "the handler of SIGSYS is gone, if the program diverts its system calls",
        r"status SigCgt|self: signal 31",
        _BY_CRIU,
        "CRIU's own calls are diverted like the program's while signals are blocked, and the kernel takes "
        "the handler away. The dump fails",
        kinds="diverting",
        is_crius=True,
        when="dumps by CRIU, and spliced ones",
    ),
    Allowed(
        "a restartable sequence goes on that should have been restarted",
        "self: counted wrong",
        _BY_CRIU,
        "CRIU moves a thread out of its sequence, to its own code, and back, and the kernel "
        "does not see that it was in one",
        kinds="sequences",
        is_crius=True,
        when="dumps by CRIU, and spliced ones",
    ),
)
