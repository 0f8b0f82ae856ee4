"""A core of a process that runs: what it costs the target, what is in it, what is left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.core.live import LiveCores, another_pays, make_live_cores
from engine.core.notes import OURS
from engine.errors import Cancelled, LinkFailed, TargetGone
from engine.kernel.maps import VmaKind, read_maps
from engine.kernel.process import read_status
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from engine.trust.directory import open_directory
from tests.core.conftest import CoreOf
from tests.core.programs import Stopped, built, gdb
from tests.core.reading import PAGE, ElfCore
from tests.core.test_debuggers import BACKTRACES, VARIABLES
from tests.criu.outliving import Outliving
from tests.targets.scripted import ScriptedTarget


@pytest.fixture
def judge(tmp_path: Path) -> Iterator[Outliving]:
    """A target that rewrites its pages all the time and checks them."""
    (tmp_path / "judge").mkdir()
    with Outliving.judging(tmp_path / "judge") as target:
        yield target


def live(pid: int, directory: Path, kind: TrackerKind | None = None, **options: bool | int) -> LiveCores:
    with Session(pid, kind) as session, open_directory(directory) as above:
        return make_live_cores(
            session,
            above,
            "core",
            lambda stage, done, total: None,
            lambda: False,
            **options,  # type: ignore[arg-type]
        )


def signals_of(pid: int) -> dict[str, str]:
    names = ("SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt")
    return {name: read_status(pid)[name] for name in names}


def test_the_target_runs_on_unharmed(judge: Outliving, kind: TrackerKind, tmp_path: Path) -> None:
    before = judge.judge()[0]
    signals = signals_of(judge.pid)
    made = live(judge.pid, tmp_path, kind)
    assert made.stopped_us > 0
    assert made.pre_dumps >= 1
    assert judge.judge()[0] > before
    assert judge.judge()[1] == 0
    assert signals_of(judge.pid) == signals
    assert read_status(judge.pid)["TracerPid"] == "0"


def test_nothing_is_left_but_the_core(judge: Outliving, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o700)
    live(judge.pid, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["core"]


def test_it_is_of_the_moment_of_the_stop(debugged: Stopped, memory_core: CoreOf, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o700)
    (core,) = live(debugged.pid, tmp_path / "out").cores
    of_link = ElfCore(memory_core(debugged)).saved()
    saved = ElfCore(core.path).saved()
    assert {page: saved[page] for page in of_link} == of_link
    said = gdb(core.path, debugged.program, BACKTRACES, *VARIABLES)
    assert said.count("in deeper (depth=0, thread=") == 3 + 1


def test_shared_memory_is_in_it_and_said_to_be_torn(debugged: Stopped, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("reading mapped files by their mappings takes root")
    made = live(debugged.pid, tmp_path)
    (core,) = made.cores
    assert "in shared memory" in gdb(core.path, debugged.program, "x/s shared + 3 * 4096")
    (remark,) = core.made.process.remarks
    assert remark.startswith("torn: 80 KiB of shared memory")
    (note,) = [note for note in ElfCore(core.path).notes if note.owner == OURS]
    assert note.content.decode() == remark


def test_reading_shared_memory_does_not_fill_its_holes(debugged: Stopped, tmp_path: Path) -> None:
    shared = [vma for vma in read_maps(debugged.pid).vmas if vma.kind is VmaKind.SHMEM]
    before = _resident_shared(debugged.pid)
    assert shared
    live(debugged.pid, tmp_path)
    assert _resident_shared(debugged.pid) == before


def _resident_shared(pid: int) -> str:
    return read_status(pid)["RssShmem"]


def test_shared_memory_can_be_left_out(debugged: Stopped, tmp_path: Path) -> None:
    (core,) = live(debugged.pid, tmp_path, shared=False).cores
    assert core.made.process.remarks == ()
    saved = ElfCore(core.path).saved()
    for vma in read_maps(debugged.pid).vmas:
        if vma.kind is VmaKind.SHMEM:
            assert vma.start not in saved


def test_so_many_pre_dumps_are_made_as_are_asked_for(target: ScriptedTarget, tmp_path: Path) -> None:
    for wanted in (0, 3):
        (tmp_path / str(wanted)).mkdir(mode=0o700)
        made = live(target.pid, tmp_path / str(wanted), pre_dumps=wanted)
        assert made.pre_dumps == wanted
        saved = ElfCore(made.cores[0].path).saved()
        assert saved[target.base] == bytes([1]) * PAGE or saved[target.base][0] == 1


def test_a_cancel_leaves_nothing_and_the_target_running(judge: Outliving, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o700)
    for after in (0, 3, 8):
        asked = iter(range(1_000_000))
        with (
            Session(judge.pid) as session,
            open_directory(tmp_path / "out") as above,
            pytest.raises(Cancelled),
        ):
            make_live_cores(
                session,
                above,
                "core",
                lambda stage, done, total: None,
                lambda asked=asked, after=after: next(asked) >= after,  # type: ignore[misc]
            )
        assert os.listdir(tmp_path / "out") == []
        assert judge.judge()[1] == 0


def test_a_name_that_is_taken_is_refused_before_the_target_is_touched(
    target: ScriptedTarget, tmp_path: Path
) -> None:
    (tmp_path / "core").touch()
    with (
        Session(target.pid) as session,
        open_directory(tmp_path) as above,
        pytest.raises(LinkFailed, match="is there already"),
    ):
        make_live_cores(session, above, "core", lambda stage, done, total: None, lambda: False)
    assert not session.is_armed
    assert sorted(os.listdir(tmp_path)) == ["core"]


def test_a_process_that_ends_meanwhile_is_told_of(tmp_path: Path) -> None:
    with (
        Stopped(built("debugged.c")) as target,
        Session(target.pid) as session,
        open_directory(tmp_path) as above,
    ):
        target.process.kill()
        target.process.wait()
        with pytest.raises(TargetGone):
            make_live_cores(session, above, "core", lambda stage, done, total: None, lambda: False)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("written", "pending", "made", "pays"),
    [
        (262_144, 16_384, 1, True),
        (16_384, 16_384, 2, False),
        (16_384, 9_000, 2, False),
        (16_384, 8_000, 2, True),
        (262_144, 1_000, 1, False),
        (262_144, 16_384, 5, False),
    ],
)
def test_another_pre_dump_is_made_while_it_shortens_the_stop(
    written: int, pending: int, made: int, pays: bool
) -> None:
    assert another_pays(written, pending, made) is pays
