"""A pytest plugin that runs a part of the tests that are many: a lab need not run all on each kernel.

Random tests, and those of every kind of process, come in batches, parametrized by `first`, the number of
their batch or of its first member: one batch is run, another one on each kernel. Of the other test
functions marked `spread` every other one is run. Soft-dirty tracking by the plain `pagemap` is not tried
where the kernel has more than that: on Debian 12's it is the only way, and so tested. On a kernel with both
trackers, chains by write-protection are left to kernels without soft-dirty bits, but for random ones.
`make test` and `--every-batch` run them all. Of the functions that a kernel
runs, CI has it run a share alone (`tests/lab/turns.py`).
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest

from engine.tracking.probe import probe
from engine.tracking.sample import TrackerKind
from tests.lab.places import PROJECT
from tests.lab.turns import SHARES, is_in_share
from tests.tracking.conftest import PLAIN

_OF_CHAINS: Final = ("tests/checkpoint", "tests/spliced")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which batch, and where all of them; which share."""
    parser.addoption("--batch", type=int, default=0, help="of tests in batches, run the N-th batch alone")
    parser.addoption("--all-of", action="append", default=[], help="a directory whose tests are all run")
    parser.addoption("--share", type=int, help=f"of {SHARES} shares of the functions, run the N-th alone")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect every other batch, what another kernel is for, and the other shares."""
    whole = [config.rootpath / name for name in config.getoption("all_of")]
    left_out = _of_other_batches(
        [item for item in items if not _lies_in(item, whole)], config.getoption("batch")
    )
    if (share := config.getoption("share")) is not None:
        left_out |= {item for item in items if not is_in_share(_test(item), share)}
    if left_out:
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = [item for item in items if item not in left_out]


def _of_other_batches(items: list[pytest.Item], batch: int) -> set[pytest.Item]:
    batches: dict[str, set[int]] = defaultdict(set)
    for item in items:
        if (first := _first(item)) is not None:
            batches[_test(item)].add(first)
    wanted = {test: sorted(firsts)[batch % len(firsts)] for test, firsts in batches.items()}
    spread = dict.fromkeys(
        _test(item) for item in items if item.get_closest_marker("spread") and _test(item) not in batches
    )
    elsewhere = set(list(spread)[(batch + 1) % 2 :: 2])
    return {
        item
        for item in items
        if _first(item) != wanted.get(_test(item))
        or _test(item) in elsewhere
        or _parameter(item, "kind") == PLAIN
        or _is_left_to_others(item)
    }


def _lies_in(item: pytest.Item, directories: list[Path]) -> bool:
    return any(item.path.is_relative_to(directory) for directory in directories)


def _is_left_to_others(item: pytest.Item) -> bool:
    return (
        probe().soft_dirty.works
        and _parameter(item, "kind") is TrackerKind.WRITE_PROTECT
        and _first(item) is None
        and _lies_in(item, [PROJECT / name for name in _OF_CHAINS])
    )


def _test(item: pytest.Item) -> str:
    """The test function, whatever its parameters."""
    return item.nodeid.partition("[")[0]


def _first(item: pytest.Item) -> int | None:
    first = _parameter(item, "first")
    return first if isinstance(first, int) else None


def _parameter(item: pytest.Item, name: str) -> object:
    """What a test gets as that parameter; None if it has none of the name."""
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return None
    return item.callspec.params.get(name)
