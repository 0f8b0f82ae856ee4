"""What all tests share: targets that obey, trackers that work here, kernels that lack something."""

from __future__ import annotations

import os
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.kernel.pagemap import Pagemap
from engine.tracking.probe import probe
from engine.tracking.sample import TrackerKind
from tests.home import leave_the_users_home
from tests.lab.guest import require_guest
from tests.targets.scripted import ScriptedTarget

_KSM = Path("/sys/kernel/mm/ksm")

# A run in the background or under nohup has signals ignored, and would hand that down to the
# programs whose way of ending is tested.
for _number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(_number, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# A run that was brought into its pid namespace from outside has no session there that CRIU could name.
if os.getsid(0) == 0:
    os.setsid()

leave_the_users_home()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what was not run, and why."""
    reasons: Counter[str] = Counter()
    for report in terminalreporter.getreports("skipped"):
        if isinstance(report.longrepr, tuple):
            reasons[report.longrepr[2].removeprefix("Skipped: ")] += 1
    if reasons:
        listed = "; ".join(f"{count} × {reason}" for reason, count in reasons.most_common())
        terminalreporter.write_line(f"not run: {reasons.total()} tests: {listed}")


@pytest.fixture
def target() -> Iterator[ScriptedTarget]:
    with ScriptedTarget() as started:
        yield started


@pytest.fixture
def pagemap(target: ScriptedTarget) -> Iterator[Pagemap]:
    with Pagemap(target.pid) as opened:
        yield opened


@pytest.fixture(params=list(TrackerKind), ids=lambda kind: kind.value)
def kind(request: pytest.FixtureRequest) -> TrackerKind:
    """Each tracker in turn, where this kernel has it."""
    wanted: TrackerKind = request.param
    support = probe().of(wanted)
    if not support.works:
        pytest.skip(f"{wanted.value}: {support.reason}")
    return wanted


@pytest.fixture
def chain_directory(tmp_path: Path) -> Path:
    return tmp_path / "chain"


@pytest.fixture
def quick_directory(tmp_path: Path) -> Iterator[Path]:
    """In memory where possible: what is proven there does not depend on the disk, and syncing takes long."""
    shared_memory = Path("/dev/shm")
    if not os.access(shared_memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared_memory, prefix="dirtytop-test-") as name:
        yield Path(name)


@pytest.fixture
def ksm() -> Iterator[None]:
    """Pages with equal content are merged; only in a guest of the lab, as it is a setting of the machine."""
    require_guest("one page of equal ones")
    wanted = {"pages_to_scan": "5000", "sleep_millisecs": "1", "run": "1"}
    before = {name: (_KSM / name).read_text() for name in wanted}
    for name, value in wanted.items():
        (_KSM / name).write_text(value)
    yield
    (_KSM / "run").write_text("2")  # parts what is merged
    for name, value in before.items():
        (_KSM / name).write_text(value)
