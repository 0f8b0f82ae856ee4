"""A target, a chain of it, and what can happen to both between two links.

After each step the target is looked at: it has to run, and its memory to be what a plain model says.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from engine.checkpoint.criu.chain import CriuChain
from engine.checkpoint.link import After, LinkProgress
from engine.checkpoint.memory import MemoryChain
from engine.errors import Cancelled, DirtytopError, EpochLent, LinkFailed, NotSupported
from engine.images.chain import read_chain, verify
from engine.kernel.clear_refs import clear_soft_dirty
from engine.kernel.process import read_stat, read_status
from engine.pageset import PAGE_SIZE
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from tests.checkpoint.comparing import differences
from tests.targets.scripted import ScriptedTarget

ACTIONS = 12
_PAGES = 64
LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


def wait_until_asleep(pid: int) -> None:
    """Until it waits for its next command: after its last answer it tidies up."""
    while read_stat(pid).state != "S":
        time.sleep(0.001)


def wrong_with(link: Path) -> list[str]:
    """What is wrong with a dump of processes that have done nothing since."""
    images = read_chain(link)
    wrong = [problem.text for problem in verify(images)]
    for pid in images.links[-1].pids:
        wrong += [f"process {pid}: {text}" for text in differences(images, pid)]
    return wrong


class Story:
    """One target, one chain, and what happens to them."""

    def __init__(self, seed: int, kind: TrackerKind, directory: Path) -> None:
        self.rng = random.Random(seed)
        self.kind = kind
        self.directory = directory
        self.target = ScriptedTarget(pages=_PAGES)
        self.model: dict[int, dict[int, int]] = {self.target.base: dict.fromkeys(range(_PAGES), 1)}
        """Of each mapping that it was told to make: which of its pages it has filled, and with what."""
        self.session = Session(self.target.pid, kind)
        self.chain = self.new_chain()
        self.children: list[int] = []
        self.extra: list[tuple[int, int]] = []
        self.told: list[str] = []
        self.wrong: list[str] = []
        self.has_started_another = False
        self.others = 0

    def new_chain(self) -> MemoryChain | CriuChain:
        self.session.arm()
        return MemoryChain(self.session, self.directory)

    def chain_gone_on_with(self) -> MemoryChain | CriuChain:
        return MemoryChain.go_on(self.session, self.directory)

    # -- what can happen

    def fill(self, pages: Iterable[int], base: int) -> None:
        pages, value = list(pages), self.rng.randrange(256)
        self.target.fill(pages, base, value)
        self.model[base].update(dict.fromkeys(pages, value))

    def write(self) -> None:
        pages = [self.rng.randrange(_PAGES) for _ in range(self.rng.randrange(1, 30))]
        self.fill(pages, self.target.base)

    def map_more(self) -> None:
        pages = self.rng.randrange(1, 20)
        base = self.target.map(pages)
        self.model[base] = {}
        self.fill(range(0, pages, 2), base)
        self.extra.append((base, pages))

    def unmap(self) -> None:
        if self.extra:
            base, pages = self.extra.pop()
            self.target.unmap(base, pages)
            del self.model[base]

    def move(self) -> None:
        """Perhaps elsewhere, as it is to be larger or smaller."""
        if not self.extra:
            return
        base, pages = self.extra.pop(self.rng.randrange(len(self.extra)))
        new_pages = self.rng.randrange(1, 2 * pages + 1)
        moved = self.target.remap(base, pages, new_pages)
        kept = {page: value for page, value in self.model.pop(base).items() if page < new_pages}
        self.model[moved] = kept
        self.extra.append((moved, new_pages))

    def discard(self) -> None:
        base, pages = self.rng.choice([(self.target.base, _PAGES), *self.extra])
        first = self.rng.randrange(pages)
        end = self.rng.randrange(first, pages) + 1
        self.target.discard(base + first * PAGE_SIZE, end - first)
        for page in range(first, end):
            self.model[base].pop(page, None)

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
        self.fill(range(8), self.target.base)
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

    def a_chain_beside(self) -> None:
        """Another dirtytop makes one of the same target, from its beginning to its end."""
        self.others += 1
        directory = self.directory.with_name(f"{self.directory.name}-beside-{self.others}")
        try:
            with Session(self.target.pid, self.kind) as other:
                chain = MemoryChain(other, directory)
                self.told += chain.pre_dump().notes
                wait_until_asleep(self.target.pid)
                self.wrong += wrong_with(chain.dump(After.RUN).path)
        except (NotSupported, EpochLent) as refused:
            self.told.append(refused.message)

    def dump_and_begin_again(self) -> None:
        """The target runs on, and the same session begins another chain of it."""
        wait_until_asleep(self.target.pid)
        result = self.chain.dump(After.RUN)
        self.told += result.notes
        self.wrong += wrong_with(result.path)
        self.others += 1
        self.directory = self.directory.with_name(f"{self.directory.name}-{self.others}")
        self.chain = self.new_chain()

    def kill_the_helper(self) -> None:
        """While it has nothing to do: at moments of its work see tests/tracking/test_helper_killed.py."""
        helper = self.session._source._helper
        if helper is not None:
            os.kill(helper.pid, signal.SIGKILL)

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
            self.move, self.discard, self.a_chain_beside, self.dump_and_begin_again, self.kill_the_helper,
        ]  # fmt: skip
        asked = (
            self.write, self.map_more, self.unmap, self.fork, self.reuse_a_pid, self.move, self.discard,
        )  # fmt: skip
        for _ in range(ACTIONS):
            action = self.rng.choice(actions)
            if action in asked and self.has_started_another:
                continue
            action()
            if self.chain.is_ended:  # a dump that was to be cancelled was quicker
                return
            self.wrong += [f"after {action.__name__}: {text}" for text in self.harm()]

    def judge(self) -> list[str]:
        """What was wrong on the way, or is with the end of the chain."""
        if self.chain.is_ended:
            return self.wrong
        return self.wrong + wrong_with(self.chain.dump(After.STOP).path)

    def harm(self) -> list[str]:
        """In what the target is not as its model."""
        status = read_status(self.target.pid)
        wrong = [] if status["TracerPid"] == "0" else [f"it is traced by {status['TracerPid']}"]
        if read_stat(self.target.pid).state in "tT":
            wrong.append("it is stopped")
        if self.has_started_another:
            return wrong
        with open(f"/proc/{self.target.pid}/mem", "rb", buffering=0) as memory:
            for base, filled in self.model.items():
                for page, value in filled.items():
                    memory.seek(base + page * PAGE_SIZE)
                    if memory.read(PAGE_SIZE) != bytes([value]) * PAGE_SIZE:
                        wrong.append(f"page {page} of {base:x} is not what was written")
        return wrong

    def close(self) -> None:
        self.session.close()
        for pid in self.children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.target.kill()
