"""A disk that takes nothing more, or memory that never comes, does not keep a target stopped."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.checkpoint.apart import Apart
from engine.checkpoint.freeze_limit import Freeze, FrozenTooLong
from engine.checkpoint.link import After, LinkProgress
from engine.checkpoint.memory import MemoryChain
from engine.images.chain import read_chain, verify
from engine.kernel.process import read_stat
from engine.tracking.session import Session
from tests.targets.scripted import ScriptedTarget

BOUND_S = 30.0
LIMIT_S = 0.3
FIFREEZE, FITHAW = 0xC0045877, 0xC0045878


class Disk:
    """A file system that can be made to take nothing more."""

    def __init__(self, place: Path) -> None:
        self.path = place / "disk"
        self.path.mkdir()
        image = place / "image"
        if shutil.which("mkfs.ext4") is None:
            pytest.skip("no file system of our own: mkfs.ext4 is not installed")
        image.write_bytes(b"")
        os.truncate(image, 32 << 20)
        commands: list[list[str | Path]] = [
            ["mkfs.ext4", "-q", image],
            ["mount", "-o", "loop", image, self.path],
        ]
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"no file system of our own: {done.stderr.strip()}")
        self.is_frozen = False

    def control(self, request: int) -> None:
        descriptor = os.open(self.path, os.O_RDONLY)
        fcntl.ioctl(descriptor, request, 0)
        os.close(descriptor)

    def freeze(self) -> None:
        if not self.is_frozen:
            self.control(FIFREEZE)
            self.is_frozen = True

    def thaw(self) -> None:
        if self.is_frozen:
            self.control(FITHAW)
            self.is_frozen = False


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path)
    yield made
    made.thaw()
    subprocess.run(["umount", "--lazy", made.path], check=True)


def wait_until_stopped(pid: int, *, is_stopped: bool) -> None:
    deadline_s = time.monotonic() + BOUND_S
    while (read_stat(pid).state == "t") != is_stopped:
        assert time.monotonic() < deadline_s, f"stopped: {not is_stopped}"
        time.sleep(0.001)


def test_a_disk_that_takes_nothing_more_does_not_keep_the_target_stopped(
    session: Session, target: ScriptedTarget, disk: Disk
) -> None:
    target.fill(range(500))
    chain = MemoryChain(session, disk.path / "chain")
    chain.pre_dump()
    target.fill(range(500), value=2)
    chain.freeze_timeout_s = LIMIT_S
    failures: list[FrozenTooLong] = []

    def freeze_once_it_is_written(progress: LinkProgress) -> None:
        if progress.stage == "writing":
            disk.freeze()

    def dump() -> None:
        try:
            chain.dump(After.STOP, progress=freeze_once_it_is_written)
        except FrozenTooLong as error:
            failures.append(error)

    dumping = threading.Thread(target=dump)
    dumping.start()
    wait_until_stopped(target.pid, is_stopped=True)
    wait_until_stopped(target.pid, is_stopped=False)
    assert disk.is_frozen
    target.fill([3], value=3)
    disk.thaw()
    dumping.join()
    assert f"process {target.pid} was stopped for" in failures[0].message
    # A file that was being made just then goes when the work that was left behind has ended.
    deadline_s = time.monotonic() + BOUND_S
    while os.listdir(chain.directory) != ["1"]:
        assert time.monotonic() < deadline_s, os.listdir(chain.directory)
        time.sleep(0.001)
    chain.freeze_timeout_s = BOUND_S
    result = chain.dump()
    assert result.pages_written >= 500
    assert verify(read_chain(chain.directory)) == ()


def test_work_that_is_left_behind_gives_back_what_it_uses_only_when_it_ends() -> None:
    given_back, may_end = threading.Event(), threading.Event()
    freeze = Freeze(os.getpid(), 0.0)
    freeze.begin()
    with pytest.raises(FrozenTooLong), Apart() as apart, apart.things() as things:  # noqa: PT012
        things.callback(given_back.set)
        apart.run(lambda: may_end.wait(BOUND_S), freeze.check)
    freeze.end()
    assert not given_back.is_set()
    may_end.set()
    assert given_back.wait(BOUND_S)
