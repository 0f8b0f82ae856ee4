"""Whatever happens between two links, in whatever order: the end of the chain is right, or was refused."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from engine.checkpoint.link import After, LinkProgress
from engine.checkpoint.memory import MemoryChain
from engine.errors import Cancelled, DirtytopError, LinkFailed
from engine.images.chain import read_chain, verify
from engine.kernel.clear_refs import clear_soft_dirty
from engine.kernel.process import read_stat
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from tests.checkpoint.comparing import differences
from tests.targets.scripted import ScriptedTarget

INTERLEAVINGS = 100
_BATCH = 10
_ACTIONS = 12
_LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


class Story:
    """One target, one chain, and what happens to them."""

    def __init__(self, seed: int, kind: TrackerKind, directory: Path) -> None:
        self.rng = random.Random(seed)
        self.kind = kind
        self.directory = directory
        self.target = ScriptedTarget(pages=64)
        self.session = Session(self.target.pid, kind)
        self.session.arm()
        self.chain = MemoryChain(self.session, directory)
        self.children: list[int] = []
        self.extra: list[tuple[int, int]] = []
        self.told: list[str] = []

    # -- what can happen

    def write(self) -> None:
        pages = [self.rng.randrange(64) for _ in range(self.rng.randrange(1, 30))]
        self.target.fill(pages, value=self.rng.randrange(256))

    def map_more(self) -> None:
        pages = self.rng.randrange(1, 20)
        base = self.target.map(pages)
        self.target.fill(range(0, pages, 2), base, self.rng.randrange(256))
        self.extra.append((base, pages))

    def unmap(self) -> None:
        if self.extra:
            self.target.unmap(*self.extra.pop())

    def tick(self) -> None:
        self.told += [event.text for event in self.session.tick().events]

    def arm(self) -> None:
        self.session.arm()

    def pre_dump(self) -> None:
        self.told += self.chain.pre_dump().notes

    def foreign_clear(self) -> None:
        clear_soft_dirty(self.target.pid)

    def cancelled_link(self) -> None:
        calls = iter(range(1000))
        after = self.rng.randrange(4)
        make = self.rng.choice((self.chain.pre_dump, lambda **how: self.chain.dump(After.KILL, **how)))
        with suppress(Cancelled):
            self.told += make(cancelled=lambda: next(calls) >= after).notes

    def failed_link(self) -> None:
        def fail(progress: LinkProgress) -> None:
            raise LinkFailed("the disk is full")

        with pytest.raises(LinkFailed, match="the disk is full"):
            self.chain.pre_dump(progress=fail)

    def delete_a_link(self) -> None:
        links = [link.path for link in self.chain.links if link.path.exists()]
        if links:
            shutil.rmtree(self.rng.choice(links))

    def replace_a_parent(self) -> None:
        links = [link.path for link in self.chain.links if link.path.exists()]
        if len(links) > 1:
            pagemap = next(links[0].glob("pagemap-*.img"))
            with suppress(FileNotFoundError):
                shutil.copyfile(pagemap, links[-1] / pagemap.name)

    def fork(self) -> None:
        if len(self.children) < 3:
            self.children.append(self.target.fork())

    def reuse_a_pid(self) -> None:
        """A child exits, and another one has its pid."""
        if not self.children:
            return
        old = self.children.pop()
        self.target.end_child(old)
        try:
            _LAST_PID.write_text(str(old - 1))
        except OSError:
            return
        self.target.fill(range(8), value=self.rng.randrange(256))
        self.children.append(self.target.fork())

    def another_dirtytop(self) -> None:
        """Ours ends; another one goes on with the chain."""
        self.session.close()
        self.session = Session(self.target.pid, self.kind)
        if not self.chain.links:
            shutil.rmtree(self.directory)
            self.chain = MemoryChain(self.session, self.directory)
            return
        try:
            self.chain = MemoryChain.go_on(self.session, self.directory)
        except DirtytopError as refused:
            # A link of the chain is missing or damaged: begin another one.
            self.told.append(refused.message)
            self.directory = self.directory.with_name(self.directory.name + "+")
            self.chain = MemoryChain(self.session, self.directory)

    # -- and its end

    def play(self) -> None:
        actions: list[Callable[[], None]] = [
            self.write, self.write, self.write, self.map_more, self.unmap, self.tick, self.arm,
            self.pre_dump, self.pre_dump, self.pre_dump, self.foreign_clear, self.cancelled_link,
            self.failed_link, self.delete_a_link, self.replace_a_parent, self.fork, self.reuse_a_pid,
            self.another_dirtytop,
        ]  # fmt: skip
        for _ in range(_ACTIONS):
            self.rng.choice(actions)()
            if self.chain.is_ended:  # a dump that was to be cancelled was quicker
                return

    def judge(self) -> list[str]:
        """What is wrong with the end of the chain."""
        if self.chain.is_ended:
            return []
        result = self.chain.dump(After.STOP)
        images = read_chain(result.path)
        wrong = [problem.text for problem in verify(images)]
        for pid in images.links[-1].pids:
            wrong += [f"process {pid}: {text}" for text in differences(images, pid)]
        return wrong

    def close(self) -> None:
        self.session.close()
        for pid in self.children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.target.kill()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(0, INTERLEAVINGS, _BATCH))
def test_the_end_is_right_or_refused(first: int, kind: TrackerKind, tmp_path: Path) -> None:
    for seed in range(first, first + _BATCH):
        story = Story(seed, kind, tmp_path / str(seed))
        try:
            story.play()
            assert story.judge() == [], f"seed {seed}: {story.told}"
        finally:
            story.close()


def test_a_pid_used_again_between_two_links_is_another_process(kind: TrackerKind, tmp_path: Path) -> None:
    if not os.access(_LAST_PID, os.W_OK):
        pytest.skip("the next pid cannot be chosen here")
    story = Story(1, kind, tmp_path / "chain")
    try:
        story.fork()
        story.pre_dump()
        (old,) = story.children
        begun = read_stat(old).start_ticks
        while story.children == [old] and read_stat(old).start_ticks == begun:
            time.sleep(0.02)  # start times have a resolution of ten milliseconds
            story.reuse_a_pid()
        assert story.judge() == []
    finally:
        story.close()
