"""A pytest plugin for guests whose CPU is emulated: of random tests that come in batches, run one.

Such tests are parametrized by `first`, the number their batch begins with. Each guest runs another
batch of them; with KVM, and on the host, all of them run. Hypothesis tries fewer examples.
"""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import settings

_EXAMPLES = 10


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which batch."""
    parser.addoption("--batch", type=int, default=0, help="of random tests in batches, run the N-th alone")


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    """Fewer examples."""
    settings.register_profile("emulated", settings.get_profile("ci"), max_examples=_EXAMPLES)
    settings.load_profile("emulated")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect every other batch."""
    batches: dict[tuple[object, str], set[int]] = defaultdict(set)
    for item in items:
        if (first := _first(item)) is not None:
            batches[_test(item)].add(first)
    wanted = {
        test: sorted(firsts)[config.getoption("batch") % len(firsts)] for test, firsts in batches.items()
    }
    left_out = [item for item in items if _first(item) != wanted.get(_test(item))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _test(item: pytest.Item) -> tuple[object, str]:
    """The test function, whatever its parameters."""
    return item.path, getattr(item, "originalname", item.name)


def _first(item: pytest.Item) -> int | None:
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return None
    first = item.callspec.params.get("first")
    return first if isinstance(first, int) else None
