"""`dirtytop checkpoint`, on targets whose rate is known."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

import pytest

from engine.kernel.process import read_stat
from engine.workloads import Workload, start
from tests.cli.shell import Shell, ended, ends_quietly_without_a_reader, is_untouched, line_of

SHARED_KEYS = ("link", "kind", "path", "bytes", "pages_written", "pages_in_parent", "restorable")
LINK_KEYS = {*SHARED_KEYS, "engine", "stopped_us", "seconds"}
pytestmark = pytest.mark.usefixtures("no_criu")

QUICK = ("--every", 0.1)


def goes_on(workload: Workload) -> bool:
    """Whether it still writes."""
    before = workload.truth().steps
    while workload.truth().steps == before:
        select.select([], [], [], 0.01)
    return True


def test_a_whole_chain_is_made_in_one_go(shell: Shell, steady: Workload, tmp_path: Path) -> None:
    chain = tmp_path / "chain"
    links = shell.told("checkpoint", steady.pid, chain, *QUICK)
    assert [link["kind"] for link in links] == ["pre-dump", "pre-dump", "dump"]
    for number, link in enumerate(links, start=1):
        assert link.keys() >= LINK_KEYS
        assert (link["link"], link["path"]) == (number, str(chain / str(number)))
        assert (link["engine"], link["restorable"]) == ("memory", False)
        assert link["bytes"] == link["pages_written"] * os.sysconf("SC_PAGESIZE")
    assert sorted(os.listdir(chain)) == ["1", "2", "3"]
    assert goes_on(steady)
    assert is_untouched(steady.pid)


def test_later_links_leave_the_cold_pages_to_the_first(
    shell: Shell, steady: Workload, tmp_path: Path
) -> None:
    first, *later = shell.told("checkpoint", steady.pid, tmp_path / "chain", *QUICK)
    assert first["pages_in_parent"] == 0
    assert all(link["pages_in_parent"] >= 300 for link in later)
    assert all(link["pages_written"] < first["pages_written"] for link in later)


def test_what_it_made_is_listed_and_verified_and_flattened(
    shell: Shell, steady: Workload, tmp_path: Path
) -> None:
    chain, flat = tmp_path / "chain", tmp_path / "flat"
    made = shell.told("checkpoint", steady.pid, chain, "--pre-dumps", 1, *QUICK)
    listed = shell.told("images", chain)
    for key in SHARED_KEYS:
        assert [link[key] for link in listed] == [link[key] for link in made]
    assert all(link["pids"] == [steady.pid] for link in listed)
    assert shell.succeeds("verify", chain) == "sound: 2 links\n"

    assert shell.succeeds("flatten", chain, flat).split(" in ")[0].split(":")[0] == "2 links became one"
    (only,) = shell.told("images", flat)
    assert only["pages_in_parent"] == 0
    assert only["pages_written"] == made[-1]["pages_written"] + made[-1]["pages_in_parent"]
    assert shell.succeeds("verify", flat) == "sound: 1 link\n"


def test_without_pre_dumps_the_dump_is_the_whole_chain(
    shell: Shell, steady: Workload, tmp_path: Path
) -> None:
    (dump,) = shell.told("checkpoint", steady.pid, tmp_path / "chain", "--pre-dumps", 0)
    assert (dump["kind"], dump["pages_in_parent"]) == ("dump", 0)


def test_a_tree_is_checkpointed_whole(shell: Shell, tmp_path: Path) -> None:
    with start("fork-tree", children=2, cold_pages=20, hot_pages=20, pages_per_s=1000, lifetime_ms=0) as tree:
        shell.succeeds("checkpoint", tree.pid, tmp_path / "chain", "--pre-dumps", 1, *QUICK)
        listed = shell.told("images", tmp_path / "chain")
        assert all(set(link["pids"]) == {span.pid for span in tree.spans} for link in listed)
    shell.succeeds("verify", tmp_path / "chain")


def test_people_get_a_line_a_link_with_what_it_does_not_hold(
    shell: Shell, steady: Workload, tmp_path: Path
) -> None:
    lines = shell.succeeds(
        "checkpoint", steady.pid, tmp_path / "chain", "--pre-dumps", 1, *QUICK
    ).splitlines()
    assert lines[0].startswith("pre-dump 1: ")
    assert any(line.startswith("dump 2: ") and "target stopped" in line for line in lines)
    assert any(line.startswith("  not held: ") for line in lines)


def test_stop_leaves_the_target_stopped(shell: Shell, steady: Workload, tmp_path: Path) -> None:
    shell.succeeds("checkpoint", steady.pid, tmp_path / "c", "--pre-dumps", 0, "--after", "stop")
    assert read_stat(steady.pid).state == "T"
    os.kill(steady.pid, signal.SIGCONT)
    assert goes_on(steady)


def test_kill_ends_the_target(shell: Shell, steady: Workload, tmp_path: Path) -> None:
    shell.succeeds("checkpoint", steady.pid, tmp_path / "c", "--pre-dumps", 0, "--after", "kill")
    end = os.waitid(os.P_PID, steady.pid, os.WEXITED | os.WNOWAIT)
    assert end is not None
    assert end.si_status == signal.SIGKILL


def test_a_directory_that_holds_images_is_refused(shell: Shell, steady: Workload, tmp_path: Path) -> None:
    shell.succeeds("checkpoint", steady.pid, tmp_path, "--pre-dumps", 0)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert "holds images already" in shell.fails(1, "checkpoint", steady.pid, tmp_path, "--pre-dumps", 0)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_gives_up_between_links_and_says_what_is_there(
    shell: Shell, steady: Workload, tmp_path: Path, number: signal.Signals
) -> None:
    making = shell.start("checkpoint", steady.pid, tmp_path, "--every", 3600, "--after", "kill", "--json")
    assert line_of(making)
    code, output, complaints = ended(making, number)
    assert (code, output) == (1, "")
    error, hint = complaints.splitlines()
    assert error.startswith("dirtytop: interrupted")
    assert hint == f"hint: complete so far: {tmp_path / '1'}"
    assert os.listdir(tmp_path) == ["1"]
    assert goes_on(steady)
    assert is_untouched(steady.pid)


def test_a_signal_in_the_middle_of_a_link_leaves_no_link(shell: Shell, tmp_path: Path) -> None:
    with start("steady", cold_pages=100_000, hot_pages=500, pages_per_s=5000) as large:
        making = shell.start_on_terminal("checkpoint", large.pid, tmp_path, "--pre-dumps", 1)
        making.wait_for(b"pre-dump 1: ")
        making.type(b"\x03")
        assert making.wait_for_end() == 1
        assert b"Traceback" not in making.shown
        assert os.listdir(tmp_path) == []
        assert goes_on(large)
        assert is_untouched(large.pid)


def test_a_target_that_exits_between_links_is_gone(shell: Shell, steady: Workload, tmp_path: Path) -> None:
    making = shell.start("checkpoint", steady.pid, tmp_path, "--every", 0.5, "--json")
    assert line_of(making)
    steady.stop()
    code, _, complaints = ended(making)
    assert code == 4
    assert str(tmp_path / "1") in complaints
    shell.succeeds("verify", tmp_path)


def test_a_reader_that_has_had_enough_does_not_break_the_chain(
    shell: Shell, steady: Workload, tmp_path: Path
) -> None:
    making = shell.start("checkpoint", steady.pid, tmp_path, *QUICK, "--json")
    assert line_of(making)
    assert ends_quietly_without_a_reader(making)
    assert sorted(os.listdir(tmp_path)) == ["1", "2", "3"]


def test_progress_is_shown_on_a_terminal_and_wiped_again(
    shell: Shell, steady: Workload, tmp_path: Path
) -> None:
    making = shell.start_on_terminal("checkpoint", steady.pid, tmp_path, *QUICK)
    assert making.wait_for_end() == 0
    drawn = making.shown.split(b"\r\x1b[K")
    assert any(part.startswith(b"pre-dump 1: ") and b" of " in part for part in drawn)
    # What is left on the screen is whole lines; each begins on a line that was wiped.
    assert all(part.endswith(b"\r\n") for part in drawn if b"written" in part)


class TestContinue:
    """`--continue`, with a chain that is still open because it was interrupted after its first link."""

    @pytest.fixture
    def begun(self, shell: Shell, steady: Workload, tmp_path: Path) -> Path:
        making = shell.start("checkpoint", steady.pid, tmp_path / "chain", "--every", 3600, "--json")
        assert line_of(making)
        assert ended(making, signal.SIGINT)[0] == 1
        return tmp_path / "chain"

    def test_the_chain_goes_on(self, shell: Shell, steady: Workload, begun: Path) -> None:
        links = shell.told("checkpoint", steady.pid, begun, "--continue", "--pre-dumps", 1, *QUICK)
        assert [link["link"] for link in links] == [2, 3]
        # Either the kernel has kept the epoch, or it is said why the link is a full one.
        assert bool(links[0]["pages_in_parent"]) != bool(links[0]["notes"])
        assert links[1]["pages_in_parent"] > 0
        shell.succeeds("verify", begun)

    def test_what_is_no_chain_is_refused(self, shell: Shell, steady: Workload, tmp_path: Path) -> None:
        assert "holds no images" in shell.fails(1, "checkpoint", steady.pid, tmp_path, "--continue")

    def test_a_chain_that_has_ended_is_refused(self, shell: Shell, steady: Workload, begun: Path) -> None:
        again = ("checkpoint", steady.pid, begun, "--continue")
        shell.succeeds(*again, "--pre-dumps", 0, "--after", "kill")
        assert "ended with a dump" in shell.fails(1, *again)

    def test_a_chain_of_another_process_is_refused(self, shell: Shell, steady: Workload, begun: Path) -> None:
        with start("steady", cold_pages=10, hot_pages=10, pages_per_s=100) as other:
            complaints = shell.fails(1, "checkpoint", other.pid, begun, "--continue")
        assert f"of process {steady.pid}, not of {other.pid}" in complaints

    @pytest.mark.skipif(os.geteuid() != 0, reason="criu is only asked by root")
    def test_another_engine_is_refused(self, shell: Shell, steady: Workload, begun: Path) -> None:
        code, _, complaints = shell.run(
            "checkpoint", steady.pid, begun, "--continue", "--engine", "criu", "--pre-dumps", 0
        )
        assert code in (1, 5)  # 5 where there is no CRIU that works
        if code == 1:
            assert "is a chain of the memory engine" in complaints
