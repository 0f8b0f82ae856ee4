"""The tour's target: its phases, in turn, told in its name."""

from __future__ import annotations

import os
import time

from engine.tracking.session import Session
from engine.workloads.tour import PHASES, Tour

SMALL = {
    "cold_pages": 64,
    "hot_pages": 64,
    "burst_pages": 2048,
    "steady_ms": 600,
    "burst_ms": 600,
    "quiet_ms": 600,
    "growing_ms": 600,
}
ENDS_S = 20.0


def wait_for(tour: Tour, name: str) -> None:
    until_s = time.monotonic() + ENDS_S
    while (phase := tour.phase) is None or phase.name != name:
        assert time.monotonic() < until_s
        time.sleep(0.01)


def test_it_goes_through_its_phases_and_begins_again() -> None:
    with Tour(**SMALL) as tour:
        for name in (*PHASES, "steady"):
            wait_for(tour, name)


def test_a_burst_writes_most_and_the_lull_nothing_but_what_the_interpreter_does() -> None:
    with Tour(**{**SMALL, "burst_ms": 3000, "quiet_ms": 3000}) as tour, Session(tour.pid) as session:
        session.arm()
        written = {}
        for name in ("burst", "quiet"):
            wait_for(tour, name)
            session.tick()
            time.sleep(0.5)
            written[name] = session.tick().totals.written_pages
    assert written["burst"] > 2 * written["quiet"]


def test_it_has_no_channel_that_a_restore_could_not_give_back() -> None:
    with Tour(**SMALL) as tour:
        links = {os.readlink(f"/proc/{tour.pid}/fd/{name}") for name in os.listdir(f"/proc/{tour.pid}/fd")}
        assert links == {"/dev/null"}


def test_it_ends_with_its_starter() -> None:
    with Tour(**SMALL) as tour:
        pid = tour.pid
    assert not os.path.exists(f"/proc/{pid}")
    assert tour.phase is None
