"""A shell, and targets with a known write rate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.checkpoint.criu.features import Criu, examine_criu
from engine.errors import DirtytopError
from engine.workloads import Workload, start
from tests.cli.shell import Shell
from tests.criu.outliving import Outliving


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


@pytest.fixture
def criu_works() -> Criu:
    """The CRIU that commands find; the test skips without one, of which nothing more may be asked then."""
    try:
        criu = examine_criu()
        criu.require_dump()
    except DirtytopError as error:
        pytest.skip(error.message)
    return criu


@pytest.fixture
def judge(tmp_path: Path) -> Iterator[Outliving]:
    """A process that CRIU can dump, and that finds out whether it did so well."""
    with Outliving.judging(tmp_path) as started:
        yield started
