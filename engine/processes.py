"""The processes of this machine, as a list to pick a target from.

psutil gives what it is good at: the command line, and CPU use between two looks. What it does not
tell (kernel thread, start in clock ticks, who is tracing it) is read from `/proc` directly.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from functools import cache
from typing import Final

import psutil

from engine.errors import NotPermitted, TargetGone
from engine.kernel.process import Identity, ProcessStat, read_stat, read_status
from engine.pageset import PAGE_SIZE
from engine.printable import printable
from engine.privileges import may_look_into_others

_RSS_FIELD: Final = 21  # of ProcessStat.fields; field 24 of proc(5)
_LONGEST_COMMAND: Final = 4096  # an argument list may have megabytes
_ELF_32_BIT: Final = b"\x7fELF\x01"


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """One process; all text is printable."""

    pid: int
    start_ticks: int
    """With `pid` its `Identity`."""
    parent_pid: int
    user: str
    rss_bytes: int
    cpu_percent: float
    """Of one CPU, since the lister last looked; 0 the first time."""
    command: str
    """Its command line, or its name in brackets if it has none."""
    threads: int
    untrackable: str
    """Why it cannot be a target, in words; empty if nothing is known against it."""


class ProcessLister:
    """Lists processes again and again. To be used from one thread at a time."""

    def __init__(self) -> None:
        self._known: dict[Identity, _Known] = {}

    def list(self) -> tuple[ProcessRow, ...]:
        """Every process there is now, ascending by pid."""
        sees_others = may_look_into_others()
        known: dict[Identity, _Known] = {}
        rows = []
        for pid in psutil.pids():
            try:
                stat = read_stat(pid)
                status = read_status(pid)
                process = self._known.get(stat.identity) or _Known(pid)
                rows.append(_row(stat, status, process, sees_others))
            except (TargetGone, psutil.NoSuchProcess):  # it exited while we were looking
                continue
            except (NotPermitted, psutil.AccessDenied):  # /proc is mounted with hidepid=1
                continue
            known[stat.identity] = process
        self._known = known
        return tuple(rows)


class _Known:
    """What is kept of a process between two looks."""

    def __init__(self, pid: int) -> None:
        self.handle = psutil.Process(pid)
        self._word_size: tuple[bytes, bool] | None = None

    def is_32_bit(self, stat: ProcessStat) -> bool:
        """Whether its program is a 32-bit one; looked up anew when its name shows an exec."""
        if self._word_size is None or self._word_size[0] != stat.raw_command:
            self._word_size = stat.raw_command, _has_32_bit_program(stat.pid)
        return self._word_size[1]


def list_processes() -> tuple[ProcessRow, ...]:
    """Every process there is now, once: without CPU use."""
    return ProcessLister().list()


def _row(stat: ProcessStat, status: dict[str, str], process: _Known, sees_others: bool) -> ProcessRow:
    user = _user_name(int(status["Uid"].split()[0]))
    return ProcessRow(
        pid=stat.pid,
        start_ticks=stat.start_ticks,
        parent_pid=stat.parent_pid,
        user=user,
        rss_bytes=int(stat.fields[_RSS_FIELD]) * PAGE_SIZE,
        cpu_percent=process.handle.cpu_percent(),
        command=_command(stat, process.handle),
        threads=stat.thread_count,
        untrackable=_why_untrackable(stat, status, process, user, sees_others),
    )


def _command(stat: ProcessStat, handle: psutil.Process) -> str:
    line = ""
    if not stat.is_kernel_thread and not stat.is_dead:
        try:
            line = " ".join(handle.cmdline())[:_LONGEST_COMMAND].strip()
        except (psutil.AccessDenied, psutil.ZombieProcess):  # hidepid, or it has just exited
            line = ""
    return printable(line) if line else f"[{stat.command}]"


def _why_untrackable(
    stat: ProcessStat, status: dict[str, str], process: _Known, user: str, sees_others: bool
) -> str:
    if stat.is_kernel_thread:
        return "kernel thread"
    if stat.is_dead:
        return "zombie"
    if stat.pid == os.getpid():
        return "ourselves"
    if not sees_others and any(int(uid) != os.geteuid() for uid in status["Uid"].split()):
        return f"another user's ({user})"
    tracer = int(status.get("TracerPid", 0))
    if tracer:
        return _traced_by(tracer)
    if stat.is_exiting:
        return "exiting"
    if process.is_32_bit(stat):
        return "32-bit"
    return ""


def _traced_by(tracer: int) -> str:
    try:
        stat = read_stat(tracer)
    except TargetGone:  # and so it is traced no longer
        return ""
    if os.getpid() in (stat.pid, stat.parent_pid):
        return ""  # we are, for the moment of a tick
    return f"traced by pid {tracer} ({stat.command})"


def _has_32_bit_program(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/exe", "rb", 0) as program:
            return program.read(len(_ELF_32_BIT)) == _ELF_32_BIT
    except OSError:  # not ours to read, or gone: then nothing is known against it
        return False


@cache
def _user_name(uid: int) -> str:
    try:
        return printable(pwd.getpwuid(uid).pw_name)
    except KeyError:  # as in a container without the host's users
        return str(uid)
