"""A pytest plugin for guests whose CPU is emulated: of random tests that come in batches, run one.

Such tests are parametrized by `first`, the number their batch begins with. With KVM, and on the
host, all of them run.
"""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect every batch but the one that begins with 0."""
    left_out = [item for item in items if _first(item) > 0]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if _first(item) == 0]


def _first(item: pytest.Item) -> int:
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return 0
    first = item.callspec.params.get("first", 0)
    return first if isinstance(first, int) else 0
