"""A target that CRIU keeps frozen is let go, whatever CRIU waits for and whatever becomes of us."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from engine.checkpoint.criu.chain import CriuChain
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.letting_go import LettingGo, Patience
from engine.checkpoint.criu.options import CriuOptions, NetworkLock
from engine.checkpoint.criu.order import Terms
from engine.checkpoint.criu.restore import restore
from engine.checkpoint.freeze_limit import FrozenTooLong
from engine.checkpoint.link import After
from engine.checkpoint.spliced.chain import SplicedChain
from engine.checkpoint.spliced.part import SplicedPart
from engine.errors import DirtytopError, LinkFailed, TargetGone
from engine.images.chain import read_chain, verify
from engine.kernel.maps import read_maps
from engine.kernel.process import child_processes, identify, read_stat, read_status, thread_ids
from engine.tracking.session import Session
from tests.cli.shell import Shell, ended
from tests.criu.outliving import Outliving

BOUND_S = 30.0
"""Far more than it takes on any machine, and far less than for ever."""
LIMIT_S = 0.5
KILLS = 8

CHAINS = [CriuChain, SplicedChain]

Chain = CriuChain | SplicedChain


@pytest.fixture(params=CHAINS, ids=lambda engine: engine.engine.value)
def chain(request: pytest.FixtureRequest, criu: Criu, session: Session, chain_directory: Path) -> Chain:
    made: Chain = request.param(session, chain_directory, criu=criu)
    made.freeze_timeout_s = LIMIT_S
    return made


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """Options by which CRIU waits for ever with its target frozen, once all of it is written."""
    return options_that_run(tmp_path, f"touch {tmp_path / 'hangs'}; exec sleep 1000000")


def wait_until_it_hangs(options: Path) -> None:
    deadline_s = time.monotonic() + BOUND_S
    while not options.with_name("hangs").exists():
        assert time.monotonic() < deadline_s, "it came to an end"
        time.sleep(0.001)


@pytest.fixture
def stopping(tmp_path: Path) -> Path:
    """Options by which CRIU is stopped there."""
    return options_that_run(tmp_path, "kill -STOP $PPID")


@pytest.fixture(autouse=True)
def _scripts_can_be_run(request: pytest.FixtureRequest) -> None:
    """CRIU 3.17 ends with BUG() where an action script stands beside the socket on which it is asked."""
    wanted = {"endless", "stopping"} & set(request.fixturenames)
    if wanted and request.getfixturevalue("criu").version < (3, 19):
        pytest.skip("criu before 3.19 runs no action scripts for whoever asks it on a socket")


def options_that_run(tmp_path: Path, command: str) -> Path:
    script = tmp_path / "script"
    script.write_text(f'#!/bin/sh\ncase "$CRTOOLS_SCRIPT_ACTION" in post-dump) {command};; esac\n')
    script.chmod(0o700)
    options = tmp_path / "criu.conf"
    options.write_text(f"action-script {script}\n")
    return options


@pytest.fixture(autouse=True)
def _nothing_is_left_running() -> Iterator[None]:
    before = {stat.identity for stat in child_processes({os.getpid()})}
    yield
    deadline_s = time.monotonic() + BOUND_S
    while left := [
        stat for stat in child_processes({os.getpid()}) if stat.identity not in before and not stat.is_dead
    ]:
        assert time.monotonic() < deadline_s, left
        time.sleep(0.01)


def tracers(pid: int) -> set[int]:
    return {int(read_status(pid, tid)["TracerPid"]) for tid in thread_ids(pid)} - {0}


def wait_until_frozen(pid: int) -> None:
    deadline_s = time.monotonic() + BOUND_S
    while not tracers(pid):
        assert time.monotonic() < deadline_s, "it was never frozen"
        time.sleep(0.0005)


def wait_until_let_go(pid: int) -> None:
    deadline_s = time.monotonic() + BOUND_S
    while tracers(pid) or read_stat(pid).state in "tT" or mappings_of_criu(pid):
        assert time.monotonic() < deadline_s, f"it is still frozen: {tracers(pid)}"
        time.sleep(0.01)


def mappings_of_criu(pid: int) -> int:
    return sum(b"CRIUMFD" in vma.raw_name for vma in read_maps(pid).vmas)


def assert_is_as_it_was(judge: Outliving) -> None:
    assert not tracers(judge.pid)
    assert mappings_of_criu(judge.pid) == 0
    deadline_s = time.monotonic() + BOUND_S
    before, wrong = judge.judge()
    while judge.judge()[0] == before:
        assert time.monotonic() < deadline_s, "its threads no longer work"
    assert wrong == 0


def assert_the_chain_goes_on(chain: Chain, judge: Outliving) -> None:
    chain.freeze_timeout_s = BOUND_S
    assert chain.dump(After.KILL).restorable
    assert verify(read_chain(chain.directory)) == ()
    judge.bury()
    restore(chain.directory)
    assert judge.judge()[1] == 0


# -- the limit


@contextmanager
def obeying(chain: Chain, options: Path) -> Iterator[None]:
    """Meanwhile CRIU goes by these options; of a user a splice takes none that run programs."""
    honest: Callable[[SplicedPart], Terms] = vars(SplicedPart)["terms"].fget
    with pytest.MonkeyPatch.context() as patched:
        if isinstance(chain, CriuChain):
            patched.setattr(chain, "options", CriuOptions(config_file=options))
        else:
            more = options.read_text().strip()

            def terms(part: SplicedPart) -> Terms:
                said = honest(part)
                return replace(said, config_lines=(*said.config_lines, more))

            patched.setattr(SplicedPart, "terms", property(terms))
        yield


@pytest.mark.usefixtures("orphans_are_ours")
def test_a_criu_that_waits_for_ever_lets_go_and_the_chain_goes_on(
    chain: Chain, endless: Path, judge: Outliving
) -> None:
    if isinstance(chain, SplicedChain):
        chain.pre_dump()
    links = os.listdir(chain.directory)
    with obeying(chain, endless), pytest.raises(FrozenTooLong) as raised:
        chain.dump(After.KILL)
    assert f"process {judge.pid} was stopped by criu" in raised.value.message
    assert "--freeze-timeout" in raised.value.hint
    assert_is_as_it_was(judge)
    assert [name for name in os.listdir(chain.directory) if not name.endswith(".log")] == links
    assert_the_chain_goes_on(chain, judge)


def test_a_criu_that_somebody_has_stopped_lets_go(chain: Chain, stopping: Path, judge: Outliving) -> None:
    with obeying(chain, stopping), pytest.raises(FrozenTooLong):
        chain.dump()
    assert_is_as_it_was(judge)


# -- the last resort


def test_a_criu_that_is_ended_at_any_moment_leaves_nothing_behind(
    criu: Criu, session: Session, judge: Outliving, tmp_path: Path
) -> None:
    at_once = Patience(fail_s=BOUND_S, end_s=0.0, busy_s=0.0)

    def end(after_s: float, is_over: threading.Event) -> None:
        while not (found := tracers(judge.pid)) and not is_over.is_set():
            pass
        if found:
            time.sleep(after_s)
            with suppress(TargetGone):  # it has ended by itself
                letting_go = LettingGo(identify(found.pop()), session.root, at_once)
                while letting_go.step():
                    time.sleep(0.001)

    given_up = 0
    for number in range(KILLS):
        chain = CriuChain(session, tmp_path / f"chain-{number}", criu=criu)
        is_over = threading.Event()
        ending = threading.Thread(target=end, args=[0.05 * number / KILLS, is_over])
        ending.start()
        try:
            chain.dump()
        except DirtytopError:
            given_up += 1
        is_over.set()
        ending.join()
        assert_is_as_it_was(judge)
    assert given_up


def test_connections_that_a_killed_criu_was_saving_work_again(
    criu: Criu, tmp_path: Path, chain_directory: Path
) -> None:
    if criu.version < (3, 19):
        pytest.skip("criu before 3.19 cannot leave the network unlocked")
    script = tmp_path / "connected.py"
    script.write_text(
        "import socket, sys\n"
        "connection = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
        "print('connected', flush=True)\n"
        "for line in sys.stdin:\n"
        "    connection.sendall(b'.')\n"
        "    print('ok', flush=True)\n"
    )
    killing = options_that_run(tmp_path, "kill -KILL $PPID")
    options = CriuOptions(tcp_established=True, network_lock=NetworkLock.SKIP, config_file=killing)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        Outliving(tmp_path, script, server.getsockname()[1]) as target,
        Session(target.pid) as session,
    ):
        connection, _ = server.accept()
        with connection:
            connection.settimeout(BOUND_S)
            with pytest.raises(LinkFailed) as raised:
                CriuChain(session, chain_directory, options, criu).dump()
            if "Can't get 1:" in raised.value.message:
                pytest.skip(f"criu {criu.version_text} cannot save network sockets on this kernel")
            assert "connections were taken out of repair mode" in raised.value.hint
            assert target.ask() == "ok"
            assert connection.recv(1) == b"."


# -- what becomes of us


@pytest.mark.usefixtures("orphans_are_ours")
@pytest.mark.parametrize(
    "numbers",
    [[signal.SIGKILL], [signal.SIGINT, signal.SIGINT], [signal.SIGTERM, signal.SIGTERM]],
    ids=lambda numbers: " ".join(number.name for number in numbers),
)
def test_a_dirtytop_that_is_ended_leaves_nobody_frozen(
    criu: Criu, judge: Outliving, endless: Path, tmp_path: Path, numbers: list[signal.Signals]
) -> None:
    with Shell() as shell:
        making = checkpointing(shell, judge, tmp_path, "--criu-config", endless)
        wait_until_it_hangs(endless)
        for number in numbers:
            making.send_signal(number)
        assert making.wait(BOUND_S) in (-numbers[-1], 1)
    wait_until_let_go(judge.pid)
    assert_is_as_it_was(judge)


def test_a_dirtytop_that_is_stopped_leaves_nobody_frozen(
    criu: Criu, judge: Outliving, endless: Path, tmp_path: Path
) -> None:
    with Shell() as shell:
        limit = ("--freeze-timeout", LIMIT_S)
        making = checkpointing(shell, judge, tmp_path, "--criu-config", endless, *limit)
        wait_until_frozen(judge.pid)
        making.send_signal(signal.SIGSTOP)
        code, _, complaints = ended(making)
    assert code == 1
    assert f"process {judge.pid} was stopped by criu" in complaints
    assert_is_as_it_was(judge)


def checkpointing(shell: Shell, judge: Outliving, tmp_path: Path, *options: object) -> subprocess.Popen[str]:
    arguments = ("--engine", "criu", "--pre-dumps", 0, *options)
    return shell.start("checkpoint", judge.pid, tmp_path / "chain", *arguments)
