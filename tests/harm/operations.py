"""Everything that dirtytop does to a target: each operation is one row, and in its middle still attached."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from engine.checkpoint.chain import Chain
from engine.checkpoint.engines import open_chain
from engine.checkpoint.link import After, Engine
from engine.core.live import make_live_cores
from engine.errors import Cancelled, DirtytopError, LinkFailed
from engine.kernel.process import ProcessStat, child_processes, read_stat, read_status
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from engine.trust.directory import open_directory
from tests.harm.target import wait_for_state
from tests.targets.forked import Forked


class CriuCannot(DirtytopError):
    """CRIU, by itself, fails."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What an operation works on."""

    pid: int
    kind: TrackerKind
    directory: Path
    """Scratch."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that dirtytop does."""

    name: str
    what: str
    """For a table: what is done."""
    work: Callable[[Subject], AbstractContextManager[None]]
    """Does it; the block is run while dirtytop is still attached, where it stays."""
    engine: Engine | None = None
    is_stopping: bool = False
    """Whether every thread of the tree is stopped."""
    needs_soft_dirty: bool = False


# -- watching


@contextmanager
def _armed(subject: Subject) -> Iterator[None]:
    with Session(subject.pid, subject.kind) as session:
        session.arm()
        yield


@contextmanager
def _ticked(subject: Subject) -> Iterator[None]:
    with Session(subject.pid, subject.kind) as session:
        session.arm()
        for _ in range(3):
            session.tick()
        yield


@contextmanager
def _rearmed(subject: Subject) -> Iterator[None]:
    with Session(subject.pid, subject.kind) as session:
        for _ in range(3):
            session.arm()
            session.tick()
        yield


@contextmanager
def _watched(subject: Subject) -> Iterator[None]:
    """By the command line, which is told to end."""
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tui.cli",
            "watch",
            str(subject.pid),
            "--tracker",
            subject.kind.value,
            "--json",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    ) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        if not command.stdout.readline():
            raise DirtytopError(command.stderr.read().decode().strip())
        yield
        command.send_signal(signal.SIGINT)


def _watch_for_ever(subject: Subject, says_so: int) -> None:
    with Session(subject.pid, subject.kind) as session:
        session.arm()
        while True:
            session.tick()
            with suppress(OSError):
                os.write(says_so, b"x")


@contextmanager
def _killed(subject: Subject) -> Iterator[None]:
    """SIGKILL of whoever watches, while it watches."""
    hears, says_so = os.pipe()
    watcher = Forked(partial(_watch_for_ever, subject, says_so), subject.directory)
    os.close(says_so)
    ticked = os.read(hears, 1)
    os.close(hears)
    try:
        if not ticked:
            raise DirtytopError((subject.directory / "error").read_text().splitlines()[-1])
        yield
    finally:
        if ticked:
            watcher.kill()


@contextmanager
def _helper_killed(subject: Subject) -> Iterator[None]:
    """SIGKILL of the process that attaches, once it has (`test_helper_killed_anywhere` for while it does)."""
    with Session(subject.pid, subject.kind) as session:
        session.arm()
        if (helper := session._source._helper) is not None:
            helper.kill()
            helper.wait()
        session.tick()
        yield


# -- making links


@contextmanager
def _chain(subject: Subject, engine: Engine) -> Iterator[Chain]:
    with Session(subject.pid, subject.kind) as session:
        chain = open_chain(engine, session, subject.directory / "chain")
        try:
            yield chain
        finally:
            chain.close()


@contextmanager
def _pre_dumped(subject: Subject, engine: Engine) -> Iterator[None]:
    with _chain(subject, engine) as chain:
        chain.pre_dump()
        chain.pre_dump()
        yield


@contextmanager
def _dumped(subject: Subject, engine: Engine) -> Iterator[None]:
    with _chain(subject, engine) as chain:
        chain.dump(After.RUN)
        yield


@contextmanager
def _ended(subject: Subject, engine: Engine) -> Iterator[None]:
    """A chain with its end."""
    with _chain(subject, engine) as chain:
        chain.pre_dump()
        chain.dump(After.RUN)
        yield


def _living(root: int) -> list[ProcessStat]:
    return [stat for stat in (read_stat(root), *child_processes({root})) if not stat.is_dead]


@contextmanager
def _stopped(subject: Subject, engine: Engine) -> Iterator[None]:
    """A dump that stops the tree, which is then told to go on."""
    stopped_before = {stat.pid for stat in _living(subject.pid) if stat.state == "T"}
    with _chain(subject, engine) as chain:
        left_out = chain.dump(After.STOP).not_held
        # Whoever traces a child of its own is told of the signal, and may not pass it on.
        tree = [stat.pid for stat in _living(subject.pid) if read_status(stat.pid)["TracerPid"] == "0"]
        for pid in tree:
            wait_for_state(pid, "T", f"(left out: {'; '.join(left_out)})")
        for pid in {*tree} - stopped_before:
            os.kill(pid, signal.SIGCONT)
        wait_for_state(subject.pid, "RSDT" if subject.pid in stopped_before else "RSD")
        yield


def _is_past(moment_s: float) -> bool:
    return time.monotonic() > moment_s


@contextmanager
def _cancelled(subject: Subject, engine: Engine) -> Iterator[None]:
    """Dumps that are cancelled, earlier and later."""
    with _chain(subject, engine) as chain:
        for moment in range(3):
            with suppress(Cancelled):
                chain.dump(After.RUN, cancelled=partial(_is_past, time.monotonic() + moment * 0.02))
            if chain.is_ended:
                break
        yield


@contextmanager
def _in_wrong_directory(subject: Subject, engine: Engine) -> Iterator[None]:
    """A chain that cannot be begun, as there is one already."""
    (subject.directory / "chain" / "1").mkdir(parents=True)
    (subject.directory / "chain" / "1" / "inventory.img").touch()
    with Session(subject.pid, subject.kind) as session:
        session.arm()
        with pytest.raises(LinkFailed):
            open_chain(engine, session, subject.directory / "chain")
        yield


@contextmanager
def _on_full_disk(subject: Subject, engine: Engine) -> Iterator[None]:
    small = subject.directory / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", small], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.decode().strip()}")
    try:
        with Session(subject.pid, subject.kind) as session:
            chain = open_chain(engine, session, small / "chain")
            with pytest.raises(LinkFailed, match="No space"):
                chain.dump(After.RUN)
            chain.close()
            yield
    finally:
        subprocess.run(["umount", "-l", small], check=True)


@contextmanager
def _by_criu_alone(subject: Subject) -> Iterator[None]:
    """`criu dump --leave-running`, without us: what it does itself to its target."""
    images = subject.directory / "images"
    images.mkdir()
    done = subprocess.run(
        ["criu", "dump", "-t", f"{subject.pid}", "-D", images, "--leave-running", "-v0", "--shell-job"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise CriuCannot("criu cannot dump it")
    yield


def _by(
    work: Callable[[Subject, Engine], AbstractContextManager[None]], engine: Engine
) -> Callable[[Subject], AbstractContextManager[None]]:
    return lambda subject: work(subject, engine)


@contextmanager
def _untouched(subject: Subject) -> Iterator[None]:
    yield


@contextmanager
def _cored(subject: Subject) -> Iterator[None]:
    with (
        tempfile.TemporaryDirectory(dir=subject.directory) as name,
        open_directory(Path(name)) as above,
        Session(subject.pid, subject.kind) as session,
    ):
        for core in ("first", "second"):
            make_live_cores(session, above, core, lambda stage, done, total: None, lambda: False)
        yield


UNTOUCHED: Final = Operation("untouched", "nothing: the control", _untouched)

WATCHING: Final = (
    Operation("armed", "armed", _armed),
    Operation("ticked", "armed, and three ticks", _ticked),
    Operation("re-armed", "armed three times, with ticks between", _rearmed),
    Operation("watched", "`dirtytop watch`, ended by SIGINT", _watched),
    Operation("watcher killed", "SIGKILL of dirtytop while it watches", _killed),
    Operation("helper killed", "SIGKILL of the helper that has attached", _helper_killed),
)

_M, _S, _C = Engine.MEMORY, Engine.SPLICED, Engine.CRIU

LINKS: Final = (
    Operation("memory pre-dump", "two pre-dumps", _by(_pre_dumped, _M), _M),
    Operation("memory dump", "a dump", _by(_dumped, _M), _M, is_stopping=True),
    Operation("memory chain", "a pre-dump and a dump", _by(_ended, _M), _M, is_stopping=True),
    Operation(
        "memory dump that stops",
        "a dump, SIGSTOP, and later SIGCONT",
        _by(_stopped, _M),
        _M,
        is_stopping=True,
    ),
    Operation(
        "memory dump cancelled", "three dumps that are cancelled", _by(_cancelled, _M), _M, is_stopping=True
    ),
    Operation(
        "memory dump on a full disk", "a dump that fails", _by(_on_full_disk, _M), _M, is_stopping=True
    ),
    Operation("chain refused", "a chain in a directory that holds one", _by(_in_wrong_directory, _M), _M),
    Operation("memory core", "two cores", _cored, _M, is_stopping=True),
)

LINKS_BY_CRIU: Final = (
    Operation("spliced pre-dump", "two pre-dumps", _by(_pre_dumped, _S), _S),
    Operation("spliced chain", "a pre-dump and a dump", _by(_ended, _S), _S, is_stopping=True),
    Operation(
        "spliced dump cancelled", "three dumps that are cancelled", _by(_cancelled, _S), _S, is_stopping=True
    ),
    Operation(
        "criu pre-dump", "two pre-dumps", _by(_pre_dumped, _C), _C, is_stopping=True, needs_soft_dirty=True
    ),
    Operation("criu dump", "a dump", _by(_dumped, _C), _C, is_stopping=True),
    Operation(
        "criu dump cancelled", "three dumps that are cancelled", _by(_cancelled, _C), _C, is_stopping=True
    ),
)

CRIU_ALONE: Final = Operation("criu alone", "`criu dump --leave-running`: the control", _by_criu_alone)

OPERATIONS: Final = (*WATCHING, *LINKS, *LINKS_BY_CRIU)

OPERATIONS_EACH_TIME: Final = tuple(
    operation
    for operation in (UNTOUCHED, *OPERATIONS)
    if operation.name
    in (
        *("untouched", "re-armed", "watcher killed", "helper killed"),
        *("memory chain", "memory dump that stops", "memory dump cancelled", "spliced chain"),
    )
)
"""What is done in each run of the tests, in little time."""
