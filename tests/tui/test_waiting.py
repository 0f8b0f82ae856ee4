"""What both the command line and the dashboard do before they wait for a moment."""

from __future__ import annotations

from engine.tracking.sample import RateMode, TrackerKind
from tests.tui.machine import ScriptedMachine, ScriptedTracking
from tui.waiting import see_every_write


def test_a_tracker_that_only_reads_is_made_to_tell_of_writes_again_and_again(
    machine: ScriptedMachine,
) -> None:
    session = ScriptedTracking(machine, 40, TrackerKind.SOFT_DIRTY)
    assert see_every_write(session) is RateMode.CUMULATIVE
    assert session.mode is RateMode.REARMING
    assert see_every_write(session) is None, "it is so already"


def test_an_epoch_that_is_lent_to_criu_is_left_alone(machine: ScriptedMachine) -> None:
    session = ScriptedTracking(machine, 40, TrackerKind.SOFT_DIRTY)
    session.is_lent = True
    assert see_every_write(session) is None
    assert session.mode is RateMode.CUMULATIVE
