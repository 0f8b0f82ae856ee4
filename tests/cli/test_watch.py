"""`dirtytop watch`, on targets whose rate is known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from engine.tracking.probe import probe
from engine.tracking.session import Session
from engine.workloads import Span, Workload, start
from tests.cli.shell import Shell, ended, ends_quietly_without_a_reader, is_untouched, line_of, objects
from tui.commands.watch import Lines, sample_as_json

TICK_KEYS = {"schema", "pid", "tracker", "elapsed_s", "interval_s", "tick_ms", "stopped_us", "total", "vmas"}
TOTAL_KEYS = {"present_pages", "written_pages", "since_armed_pages", "pending_pages", "pages_per_s"}
VMA_KEYS = {"pid", "start", "end", "perms", "name", "present_pages", "written_pages", "since_armed_pages"}


def vma_of(tick: dict[str, Any], span: Span) -> dict[str, Any]:
    """The mapping that a workload says it writes to."""
    (vma,) = (v for v in tick["vmas"] if (v["pid"], v["start"], v["end"]) == (span.pid, span.start, span.end))
    assert isinstance(vma, dict)
    return vma


def test_each_tick_is_an_object_with_the_stable_keys(shell: Shell, steady: Workload) -> None:
    ticks = shell.told("watch", steady.pid, "--interval", 0.2, "--count", 3)
    assert len(ticks) == 3
    for tick in ticks:
        assert tick.keys() >= TICK_KEYS
        assert tick["total"].keys() >= TOTAL_KEYS
        assert all(vma.keys() >= VMA_KEYS for vma in tick["vmas"])
        assert (tick["schema"], tick["pid"]) == (1, steady.pid)
    elapsed = [tick["elapsed_s"] for tick in ticks]
    assert elapsed == sorted(elapsed)
    assert elapsed[-1] == pytest.approx(sum(tick["interval_s"] for tick in ticks), abs=1e-3)


def test_a_hot_set_is_counted_to_the_page(shell: Shell, steady: Workload) -> None:
    # The set is gone through in 0.1 s, so each tick must show all of it, once.
    for tick in shell.told("watch", steady.pid, "--interval", 0.5, "--count", 3):
        hot = vma_of(tick, *steady.spans)
        assert (hot["present_pages"], hot["written_pages"], hot["since_armed_pages"]) == (500, 500, 500)


def test_ticks_that_would_cost_more_than_the_budget_come_later_and_say_so(
    shell: Shell, steady: Workload
) -> None:
    how = ["--mode", "rearming"] if probe().soft_dirty.works else []
    arguments = ["watch", steady.pid, "--interval", 0.02, "--count", 20, *how]
    ticks = shell.told(*arguments, "--cost-budget", "0.01%")
    assert {tick["cost_budget"] for tick in ticks} == {0.0001}
    assert [tick["slowed"] for tick in ticks[:1]] == [False]
    assert ticks[-1]["slowed"]
    assert ticks[-1]["interval_s"] > 2 * ticks[0]["interval_s"]
    ticks = shell.told(*arguments, "--cost-budget", "off")
    assert {(tick["cost_budget"], tick["slowed"]) for tick in ticks} == {(None, False)}


def test_cold_pages_are_present_and_never_written(shell: Shell, steady: Workload) -> None:
    for tick in shell.told("watch", steady.pid, "--interval", 0.2, "--count", 2):
        cold = [vma for vma in tick["vmas"] if vma["end"] - vma["start"] == 300 * tick["page_bytes"]]
        assert any(vma["present_pages"] == 300 and vma["since_armed_pages"] == 0 for vma in cold)


def test_the_total_is_the_sum_of_the_mappings(shell: Shell, steady: Workload) -> None:
    for tick in shell.told("watch", steady.pid, "--interval", 0.2, "--count", 2):
        for key in ("present_pages", "written_pages", "since_armed_pages"):
            assert tick["total"][key] == sum(vma[key] for vma in tick["vmas"])
        rate = tick["total"]["written_pages"] / tick["interval_s"]
        assert tick["total"]["pages_per_s"] == pytest.approx(rate, rel=1e-3)


def test_a_sequential_writer_is_never_counted_twice_nor_beyond_its_own_count(shell: Shell) -> None:
    with start("sequential", buffer_pages=60_000, pages_per_s=2000) as workload:
        before = workload.truth().pages_written
        ticks = shell.told("watch", workload.pid, "--interval", 0.2, "--count", 4)
        after = workload.truth().pages_written
        written = [vma_of(tick, *workload.spans) for tick in ticks]
    seen = written[-1]["since_armed_pages"]
    assert 0 < seen <= after - before
    assert seen == sum(vma["written_pages"] for vma in written)


def test_the_whole_tree_is_watched_and_its_comings_and_goings_told(shell: Shell) -> None:
    with start(
        "fork-tree", children=2, cold_pages=4, hot_pages=20, pages_per_s=1000, lifetime_ms=200
    ) as workload:
        ticks = shell.told("watch", workload.pid, "--interval", 0.2, "--count", 5)
    assert all(len({vma["pid"] for vma in tick["vmas"]}) > 1 for tick in ticks)
    kinds = {event["kind"] for tick in ticks for event in tick["events"]}
    assert kinds >= {"joined", "left"}


@pytest.mark.parametrize("mode", ["cumulative", "rearming"])
def test_the_mode_is_as_asked_or_refused(shell: Shell, steady: Workload, mode: str) -> None:
    arguments = ("watch", steady.pid, "--interval", 0.3, "--count", 3, "--mode", mode)
    if mode == "cumulative" and not probe().soft_dirty.works:
        complaints = shell.fails(5, *arguments, "--json")
        assert complaints.startswith("dirtytop: write-protect tracking has no cumulative mode\nhint: ")
        assert is_untouched(steady.pid)
        return
    again = [vma_of(tick, *steady.spans)["written_pages"] for tick in shell.told(*arguments)]
    assert again == ([500, 0, 0] if mode == "cumulative" else [500, 500, 500])


def test_writes_to_huge_pages_are_shown_for_what_they_may_be(
    shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        start("steady", cold_pages=10, hot_pages=50, pages_per_s=1000) as workload,
        Session(workload.pid) as session,
    ):
        session.arm()
        sample = session.tick()
    plain = replace(sample, huge_inflation_pages=0, most_pages_per_write=1)
    inflated = replace(sample, huge_inflation_pages=511, most_pages_per_write=512)
    lines = Lines()
    lines.emit(plain)
    assert "THP" not in capsys.readouterr().out
    lines.emit(inflated)
    assert capsys.readouterr().out.endswith("  THP: up to 512 pages counted for one write\n")
    assert sample_as_json(workload.pid, inflated)["most_pages_per_write"] == 512


def test_people_get_aligned_lines_under_a_header(shell: Shell, steady: Workload) -> None:
    intro, *lines = shell.succeeds("watch", steady.pid, "--interval", 0.1, "--count", 3).splitlines()
    header, *ticks = (line for line in lines if "[seams]" not in line)
    assert intro.startswith(f"watching {steady.pid} by ")
    assert header.split()[:4] == ["elapsed", "present", "written", "rate"]
    assert len(ticks) == 3
    assert {len(line) for line in ticks} == {len(header)}


def test_the_header_comes_again_after_a_screenful(shell: Shell, steady: Workload) -> None:
    output = shell.succeeds("watch", steady.pid, "--interval", 0.01, "--count", 50)
    headers = [line for line in output.splitlines() if "since armed" in line]
    assert len(headers) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_cleanly_and_leaves_the_target_as_it_was(
    shell: Shell, steady: Workload, number: signal.Signals
) -> None:
    watching = shell.start("watch", steady.pid, "--interval", 0.05)
    line_of(watching)
    line_of(watching)
    code, _, complaints = ended(watching, number)
    assert (code, complaints) == (0, "")
    assert is_untouched(steady.pid)


def test_ctrl_c_on_a_terminal_ends_it_cleanly(shell: Shell, steady: Workload) -> None:
    terminal = shell.start_on_terminal("watch", steady.pid, "--interval", 0.05)
    terminal.wait_for(b"MiB/s")
    terminal.type(b"\x03")
    assert terminal.wait_for_end() == 0
    assert b"Traceback" not in terminal.shown
    assert b"dirtytop:" not in terminal.shown
    assert is_untouched(steady.pid)


def test_a_long_interval_does_not_delay_the_end(shell: Shell, steady: Workload) -> None:
    watching = shell.start("watch", steady.pid, "--interval", 3600)
    assert line_of(watching)
    assert ended(watching, signal.SIGINT)[0] == 0


def test_when_the_target_exits_it_says_so_and_ends_well(shell: Shell, steady: Workload) -> None:
    watching = shell.start("watch", steady.pid, "--interval", 0.05)
    line_of(watching)
    line_of(watching)
    line_of(watching)
    steady.stop()
    code, output, complaints = ended(watching)
    assert (code, complaints) == (0, "")
    assert output.splitlines()[-1] == f"process {steady.pid} has exited"


def test_for_programs_the_exit_of_the_target_is_told_on_stderr(shell: Shell, steady: Workload) -> None:
    watching = shell.start("watch", steady.pid, "--interval", 0.05, "--json")
    line_of(watching)
    steady.stop()
    code, output, complaints = ended(watching)
    assert code == 0
    assert all(tick["schema"] == 1 for tick in objects(output))
    assert complaints == f"process {steady.pid} has exited\n"


def test_a_target_that_exits_before_the_first_tick_was_gone(shell: Shell, steady: Workload) -> None:
    watching = shell.start("watch", steady.pid, "--interval", 1)
    assert line_of(watching)
    steady.stop()
    code, _, complaints = ended(watching)
    assert code == 4
    assert complaints.startswith(f"dirtytop: process {steady.pid} ")


def test_a_reader_that_has_had_enough_ends_it_quietly(shell: Shell, steady: Workload) -> None:
    watching = shell.start("watch", steady.pid, "--interval", 0.02, "--json")
    assert line_of(watching)
    assert ends_quietly_without_a_reader(watching)
    assert is_untouched(steady.pid)


def test_hostile_names_do_not_reach_the_terminal(shell: Shell, tmp_path: os.PathLike[str]) -> None:
    program = """
import ctypes, mmap, sys
ctypes.CDLL(None).prctl(15, b'\\x1b[31m\\xff[b]', 0, 0, 0)
with open(b'\\x1b]0;title\\x07\\xff[red]', 'w+b') as file:
    file.truncate(4096)
    memory = mmap.mmap(file.fileno(), 4096, mmap.MAP_PRIVATE)
memory[0] = 1
print(flush=True)
input()
"""
    target = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path
    )
    with target:
        assert target.stdout is not None
        target.stdout.readline()
        (tick,) = shell.told("watch", target.pid, "--interval", 0.05, "--count", 1)
        target.kill()
    names = [vma["name"] for vma in tick["vmas"]] + [process["command"] for process in tick["processes"]]
    assert any(name.endswith(r"␛]0;title␇\xff[red]") for name in names)
    assert r"␛[31m\xff[b]" in names
    assert all(character.isprintable() for name in names for character in name)


def test_it_imports_nothing_that_it_does_not_need(steady: Workload) -> None:
    program = f"""
import sys
from tui.cli import main
assert main(['watch', '{steady.pid}', '--interval', '0.05', '--count', '1', '--json']) == 0
print(sorted({{'textual', 'rich', 'plotext', 'psutil', 'google', 'platformdirs'}} & sys.modules.keys()))
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "[]"
