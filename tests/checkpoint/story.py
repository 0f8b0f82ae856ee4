"""A target, a chain of it, and what can happen to both between two links."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from engine.checkpoint.criu.chain import CriuChain
from engine.checkpoint.link import After, LinkProgress
from engine.checkpoint.memory import MemoryChain
from engine.errors import Cancelled, DirtytopError, EpochLent, LinkFailed, NotSupported
from engine.images.chain import read_chain, verify
from engine.kernel.clear_refs import clear_soft_dirty
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from tests.checkpoint.comparing import differences
from tests.targets.scripted import ScriptedTarget

ACTIONS = 12
LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


class Story:
    """One target, one chain, and what happens to them."""

    def __init__(self, seed: int, kind: TrackerKind, directory: Path) -> None:
        self.rng = random.Random(seed)
        self.kind = kind
        self.directory = directory
        self.target = ScriptedTarget(pages=64)
        self.session = Session(self.target.pid, kind)
        self.chain = self.new_chain()
        self.children: list[int] = []
        self.extra: list[tuple[int, int]] = []
        self.told: list[str] = []
        self.has_started_another = False

    def new_chain(self) -> MemoryChain | CriuChain:
        self.session.arm()
        return MemoryChain(self.session, self.directory)

    def chain_gone_on_with(self) -> MemoryChain | CriuChain:
        return MemoryChain.go_on(self.session, self.directory)

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
        try:
            self.session.arm()
        except EpochLent as refused:
            self.told.append(refused.message)

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
            LAST_PID.write_text(str(old - 1))
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
            self.chain = self.new_chain()
            return
        try:
            self.chain = self.chain_gone_on_with()
        except DirtytopError as refused:
            # A link of the chain is missing or damaged: begin another one.
            self.told.append(refused.message)
            self.directory = self.directory.with_name(self.directory.name + "+")
            self.chain = self.new_chain()

    def arm_in_another_dirtytop(self) -> None:
        """It plants canaries as ours does."""
        try:
            with Session(self.target.pid, self.kind) as other:
                other.arm()
        except NotSupported as refused:  # by write-protection only one can
            self.told.append(refused.message)

    def start_another_program(self) -> None:
        """It answers no more: nothing else can be asked of it."""
        if not self.has_started_another and self.rng.random() < 0.2:
            self.target.exec_sleep()
            self.has_started_another = True

    # -- and its end

    def play(self) -> None:
        actions: list[Callable[[], None]] = [
            self.write, self.write, self.write, self.map_more, self.unmap, self.tick, self.arm,
            self.pre_dump, self.pre_dump, self.pre_dump, self.foreign_clear, self.cancelled_link,
            self.failed_link, self.delete_a_link, self.replace_a_parent, self.fork, self.reuse_a_pid,
            self.another_dirtytop, self.arm_in_another_dirtytop, self.start_another_program,
        ]  # fmt: skip
        asked = (self.write, self.map_more, self.unmap, self.fork, self.reuse_a_pid)
        for _ in range(ACTIONS):
            action = self.rng.choice(actions)
            if action in asked and self.has_started_another:
                continue
            action()
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
