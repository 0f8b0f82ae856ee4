"""What is asked of CRIU, and what is made of its answers, with a pretender in its place."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.checkpoint.criu import epoch
from engine.checkpoint.criu.chain import CriuChain
from engine.checkpoint.criu.directory import CriuDirectory
from engine.checkpoint.criu.features import Criu, examine_criu, find_criu
from engine.checkpoint.criu.options import CriuOptions, NetworkLock, PreDumpMode
from engine.checkpoint.link import After
from engine.errors import Cancelled, LinkFailed, NotSupported, TargetGone
from engine.images.chain import read_chain
from engine.images.framing import Magic, pack
from engine.images.layout import INVENTORY, PSTREE, STATS
from engine.images.proto.inventory_pb2 import InventoryEntry
from engine.images.proto.pstree_pb2 import PstreeEntry
from engine.images.stats import DumpStats
from engine.tracking.epoch_watch import EpochWatch
from engine.tracking.session import Session
from engine.trust.files import require_unchangeable
from tests.criu import pretender
from tests.targets.scripted import ScriptedTarget

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="criu is only asked by root")


EMPTY_LINK = {
    INVENTORY: pack(Magic.INVENTORY, [InventoryEntry(img_version=0, dump_uptime=1)]),
    PSTREE: pack(Magic.PSTREE, [PstreeEntry(pid=1, ppid=0, pgid=1, sid=1, threads=[1])]),
    STATS: pack(Magic.STATS, [DumpStats().to_message()]),
}


class Pretender:
    """A program, and what it was asked."""

    def __init__(self, directory: Path) -> None:
        self.program = directory / "criu"
        self._script = directory / "script.json"
        root = Path(epoch.__file__).parents[3]
        self.program.write_text(
            f'#!/bin/sh\nPYTHONPATH={root} exec {sys.executable} {pretender.__file__} {self._script} "$@"\n'
        )
        self.program.chmod(0o755)

    def is_to(self, *behaviours: str, version: tuple[int, int] = (4, 1), mem_track: bool = True) -> Criu:
        script = {
            "version": version,
            "mem_track": mem_track,
            "behaviours": behaviours,
            "requests": [],
            "files": {name: content.hex() for name, content in EMPTY_LINK.items()},
        }
        self._script.write_text(json.dumps(script))
        os.utime(self.program)  # so that it is asked anew
        return Criu(self.program, (*version, 0), "", mem_track)

    @property
    def requests(self) -> list[dict[str, Any]]:
        return list(json.loads(self._script.read_text())["requests"])

    @property
    def options(self) -> dict[str, Any]:
        """Of the last request."""
        return dict(self.requests[-1]["opts"])


class UndisturbedEpoch(EpochWatch):
    """As if this kernel had soft-dirty bits, and nobody cleared them."""

    def disturbance(self) -> str:
        return ""


@pytest.fixture
def pretends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pretender:
    monkeypatch.setattr(epoch, "EpochWatch", UndisturbedEpoch)
    return Pretender(tmp_path)


@pytest.fixture
def session(target: ScriptedTarget) -> Session:
    return Session(target.pid)


def test_a_chain_of_links_each_on_top_of_the_last(
    pretends: Pretender, session: Session, chain_directory: Path
) -> None:
    chain = CriuChain(session, chain_directory, criu=pretends.is_to("make", "make", "make"))
    chain.pre_dump()
    chain.pre_dump()
    chain.dump()
    assert [request["type"] for request in pretends.requests] == [
        "SINGLE_PRE_DUMP",
        "SINGLE_PRE_DUMP",
        "DUMP",
    ]
    assert [request["opts"].get("parent_img") for request in pretends.requests] == [None, "../1", "../2"]
    assert all(request["opts"]["track_mem"] for request in pretends.requests)
    assert all(request["opts"]["leave_running"] for request in pretends.requests)
    assert all(request["opts"]["pid"] == session.root.pid for request in pretends.requests)
    assert len(read_chain(chain_directory).links) == 3


def test_another_dirtytop_goes_on_with_the_chain(
    pretends: Pretender, session: Session, chain_directory: Path
) -> None:
    CriuChain(session, chain_directory, criu=pretends.is_to("make")).pre_dump()
    session.close()
    with Session(session.root.pid) as another:
        chain = CriuChain.go_on(another, chain_directory, criu=pretends.is_to("make", "make"))
        results = [chain.pre_dump(), chain.dump()]
    assert [result.number for result in results] == [2, 3]
    assert [result.notes for result in results] == [(), ()]
    assert [request["opts"].get("parent_img") for request in pretends.requests] == ["../1", "../2"]


def test_a_link_that_is_not_as_it_was_made_is_not_built_upon(
    pretends: Pretender, session: Session, chain_directory: Path
) -> None:
    first = CriuChain(session, chain_directory, criu=pretends.is_to("make")).pre_dump().path
    (first / "pages-1.img").write_bytes(bytes(4096))
    chain = CriuChain.go_on(session, chain_directory, criu=pretends.is_to("make"))
    assert "has been changed since it was made" in chain.pre_dump().notes[0]
    assert "parent_img" not in pretends.options


def test_a_dump_alone_leaves_the_bits_of_others_alone(
    pretends: Pretender, session: Session, chain_directory: Path
) -> None:
    CriuChain(session, chain_directory, criu=pretends.is_to("make")).dump()
    assert not pretends.options["track_mem"]


def test_an_older_criu_is_asked_as_it_understands(
    pretends: Pretender, session: Session, chain_directory: Path
) -> None:
    CriuChain(session, chain_directory, criu=pretends.is_to("make", version=(3, 16))).pre_dump()
    assert pretends.requests[-1]["type"] == "PRE_DUMP"
    assert "network_lock" not in pretends.options


def test_only_a_target_that_is_to_die_is_not_left_running(
    pretends: Pretender, session: Session, tmp_path: Path
) -> None:
    for after in After:
        chain = CriuChain(session, tmp_path / after.value, criu=pretends.is_to("make"))
        chain.dump(after)
        assert pretends.options["leave_running"] == (after is not After.KILL)
        assert pretends.options["notify_scripts"]


def test_a_pre_dump_is_never_asked_of_a_criu_that_cannot_track(
    pretends: Pretender, session: Session, chain_directory: Path
) -> None:
    chain = CriuChain(session, chain_directory, criu=pretends.is_to(mem_track=False))
    with pytest.raises(NotSupported):
        chain.pre_dump()
    assert pretends.requests == []


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (CriuOptions(), {"network_lock": "SKIP", "pre_dump_mode": "SPLICE"}),
        (CriuOptions(tcp_established=True), {"tcp_established": True, "network_lock": None}),
        (CriuOptions(network_lock=NetworkLock.NFTABLES), {"network_lock": "NFTABLES"}),
        (CriuOptions(pre_dump_mode=PreDumpMode.READ), {"pre_dump_mode": "VM_READ"}),
        (CriuOptions(ghost_limit_bytes=5 << 20), {"ghost_limit": 5 << 20}),
        (CriuOptions(ext_unix_sk=True, file_locks=True), {"ext_unix_sk": True, "file_locks": True}),
        (CriuOptions(shell_job=True), {"shell_job": True}),
    ],
)
def test_what_the_user_chose_is_what_criu_is_told(
    pretends: Pretender, session: Session, chain_directory: Path, options: CriuOptions, sent: dict[str, Any]
) -> None:
    CriuChain(session, chain_directory, options, pretends.is_to("make")).dump()
    assert {name: pretends.options.get(name) for name in sent} == sent


def test_the_users_file_of_options_is_handed_on_as_it_was_when_read(
    pretends: Pretender, session: Session, chain_directory: Path, tmp_path: Path
) -> None:
    given = tmp_path / "options"
    given.write_text("shell-job\n")
    CriuChain(session, chain_directory, CriuOptions(config_file=given), pretends.is_to("make")).dump()
    told = pretends.requests[-1]
    assert told["config"].splitlines()[0] == "shell-job"
    assert told["opts"]["config_file"] != str(given)
    assert not Path(told["opts"]["config_file"]).exists()


def test_criu_works_where_only_root_can_go_and_beside_the_link_there_is_nothing(
    pretends: Pretender, session: Session, chain_directory: Path
) -> None:
    CriuChain(session, chain_directory, criu=pretends.is_to("make")).dump()
    told = pretends.requests[-1]
    work = Path(told["cwd"])
    require_unchangeable(work)
    assert chain_directory not in work.parents
    assert told["beside"] == ["1.partial"]
    assert not work.exists()


def test_criu_is_handed_no_place_of_other_users(
    pretends: Pretender,
    session: Session,
    chain_directory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "bobs").mkdir()
    os.chown(tmp_path / "bobs", 54321, 54321)
    monkeypatch.setenv("HOME", str(tmp_path / "bobs"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bobs::.:{os.environ['PATH']}")
    CriuChain(session, chain_directory, criu=pretends.is_to("make")).dump()
    environment = pretends.requests[-1]["environment"]
    assert environment["HOME"] != str(tmp_path / "bobs")
    assert all(os.path.isabs(name) and "bobs" not in name for name in environment["PATH"].split(":"))


@pytest.mark.parametrize("after", [After.RUN, After.KILL])
def test_no_room_for_the_log_is_no_reason_to_lose_a_link(
    pretends: Pretender,
    session: Session,
    chain_directory: Path,
    after: After,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(CriuDirectory, "_copy_log", full)
    CriuChain(session, chain_directory, criu=pretends.is_to("make")).dump(after)
    assert "criu.log" not in os.listdir(chain_directory / "1")


def test_an_option_that_this_criu_lacks_is_refused(
    pretends: Pretender, session: Session, chain_directory: Path
) -> None:
    criu = pretends.is_to(version=(3, 17))
    with pytest.raises(NotSupported, match=r"3\.19"):
        CriuChain(session, chain_directory, CriuOptions(network_lock=NetworkLock.SKIP), criu)
    assert not chain_directory.exists()


def test_a_criu_that_was_killed_is_not_waited_for_though_a_child_of_its_lives_on(
    pretends: Pretender, session: Session, chain_directory: Path
) -> None:
    """It has inherited the connection: that is not closed."""
    chain = CriuChain(session, chain_directory, criu=pretends.is_to("die alone"))
    with pytest.raises(LinkFailed, match="criu was killed by SIGKILL"):
        chain.pre_dump()
    child = int((chain_directory / "1.log").read_text())
    os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(
    ("behaviour", "why"), [("fail", "it did not please me"), ("die", "criu was killed by SIGKILL")]
)
def test_after_a_failure_the_next_link_has_no_parent_and_says_so(
    pretends: Pretender, session: Session, chain_directory: Path, behaviour: str, why: str
) -> None:
    criu = pretends.is_to("make", behaviour, "make", "make")
    chain = CriuChain(session, chain_directory, criu=criu)
    chain.pre_dump()
    with pytest.raises(LinkFailed, match=why):
        chain.pre_dump()
    assert chain.why_full
    assert sorted(os.listdir(chain_directory)) in (["1"], ["1", "2.log"])
    again = chain.pre_dump()
    assert again.path.name == "2"
    assert again.notes == ("pre-dump 2 was begun and not completed: this link is a full one",)
    assert chain.pre_dump().notes == ()
    assert [request["opts"].get("parent_img") for request in pretends.requests] == [
        None,
        "../1",
        None,
        "../2",
    ]


def test_a_cancelled_link_is_undone_by_criu_itself(
    pretends: Pretender, session: Session, chain_directory: Path
) -> None:
    chain = CriuChain(session, chain_directory, criu=pretends.is_to("make", "work"))
    chain.pre_dump()
    with pytest.raises(Cancelled):
        chain.pre_dump(cancelled=lambda: True)
    assert os.listdir(chain_directory) == ["1"]
    assert "begun and not completed" in chain.why_full


def test_the_only_copy_of_a_killed_target_is_kept_whatever_becomes_of_criu(
    pretends: Pretender, session: Session, target: ScriptedTarget, chain_directory: Path
) -> None:
    chain = CriuChain(session, chain_directory, criu=pretends.is_to("die at the end"))
    result = chain.dump(After.KILL)
    target.process.wait()
    assert "killed by SIGKILL" in result.notes[0]
    # It told no times: that is not the same as no time.
    assert (result.stopped_us, result.copy_s) == (None, None)
    assert result.as_json()["stopped_us"] is None
    assert read_chain(chain_directory).links[-1].path == result.path
    assert chain.is_ended


def test_a_target_that_exits_under_criu_is_gone(
    pretends: Pretender, session: Session, chain_directory: Path
) -> None:
    chain = CriuChain(session, chain_directory, criu=pretends.is_to("lose the target"))
    with pytest.raises(TargetGone, match="exited while criu worked"):
        chain.pre_dump()


def test_a_failed_dump_wakes_what_it_had_stopped(
    pretends: Pretender, session: Session, target: ScriptedTarget, chain_directory: Path
) -> None:
    chain = CriuChain(session, chain_directory, criu=pretends.is_to("fail at the end"))
    with pytest.raises(LinkFailed):
        chain.dump(After.STOP)
    target.fill([1])
    assert os.listdir(chain_directory) == ["1.log"]


def test_a_link_without_figures_is_none(pretends: Pretender, session: Session, chain_directory: Path) -> None:
    chain = CriuChain(session, chain_directory, criu=pretends.is_to("tell nothing"))
    with pytest.raises(LinkFailed, match="no figures"):
        chain.pre_dump()
    assert os.listdir(chain_directory) == ["1.log"]


# -- finding it


def test_the_variable_names_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "another"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("DIRTYTOP_CRIU", str(program))
    assert find_criu() == program
    monkeypatch.setenv("DIRTYTOP_CRIU", str(tmp_path / "none"))
    with pytest.raises(NotSupported, match="DIRTYTOP_CRIU"):
        find_criu()


@pytest.mark.parametrize("script", ["exit 1", "exec cat", "kill -9 $$"])
def test_what_is_not_criu_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr("engine.checkpoint.criu.features._TIMEOUT_S", 0.2)
    program = tmp_path / "criu"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    with pytest.raises(NotSupported, match=str(program)):
        examine_criu(program)


def test_it_is_asked_once_and_again_when_it_was_changed(pretends: Pretender) -> None:
    pretended = pretends.is_to(version=(4, 1))
    first = examine_criu(pretends.program)
    assert first == pretended
    assert examine_criu(pretends.program) is first
    pretends.is_to(version=(4, 2), mem_track=False)
    again = examine_criu(pretends.program)
    assert (again.version_text, again.has_memory_tracking) == ("4.2", False)


def test_a_file_of_options_is_passed_on_and_read_now(
    pretends: Pretender, session: Session, chain_directory: Path, tmp_path: Path
) -> None:
    given = tmp_path / "criu.conf"
    given.write_text("tcp-close\n")
    chain = CriuChain(
        session, chain_directory, CriuOptions(config_file=given), pretends.is_to("make", "make", "make")
    )
    chain.pre_dump()
    assert pretends.requests[-1]["config"].split() == ["tcp-close"]
    given.write_text("skip-in-flight\n")
    chain.pre_dump()
    assert pretends.requests[-1]["config"].split() == ["skip-in-flight"]
    given.write_text("stream\n")
    with pytest.raises(NotSupported, match=r"criu\.conf, line 1: `stream`"):
        chain.dump()
    assert len(pretends.requests) == 2


def test_others_than_root_are_told_so(tmp_path: Path) -> None:
    asking = "from engine.checkpoint.criu.features import examine_criu; examine_criu()"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import os; import engine.checkpoint.criu.features; os.setuid(65534); {asking}",
        ],
        capture_output=True,
        text=True,
    )
    assert "has to run as root" in done.stderr
