"""SIGKILL at any moment of arm, tick, pre-dump and dump: the target runs on, untouched."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from engine.checkpoint.link import After
from engine.checkpoint.memory import MemoryChain
from engine.images.chain import read_chain, verify
from engine.kernel.maps import read_maps
from engine.kernel.pagemap import Category, Pagemap
from engine.kernel.process import read_status
from engine.tracking.probe import probe
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from tests.targets import selfchecking
from tests.targets.forked import Forked

KILLS = 200
SOAK_KILLS = 500
"""Of each kind of work: a thousand."""
_BATCH = 10
_WATCHING_KILLS = 5
_UNDONE_WITHIN_S = 20.0

Work = Callable[[int, Path, TrackerKind], None]
"""Of a process, what is made of it in a directory, by which tracker."""


class SelfChecking:
    """A target with threads that finds every wrong byte in its own memory."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", selfchecking.__file__, "1200", "3"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()
        self.pid = self.process.pid

    def judge(self) -> tuple[int, int]:
        """How often pages were rewritten so far, and how many were ever wrong."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        rounds, wrong = self.process.stdout.readline().split()
        return int(rounds), int(wrong)


@pytest.fixture
def judged() -> Iterator[SelfChecking]:
    target = SelfChecking()
    yield target
    target.process.kill()
    target.process.wait()


def work_until_killed(pid: int, directory: Path, kind: TrackerKind) -> None:
    """Everything the program does to a target, again and again."""
    number = 0
    while True:
        number += 1
        with Session(pid, kind) as session:
            session.arm()
            session.tick()
            chain = MemoryChain(session, directory / str(number))
            chain.pre_dump()
            session.tick()
            chain.pre_dump()
            chain.dump(After.RUN)


def watch_until_killed(pid: int, directory: Path, kind: TrackerKind) -> None:
    """Arm, look as fast as can be, and begin anew; of the directory nothing is needed."""
    while True:
        with Session(pid, kind) as session:
            session.arm()
            for _ in range(20):
                session.tick()
            session.arm()
            session.tick()


def traces(pid: int) -> list[str]:
    """What is left of us in the target."""
    left = []
    for tid in os.listdir(f"/proc/{pid}/task"):
        status = read_status(pid, int(tid))
        if status["TracerPid"] != "0":
            left.append(f"thread {tid} is traced")
        if status["State"][0] in "tT":
            left.append(f"thread {tid} is stopped")
        if int(status["SigBlk"], 16):
            left.append(f"thread {tid} has signals blocked: {status['SigBlk']}")
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):  # it is being closed just now
            if "userfaultfd" in os.readlink(f"/proc/{pid}/fd/{name}"):
                left.append("it has a userfaultfd")
    if probe().write_protect.works:
        maps = read_maps(pid)
        with Pagemap(pid) as pagemap:
            if pagemap.scan(*maps.user_span, all_of=Category.WP_ALLOWED).pages():
                left.append("its memory is still watched")
    return left


def kill_many(work: Work, seeds: range, kind: TrackerKind, judged: SelfChecking) -> None:
    """Each at some moment of that work; after each the target has to be as it was, and working."""
    rounds = 0
    for seed in seeds:
        with tempfile.TemporaryDirectory(prefix="dirtytop-test-") as name:
            directory = Path(name)
            chains = directory / "chains"
            chains.mkdir()
            child = Forked(partial(work, judged.pid, chains, kind), directory)
            time.sleep(random.Random(seed).random() * 0.35)
            child.kill()
            # Of links, only whole ones bear their name.
            for chain in chains.iterdir():
                for link in chain.iterdir():
                    if not link.name.endswith(".partial"):
                        assert verify(read_chain(link)) == ()
        deadline = time.monotonic() + _UNDONE_WITHIN_S
        while left := traces(judged.pid):
            assert time.monotonic() < deadline, left
            time.sleep(0.002)
        now, wrong = judged.judge()
        assert wrong == 0
        assert now > rounds, "the target no longer works"
        rounds = now


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(0, KILLS, _BATCH))
def test_a_killed_dirtytop_leaves_the_target_running_and_untouched(
    first: int, kind: TrackerKind, judged: SelfChecking
) -> None:
    kill_many(work_until_killed, range(first, first + _BATCH), kind, judged)


def test_so_does_one_that_was_killed_while_it_only_watched(kind: TrackerKind, judged: SelfChecking) -> None:
    kill_many(watch_until_killed, range(_WATCHING_KILLS), kind, judged)


@pytest.mark.soak
@pytest.mark.parametrize("work", [work_until_killed, watch_until_killed], ids=["chains", "watching"])
def test_a_thousand_more_do_so(work: Work, kind: TrackerKind, judged: SelfChecking) -> None:
    kill_many(work, range(KILLS, KILLS + SOAK_KILLS), kind, judged)
