"""The guided tour as lines: each phase, how the forecast changes, and a trigger that fires in the lull."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Final

from engine.checkpoint.chain import Chain
from engine.checkpoint.criu.restore import restore
from engine.checkpoint.dumpable import choose_engine
from engine.checkpoint.engines import open_chain
from engine.checkpoint.kinds import kind_of
from engine.checkpoint.link import After
from engine.errors import Cancelled, TargetGone
from engine.forecast.advisor import Advice, Advisor
from engine.forecast.driver import Driver
from engine.forecast.making import make_link
from engine.forecast.triggers.armed import Action
from engine.forecast.triggers.conditions import QuietFor, Trigger
from engine.images.chain import read_chain, require_sound
from engine.images.layout import LinkKind
from engine.tracking.session import Session
from engine.units import format_duration, say_duration
from engine.workloads.tour import TOUR_STOP_BUDGET_S, Phase, Tour
from tui.commands.checkpoint import emit_link
from tui.commands.interruption import Interruption
from tui.commands.output import emit
from tui.commands.waiting import prepare_to_wait, tracker_to_wait_by
from tui.orders import LINKS
from tui.waiting import verdict_line

QUICK: Final = {"steady_ms": 8000, "burst_ms": 7000, "quiet_ms": 7000, "growing_ms": 8000}
"""Sizes for a tour that is only read."""
_INTERVAL_S: Final = 0.5
_SAID_EVERY_S: Final = 2.0
_TRIGGER: Final = Trigger(QuietFor(2.0), deadline_s=120.0, pre_dump_every_s=3.0)
_ARMED_IN: Final = "burst"
_ENDS_IN: Final = "growing"
_ENDS_AFTER_S: Final = 5.0


def narrate(
    tour: Tour, directory: Path, interruption: Interruption, *, trusts_directory: bool = False
) -> None:
    """Go along with a tour from its first phase to its last, checkpoint it in the lull, and restore it.

    Args:
        tour: in its first phase.
        directory: for the chain.
        interruption: ends it.
        trusts_directory: whether others may be able to exchange the directory.

    Raises:
        Cancelled: asked to end.
        BadImage: the chain is not sound.
        TargetGone: the tour was ended by somebody else.
        DirtytopError: a link failed.
    """
    with Session(tour.pid, tracker_to_wait_by()) as session:
        prepare_to_wait(session)
        emit(
            f"watching {tour.pid} by {session.tracker.value}, {session.mode.value}; "
            f"a dump may stop it for {say_duration(TOUR_STOP_BUDGET_S)}"
        )
        guide = _Guide(tour, session, interruption)
        chain = _open(session, directory, trusts_directory)
        guide.advisor.calibrate(directory, chain.engine)
        try:
            guide.to_the_dump(chain)
        finally:
            chain.close()
        require_sound(read_chain(directory))
        emit(f"verified: {len(chain.links)} links, and nothing wrong with them")
        if not chain.links[-1].restorable:
            guide.to_the_end()
            return
    # The session of the one that was killed is closed: this is another process with its memory.
    tour.bury()
    made = restore(directory, detach=False, trusts_directory=trusts_directory)
    tour.restored()
    took = format_duration(made.seconds).strip()
    emit(f"killed with the dump, and restored from it in {took}: {tour.pid} goes on where it was")
    with Session(tour.pid, tracker_to_wait_by()) as session:
        prepare_to_wait(session)
        guide = _Guide(tour, session, interruption)
        guide.advisor.calibrate(directory)
        guide.to_the_end()


def _open(session: Session, directory: Path, trusts_directory: bool) -> Chain:
    """A chain that can be restored, where CRIU works for us; else one of memory and registers."""
    chosen = choose_engine(session.root.pid)
    if chosen.why_not_restorable:
        emit(f"the chain will be checked but not restored: {chosen.why_not_restorable}")
    # Pre-flight was a moment ago.
    return open_chain(chosen.engine, session, directory, checked=False, trusts_directory=trusts_directory)


class _Guide:
    """Ticks, and says what changes."""

    def __init__(self, tour: Tour, session: Session, interruption: Interruption) -> None:
        self.advisor = Advisor(budget_s=TOUR_STOP_BUDGET_S)
        self._tour = tour
        self._interruption = interruption
        self._ticks = Driver(session, self.advisor, _INTERVAL_S).ticks(interruption.wait)
        self._phase: Phase | None = None
        self._phase_since_s = 0.0
        self._said = ""
        self._said_s = 0.0

    def to_the_dump(self, chain: Chain) -> None:
        """Set the trigger in the burst, and make the links that it asks for; the last is the dump."""
        is_armed = False
        self.advisor.chain_begun()
        after = After.KILL if kind_of(chain.engine).is_restorable else After.RUN
        while not chain.links or chain.links[-1].kind is not LinkKind.DUMP:
            advice = self._look()
            if advice is None:
                continue
            if not is_armed and self._phase is not None and self._phase.name == _ARMED_IN:
                is_armed = True
                self.advisor.arm(_TRIGGER, datetime.now())
                emit("  a dump now would stop it for long: wait for a lull, `--when 'quiet 2s' --every 3`")
            action = advice.decision.action
            if action in (Action.PRE_DUMP, Action.DUMP):
                emit(f"  {action.value}: {advice.decision.reason}")
                self._make(chain, action, after)

    def to_the_end(self) -> None:
        """Go along until the last phase has been seen for a while."""
        while (
            self._phase is None
            or self._phase.name != _ENDS_IN
            or time.monotonic() < self._phase_since_s + _ENDS_AFTER_S
        ):
            self._look()

    def _look(self) -> Advice | None:
        """A tick, told; None within a close look."""
        tick = next(self._ticks, None)
        if tick is None:
            raise Cancelled("interrupted: the tour has ended")
        phase = self._tour.phase
        if not tick.sample.processes or phase is None:
            raise TargetGone(f"the tour ({self._tour.pid}) has exited", pid=self._tour.pid)
        if phase is not self._phase:
            self._phase, self._phase_since_s = phase, time.monotonic()
            self._said_s = time.monotonic()
            emit(f"[{phase.name}] {phase.text}")
        advice = tick.advice
        if advice is None:
            return None
        text = verdict_line(advice)
        if advice.forecast.plans and text != self._said and time.monotonic() >= self._said_s + _SAID_EVERY_S:
            self._said, self._said_s = text, time.monotonic()
            emit(f"  {text}")
        return advice

    def _make(self, chain: Chain, action: Action, after: After) -> None:
        kind = LINKS[action]
        emit_link(make_link(self.advisor, chain, kind, after, cancelled=self._interruption.has_come))
        if kind is LinkKind.DUMP and after is After.KILL:
            emit(
                "  that stop was longer than foreseen: a target that is not to run on is held until all "
                "is durable"
            )
