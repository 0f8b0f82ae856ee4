"""What is in use of a process, at the edges of its life."""

from __future__ import annotations

import pytest

from engine.kernel.maps import Maps
from engine.kernel.pagemap import scan_knows
from engine.tracking.residency import PageReader
from tests.targets.scripted import ScriptedTarget


@pytest.mark.parametrize("scans", [True, False])
def test_nothing_is_in_use_where_nothing_is_mapped_any_more(
    target: ScriptedTarget, monkeypatch: pytest.MonkeyPatch, scans: bool
) -> None:
    if not scans or not scan_knows():
        monkeypatch.setattr("engine.tracking.residency.scan_knows", lambda category=None: False)
    reader = PageReader(target.pid)
    found = reader.in_use(Maps.of(()))
    reader.close()
    assert not found.dumpable
