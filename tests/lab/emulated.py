"""A pytest plugin for guests whose CPU is emulated: of random tests that come in batches, run one.

Such tests are parametrized by `first`, the number of their batch or of its first member. Each guest runs
another batch of them; with KVM, and on the host, all of them run. Nor is soft-dirty tracking tried by the
plain `pagemap` where the kernel has more than that: on Debian 12's it is the only way, and so tested.

What takes long there is to start a Python process. So all sessions share the one that obtains
userfaultfds, as the sessions of one dashboard do.
"""

from __future__ import annotations

import gc
import os
from collections import defaultdict
from functools import cache
from unittest import mock

import pytest

from engine.tracking.uffd_source import UffdSource
from tests.tracking.conftest import PLAIN


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which batch."""
    parser.addoption("--batch", type=int, default=0, help="of random tests in batches, run the N-th alone")


class _SharedSource(UffdSource):
    """One that goes on when a session is closed."""

    def close(self) -> None:
        """Its helper ends with the tests."""


def _our_source() -> UffdSource:
    return _source_of(os.getpid())


@cache
def _source_of(pid: int) -> UffdSource:
    """Processes that a test forks cannot share the connection of their parent."""
    return _SharedSource()


def pytest_configure() -> None:
    """Let sessions share the helper."""
    mock.patch("engine.tracking.session.UffdSource", _our_source).start()


def pytest_collection_finish() -> None:
    """What was loaded stays: it need not be looked through again and again."""
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect every other batch, and what another guest's kernel is for."""
    batches: dict[tuple[object, str], set[int]] = defaultdict(set)
    for item in items:
        if (first := _first(item)) is not None:
            batches[_test(item)].add(first)
    wanted = {
        test: sorted(firsts)[config.getoption("batch") % len(firsts)] for test, firsts in batches.items()
    }
    left_out = [
        item for item in items if _first(item) != wanted.get(_test(item)) or _parameter(item, "kind") == PLAIN
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _test(item: pytest.Item) -> tuple[object, str]:
    """The test function, whatever its parameters."""
    return item.path, getattr(item, "originalname", item.name)


def _first(item: pytest.Item) -> int | None:
    first = _parameter(item, "first")
    return first if isinstance(first, int) else None


def _parameter(item: pytest.Item, name: str) -> object:
    """What a test gets as that parameter; None if it has none of the name."""
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return None
    return item.callspec.params.get(name)
