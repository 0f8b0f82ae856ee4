"""The demo targets, against the kernel's view of them and the bytes in their memory."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

import pytest

from engine.errors import DirtytopError, TargetGone
from engine.workloads import SCENARIOS, Workload, WrittenCount, scenario, start
from engine.workloads.writer import STEP_MS

SMALL = {
    "steady": {"cold_pages": 64, "hot_pages": 1000, "pages_per_s": 5000},
    "sequential": {"buffer_pages": 300, "pages_per_s": 1000},
    "zipf": {"cold_pages": 16, "hot_pages": 200, "pages_per_s": 1000},
    "bursts": {"cold_pages": 0, "hot_pages": 64, "pages_per_s": 1000, "burst_ms": 100, "quiet_ms": 100},
    "growing": {"limit_pages": 64, "chunk_pages": 16, "pages_per_s": 1000},
    "sparse": {"hot_pages": 16, "pages_per_s": 100},
    "tour": {
        "cold_pages": 16,
        "hot_pages": 32,
        "burst_pages": 128,
        "steady_ms": 100,
        "burst_ms": 100,
        "quiet_ms": 100,
        "growing_ms": 100,
    },
    "fork-tree": {"children": 3, "cold_pages": 8, "hot_pages": 32, "pages_per_s": 1000, "lifetime_ms": 0},
}
MIB = 1 << 20
ENDS_S = 10.0


def after_steps(workload: Workload, steps: int) -> WrittenCount:
    """What it says once it has done so many steps."""
    while (truth := workload.truth()).steps < steps:
        time.sleep(STEP_MS / 1000)
    return truth


def first_bytes(pid: int, start: int, end: int) -> list[int]:
    """The byte that is written in each page."""
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        memory.seek(start)
        return list((memory.read(end - start) or b"")[:: os.sysconf("SC_PAGESIZE")])


def has_ended(pidfd: int) -> bool:
    """Waits for a process that need not be our child."""
    return bool(select.select([pidfd], [], [], ENDS_S)[0])


def status_kib(pid: int, field: str) -> int:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field + ":"))


def test_every_scenario_is_tried_here() -> None:
    assert SMALL.keys() == SCENARIOS.keys()


@pytest.mark.parametrize("name", [name for name in SMALL if name not in ("bursts", "tour")])
def test_a_workload_writes_exactly_its_rate_over_its_steps(name: str) -> None:
    with start(name, **SMALL[name]) as workload:
        truth = after_steps(workload, 10)
        assert truth.pages_written == truth.steps * STEP_MS * workload.scenario.pages_per_s / 1000


def test_a_burst_is_followed_by_quiet_steps() -> None:
    with start("bursts", **SMALL["bursts"]) as workload:
        truth = after_steps(workload, 12)
        busy = sum(1 for step in range(truth.steps) if step % 10 < 5)
        assert truth.pages_written == busy * 1000 * STEP_MS // 1000


def test_the_memory_bears_out_what_the_workload_counts() -> None:
    hot_pages = SMALL["steady"]["hot_pages"]
    with start("steady", **SMALL["steady"]) as workload:
        (span,) = workload.spans
        before = after_steps(workload, 3).pages_written
        os.kill(workload.pid, signal.SIGSTOP)
        os.waitpid(workload.pid, os.WUNTRACED)
        written = first_bytes(*((span.pid, span.start, span.end)))
        os.kill(workload.pid, signal.SIGCONT)
        after = workload.truth().pages_written

    # Each round writes its number, and the first round's is 2.
    latest = max(written)
    position = written.count(latest)
    assert written == [latest] * position + [latest - 1] * (hot_pages - position)
    assert before <= (latest - 2) * hot_pages + position <= after


def test_the_cold_pages_beside_a_hot_set_are_never_written() -> None:
    with start("steady", **SMALL["steady"]) as workload:
        after_steps(workload, 15)
        with open(f"/proc/{workload.pid}/maps") as maps:
            bounds = [tuple(int(part, 16) for part in line.split()[0].split("-")) for line in maps]
        cold_bytes = SMALL["steady"]["cold_pages"] * os.sysconf("SC_PAGESIZE")
        cold = [
            values
            for low, high in bounds
            if high - low == cold_bytes and set(values := first_bytes(workload.pid, low, high)) == {1}
        ]
        assert cold


def test_the_hot_set_is_a_mapping_of_its_own() -> None:
    with start("steady", **SMALL["steady"]) as workload:
        (span,) = workload.spans
        with open(f"/proc/{workload.pid}/maps") as maps:
            assert f"{span.start:x}-{span.end:x}" in {line.split()[0] for line in maps}


def test_a_growing_workload_starts_over_at_its_limit() -> None:
    with start("growing", **SMALL["growing"]) as workload:
        sizes: list[int] = []
        while 4 not in sizes or sizes == sorted(sizes):
            sizes.append(len(workload.truth().spans))
            assert len(sizes) < 10_000
        assert max(sizes) == 4


def test_a_terabyte_of_sparse_memory_costs_next_to_nothing() -> None:
    with start("sparse") as workload:
        (span,) = workload.spans
        assert span.end - span.start == 1 << 40
        assert status_kib(workload.pid, "VmRSS") * 1024 < 64 * MIB
        assert status_kib(workload.pid, "VmPTE") * 1024 < 16 * MIB


def test_every_process_of_a_fork_tree_writes() -> None:
    with start("fork-tree", **SMALL["fork-tree"]) as workload:
        spans = after_steps(workload, 5).spans
        assert len({span.pid for span in spans}) == 4
        for span in spans:
            assert max(first_bytes(span.pid, span.start, span.end)) > 1


def test_a_fork_tree_goes_on_without_a_child_that_was_killed() -> None:
    with start("fork-tree", **SMALL["fork-tree"]) as workload:
        *_, victim = workload.spans
        os.kill(victim.pid, signal.SIGKILL)
        deadline = time.monotonic() + ENDS_S
        while victim in workload.truth().spans and time.monotonic() < deadline:
            time.sleep(STEP_MS / 1000)
        left = workload.truth()
        assert len(left.spans) == 3
        assert after_steps(workload, left.steps + 3).pages_written > left.pages_written


def test_a_fork_tree_replaces_its_oldest_child() -> None:
    with start("fork-tree", **SMALL["fork-tree"] | {"lifetime_ms": 2 * STEP_MS}) as workload:
        first = {span.pid for span in workload.spans}
        later = {span.pid for span in after_steps(workload, 8).spans}
        assert len(later) == len(first)
        assert workload.pid in later
        assert not first & later - {workload.pid}


def test_stopping_ends_all_of_a_tree_even_where_it_is_stopped() -> None:
    workload = start("fork-tree", **SMALL["fork-tree"])
    pidfds = [os.pidfd_open(span.pid) for span in workload.spans]
    os.kill(workload.spans[-1].pid, signal.SIGSTOP)
    workload.stop()
    workload.stop()
    assert all(has_ended(pidfd) for pidfd in pidfds)
    for pidfd in pidfds:
        os.close(pidfd)


@pytest.mark.parametrize("name", ["steady", "fork-tree"])
def test_a_workload_ends_with_the_process_that_started_it(name: str) -> None:
    program = f"from engine.workloads import start; print(start({name!r}, **{SMALL[name]!r}).pid); input()"
    starter = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    pidfd = os.pidfd_open(int(starter.stdout.readline()))
    starter.kill()
    starter.communicate()
    assert has_ended(pidfd)
    os.close(pidfd)


def test_a_workload_has_nothing_to_do_with_the_terminal() -> None:
    with start("sequential", **SMALL["sequential"]) as workload:
        assert {os.readlink(f"/proc/{workload.pid}/fd/{fd}") for fd in range(3)} == {os.devnull}
        assert os.getsid(workload.pid) == workload.pid


def test_a_workload_says_when_it_is_gone() -> None:
    with start("sequential", **SMALL["sequential"]) as workload:
        pidfd = os.pidfd_open(workload.pid)
        os.kill(workload.pid, signal.SIGKILL)
        assert has_ended(pidfd)
        os.close(pidfd)
        with pytest.raises(TargetGone):
            workload.truth()


def test_memory_that_cannot_be_had_is_an_error_and_not_a_hang() -> None:
    with pytest.raises(DirtytopError, match="could not map its memory") as caught:
        start("sparse", reserved_pages=1 << 46)
    assert caught.value.hint


def test_a_description_states_the_rate_that_its_sizes_make() -> None:
    chosen = scenario("bursts", pages_per_s=3072, burst_ms=1000, quiet_ms=2000)
    page_mib = os.sysconf("SC_PAGESIZE") / MIB
    assert chosen.pages_per_s == 1024
    assert chosen.description.endswith(f"on average 1,024 pages/s, {1024 * page_mib:,.1f} MiB/s")


def test_a_size_that_a_scenario_does_not_have_is_refused() -> None:
    with pytest.raises(TypeError):
        scenario("steady", children=3)
