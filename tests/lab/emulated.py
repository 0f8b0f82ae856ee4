"""A pytest plugin for guests whose CPU is emulated: starting a Python process takes long there.

So all sessions share the process that obtains userfaultfds, as the sessions of one dashboard do.
"""

from __future__ import annotations

import gc
import os
from functools import cache
from unittest import mock

from engine.tracking.uffd_source import UffdSource


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
