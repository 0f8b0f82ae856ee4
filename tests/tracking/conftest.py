"""Every tracker, by every reading that this kernel has; and swap, where it can be made."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.kernel.pagemap import Category, scan_knows
from engine.kernel.process import identify
from engine.tracking import residency
from engine.tracking.probe import probe
from engine.tracking.sample import TrackerKind
from engine.tracking.tracker import Tracker
from engine.tracking.trackers import new_tracker
from engine.tracking.uffd_source import UffdSource
from tests.lab.guest import require_guest
from tests.targets.scripted import ScriptedTarget

PLAIN = "soft-dirty-plain"
"""Soft-dirty bits from the plain pagemap, on a kernel that has PAGEMAP_SCAN too."""


@pytest.fixture(params=[*(kind.value for kind in TrackerKind), PLAIN])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> TrackerKind:
    """Each tracker in turn, and soft-dirty by its other reading."""
    wanted = TrackerKind.SOFT_DIRTY if request.param == PLAIN else TrackerKind(request.param)
    support = probe().of(wanted)
    if not support.works:
        pytest.skip(f"{wanted.value}: {support.reason}")
    if request.param == PLAIN:
        if not scan_knows(Category.SOFT_DIRTY):
            pytest.skip("the plain pagemap is the only reading here, and tested as such")
        monkeypatch.setattr(residency, "scan_knows", lambda category=None: False)
    return wanted


@pytest.fixture(scope="module")
def source() -> Iterator[UffdSource]:
    shared = UffdSource()
    yield shared
    shared.close()


@pytest.fixture
def track(kind: TrackerKind, source: UffdSource) -> Iterator[Callable[[int], Tracker]]:
    """Makes armed trackers of processes, and closes them."""
    made: list[Tracker] = []

    def armed(pid: int) -> Tracker:
        made.append(new_tracker(kind, identify(pid), source))
        made[-1].arm()
        return made[-1]

    yield armed
    for tracker in made:
        tracker.close()


@pytest.fixture
def tracker(track: Callable[[int], Tracker], target: ScriptedTarget) -> Tracker:
    return track(target.pid)


@pytest.fixture(scope="session")
def hugetlb() -> None:
    """A pool of huge pages for hugetlbfs; a real machine's pool is its owner's."""
    require_guest("a pool of huge pages")
    pool = Path("/proc/sys/vm/nr_hugepages")
    pool.write_text("16")
    assert int(pool.read_text()) == 16


@pytest.fixture(scope="session")
def swap() -> Iterator[None]:
    """A swap device of our own, made only in a guest of the lab: a real machine's swap is its owner's."""
    require_guest("swap")
    subprocess.run(["modprobe", "zram"], check=True)
    number = Path("/sys/class/zram-control/hot_add").read_text().strip()
    device = f"/dev/zram{number}"
    Path(f"/sys/block/zram{number}/disksize").write_text("64M")
    subprocess.run(["mkswap", device], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["swapon", device], check=True)
    yield
    subprocess.run(["swapoff", device], check=True)
    Path("/sys/class/zram-control/hot_remove").write_text(number)
