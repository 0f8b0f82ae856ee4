"""The probe: what it measures, and that nothing of it stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.errors import Cancelled, LinkFailed
from engine.forecast.costs import calibrate
from engine.forecast.costs.calibrate import MOST_FILE_BYTES, probe


def test_it_measures_rates_and_leaves_nothing_behind(tmp_path: Path) -> None:
    found = probe(tmp_path)
    for line in (found.reading, found.writing, found.syncing):
        assert line.bytes_per_s > 0
        assert line.fixed_s >= 0
        assert all(timed.seconds >= 0 for timed in line.probed)
    assert found.touching_s_per_byte > 0
    assert os.listdir(tmp_path) == []


def test_it_writes_no_more_than_it_may(tmp_path: Path) -> None:
    found = probe(tmp_path)
    assert sum(timed.size_bytes for timed in found.writing.probed) <= MOST_FILE_BYTES
    assert len(found.writing.probed) >= 2


def test_where_little_is_free_it_writes_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "_free_bytes", lambda directory: 8 << 20)
    assert sum(timed.size_bytes for timed in probe(tmp_path).writing.probed) <= 1 << 20


def test_where_nothing_is_free_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "_free_bytes", lambda directory: 4096)
    with pytest.raises(LinkFailed, match="too little space"):
        probe(tmp_path)


def test_a_slow_disk_ends_it_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "MOST_WRITING_S", 0.0)
    assert len(probe(tmp_path).writing.probed) == 2


def test_a_directory_that_is_not_there_yet_is_judged_by_the_one_above(tmp_path: Path) -> None:
    probe(tmp_path / "not" / "yet")
    assert os.listdir(tmp_path) == []


def test_where_nothing_can_be_written_it_says_so() -> None:
    with pytest.raises(LinkFailed, match="cannot write there"):
        probe(Path("/proc"))


@pytest.mark.parametrize("pieces", [0, 3, 8])
def test_it_can_be_cancelled_between_pieces(tmp_path: Path, pieces: int) -> None:
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > pieces

    with pytest.raises(Cancelled):
        probe(tmp_path, cancelled)
    assert asked == pieces + 1
    assert os.listdir(tmp_path) == []
