"""Who a process is: `/proc/PID/stat` and `/proc/PID/status` (Documentation/filesystems/proc.rst)."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, NamedTuple

from engine.errors import TargetGone, kernel_errors
from engine.printable import printable

_PF_KTHREAD = 0x0020_0000
_PF_EXITING = 0x0000_0004
_PF_IO_WORKER = 0x0000_0010
_PF_USER_WORKER = 0x0000_4000  # Linux 6.4
_DEAD = "ZXx"
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


class Identity(NamedTuple):
    """Names one process for good: pids are used again, a pid with its start time is not."""

    pid: int
    start_ticks: int
    """Clock ticks (`sysconf(_SC_CLK_TCK)`) from boot to its start."""


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """What `/proc/PID/stat` says."""

    pid: int
    command: str
    """Short name, printable."""
    raw_command: bytes
    state: str
    """One letter: R, S, D, T (stopped), t (traced), Z (zombie), X (dead), I (idle)."""
    parent_pid: int
    process_group: int
    session: int
    flags: int
    """The kernel's PF_* bits."""
    thread_count: int
    start_ticks: int
    exit_code: int
    fields: tuple[bytes, ...]
    """All fields after the command; the first is the state (field 3 of proc(5))."""
    lacks_leader: bool = False
    """Whether its first thread has ended and others go on: state, flags and fields are another's."""

    @property
    def identity(self) -> Identity:
        """Its pid and start time."""
        return Identity(self.pid, self.start_ticks)

    @property
    def program(self) -> tuple[str, str]:
        """Tells one program from the next in the same process: where its code and its stack begin.

        `execve` replaces the memory, and with it these addresses (fields 26 and 28 of proc_pid_stat(5)).
        """
        return self.fields[23].decode("ascii"), self.fields[25].decode("ascii")

    @property
    def has_program(self) -> bool:
        """Whether a program is in its memory: not so while it exits, and while `execve` loads another."""
        return self.program[0] != "0"

    @property
    def is_kernel_thread(self) -> bool:
        """Whether it has no user memory by design."""
        return bool(self.flags & _PF_KTHREAD)

    @property
    def is_kernels_worker(self) -> bool:
        """Whether the thread is the kernel's own work for the process (io_uring): it runs no code of it."""
        return bool(self.flags & (_PF_IO_WORKER | _PF_USER_WORKER))

    @property
    def is_exiting(self) -> bool:
        """Whether its leading thread has begun to exit."""
        return bool(self.flags & _PF_EXITING)

    @property
    def is_dead(self) -> bool:
        """Whether it is a zombie or past that."""
        return self.state in _DEAD


def read_stat(pid: int, tid: int | None = None) -> ProcessStat:
    """What the kernel says of a process, or of one of its threads.

    A process lives for as long as one of its threads does. Where the leader has ended before the others
    (pthread_exit(3)), the kernel shows the leader, a zombie without memory: its state, its flags and
    the fields are then read from a thread that lives.

    Raises:
        TargetGone: there is no such process any more.
    """
    stat = _read_stat_file(pid, tid)
    if tid is None and stat.is_dead and stat.thread_count > 1:
        living = _living_thread(pid)
        if living is not None:
            return replace(
                stat, state=living.state, flags=living.flags, fields=living.fields, lacks_leader=True
            )
    return stat


def task_with_memory(pid: int) -> int:
    """Under which number `/proc` shows the memory of a process: its pid, unless its leader ends or has ended.

    Raises:
        TargetGone: there is no such process any more.
    """
    stat = _read_stat_file(pid, None)
    if (stat.is_dead or stat.is_exiting) and stat.thread_count > 1:
        living = _living_thread(pid)
        if living is not None:
            return living.pid
    return pid


def memory_file(pid: int, name: str) -> str:
    """Where `/proc` has a file about the memory of a process: `maps`, `mem`, `pagemap` and the like.

    Raises:
        TargetGone: there is no such process any more.
    """
    return f"/proc/{task_with_memory(pid)}/{name}"


def _living_thread(pid: int) -> ProcessStat | None:
    """Any thread of it that has not ended."""
    for tid in thread_ids(pid):
        try:
            stat = _read_stat_file(pid, tid)
        except TargetGone:  # that thread ended between the list and now
            continue
        if not stat.is_dead and not stat.is_exiting:
            return stat
    return None


def _read_stat_file(pid: int, tid: int | None) -> ProcessStat:
    path = f"/proc/{pid}/stat" if tid is None else f"/proc/{pid}/task/{tid}/stat"
    with kernel_errors(pid, "read its state", tid), open(path, "rb", 0) as file:
        raw = file.read()
    # The command may hold anything, brackets and newlines too: it ends at the last bracket.
    head, _, tail = raw.rpartition(b")")
    number, _, command = head.partition(b"(")
    fields = tail.split()
    return ProcessStat(
        pid=int(number),
        command=printable(command),
        raw_command=command,
        state=fields[0].decode("ascii"),
        parent_pid=int(fields[1]),
        process_group=int(fields[2]),
        session=int(fields[3]),
        flags=int(fields[6]),
        thread_count=int(fields[17]),
        start_ticks=int(fields[19]),
        exit_code=int(fields[49]),
        fields=tuple(fields),
    )


def identify(pid: int) -> Identity:
    """The pid with its start time. Raises TargetGone."""
    return read_stat(pid).identity


def require_same(identity: Identity) -> ProcessStat:
    """Make sure that the pid still names this process.

    Raises:
        TargetGone: it has exited, is a zombie, or another process has its pid now.
    """
    stat = read_stat(identity.pid)
    if stat.start_ticks != identity.start_ticks:
        raise TargetGone(
            f"process {identity.pid} has exited, and another process has its pid now", pid=identity.pid
        )
    if stat.is_dead:
        raise TargetGone(f"process {identity.pid} ({stat.command}) has exited", pid=identity.pid)
    return stat


def age_s(identity: Identity) -> float:
    """How long ago a process began, in seconds; whether it still lives does not matter."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - identity.start_ticks / _TICKS_PER_S


def read_status(pid: int, tid: int | None = None) -> dict[str, str]:
    """`/proc/PID/status` as field to value, without the surrounding blanks.

    Raises:
        TargetGone: there is no such process any more.
    """
    path = f"/proc/{pid}/status" if tid is None else f"/proc/{pid}/task/{tid}/status"
    with kernel_errors(pid, "read its status", tid), open(path, "rb", 0) as file:
        text = file.read().decode("ascii", "backslashreplace")
    # The name of a program may hold what `splitlines` takes for the end of a line.
    lines = (line.partition(":") for line in text.split("\n"))
    return {name: value.strip() for name, _, value in lines if name}


def resident_pages(pid: int) -> int:
    """Resident pages as `/proc/PID/statm` counts them: cheap, and exact enough to notice a change.

    Raises:
        TargetGone: there is no such process any more.
    """
    with kernel_errors(pid, "read its size"):
        with open(f"/proc/{pid}/statm", "rb", 0) as file:
            size, resident, *_ = file.read().split()
        if size == b"0":  # no memory: it exits, or its leader has ended
            with open(memory_file(pid, "statm"), "rb", 0) as file:
                resident = file.read().split()[1]
    return int(resident)


def innermost_pid(pid: int) -> int:
    """The pid as the process itself knows it; images are named by it (pid namespaces(7)).

    Raises:
        TargetGone: there is no such process any more.
    """
    return int(read_status(pid).get("NSpid", str(pid)).split()[-1])


def thread_ids(pid: int) -> list[int]:
    """The threads of a process, the leader first.

    Raises:
        TargetGone: there is no such process any more.
    """
    with kernel_errors(pid, "list its threads"):
        return sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))


def children_of(parents: set[int]) -> dict[int, ProcessStat]:
    """All living descendants of these processes, by pid, from one pass over `/proc`."""
    stats: dict[int, ProcessStat] = {}
    by_parent: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                stat = read_stat(int(name))
            except TargetGone:  # exited while we were listing
                continue
            stats[stat.pid] = stat
            by_parent.setdefault(stat.parent_pid, []).append(stat.pid)
    found: dict[int, ProcessStat] = {}
    frontier = list(parents)
    while frontier:
        for child in by_parent.get(frontier.pop(), ()):
            if child not in found and child not in parents and not stats[child].is_dead:
                found[child] = stats[child]
                frontier.append(child)
    return found


def child_processes(parents: set[int]) -> list[ProcessStat]:
    """Living descendants of these processes that are not among them, parents before children.

    Reads the kernel's own lists of children (`/proc/PID/task/TID/children`), and all of `/proc`
    where it was built without them (CONFIG_PROC_CHILDREN).
    """
    found: dict[int, ProcessStat] = {}
    frontier = list(parents)
    while frontier:
        parent = frontier.pop()
        if not _lists_children():
            return list(children_of(parents).values())
        for child in _listed_children(parent):
            if child not in parents and child not in found:
                try:
                    stat = read_stat(child)
                except TargetGone:
                    continue
                if not stat.is_dead:
                    found[child] = stat
                    frontier.append(child)
    return list(found.values())


@lru_cache(maxsize=1)
def _lists_children() -> bool:
    return os.path.exists(f"/proc/self/task/{os.getpid()}/children")


def _listed_children(pid: int) -> list[int]:
    """By each of its threads; none if it has exited. A thread may end between any two looks."""
    children: list[int] = []
    try:
        threads = thread_ids(pid)
    except TargetGone:
        return children
    for tid in threads:
        try:
            with open(f"/proc/{pid}/task/{tid}/children", "rb", 0) as file:
                children.extend(map(int, file.read().split()))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return children
