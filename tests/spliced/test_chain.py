"""Chains that begin with links of ours and end with a dump that stock CRIU restores."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from engine.checkpoint import copy_buffer
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.options import CriuOptions, ShellJobNeeded
from engine.checkpoint.criu.restore import restore
from engine.checkpoint.link import After, Engine, LinkProgress
from engine.checkpoint.memory import MemoryChain
from engine.checkpoint.spliced.chain import SplicedChain
from engine.errors import AlreadyTraced, LinkFailed, TargetGone
from engine.images.chain import flatten, read_chain, verify
from engine.images.layout import LinkKind
from engine.images.link import read_link
from engine.kernel.stopping import StoppedProcess
from engine.pageset import PAGE_SIZE
from engine.tracking.sample import TrackerKind
from engine.tracking.session import Session
from engine.tracking.tracked_process import LinkPlan
from tests.criu.belongings import QUARTERS
from tests.criu.outliving import Outliving, wait_for_state
from tests.known import known
from tests.spliced.coming_back import assert_it_comes_back

pytestmark = pytest.mark.spread


def wrong_after_restore(directory: Path, judge: Outliving, criu: Criu) -> int:
    """Of a target that was killed by its dump: how many pages are wrong when it lives again."""
    judge.bury()
    assert verify(read_chain(directory)) == ()
    restore(directory, criu=criu)
    return judge.judge()[1]


# -- what is made, and restored


@pytest.mark.usefixtures("orphans_are_ours")
@pytest.mark.parametrize(("first", "owned"), QUARTERS)
def test_it_still_owns_what_it_owned(
    criu: Criu, kind: TrackerKind, first: int, owned: str, tmp_path: Path, chain_directory: Path
) -> None:
    with Outliving.owner_of(owned, tmp_path) as target:
        assert target.first_answer == "ok"
        with Session(target.pid, kind) as session:
            chain = SplicedChain(session, chain_directory, criu=criu)
            for _ in range(2):
                chain.pre_dump()
                assert target.ask() == "ok"
            last = chain.dump(After.KILL)
        assert last.pages_in_parent > 0
        assert_it_comes_back(target, chain_directory, criu)
        assert target.ask() == "ok"


def test_a_target_that_never_rests_finds_no_page_wrong(
    criu: Criu, chain: SplicedChain, judge: Outliving
) -> None:
    for _ in range(2):
        chain.pre_dump()
        judge.judge()
    before, _ = judge.judge()
    last = chain.dump(After.KILL)
    judge.bury()
    assert last.restorable
    assert last.pages_in_parent > 0
    assert last.size_bytes == last.pages_written * PAGE_SIZE
    assert verify(read_chain(chain.directory)) == ()
    restore(chain.directory, criu=criu)
    after, wrong = judge.judge()
    assert after > before
    assert wrong == 0


@pytest.mark.timeout(0)
@pytest.mark.parametrize(
    "mebibytes", [16, *(pytest.param(size, marks=pytest.mark.soak) for size in (256, 1024, 4096))]
)
def test_memory_of_all_sizes_comes_back(
    criu: Criu, kind: TrackerKind, mebibytes: int, tmp_path: Path, chain_directory: Path
) -> None:
    with Outliving.judging(tmp_path, pages=(mebibytes << 20) // PAGE_SIZE, threads=4) as target:
        with Session(target.pid, kind) as session:
            chain = SplicedChain(session, chain_directory, criu=criu)
            for _ in range(2):
                chain.pre_dump()
            last = chain.dump(After.KILL)
        assert last.pages_in_parent > 0
        assert wrong_after_restore(chain_directory, target, criu) == 0


def test_stock_criu_restores_it_by_itself(criu: Criu, chain: SplicedChain, judge: Outliving) -> None:
    chain.pre_dump()
    judge.judge()
    last = chain.dump(After.KILL)
    judge.bury()
    subprocess.run(
        [criu.program, "restore", "-D", last.path, "-W", chain.directory, "-d"],
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    assert judge.judge()[1] == 0


def test_the_last_link_holds_what_was_written_and_says_what_it_took(
    criu: Criu, kind: TrackerKind, tmp_path: Path, chain_directory: Path
) -> None:
    with Outliving.owner_of("private memory", tmp_path) as target, Session(target.pid, kind) as session:
        chain = SplicedChain(session, chain_directory, criu=criu)
        seen: list[LinkProgress] = []
        first = chain.pre_dump()
        last = chain.dump(progress=seen.append)
        assert (last.number, last.kind, last.engine) == (2, LinkKind.DUMP, Engine.SPLICED)
        assert last.size_bytes == last.pages_written * PAGE_SIZE
        assert last.pages_written < first.pages_written / 2
        assert last.pages_in_parent > first.pages_written / 2
        assert 0 < known(last.stopped_s) < known(last.seconds)
        times = (last.times.lead_s, last.times.collect_s, last.times.read_s)
        assert min(known(part_s) for part_s in times) > 0
        assert last.not_held == ()
        assert seen[-1].stage == "syncing"
        assert sorted(os.listdir(chain_directory)) == ["1", "2"]
        assert stat.S_IMODE(last.path.stat().st_mode) == 0o700
        assert {stat.S_IMODE(entry.stat().st_mode) for entry in os.scandir(last.path)} <= {0o600, 0o700}
        assert os.readlink(last.path / "parent") == "../1"
        assert target.ask() == "ok"


def test_a_dump_alone_is_a_full_one(criu: Criu, chain: SplicedChain, judge: Outliving) -> None:
    last = chain.dump(After.KILL)
    assert last.pages_in_parent == 0
    assert not (last.path / "parent").exists()
    assert wrong_after_restore(chain.directory, judge, criu) == 0


def test_more_than_fits_into_memory_is_written_while_the_target_waits(
    criu: Criu, chain: SplicedChain, judge: Outliving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_buffer, "most_bytes", lambda: 4 * PAGE_SIZE)
    chain.pre_dump()
    judge.judge()
    last = chain.dump(After.KILL)
    assert "more was pending than fits" in last.notes[0]
    assert last.pages_in_parent > 0
    assert wrong_after_restore(chain.directory, judge, criu) == 0


def test_a_spliced_chain_flattened_is_restored_as_well(
    criu: Criu, chain: SplicedChain, judge: Outliving, tmp_path: Path
) -> None:
    chain.pre_dump()
    judge.judge()
    chain.dump(After.KILL)
    flatten(read_chain(chain.directory), tmp_path / "flat")
    assert wrong_after_restore(tmp_path / "flat", judge, criu) == 0


def test_what_was_restored_can_be_spliced_and_restored_again(
    criu: Criu, chain: SplicedChain, judge: Outliving, kind: TrackerKind, tmp_path: Path
) -> None:
    chain.pre_dump()
    chain.dump(After.KILL)
    judge.bury()
    restore(chain.directory, detach=False, criu=criu)
    with Session(judge.pid, kind) as again:
        chain = SplicedChain(again, tmp_path / "again", criu=criu)
        chain.pre_dump()
        judge.judge()
        chain.dump(After.KILL)
    os.waitpid(judge.pid, 0)
    restore(tmp_path / "again", criu=criu)
    assert judge.judge()[1] == 0


def test_a_chain_of_pre_dumps_made_earlier_can_be_ended_by_a_splice(
    criu: Criu, judge: Outliving, kind: TrackerKind, chain_directory: Path
) -> None:
    with Session(judge.pid, kind) as session:
        MemoryChain(session, chain_directory).pre_dump()
    judge.judge()
    with Session(judge.pid, kind) as session:
        last = SplicedChain.go_on(session, chain_directory, criu=criu).dump(After.KILL)
    # A soft-dirty epoch outlives the program that began it.
    assert (last.pages_in_parent > 0) is (kind is TrackerKind.SOFT_DIRTY)
    assert wrong_after_restore(last.path, judge, criu) == 0


# -- what becomes of the target


def test_the_target_runs_on(chain: SplicedChain, judge: Outliving) -> None:
    chain.pre_dump()
    before, _ = judge.judge()
    chain.dump(After.RUN)
    after, wrong = judge.judge()
    assert (after > before, wrong) == (True, 0)


def test_the_target_stays_stopped_until_it_is_told_to_go_on(chain: SplicedChain, judge: Outliving) -> None:
    chain.pre_dump()
    chain.dump(After.STOP)
    wait_for_state(judge.pid, "T")
    os.kill(judge.pid, signal.SIGCONT)
    assert judge.judge()[1] == 0


def test_the_session_goes_on_after_the_dump(chain: SplicedChain, judge: Outliving, session: Session) -> None:
    chain.pre_dump()
    chain.dump(After.RUN)
    judge.judge()
    sample = session.tick()
    assert sample.totals.written_pages > 0
    assert sample.totals.pending_pages < sample.totals.present_pages


# -- what is left to the parent, and what is not


def test_a_parent_that_was_removed_is_not_built_upon(
    criu: Criu, chain: SplicedChain, judge: Outliving
) -> None:
    first = chain.pre_dump()
    os.rename(first.path, chain.directory / "elsewhere")
    last = chain.dump(After.KILL)
    assert last.pages_in_parent == 0
    assert "changed or removed" in last.notes[0]
    assert wrong_after_restore(last.path, judge, criu) == 0


def test_a_foreign_clear_makes_the_dump_a_full_one(
    criu: Criu, judge: Outliving, chain_directory: Path, kind: TrackerKind
) -> None:
    if kind is not TrackerKind.SOFT_DIRTY:
        pytest.skip("nobody else can clear what belongs to us")
    with Session(judge.pid, kind) as session:
        chain = SplicedChain(session, chain_directory, criu=criu)
        chain.pre_dump()
        Path(f"/proc/{judge.pid}/clear_refs").write_text("4")
        last = chain.dump(After.KILL)
    assert last.pages_in_parent == 0
    assert wrong_after_restore(chain_directory, judge, criu) == 0


def test_a_page_that_the_parent_does_not_list_is_written_however_clean_it_is(
    criu: Criu, kind: TrackerKind, tmp_path: Path, chain_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the kernel merges two mappings and forgets that one of them is new (VM_SOFTDIRTY)."""
    with Outliving.owner_of("mappings that come and go", tmp_path) as target:
        with Session(target.pid, kind) as session:
            chain = SplicedChain(session, chain_directory, criu=criu)
            listed = read_link(chain.pre_dump().path).pagemap(target.pid).covered
            target.ask()
            with session.held() as processes:
                process = next(iter(processes))
            honest = process.plan_last_link

            def forgetful() -> LinkPlan:
                plan = honest()
                forgotten = plan.needed - listed
                assert forgotten
                return LinkPlan(plan.maps, plan.needed - forgotten, plan.held | forgotten)

            monkeypatch.setattr(process, "plan_last_link", forgetful)
            chain.dump(After.KILL)
        assert_it_comes_back(target, chain_directory, criu)


@pytest.mark.usefixtures("orphans_are_ours")
def test_a_process_that_only_criu_knows_is_saved_in_full(
    criu: Criu, kind: TrackerKind, tmp_path: Path, chain_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was born in the moment before the tree was frozen."""
    with Outliving.owner_of("children born one by one", tmp_path) as target:
        with Session(target.pid, kind) as session:
            chain = SplicedChain(session, chain_directory, criu=criu)
            chain.pre_dump()
            monkeypatch.setattr(session, "follow_tree", lambda: None)
            assert target.ask() == "ok"
            known = session.process_count
            chain.dump(After.KILL)
        assert len(read_chain(chain_directory).links[-1].pids) > known
        assert_it_comes_back(target, chain_directory, criu)


def test_a_program_that_was_started_in_place_of_another_is_saved_in_full(
    criu: Criu, kind: TrackerKind, tmp_path: Path, chain_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "changing.py"
    script.write_text(
        "import os, sys\n"
        "if len(sys.argv) > 1:\n"
        "    memory = bytearray(b'new') * 500_000\n"
        "    os.write(1, b'new\\n')\n"
        "    while os.read(0, 1):\n"
        "        os.write(1, b'ok\\n' if memory == bytearray(b'new') * 500_000 else b'wrong\\n')\n"
        "memory = bytearray(b'old') * 500_000\n"
        "os.write(1, b'old\\n')\n"
        "os.read(0, 1)\n"
        "os.execv(sys.executable, [sys.executable, '-I', '-S', sys.argv[0], 'again'])\n"
    )
    with Outliving(tmp_path, script) as target:
        with Session(target.pid, kind) as session:
            chain = SplicedChain(session, chain_directory, criu=criu)
            chain.pre_dump()
            monkeypatch.setattr(session, "follow_tree", lambda: None)
            assert target.ask() == "new"
            assert chain.dump(After.KILL).pages_in_parent == 0
        assert_it_comes_back(target, chain_directory, criu)


# -- what is refused


def test_a_target_of_another_session_needs_shell_job(
    criu: Criu, tmp_path: Path, chain_directory: Path
) -> None:
    with Outliving.judging(tmp_path, new_session=False) as target, Session(target.pid) as session:
        with pytest.raises(ShellJobNeeded, match="not the leader"):
            SplicedChain(session, chain_directory, criu=criu)
        assert not chain_directory.exists()
        chain = SplicedChain(session, chain_directory, CriuOptions(shell_job=True), criu)
        chain.pre_dump()
        chain.dump(After.KILL)
        assert wrong_after_restore(chain_directory, target, criu) == 0


def test_a_target_that_is_being_traced_names_the_tracer(chain: SplicedChain, judge: Outliving) -> None:
    chain.pre_dump()
    with StoppedProcess(judge.pid), pytest.raises(AlreadyTraced, match=f"pid {os.getpid()}"):
        chain.dump()
    assert judge.judge()[1] == 0


def test_a_target_that_has_exited_is_gone(chain: SplicedChain, judge: Outliving) -> None:
    chain.pre_dump()
    judge.kill()
    with pytest.raises(TargetGone):
        chain.dump()
    assert os.listdir(chain.directory) == ["1"]


def test_a_chain_ends_with_its_dump(chain: SplicedChain) -> None:
    chain.dump()
    with pytest.raises(LinkFailed, match="has ended"):
        chain.pre_dump()


def test_the_users_own_file_of_options_still_counts(
    criu: Criu, judge: Outliving, session: Session, tmp_path: Path
) -> None:
    (tmp_path / "options").write_text("shell-job\nghost-limit 2M")
    options = CriuOptions(config_file=tmp_path / "options")
    chain = SplicedChain(session, tmp_path / "chain", options, criu)
    chain.pre_dump()
    chain.dump(After.KILL)
    assert wrong_after_restore(chain.directory, judge, criu) == 0
