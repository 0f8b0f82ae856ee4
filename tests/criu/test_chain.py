"""Chains made by the real CRIU: what becomes of the target, what is left on disk, what a failure costs."""

from __future__ import annotations

import os
import random
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from engine.checkpoint.criu.chain import CriuChain
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.options import CriuOptions, ShellJobNeeded
from engine.checkpoint.criu.restore import restore
from engine.checkpoint.link import After, LinkProgress
from engine.errors import AlreadyTraced, Cancelled, DirtytopError, LinkFailed, NotSupported, TargetGone
from engine.images.chain import read_chain, verify
from engine.images.layout import LinkKind
from engine.kernel.maps import read_maps
from engine.kernel.process import read_status
from engine.kernel.stopping import StoppedProcess
from engine.pageset import PAGE_SIZE
from engine.tracking.sample import EventKind, TrackerKind
from engine.tracking.session import Session
from tests.criu.outliving import Outliving, wait_for_state
from tests.known import known
from tests.targets.forked import Forked

pytestmark = pytest.mark.spread


def mappings_of_criu(pid: int) -> int:
    return sum(b"CRIU" in vma.raw_name for vma in read_maps(pid).vmas)


def after(seconds: float) -> Callable[[], bool]:
    """What is true that long from now."""
    end_s = time.monotonic() + seconds
    return lambda: time.monotonic() > end_s


# -- what is made


def test_a_dump_is_whole_private_and_says_what_it_took(chain: CriuChain) -> None:
    seen: list[LinkProgress] = []
    result = chain.dump(progress=seen.append)
    assert (result.number, result.kind, result.restorable) == (1, LinkKind.DUMP, True)
    assert result.size_bytes == result.pages_written * PAGE_SIZE > 2000 * PAGE_SIZE
    assert known(result.stopped_us) > 0
    assert result.not_held == ()
    assert verify(read_chain(chain.directory)) == ()
    assert seen[-1] == LinkProgress("syncing", result.size_bytes, result.size_bytes)
    assert [progress.done_bytes for progress in seen] == sorted(progress.done_bytes for progress in seen)
    assert os.listdir(chain.directory) == ["1"]
    assert stat.S_IMODE(result.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in os.scandir(result.path)} == {0o600}
    assert (result.path / "criu.log").exists()


def test_pre_dumps_hold_what_changed_and_leave_the_rest_to_their_parents(
    tracking_criu: Criu, judge: Outliving, session: Session, chain_directory: Path
) -> None:
    chain = CriuChain(session, chain_directory, criu=tracking_criu)
    results = [chain.pre_dump(), chain.pre_dump(), chain.dump()]
    assert [result.pages_in_parent > 0 for result in results] == [False, True, True]
    assert [result.restorable for result in results] == [False, False, True]
    assert verify(read_chain(chain_directory)) == ()
    assert len(read_chain(chain_directory).links) == 3
    assert all(result.notes == () for result in results)
    assert judge.judge()[1] == 0


@pytest.mark.parametrize("kind", TrackerKind)
def test_what_is_pending_refers_to_the_chain(
    kind: TrackerKind, tracking_criu: Criu, tmp_path: Path, chain_directory: Path
) -> None:
    with Outliving.owner_of("private memory", tmp_path) as target:
        try:
            session = Session(target.pid, kind)
        except NotSupported as error:
            pytest.skip(error.message)
        with session:
            session.arm()
            everything = session.tick().totals.pending_pages
            chain = CriuChain(session, chain_directory, criu=tracking_criu)
            chain.pre_dump()
            assert session.tick().totals.pending_pages < everything / 2
            target.ask()
            sample = session.tick()
            assert sample.totals.pending_pages >= 1150
            chain.dump()
            events = [*sample.events, *session.tick().events]
            assert EventKind.FOREIGN_CLEAR not in [event.kind for event in events]


# -- what becomes of the target


def test_the_target_runs_on(chain: CriuChain, judge: Outliving) -> None:
    before, _ = judge.judge()
    chain.dump(After.RUN)
    after, wrong = judge.judge()
    assert (after > before, wrong) == (True, 0)
    assert mappings_of_criu(judge.pid) == 0


def test_the_target_stays_stopped_until_it_is_told_to_go_on(chain: CriuChain, judge: Outliving) -> None:
    chain.dump(After.STOP)
    wait_for_state(judge.pid, "T")
    os.kill(judge.pid, signal.SIGCONT)
    assert judge.judge()[1] == 0


def test_a_whole_tree_stays_stopped(criu: Criu, tmp_path: Path, chain_directory: Path) -> None:
    with Outliving.owner_of("a tree", tmp_path) as target, Session(target.pid) as session:
        session.follow_tree()
        with session.held() as processes:
            pids = [process.identity.pid for process in processes]
        assert len(pids) == 3
        CriuChain(session, chain_directory, criu=criu).dump(After.STOP)
        for pid in pids:
            wait_for_state(pid, "T")
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        assert target.ask() == "ok"


def test_the_target_is_killed_once_the_link_is_there(chain: CriuChain, judge: Outliving) -> None:
    result = chain.dump(After.KILL)
    judge.bury()
    assert result.restorable
    assert chain.is_ended


def test_a_session_that_watches_by_write_protection_is_not_in_the_way(
    criu: Criu, judge: Outliving, chain_directory: Path
) -> None:
    try:
        session = Session(judge.pid, TrackerKind.WRITE_PROTECT)
    except NotSupported as error:
        pytest.skip(error.message)
    with session:
        session.arm()
        session.tick()
        CriuChain(session, chain_directory, criu=criu).dump(After.KILL)
        assert session.tick().processes == ()
    judge.bury()
    restore(chain_directory, criu=criu)
    assert judge.judge()[1] == 0


def test_ticks_from_another_thread_go_on_beside_a_dump(
    criu: Criu, judge: Outliving, session: Session, chain_directory: Path
) -> None:
    session.arm()
    ended = threading.Event()
    samples = []

    def tick() -> None:
        while not ended.is_set():
            samples.append(session.tick())

    ticking = threading.Thread(target=tick)
    ticking.start()
    try:
        CriuChain(session, chain_directory, criu=criu).dump()
    finally:
        ended.set()
        ticking.join()
    assert len(samples[-1].processes) == 1
    assert judge.judge()[1] == 0


# -- what is refused, before anything is sent


def test_a_pre_dump_without_memory_tracking_is_refused_and_never_reaches_the_target(
    chain: CriuChain, judge: Outliving
) -> None:
    if chain.criu.has_memory_tracking:
        pytest.skip("this kernel has soft-dirty bits")
    with pytest.raises(NotSupported, match="no soft-dirty"):
        chain.pre_dump()
    assert mappings_of_criu(judge.pid) == 0
    assert os.listdir(chain.directory) == []


def test_a_target_of_another_session_needs_shell_job(
    criu: Criu, tmp_path: Path, chain_directory: Path
) -> None:
    with Outliving.judging(tmp_path, new_session=False) as target, Session(target.pid) as session:
        with pytest.raises(ShellJobNeeded, match="not the leader") as refused:
            CriuChain(session, chain_directory, criu=criu)
        assert "--shell-job" in refused.value.hint
        assert not chain_directory.exists()
        CriuChain(session, chain_directory, CriuOptions(shell_job=True), criu).dump(After.KILL)
        target.bury()
        restore(chain_directory, criu=criu)
        assert target.judge()[1] == 0


def test_a_target_that_is_being_traced_names_the_tracer(chain: CriuChain, judge: Outliving) -> None:
    with StoppedProcess(judge.pid), pytest.raises(AlreadyTraced, match=f"pid {os.getpid()}"):
        chain.dump()
    assert judge.judge()[1] == 0


def test_a_target_that_has_exited_is_gone(chain: CriuChain, judge: Outliving) -> None:
    judge.kill()
    with pytest.raises(TargetGone):
        chain.dump()
    assert os.listdir(chain.directory) == []


def test_a_chain_ends_with_its_dump(chain: CriuChain) -> None:
    chain.dump()
    with pytest.raises(LinkFailed, match="has ended"):
        chain.dump()


def test_a_directory_that_holds_images_is_refused(chain: CriuChain, criu: Criu, session: Session) -> None:
    chain.dump()
    with pytest.raises(LinkFailed, match="holds images already"):
        CriuChain(session, chain.directory, criu=criu)


# -- failures


@pytest.fixture
def connected(tmp_path: Path) -> Iterator[tuple[Outliving, CriuOptions]]:
    """A target with an open TCP connection to us, and what lets CRIU save it."""
    script = tmp_path / "connected.py"
    script.write_text(
        "import socket, sys\n"
        "open_connection = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
        "print('connected', flush=True)\n"
        "for line in sys.stdin:\n"
        "    print('ok', flush=True)\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = Outliving(tmp_path, script, server.getsockname()[1])
        connection, _ = server.accept()
        with target, connection:
            yield target, CriuOptions(tcp_established=True)


def test_the_real_cause_is_dug_out_of_the_log_with_a_hint(
    criu: Criu, connected: tuple[Outliving, CriuOptions], chain_directory: Path
) -> None:
    target, _ = connected
    with Session(target.pid) as session:
        chain = CriuChain(session, chain_directory, criu=criu)
        with pytest.raises(LinkFailed, match="onnected TCP socket") as failed:
            chain.dump(After.KILL)
    assert "--tcp-established" in failed.value.hint
    log = chain_directory / "1.log"
    assert str(log) in failed.value.message
    assert "\n" not in failed.value.message
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert os.listdir(chain_directory) == ["1.log"]
    assert mappings_of_criu(target.pid) == 0
    assert target.ask() == "ok"


def test_a_full_disk_is_told_and_the_dump_may_be_tried_again_elsewhere(
    criu: Criu, judge: Outliving, session: Session, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small], stderr=subprocess.PIPE
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.decode().strip()}")
    try:
        chain = CriuChain(session, small / "chain", criu=criu)
        with pytest.raises(LinkFailed, match="No space left on device") as failed:
            chain.dump(After.KILL)
        assert "make room" in failed.value.hint
        assert set(os.listdir(chain.directory)) <= {"1.log"}
    finally:
        # The chain that failed still has its directory open.
        subprocess.run(["umount", "-l", small], check=True)
    CriuChain(session, tmp_path / "chain", criu=criu).dump(After.KILL)
    judge.bury()
    restore(tmp_path / "chain", criu=criu)
    assert judge.judge()[1] == 0


def test_a_cancelled_dump_leaves_the_target_as_it_was(criu: Criu, tmp_path: Path) -> None:
    """At moments all over a dump, most of which is spent with CRIU's code in the target."""
    with Outliving.judging(tmp_path, pages=8000) as target:
        maps = read_maps(target.pid).vmas
        with Session(target.pid) as session:
            whole_s = CriuChain(session, tmp_path / "whole", criu=criu).dump().seconds
        outcomes = []
        for number in range(5):
            with Session(target.pid) as session:
                chain = CriuChain(session, tmp_path / str(number), criu=criu)
                try:
                    chain.dump(After.RUN, cancelled=after(known(whole_s) * number / 5))
                    outcomes.append("made")
                except Cancelled:
                    outcomes.append("cancelled")
                    assert os.listdir(chain.directory) == []
            assert read_maps(target.pid).vmas == maps
            assert target.judge()[1] == 0
    assert outcomes[0] == "cancelled"


def test_a_cancelled_dump_does_not_kill_what_it_was_to_kill(chain: CriuChain, judge: Outliving) -> None:
    with pytest.raises(Cancelled, match="the target runs on"):
        chain.dump(After.KILL, cancelled=lambda: True)
    assert os.listdir(chain.directory) == []
    assert judge.judge()[1] == 0


def dump_and_kill(pid: int, directory: Path) -> None:
    with Session(pid) as session:
        CriuChain(session, directory).dump(After.KILL)


@pytest.mark.parametrize("first", range(4))
def test_killed_ourselves_we_leave_a_target_that_runs_or_a_dump_that_is_whole(
    first: int, criu: Criu, tmp_path: Path
) -> None:
    """CRIU goes on alone until it needs our word for killing the target; without it, it puts all back."""
    chain = tmp_path / "chain"
    left = chain / "1.partial"
    with Outliving.judging(tmp_path, pages=3000) as target:
        dirtytop = Forked(partial(dump_and_kill, target.pid, chain), tmp_path)
        while not left.exists() and not dirtytop.has_ended():
            time.sleep(0.001)
        time.sleep(random.Random(first).random() * 0.3)
        dirtytop.kill()
        wait_until_nobody_traces(target.pid)
        if target.process.poll() is None:
            assert target.judge()[1] == 0
            assert mappings_of_criu(target.pid) == 0
            return
        if left.exists():
            left.rename(chain / "1")
        assert verify(read_chain(chain)) == ()
        restore(chain, criu=criu)
        assert target.judge()[1] == 0


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


def test_after_a_link_that_was_not_completed_the_next_is_a_full_one(
    tracking_criu: Criu, judge: Outliving, session: Session, chain_directory: Path
) -> None:
    chain = CriuChain(session, chain_directory, criu=tracking_criu)
    chain.pre_dump()
    with pytest.raises(Cancelled):
        chain.pre_dump(cancelled=lambda: True)
    second = chain.pre_dump()
    assert (second.number, second.pages_in_parent) == (2, 0)
    assert "not completed" in second.notes[0]
    last = chain.dump(After.KILL)
    assert last.pages_in_parent > 0
    assert last.notes == ()
    judge.bury()
    restore(chain_directory, criu=tracking_criu)
    assert judge.judge()[1] == 0


def test_a_foreign_clear_makes_the_next_link_a_full_one(
    tracking_criu: Criu, judge: Outliving, session: Session, chain_directory: Path
) -> None:
    chain = CriuChain(session, chain_directory, criu=tracking_criu)
    chain.pre_dump()
    Path(f"/proc/{judge.pid}/clear_refs").write_text("4")
    last = chain.dump(After.KILL)
    assert last.pages_in_parent == 0
    assert "cleared the soft-dirty bits" in last.notes[0]
    judge.bury()
    restore(chain_directory, criu=tracking_criu)
    assert judge.judge()[1] == 0


def test_arming_all_the_same_makes_the_next_link_a_full_one_and_that_is_known_at_once(
    tracking_criu: Criu, session: Session, chain_directory: Path
) -> None:
    if session.tracker is not TrackerKind.SOFT_DIRTY:
        pytest.skip("by write-protection arming clears no soft-dirty bits")
    chain = CriuChain(session, chain_directory, criu=tracking_criu)
    chain.pre_dump()
    assert chain.why_full == ""
    session.arm(even_if_lent=True)
    assert "armed" in chain.why_full
    assert chain.dump().pages_in_parent == 0


@pytest.mark.parametrize("meanwhile", ["nothing", "a clear", "another dirtytop"])
def test_another_dirtytop_goes_on_with_a_chain(
    tracking_criu: Criu, judge: Outliving, chain_directory: Path, meanwhile: str
) -> None:
    with Session(judge.pid) as session:
        CriuChain(session, chain_directory, criu=tracking_criu).pre_dump()
    judge.judge()
    if meanwhile == "a clear":
        Path(f"/proc/{judge.pid}/clear_refs").write_text("4")
    elif meanwhile == "another dirtytop":
        with Session(judge.pid, TrackerKind.SOFT_DIRTY) as session:
            session.arm()
    with Session(judge.pid) as session:
        chain = CriuChain.go_on(session, chain_directory, criu=tracking_criu)
        second, last = chain.pre_dump(), chain.dump(After.KILL)
    if meanwhile == "nothing":
        assert (second.pages_in_parent > 0, second.notes) == (True, ())
    else:
        assert second.pages_in_parent == 0
        assert "cleared the soft-dirty bits" in second.notes[0]
    assert last.pages_in_parent > 0
    judge.bury()
    restore(chain_directory, criu=tracking_criu)
    assert judge.judge()[1] == 0


def test_a_link_that_was_removed_is_not_built_upon(
    tracking_criu: Criu, judge: Outliving, session: Session, chain_directory: Path
) -> None:
    chain = CriuChain(session, chain_directory, criu=tracking_criu)
    first = chain.pre_dump()
    os.rename(first.path, chain_directory / "elsewhere")
    last = chain.dump(After.KILL)
    assert last.pages_in_parent == 0
    assert "changed or removed" in last.notes[0]
    judge.bury()
    restore(chain_directory / "2", criu=tracking_criu)
    assert judge.judge()[1] == 0


def test_while_a_chain_is_open_the_session_leaves_the_bits_alone(
    tracking_criu: Criu, judge: Outliving, chain_directory: Path
) -> None:
    with Session(judge.pid, TrackerKind.SOFT_DIRTY) as session:
        session.arm()
        chain = CriuChain(session, chain_directory, criu=tracking_criu)
        chain.pre_dump()
        with pytest.raises(DirtytopError, match="CRIU"):
            session.arm()
        session.tick()
        assert chain.dump().pages_in_parent > 0
        session.arm()
