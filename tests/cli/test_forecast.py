"""`dirtytop forecast`, on targets whose rate is known."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from engine.pageset import PAGE_SIZE
from engine.workloads import Workload
from tests.cli.shell import Shell, ended, is_untouched, line_of

QUICK = ("--watch", 1)


def test_it_foresees_a_chain_without_making_one(shell: Shell, steady: Workload, tmp_path: Path) -> None:
    (found,) = shell.told("forecast", steady.pid, *QUICK, "--dir", tmp_path)
    assert [plan["pre_dumps"] for plan in found["plans"]] == list(range(9))
    for plan in found["plans"]:
        assert [link["kind"] for link in plan["links"]] == [*["pre-dump"] * plan["pre_dumps"], "dump"]
        assert plan["stop_s"]["low"] <= plan["stop_s"]["mid"] <= plan["stop_s"]["high"]
        assert plan["bytes"]["mid"] <= 1.001 * sum(link["bytes"]["mid"] for link in plan["links"]) + 9
    now, then = found["plans"][0], found["plans"][1]
    assert now["bytes"]["mid"] >= 800 * 4096
    assert then["links"][1]["bytes"]["mid"] < now["bytes"]["mid"]
    assert set(found["policies"]) == {"p.haul", "LXD"}
    assert list(tmp_path.iterdir()) == []
    assert is_untouched(steady.pid)


def test_people_get_the_verdict_and_a_table_with_the_advice_marked(shell: Shell, steady: Workload) -> None:
    output = shell.succeeds("forecast", steady.pid, *QUICK, "--stop-budget", "10s")
    first, verdict, _, header, *rows = output.splitlines()
    assert first.startswith(f"{steady.pid} (demo-steady): ")
    assert verdict.startswith("dump now: stops for ")
    assert header.split()[0] == "pre-dumps"
    assert rows[0].startswith("▸ ")
    assert rows[1].split()[0] == "1"
    assert "▸ the fewest pre-dumps that meet 10 s" in rows


def test_a_policy_of_others_can_be_marked_instead(shell: Shell, steady: Workload) -> None:
    output = shell.succeeds("forecast", steady.pid, *QUICK, "--policy", "lxd", "--stop-budget", "10s")
    marked = [line for line in output.splitlines() if line.startswith("▸ ")]
    assert marked[0].split()[1] != "0", "LXD always pre-dumps"
    assert marked[1] == "▸ as LXD would"


def test_it_goes_on_with_an_interval_until_it_is_interrupted(shell: Shell, steady: Workload) -> None:
    going_on = shell.start("forecast", steady.pid, *QUICK, "--interval", 0.2, "--json")
    assert line_of(going_on)
    assert line_of(going_on)
    code, _, complaints = ended(going_on, signal.SIGINT)
    assert (code, complaints) == (0, "")
    assert is_untouched(steady.pid)


def test_it_ends_after_as_many_as_were_asked_for(shell: Shell, steady: Workload) -> None:
    assert len(shell.told("forecast", steady.pid, *QUICK, "--interval", 0.2, "--count", 3)) == 3


def test_where_nothing_can_be_written_it_says_so(shell: Shell, steady: Workload) -> None:
    assert "cannot write there" in shell.fails(1, "forecast", steady.pid, *QUICK, "--dir", "/proc/nowhere")
    assert is_untouched(steady.pid)


def test_a_fork_is_foreseen_to_copy_what_is_written_meanwhile(shell: Shell, steady: Workload) -> None:
    """Its hot set of 500 pages is written ten times a second."""
    (told,) = shell.told("forecast", steady.pid, "--fork", "2s", "--watch", 2)
    copied = told["copied_bytes"]
    assert 500 * PAGE_SIZE * 0.9 <= copied["mid"] <= 500 * PAGE_SIZE * 1.2
    assert copied["low"] <= copied["mid"] <= copied["high"]
    assert told["fits"] is (copied["high"] <= told["free_bytes"])


def test_an_interval_is_advised_for_a_program_that_fails_now_and_then(shell: Shell, steady: Workload) -> None:
    output = shell.succeeds("forecast", steady.pid, "--mtbf", "24h", "--watch", 1)
    assert output.startswith("dump every ")
    assert "of the time is lost" in output


def test_two_questions_at_once_are_wrong_use(shell: Shell) -> None:
    assert "ask one" in shell.fails(2, "forecast", os.getpid(), "--fork", "2s", "--mtbf", "1h")
