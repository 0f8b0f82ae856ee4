"""Processes as CRIU can restore them: sessions of their own, with nothing open that belongs to us."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.errors import TargetGone
from engine.kernel.process import child_processes, read_stat
from tests.criu import belongings
from tests.targets import selfchecking

_ANSWER_TIMEOUT_S = 60.0


class Outliving:
    """A script that answers a line for each line it is given, through fifos that outlive it.

    It may die and be restored in between; the pid stays.
    """

    def __init__(self, directory: Path, *command: object, new_session: bool = True) -> None:
        """Start it, and wait for its first line."""
        self._questions = _fifo(directory / "questions")
        self._answers = _fifo(directory / "answers")
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", *map(str, command)],
            stdin=self._questions,
            stdout=self._answers,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=new_session,
        )
        self.pid = self.process.pid
        self.first_answer = self.answer()

    @classmethod
    def owner_of(cls, kind: str, directory: Path) -> Outliving:
        """One that owns something of a kind."""
        return cls(directory, belongings.__file__, kind, directory)

    @classmethod
    def judging(
        cls, directory: Path, pages: int = 2000, threads: int = 2, *, new_session: bool = True
    ) -> Outliving:
        """One that rewrites and checks its pages all the time."""
        return cls(directory, selfchecking.__file__, pages, threads, new_session=new_session)

    def ask(self) -> str:
        """Let it look at itself, once."""
        os.write(self._questions, b"\n")
        return self.answer()

    def answer(self, timeout_s: float = _ANSWER_TIMEOUT_S) -> str:
        """Its next line."""
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self._answers], [], [], timeout_s)
            assert ready, "it does not answer"
            line += os.read(self._answers, 1)
        return line.decode().strip()

    def judge(self) -> tuple[int, int]:
        """Of one that is judging: how many pages it has rewritten, and how many were ever wrong."""
        rounds, wrong = map(int, self.ask().split())
        return rounds, wrong

    def judge_within(self, timeout_s: float) -> tuple[int, int] | None:
        """The same; None if it does not answer in time."""
        os.write(self._questions, b"\n")
        try:
            rounds, wrong = map(int, self.answer(timeout_s).split())
        except AssertionError:
            return None
        return rounds, wrong

    def bury(self) -> None:
        """Wait for the end of all of it, so that its pids are free (see the fixture `orphans_are_ours`)."""
        self.process.wait()
        with suppress(ChildProcessError):
            while True:
                os.waitid(os.P_PGID, self.pid, os.WEXITED)

    def kill(self) -> None:
        """End the tree, whoever its parent is by now, and wait until it is gone."""
        for pid in (self.pid, *(stat.pid for stat in child_processes({self.pid}))):
            try:
                if read_stat(pid).is_dead:
                    continue
                descriptor = os.pidfd_open(pid)
            except (TargetGone, ProcessLookupError):
                continue
            # The ones below end by themselves as those above do, and may be waited for by then.
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            select.select([descriptor], [], [], _ANSWER_TIMEOUT_S)
            os.close(descriptor)
        with suppress(ChildProcessError):  # it was restored as a child of init, or waited for already
            os.waitpid(self.pid, 0)
        self.process.returncode = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        os.close(self._questions)
        os.close(self._answers)


def wait_for_state(pid: int, states: str) -> None:
    """Until the kernel shows one of these letters for it."""
    deadline_s = time.monotonic() + _ANSWER_TIMEOUT_S
    while read_stat(pid).state not in states:
        assert time.monotonic() < deadline_s, read_stat(pid).state
        time.sleep(0.001)


def _fifo(path: Path) -> int:
    """A fifo open at both ends, so that it has neither an end nor a beginning."""
    os.mkfifo(path)
    return os.open(path, os.O_RDWR | os.O_CLOEXEC)
