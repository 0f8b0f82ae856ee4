"""CRIU, where one works, and targets in which nobody else writes."""

from __future__ import annotations

import pytest

from tests.criu.conftest import criu

__all__ = ["criu"]


@pytest.fixture(autouse=True)
def _nothing_writes_but_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever it was stopped, the kernel would note in it on which CPU it runs (rseq)."""
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0")
