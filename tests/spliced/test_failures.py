"""Whatever goes wrong with a splice: the target lives on, a whole link is there or none, no page is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from engine.checkpoint.criu.directory import CriuDirectory
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.restore import restore
from engine.checkpoint.engines import open_chain
from engine.checkpoint.link import After, Engine, LinkProgress
from engine.checkpoint.spliced.chain import SplicedChain
from engine.checkpoint.spliced.frozen_pages import FrozenPages
from engine.checkpoint.spliced.part import SplicedPart
from engine.errors import Cancelled, DirtytopError, LinkFailed, TargetGone
from engine.images.chain import read_chain, verify
from engine.kernel.maps import read_maps
from engine.kernel.process import read_stat, read_status
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from tests.criu.outliving import Outliving, wait_for_state
from tests.targets.forked import Forked

pytestmark = pytest.mark.spread

_KILLS = 3
_SOAK_KILLS = 250
"""With each engine that CRIU works for, and whatever becomes of the target after the dump: a thousand."""


def mappings_of_criu(pid: int) -> int:
    return sum(b"CRIU" in vma.raw_name for vma in read_maps(pid).vmas)


def wait_until_nobody_traces(pid: int) -> None:
    """Until CRIU has let go of it, if it had taken hold of it, and for longer than it takes to do so."""
    quiet_since = time.monotonic()
    while time.monotonic() < quiet_since + 1.0:
        try:
            if int(read_status(pid)["TracerPid"]):
                quiet_since = time.monotonic()
        except (KeyError, TargetGone):
            return
        time.sleep(0.01)


def end_it(chain: SplicedChain, judge: Outliving, criu: Criu) -> int:
    """Dump again, kill, restore: how many pages are wrong."""
    last = chain.dump(After.KILL)
    judge.bury()
    assert verify(read_chain(last.path)) == ()
    restore(last.path, criu=criu)
    return judge.judge()[1]


def after(seconds: float) -> Callable[[], bool]:
    """What is true that long from now."""
    end_s = time.monotonic() + seconds
    return lambda: time.monotonic() > end_s


class Moment:
    """Comes when a dump reaches a stage."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._reached = False

    def hear(self, progress: LinkProgress) -> None:
        self._reached |= progress.stage == self._stage

    def has_come(self) -> bool:
        return self._reached


def in_vain(doing: str) -> Callable[..., None]:
    """Something that fails as a full disk does."""

    def fail(*_: object) -> None:
        raise LinkFailed(f"cannot {doing} (No space left on device)")

    return fail


@pytest.mark.parametrize(
    ("first", "place", "name", "after"),
    [
        (0, FrozenPages, "save", After.RUN),
        (0, FrozenPages, "splice", After.KILL),
        (0, CriuDirectory, "complete", After.RUN),
        (1, FrozenPages, "save", After.KILL),
        (1, FrozenPages, "splice", After.RUN),
        (1, CriuDirectory, "complete", After.KILL),
        # With KILL the target is gone by then, and the images are kept.
        (1, CriuDirectory, "finish", After.RUN),
    ],
)
def test_a_splice_that_fails_half_way_loses_no_page(
    criu: Criu,
    chain: SplicedChain,
    judge: Outliving,
    first: int,
    place: type,
    name: str,
    after: After,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chain.pre_dump()
    judge.judge()
    with monkeypatch.context() as patched:
        patched.setattr(place, name, in_vain(name))
        with pytest.raises(LinkFailed, match="No space left"):
            chain.dump(after)
    assert sorted(os.listdir(chain.directory)) == ["1"]
    assert mappings_of_criu(judge.pid) == 0
    assert judge.judge()[1] == 0
    assert not chain.is_ended
    assert end_it(chain, judge, criu) == 0


def test_an_only_copy_is_kept_though_it_cannot_get_its_name(
    criu: Criu, chain: SplicedChain, judge: Outliving, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain.pre_dump()
    judge.judge()
    with monkeypatch.context() as patched:
        patched.setattr(CriuDirectory, "finish", in_vain("name it"))
        with pytest.raises(LinkFailed) as failed:
            chain.dump(After.KILL)
    assert "2.partial is complete" in failed.value.hint
    judge.bury()
    (chain.directory / "2.partial").rename(chain.directory / "2")
    assert verify(read_chain(chain.directory)) == ()
    restore(chain.directory, criu=criu)
    assert judge.judge()[1] == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Room for a pre-dump of the judge, and little more."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", small], stderr=subprocess.PIPE
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.decode().strip()}")
    try:
        yield small
    finally:
        subprocess.run(["umount", "-l", small], check=True)


@pytest.mark.parametrize("after", [After.RUN, After.KILL])
def test_a_full_disk_is_told_and_the_dump_may_be_tried_again(
    criu: Criu, session: Session, judge: Outliving, small_disk: Path, after: After
) -> None:
    """Full from the start, or after so many bytes: in CRIU's part, in ours, at the end."""
    chain = SplicedChain(session, small_disk / "chain", criu=criu)
    chain.pre_dump()
    rng = random.Random(7)
    for _ in range(4):
        judge.judge()
        free = os.statvfs(small_disk)
        left_bytes = rng.randrange(6 << 20)
        fill = small_disk / "fill"
        with open(fill, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize - left_bytes))
        with pytest.raises(LinkFailed, match="No space left on device"):
            chain.dump(after)
        fill.unlink()
        assert {name for name in os.listdir(chain.directory) if not name.endswith(".log")} == {"1"}
        assert judge.judge()[1] == 0
        assert mappings_of_criu(judge.pid) == 0
    assert end_it(chain, judge, criu) == 0


def test_a_cancelled_dump_leaves_the_target_as_it_was(
    criu: Criu, chain: SplicedChain, judge: Outliving
) -> None:
    """At moments all over a dump."""
    rng = random.Random(5)
    chain.pre_dump()
    outcomes = set()
    for moment_s in (0.0, *(rng.random() * 0.15 for _ in range(5))):
        with suppress(Cancelled):
            chain.dump(After.RUN, cancelled=after(moment_s))
            break
        outcomes.add("cancelled")
        assert os.listdir(chain.directory) == ["1"]
        assert mappings_of_criu(judge.pid) == 0
        assert judge.judge()[1] == 0
    assert outcomes == {"cancelled"}
    if not chain.is_ended:
        assert end_it(chain, judge, criu) == 0


def test_a_cancel_while_pages_are_copied_or_written_is_heeded(chain: SplicedChain, judge: Outliving) -> None:
    chain.pre_dump()
    for stage in ("copying", "writing"):
        moment = Moment(stage)
        with pytest.raises(Cancelled):
            chain.dump(After.RUN, progress=moment.hear, cancelled=moment.has_come)
        assert os.listdir(chain.directory) == ["1"]
        assert judge.judge()[1] == 0


# -- kills


def dump_after(pre_dumps: int, pid: int, directory: Path, after: After, kind: TrackerKind) -> None:
    with Session(pid, kind) as session:
        chain = open_chain(Engine.SPLICED if pre_dumps else Engine.CRIU, session, directory)
        for _ in range(pre_dumps):
            chain.pre_dump()
        chain.dump(after)


def kill_dirtytop(
    kind: TrackerKind, criu: Criu, after: After, directory: Path, rng: random.Random, pre_dumps: int = 1
) -> None:
    """At some moment of its dump, a splice or CRIU's alone; the target is alive and right, or the link whole.

    Args:
        pre_dumps: how many links it makes before that; 0 leaves the dump to CRIU.
    """
    directory.mkdir()
    chain = directory / "chain"
    pre_dumped = {str(number + 1) for number in range(pre_dumps)}
    name = str(pre_dumps + 1)
    partial_name = f"{name}.partial"
    with Outliving.judging(directory, pages=3000) as target:
        dirtytop = Forked(partial(dump_after, pre_dumps, target.pid, chain, after, kind), directory)
        while not (chain / partial_name).exists() and not dirtytop.has_ended():
            time.sleep(0.001)
        time.sleep(rng.random() * 0.2)
        dirtytop.kill()
        wait_until_nobody_traces(target.pid)
        links = {path.name for path in chain.iterdir() if path.name.isdecimal()}
        assert links in (pre_dumped, {*pre_dumped, name})
        assert not links or verify(read_chain(chain)) == ()
        if target.process.poll() is None:
            assert read_stat(target.pid).state not in "Tt"
            assert target.judge()[1] == 0
            assert mappings_of_criu(target.pid) == 0
            return
        if (chain / partial_name).exists():
            (chain / partial_name).rename(chain / name)
        assert verify(read_chain(chain)) == ()
        restore(chain, criu=criu)
        assert target.judge()[1] == 0


@pytest.mark.parametrize("after", [After.RUN, After.KILL])
@pytest.mark.parametrize("first", range(_KILLS))
def test_killed_ourselves_we_leave_a_target_that_runs_or_a_dump_that_is_whole(
    criu: Criu, kind: TrackerKind, tmp_path: Path, first: int, after: After
) -> None:
    kill_dirtytop(kind, criu, after, tmp_path / "killed", random.Random(first))


@pytest.mark.parametrize("after", [After.RUN, After.KILL])
def test_so_we_do_where_criu_dumps_alone(criu: Criu, kind: TrackerKind, tmp_path: Path, after: After) -> None:
    kill_dirtytop(kind, criu, after, tmp_path / "killed", random.Random(9), pre_dumps=0)


@pytest.mark.soak
@pytest.mark.parametrize("after", [After.RUN, After.KILL])
@pytest.mark.parametrize("pre_dumps", [1, 0], ids=["spliced", "criu"])
def test_killed_ourselves_many_more_times(
    criu: Criu, kind: TrackerKind, tmp_path: Path, pre_dumps: int, after: After
) -> None:
    rng = random.Random(8)
    for number in range(_SOAK_KILLS):
        kill_dirtytop(kind, criu, after, tmp_path / str(number), rng, pre_dumps)


def kill_criu_of(pid: int) -> None:
    """SIGKILL to who traces it."""
    tracer = int(read_status(pid)["TracerPid"])
    assert tracer
    os.kill(tracer, signal.SIGKILL)


@pytest.mark.parametrize("moment", ["save", "splice"])
def test_a_criu_that_is_killed_while_we_copy_loses_no_page(
    criu: Criu, chain: SplicedChain, judge: Outliving, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By then it has taken its code out of the target, which just runs on."""
    chain.pre_dump()
    judge.judge()
    honest = getattr(FrozenPages, moment)

    def killed(pages: FrozenPages, images: CriuDirectory) -> None:
        honest(pages, images)
        kill_criu_of(judge.pid)

    with monkeypatch.context() as patched:
        patched.setattr(FrozenPages, moment, killed)
        with pytest.raises(DirtytopError, match="SIGKILL"):
            chain.dump(After.STOP if moment == "splice" else After.RUN)
    os.kill(judge.pid, signal.SIGCONT)
    assert {name for name in os.listdir(chain.directory) if not name.endswith(".log")} == {"1"}
    assert judge.judge()[1] == 0
    assert end_it(chain, judge, criu) == 0


def test_no_page_is_lost_when_the_target_is_killed_in_its_sleep(
    chain: SplicedChain, judge: Outliving, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain.pre_dump()
    honest = SplicedPart.while_frozen

    def killed(part: SplicedPart, images: CriuDirectory, look: Callable[[], None]) -> None:
        os.kill(judge.pid, signal.SIGKILL)
        wait_for_state(judge.pid, "ZX")
        honest(part, images, look)

    monkeypatch.setattr(SplicedPart, "while_frozen", killed)
    with pytest.raises(DirtytopError):
        chain.dump()
    assert {name for name in os.listdir(chain.directory) if not name.endswith(".log")} == {"1"}
    assert verify(read_chain(chain.directory)) == ()
