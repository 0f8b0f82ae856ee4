"""Which processes may have pages in common with others: copies of one another by fork(2), or merged by KSM.

After a fork both processes have the same pages, each until one of the two writes to it (copy-on-write). That
ends with execve(2), and nothing else joins private memory but the kernel's samepage merging
(Documentation/admin-guide/mm/ksm.rst). Who was copied from whom is not told. But the code and the stack of
a copy begin where the original's do, and with address space randomization no other program's do; and a
process that is a copy, and has not called execve since, is marked (PF_FORKNOEXEC).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from enum import Enum, auto
from typing import Final, Self

from engine.errors import NotPermitted, TargetGone
from engine.kernel.ksm import merges_pages_of
from engine.kernel.process import ProcessStat, read_stat, read_status

_PF_FORKNOEXEC: Final = 0x40
_LAST_PID: Final = "/proc/sys/kernel/ns_last_pid"
_KSM: Final = "/sys/kernel/mm/ksm"
_FIRST_PID_NAMESPACE: Final = 0xEFFFFFFC
"""Its inode (include/uapi/linux/nsfs.h)."""
_HIDDEN: Final = "1"
"""Where the code begins, of a process whose addresses are not ours to know (fs/proc/array.c)."""
_MOST_BORN: Final = 256
"""From so many new processes on it is quicker to list all."""
_LATE_S: Final = 0.02
"""Who has not been seen by then has exited."""


class Sharers(Enum):
    """Who may have pages of a process too."""

    NONE = auto()
    SOME = auto()
    UNKNOWN = auto()
    """There may be some: a process is just being born, or not ours to look at; or pages may be merged."""


class Relatives:
    """What runs in every process, as of a moment, and which processes were born since."""

    def __init__(self, soon_asked_of: Iterable[int] = ()) -> None:
        """Look at all that there are now.

        Args:
            soon_asked_of: pids that `sharers` will be asked of; what takes longer is found out now.
        """
        try:
            self._last_pid = os.open(_LAST_PID, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # a kernel without CONFIG_CHECKPOINT_RESTORE does not tell who was born
            self._last_pid = -1
        self._running: dict[tuple[str, str], dict[int, bool]] = {}
        """By program: the processes that run it, and whether each is a copy."""
        # There may be others outside a pid namespace, or whom /proc does not show to us (hidepid). They are
        # no copies of whom we see.
        is_first = os.stat("/proc/self/ns/pid").st_ino == _FIRST_PID_NAMESPACE
        self._originals_hidden = os.geteuid() != 0 or not is_first
        self._hidden_copies: set[int] = set()
        self._not_seen: dict[int, float] = {}
        """Who was given a pid, and when we looked for him in vain."""
        self._asked: dict[int, tuple[tuple[str, str], bool, bool]] = {}
        """Of whom we were asked: what it ran, whether it is a copy, and whether its pages may be merged."""
        self._newest = self._read_newest()
        self._look_at_all()
        for pid in soon_asked_of:
            with suppress(TargetGone):
                self.sharers(pid, is_stopped=False)

    def close(self) -> None:
        """Give the descriptor back; may be called twice."""
        if self._last_pid >= 0:
            os.close(self._last_pid)
            self._last_pid = -1

    def __enter__(self) -> Self:
        """Close it at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """See `close`."""
        self.close()

    def sharers(self, pid: int, *, is_stopped: bool) -> Sharers:
        """Who may have pages of this process too, now.

        It costs some microseconds, and more only for each process that was born since the last time.

        Args:
            pid: whose.
            is_stopped: whether it is, and so has no child that does not show yet. Of a process that runs, ask
                again soon: it may have copied itself a moment later.

        Raises:
            TargetGone: the process has exited.
        """
        if pid not in self._asked:
            # What it runs later shares nothing with anybody.
            stat = read_stat(pid)
            self._asked[pid] = stat.program, _is_copy(stat), _may_be_merged(pid)
        program, is_copy, may_be_merged = self._asked[pid]
        self._catch_up()
        others = [
            other
            for other, other_is_copy in self._running.get(program, {}).items()
            if other != pid and (is_copy or other_is_copy)
        ]
        if any(self._still_runs(other, program) for other in others):
            return Sharers.SOME
        if may_be_merged or self._last_pid < 0 or (self._originals_hidden and is_copy):
            return Sharers.UNKNOWN
        if (self._not_seen and not is_stopped) or any(map(self._is_hidden_copy, list(self._hidden_copies))):
            return Sharers.UNKNOWN
        return Sharers.NONE

    # -- who there is

    def _read_newest(self) -> int:
        return int(os.pread(self._last_pid, 32, 0)) if self._last_pid >= 0 else 0

    def _catch_up(self) -> None:
        """Look at the processes that were born since.

        A pid is given out once the memory has been copied, and shows in /proc a little later.
        """
        newest, now_s = self._read_newest(), time.monotonic()
        if newest == self._newest and not self._not_seen:
            return
        late = {pid: since_s for pid, since_s in self._not_seen.items() if not self._note(pid)}
        if newest < self._newest or newest - self._newest > _MOST_BORN:
            self._look_at_all()
            self._newest = max(0, newest - _MOST_BORN)
        born = range(self._newest + 1, newest + 1)
        late |= {pid: now_s for pid in born if not self._note(pid)}
        self._not_seen = {pid: since_s for pid, since_s in late.items() if now_s - since_s < _LATE_S}
        self._newest = newest

    def _look_at_all(self) -> None:
        for name in os.listdir("/proc"):
            if name.isdecimal():
                self._note(int(name))

    def _note(self, pid: int) -> bool:
        """Remember what runs in a process; whether there is one."""
        try:
            stat = read_stat(pid)
            if stat.program[0] == _HIDDEN:
                self._originals_hidden = True
                if _is_copy(stat):
                    self._hidden_copies.add(pid)
            elif stat.has_program:
                self._running.setdefault(stat.program, {})[pid] = _is_copy(stat)
        except TargetGone:
            return False
        return True

    def _still_runs(self, pid: int, program: tuple[str, str]) -> bool:
        """Whether it is a process, and has neither exited nor begun another program since we saw it."""
        del self._running[program][pid]
        try:
            if int(read_status(pid)["Tgid"]) == pid:  # a thread's number is given out like a process's
                self._note(pid)
        except TargetGone:
            return False
        return pid in self._running[program]

    def _is_hidden_copy(self, pid: int) -> bool:
        """Whether it still is one."""
        self._hidden_copies.remove(pid)
        self._note(pid)
        return pid in self._hidden_copies


def _is_copy(stat: ProcessStat) -> bool:
    return bool(stat.flags & _PF_FORKNOEXEC)


def _may_be_merged(pid: int) -> bool:
    """Whether the kernel merges, or has merged, pages of a process with equal ones."""
    try:
        if _read_number(f"{_KSM}/run") != 1 and _read_number(f"{_KSM}/pages_shared") == 0:
            return False
    except FileNotFoundError:  # a kernel that cannot
        return False
    try:
        return merges_pages_of(pid)
    except (NotPermitted, TargetGone):
        return True


def _read_number(path: str) -> int:
    with open(path, "rb", 0) as file:
        return int(file.read())
