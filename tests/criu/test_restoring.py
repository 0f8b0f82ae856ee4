"""What CRIU dumped for us lives again, and finds everything as it was."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from engine.checkpoint.criu.chain import CriuChain
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.restore import RestoreFailed, restore
from engine.checkpoint.link import After
from engine.checkpoint.memory import MemoryChain
from engine.errors import BadImage
from engine.images.chain import read_chain, verify
from engine.kernel.process import read_stat
from engine.tracking.session import Session
from tests.criu.belongings import EVERYWHERE, HALVES_OF_OTHERS, QUARTERS
from tests.criu.outliving import Outliving


@pytest.fixture(params=[0, 2], ids=["dump alone", "two pre-dumps and a dump"])
def pre_dumps(request: pytest.FixtureRequest, criu: Criu) -> int:
    wanted: int = request.param
    if wanted and not criu.has_memory_tracking:
        pytest.skip(f"criu {criu.version_text} cannot make pre-dumps: no soft-dirty bits in this kernel")
    return wanted


@pytest.mark.usefixtures("orphans_are_ours")
@pytest.mark.parametrize("kind", EVERYWHERE)
def test_it_still_owns_what_it_owned_after_pre_dumps(
    tracking_criu: Criu, kind: str, tmp_path: Path, chain_directory: Path
) -> None:
    dump_and_restore(kind, 2, tracking_criu, tmp_path, chain_directory)


@pytest.mark.usefixtures("orphans_are_ours")
@pytest.mark.parametrize(("first", "kind"), HALVES_OF_OTHERS)
def test_so_it_does_if_it_owns_something_else(
    tracking_criu: Criu, first: int, kind: str, tmp_path: Path, chain_directory: Path
) -> None:
    dump_and_restore(kind, 2, tracking_criu, tmp_path, chain_directory)


@pytest.mark.usefixtures("orphans_are_ours")
@pytest.mark.parametrize(("first", "kind"), QUARTERS)
def test_it_still_owns_what_it_owned_after_a_dump(
    criu: Criu, first: int, kind: str, tmp_path: Path, chain_directory: Path
) -> None:
    dump_and_restore(kind, 0, criu, tmp_path, chain_directory)


def dump_and_restore(kind: str, pre_dumps: int, criu: Criu, directory: Path, chain_directory: Path) -> None:
    with Outliving.owner_of(kind, directory) as target:
        assert target.first_answer == "ok"
        with Session(target.pid) as session:
            chain = CriuChain(session, chain_directory, criu=criu)
            for _ in range(pre_dumps):
                chain.pre_dump()
                assert target.ask() == "ok"
            result = chain.dump(After.KILL)
        target.bury()
        assert result.restorable
        assert verify(read_chain(chain_directory)) == ()
        assert restore(chain_directory, criu=criu).pid == target.pid
        assert target.ask() == "ok"
        assert target.ask() == "ok"


def test_a_target_that_never_rests_finds_no_page_wrong(
    criu: Criu, pre_dumps: int, judge: Outliving, session: Session, chain_directory: Path
) -> None:
    chain = CriuChain(session, chain_directory, criu=criu)
    for _ in range(pre_dumps):
        chain.pre_dump()
        judge.judge()
    before, _ = judge.judge()
    last = chain.dump(After.KILL)
    judge.bury()
    if pre_dumps:
        assert last.pages_in_parent > 0
    restore(chain_directory, criu=criu)
    after, wrong = judge.judge()
    assert after > before
    assert wrong == 0


def test_what_was_restored_can_be_dumped_and_restored_again(
    chain: CriuChain, criu: Criu, judge: Outliving, tmp_path: Path
) -> None:
    chain.dump(After.KILL)
    judge.bury()
    restore(chain.directory, detach=False, criu=criu)
    with Session(judge.pid) as again:
        CriuChain(again, tmp_path / "again", criu=criu).dump(After.KILL)
    os.waitpid(judge.pid, 0)
    restore(tmp_path / "again", criu=criu)
    assert judge.judge()[1] == 0


def test_it_can_be_left_stopped(chain: CriuChain, criu: Criu, judge: Outliving) -> None:
    chain.dump(After.KILL)
    judge.bury()
    restored = restore(chain.directory, leave_stopped=True, criu=criu)
    assert restored.is_stopped
    assert read_stat(judge.pid).state == "T"
    os.kill(judge.pid, signal.SIGCONT)
    assert judge.judge()[1] == 0


def test_a_detached_one_is_left_to_init_and_another_is_our_child(
    chain: CriuChain, criu: Criu, judge: Outliving
) -> None:
    chain.dump(After.KILL)
    judge.bury()
    restore(chain.directory, detach=False, criu=criu)
    assert read_stat(judge.pid).parent_pid == os.getpid()
    judge.kill()
    restore(chain.directory, detach=True, criu=criu)
    assert read_stat(judge.pid).parent_pid != os.getpid()


def test_restoring_changes_nothing_in_the_images(chain: CriuChain, criu: Criu, judge: Outliving) -> None:
    link = chain.dump(After.KILL).path
    judge.bury()
    before = {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(link)}
    restore(chain.directory, criu=criu)
    assert {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(link)} == before


def test_a_pid_that_is_taken_is_named_with_its_owner(chain: CriuChain, criu: Criu, judge: Outliving) -> None:
    chain.dump(After.RUN)
    with pytest.raises(RestoreFailed, match=f"pid {judge.pid} is taken by python"):
        restore(chain.directory, criu=criu)


def test_a_zombie_in_the_way_is_told_apart(chain: CriuChain, criu: Criu, judge: Outliving) -> None:
    chain.dump(After.KILL)
    os.waitid(os.P_PID, judge.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(RestoreFailed, match="zombie") as refused:
        restore(chain.directory, criu=criu)
    assert str(os.getpid()) in refused.value.hint


def test_a_pre_dump_and_a_memory_dump_are_refused_before_criu_is_asked(
    session: Session, chain_directory: Path
) -> None:
    chain = MemoryChain(session, chain_directory)
    chain.pre_dump()
    with pytest.raises(BadImage, match="is a pre-dump"):
        restore(chain_directory)
    chain.dump()
    with pytest.raises(BadImage, match="memory and registers"):
        restore(chain_directory)


def test_a_damaged_dump_is_refused_with_what_is_wrong(chain: CriuChain, criu: Criu, judge: Outliving) -> None:
    link = chain.dump(After.KILL).path
    judge.bury()
    pages = link / "pages-1.img"
    os.truncate(pages, pages.stat().st_size - 4096)
    with pytest.raises(BadImage, match=r"pages-1\.img has"):
        restore(chain.directory, criu=criu)


def test_why_criu_failed_is_told_with_its_log(chain: CriuChain, criu: Criu, judge: Outliving) -> None:
    chain.dump(After.KILL)
    judge.bury()
    os.rename(judge.directory / "answers", judge.directory / "elsewhere")
    try:
        with pytest.raises(RestoreFailed, match="answers") as failed:
            restore(chain.directory, criu=criu)
    finally:
        os.rename(judge.directory / "elsewhere", judge.directory / "answers")
    log = Path(failed.value.message.split("its log is ")[1])
    assert b"Error" in log.read_bytes()
    shutil.rmtree(log.parent)
