"""Programs whose writers are known, against what is said of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from engine.attribution.perf_map import PerfMap
from engine.attribution.report import By, as_json, folded, rows, speedscope
from engine.attribution.watcher import NO_ATTRIBUTION_BUDGET, AttributionBudget, WriterWatch
from engine.errors import NotPermitted, NotSupported
from engine.tracking.cost_budget import NO_BUDGET
from engine.tracking.sample import RateMode, TrackerKind
from engine.tracking.session import Session
from tests.targets.compiled import CompiledTarget, compiled
from tests.targets.speaking import SpeakingTarget

HUNDREDS = {f"write_{number}_hundred": number * 100 for number in range(1, 6)}
TICKS = 3


@pytest.fixture
def target() -> Iterator[CompiledTarget]:
    with CompiledTarget("five_writers") as started:
        yield started


def watching(target: SpeakingTarget, kind: TrackerKind, undo: ExitStack) -> WriterWatch:
    session = undo.enter_context(Session(target.pid, kind, NO_BUDGET))
    session.set_mode(RateMode.REARMING)
    session.arm()
    try:
        return undo.enter_context(WriterWatch(session, NO_ATTRIBUTION_BUDGET))
    except NotPermitted as error:
        pytest.skip(error.message)


@pytest.fixture
def watch(kind: TrackerKind, target: CompiledTarget) -> Iterator[WriterWatch]:
    with ExitStack() as undo:
        yield watching(target, kind, undo)


def by(watch: WriterWatch, what: By) -> dict[str, int]:
    return {row.name: row.pages for row in rows(watch, what)}


def test_each_function_has_its_pages_exactly(watch: WriterWatch, target: CompiledTarget) -> None:
    for _ in range(TICKS):
        target.ask()
        watch.tick()
    found = by(watch, By.FUNCTION)
    assert {name: found.get(name) for name in HUNDREDS} == {
        name: pages * TICKS for name, pages in HUNDREDS.items()
    }
    assert watch.tally.unattributed_pages == 0
    assert watch.tally.lost_faults == 0
    assert sum(found.values()) == watch.tally.written_pages


def test_a_page_written_again_counts_once_a_tick(watch: WriterWatch, target: CompiledTarget) -> None:
    for _ in range(3):
        target.ask()
    watch.tick()
    assert by(watch, By.FUNCTION)["write_5_hundred"] == 500


def test_so_has_each_mapping(watch: WriterWatch, target: CompiledTarget) -> None:
    target.ask()
    watch.tick()
    assert sorted(row.pages for row in rows(watch, By.MAPPING))[-5:] == [100, 200, 300, 400, 500]


def test_what_the_kernel_writes_counts_for_the_code_that_asked(
    watch: WriterWatch, target: CompiledTarget
) -> None:
    if not watch.sees_kernel:
        pytest.skip("the kernel's faults take CAP_PERFMON")
    target.ask("read")
    watch.tick()
    (leaf,) = [row for row in rows(watch, By.FUNCTION) if row.pages >= 100]
    assert leaf.where.startswith("libc")


def test_a_thread_that_starts_later_is_named(watch: WriterWatch, target: CompiledTarget) -> None:
    target.ask("thread")
    watch.tick()
    assert by(watch, By.FUNCTION)["write_5_hundred"] == 500
    (thread,) = [row for row in rows(watch, By.THREAD) if row.pages >= 500]
    assert f"process {target.pid}" in thread.where
    assert f"thread {target.pid} " not in thread.where


def test_so_is_a_child_from_the_first_tick_that_tracks_it(
    kind: TrackerKind, watch: WriterWatch, target: CompiledTarget
) -> None:
    if kind is TrackerKind.SOFT_DIRTY:
        pytest.skip("a child inherits soft-dirty bits: what its parent wrote is told of it, too")
    target.ask("child")
    watch.tick()
    watch.tick()
    assert watch.tally.unattributed_pages == 0


def test_beyond_the_budget_one_of_several_is_looked_at_and_said_so(
    kind: TrackerKind, target: CompiledTarget
) -> None:
    with Session(target.pid, kind, NO_BUDGET) as session:
        session.set_mode(RateMode.REARMING)
        session.arm()
        with WriterWatch(session, AttributionBudget(cpu=1e-9)) as watch:
            watch.tick()
            assert watch.cost.period > 1
            assert as_json(watch, target.pid, By.FUNCTION)["one_in"] == watch.cost.period


def test_a_session_that_only_reads_is_refused(target: CompiledTarget) -> None:
    with Session(target.pid, None, NO_BUDGET) as session:
        if RateMode.CUMULATIVE not in session.modes:
            pytest.skip("this tracker re-arms with every tick")
        session.set_mode(RateMode.CUMULATIVE)
        session.arm()
        with pytest.raises(NotSupported):
            WriterWatch(session)


def test_viewers_get_every_page(watch: WriterWatch, target: CompiledTarget) -> None:
    target.ask()
    watch.tick()
    lines = list(folded(watch))
    assert sum(int(line.rpartition(" ")[2]) for line in lines) == watch.tally.attributed_pages
    assert any(line.startswith("five_writers;") and line.endswith("write_5_hundred 500") for line in lines)
    shown = json.loads(json.dumps(speedscope(watch, "x")))
    (profile,) = shown["profiles"]
    assert sum(profile["weights"]) == profile["endValue"] == watch.tally.attributed_pages
    names = {frame["name"] for frame in shown["shared"]["frames"]}
    assert HUNDREDS.keys() <= names


def test_stripped_code_is_a_file_and_an_offset_and_never_a_guess(kind: TrackerKind, tmp_path: Path) -> None:
    if shutil.which("strip") is None:
        pytest.skip("no strip")
    program = tmp_path / "stripped"
    subprocess.run(["strip", "-o", program, compiled("five_writers")], check=True)
    with ExitStack() as undo:
        stripped = undo.enter_context(SpeakingTarget([program]))
        watch = watching(stripped, kind, undo)
        stripped.ask()
        watch.tick()
        (most, *_) = rows(watch, By.FUNCTION)
        assert most.name.startswith("stripped+0x")


def test_nothing_of_it_is_left_in_the_target(kind: TrackerKind, target: CompiledTarget) -> None:
    before = set(os.listdir(f"/proc/{target.pid}/fd"))
    with ExitStack() as undo:
        watch = watching(target, kind, undo)
        target.ask()
        watch.tick()
    assert set(os.listdir(f"/proc/{target.pid}/fd")) == before
    assert target.ask() == "done"


def test_code_compiled_at_run_time_is_named_by_the_map_that_it_writes() -> None:
    path = Path(f"/tmp/perf-{os.getpid()}.map")
    path.write_text("1000 20 first\n2000 10 of: two words\nnonsense\n")
    try:
        names = PerfMap(os.getpid(), os.getpid())
        assert names.name_at(0x101F) == b"first"
        assert names.name_at(0x1020) is None
        assert names.name_at(0x2000) == b"of: two words"
        with path.open("a") as file:
            file.write("3000 10 later\n1000 20 compiled again\n")
        assert names.name_at(0x3001) == b"later"
        assert names.name_at(0x1000) == b"compiled again"
    finally:
        path.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_a_map_that_somebody_else_has_planted_is_not_read() -> None:
    path = Path(f"/tmp/perf-{os.getpid()}.map")
    path.write_text("1000 20 planted\n")
    os.chown(path, 65534, 65534)
    try:
        assert PerfMap(os.getpid(), os.getpid()).name_at(0x1000) is None
    finally:
        path.unlink()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="CPython names its functions since 3.12")
@pytest.mark.skipif(
    "-fno-omit-frame-pointer" not in " ".join(map(str, sysconfig.get_config_vars().values())),
    reason="this CPython was built without frame pointers, by which Python's functions are found",
)
def test_functions_of_python_are_named_where_it_says_so(kind: TrackerKind, tmp_path: Path) -> None:
    script = tmp_path / "writes.py"
    script.write_text(
        "import mmap\n"
        "memory = mmap.mmap(-1, 4096 * 300, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
        "def fill():\n    for at in range(0, len(memory), 4096): memory[at] = 1\n"
        "print(flush=True)\n"
        "while True:\n    input(); fill(); print(flush=True)\n"
    )
    with ExitStack() as undo:
        python = undo.enter_context(SpeakingTarget([sys.executable, "-X", "perf", script]))
        watch = watching(python, kind, undo)
        python.ask()
        watch.tick()
        assert "py::fill" in "\n".join(folded(watch))


def test_the_longest_wait_loses_nothing(watch: WriterWatch, target: CompiledTarget) -> None:
    """The rings are emptied between ticks."""
    for _ in range(40):
        target.ask()
        time.sleep(0.01)
    watch.tick()
    assert watch.tally.lost_faults == 0
    assert watch.tally.unattributed_pages == 0
