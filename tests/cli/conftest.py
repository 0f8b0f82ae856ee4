"""A shell, and targets with a known write rate."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.workloads import Workload, start
from tests.cli.shell import Shell


@pytest.fixture
def shell() -> Iterator[Shell]:
    with Shell() as started:
        yield started


@pytest.fixture
def steady() -> Iterator[Workload]:
    """A hot set of 500 pages, all written ten times a second, beside 300 cold ones."""
    with start("steady", cold_pages=300, hot_pages=500, pages_per_s=5000) as workload:
        yield workload


@pytest.fixture
def no_criu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands find no CRIU, so that the engine chosen by itself is the same on every machine."""
    monkeypatch.setenv("DIRTYTOP_CRIU", "/nowhere/criu")
