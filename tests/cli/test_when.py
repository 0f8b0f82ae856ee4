"""`dirtytop checkpoint --when`: links are made when it pays."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.workloads import Workload, start
from tests.cli.shell import Shell, ended, is_untouched, line_of

pytestmark = pytest.mark.usefixtures("no_criu")

LONG = ("--when", "quiet 1h")


def test_it_dumps_at_once_where_the_stop_is_short_enough(
    shell: Shell, steady: Workload, tmp_path: Path
) -> None:
    *waited, decided, link = shell.told("checkpoint", steady.pid, tmp_path, "--when", "stop<1h")
    assert all(event["event"] == "wait" for event in waited)
    assert decided["event"] == "dump"
    assert decided["trigger"] == "stop<3600s"
    assert decided["stop_s"]["low"] <= decided["stop_s"]["mid"] <= decided["stop_s"]["high"]
    assert (link["link"], link["kind"]) == (1, "dump")
    assert is_untouched(steady.pid)


@pytest.fixture
def bursting() -> Iterator[Workload]:
    sizes = {"cold_pages": 500, "hot_pages": 4000, "pages_per_s": 20_000, "burst_ms": 1500, "quiet_ms": 2500}
    with start("bursts", **sizes) as workload:
        yield workload


def test_it_dumps_in_the_lull(shell: Shell, bursting: Workload, tmp_path: Path) -> None:
    events = shell.told("checkpoint", bursting.pid, tmp_path, "--when", "quiet 1s")
    decided = [event for event in events if event.get("event") == "dump"]
    assert decided[0]["reason"].startswith("quiet for ")
    assert sorted(os.listdir(tmp_path)) == ["1"]


def test_it_pre_dumps_as_often_as_it_is_told_to_while_it_waits(
    shell: Shell, steady: Workload, tmp_path: Path
) -> None:
    limits = ("--every", 0.5, "--deadline", "4s")
    events = shell.told("checkpoint", steady.pid, tmp_path, *LONG, *limits)
    links = [event for event in events if "link" in event]
    assert len(links) >= 3
    assert [link["kind"] for link in links] == [*["pre-dump"] * (len(links) - 1), "dump"]
    shell.succeeds("verify", tmp_path)


def test_at_the_deadline_it_dumps_all_the_same(shell: Shell, steady: Workload, tmp_path: Path) -> None:
    output = shell.succeeds("checkpoint", steady.pid, tmp_path, *LONG, "--deadline", "1s")
    assert "the deadline has come" in output
    assert os.listdir(tmp_path) == ["1"]


def test_or_it_gives_up_if_it_is_told_to(shell: Shell, steady: Workload, tmp_path: Path) -> None:
    limit = ("--deadline", "1s", "--at-deadline", "give-up")
    code, _, complaints = shell.run("checkpoint", steady.pid, tmp_path, *LONG, *limit)
    assert code == 1
    assert complaints.startswith("dirtytop: not dumped: the deadline has come")
    assert "hint: --at-deadline dump" in complaints
    assert os.listdir(tmp_path) == []
    assert is_untouched(steady.pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_waiting_cleanly(
    shell: Shell, steady: Workload, tmp_path: Path, number: signal.Signals
) -> None:
    waiting = shell.start("checkpoint", steady.pid, tmp_path, *LONG)
    assert line_of(waiting).startswith("waiting for quiet 3600s: ")
    code, _, complaints = ended(waiting, number)
    assert code == 1
    assert complaints.startswith("dirtytop: interrupted")
    assert is_untouched(steady.pid)


def test_on_a_terminal_one_line_tells_what_is_waited_for(
    shell: Shell, steady: Workload, tmp_path: Path
) -> None:
    waiting = shell.start_on_terminal("checkpoint", steady.pid, tmp_path, *LONG, "--deadline", "3s")
    waiting.wait_for(b"\r\x1b[Kwaiting for quiet 3600s")
    assert waiting.wait_for_end() == 0
    lines = waiting.shown.split(b"\r\n")
    assert not any(line.startswith(b"waiting") for line in lines), "each was wiped again"


def test_a_target_that_exits_meanwhile_is_gone(shell: Shell, steady: Workload, tmp_path: Path) -> None:
    waiting = shell.start("checkpoint", steady.pid, tmp_path, *LONG)
    assert line_of(waiting)
    steady.stop()
    code, _, complaints = ended(waiting)
    assert code == 4
    assert "exited while dirtytop waited for" in complaints


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--when", "whenever"), "is not a trigger"),
        (("--when", "stop<50"), "a unit is missing"),
        (("--deadline", "60s"), "--deadline goes with --when only"),
        (("--at-deadline", "dump"), "--at-deadline goes with --when only"),
        ((*LONG, "--deadline", "soon"), "is not a duration"),
        ((*LONG, "--pre-dumps", 3), "--pre-dumps can only be 0"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_done(
    shell: Shell, steady: Workload, tmp_path: Path, options: tuple[object, ...], why: str
) -> None:
    assert why in shell.fails(2, "checkpoint", steady.pid, tmp_path / "c", *options)
    assert not (tmp_path / "c").exists()


class TestContinue:
    """With `--continue`: a chain that an earlier run began and gave up at its deadline."""

    @pytest.fixture
    def begun(self, shell: Shell, bursting: Workload, tmp_path: Path) -> Path:
        limit = ("--every", 0.5, "--deadline", "2s", "--at-deadline", "give-up")
        code, output, _ = shell.run("checkpoint", bursting.pid, tmp_path / "chain", *LONG, *limit)
        assert code == 1
        assert "pre-dump 1: " in output
        return tmp_path / "chain"

    def test_the_chain_is_ended_once_the_stop_is_short_enough(
        self, shell: Shell, bursting: Workload, begun: Path
    ) -> None:
        before = len(os.listdir(begun))
        again = ("checkpoint", bursting.pid, begun, "--continue")
        *_, decided, link = shell.told(*again, "--when", "stop<1h")
        assert decided["event"] == "dump"
        assert (link["link"], link["kind"]) == (before + 1, "dump")
        # Either the kernel has kept the epoch, or it is said why the link is a full one; both are foreseen.
        assert bool(link["pages_in_parent"]) != bool(link["notes"])
        assert decided["bytes"] < 4 * link["bytes"]
        assert link["bytes"] < 4 * decided["bytes"]
        shell.succeeds("verify", begun)

    def test_a_lull_is_seen_in_an_epoch_that_was_taken_over(
        self, shell: Shell, bursting: Workload, begun: Path
    ) -> None:
        again = ("checkpoint", bursting.pid, begun, "--continue")
        *_, decided, link = shell.told(*again, "--when", "quiet 1s", "--deadline", "40s")
        assert decided["reason"].startswith("quiet for ")
        assert link["kind"] == "dump"
        shell.succeeds("verify", begun)
        assert is_untouched(bursting.pid)
