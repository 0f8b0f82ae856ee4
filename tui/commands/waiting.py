"""`--when`: ticks, what is said of them, and the links that a trigger asks for."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from engine.checkpoint.chain import Chain
from engine.checkpoint.link import After, LinkResult
from engine.errors import Cancelled as CancelledError
from engine.errors import TargetGone
from engine.forecast.advisor import Advice, Advisor
from engine.forecast.driver import Driver
from engine.forecast.estimate import Estimate
from engine.forecast.making import make_link
from engine.forecast.triggers.armed import Action
from engine.images.layout import LinkKind
from engine.tracking.probe import probe
from engine.tracking.sample import Sample, TrackerKind
from engine.tracking.session import Session
from tui.commands.interruption import Interruption
from tui.commands.output import OutputClosed, emit, emit_json
from tui.commands.progress import ProgressLine
from tui.commands.when_options import When
from tui.orders import LINKS
from tui.waiting import INTERVAL_S, see_every_write, verdict_line

_SAID_AGAIN_S: Final = 10.0
"""Without a terminal, what is waited for is said this often while nothing changes."""
_INTERRUPTED: Final = "interrupted: no dump was made, and the target runs on"


def tracker_to_wait_by() -> TrackerKind:
    """The tracker to watch a target with for long: one whose ticks never stop the target, where one works."""
    return probe().best_to_wait_by()


def prepare_to_wait(session: Session, *, goes_on: bool = False) -> None:
    """Arm a session in the mode that shows pages each time they are written. Errors as of `arm`.

    Args:
        session: the target. A new chain is begun afterwards; one that is gone on with, before.
        goes_on: keep the epoch which that chain has taken over.
    """
    see_every_write(session)
    if not goes_on:
        session.arm()
    elif not session.is_armed:
        session.attach()


class Waiter:
    """Makes a chain when a trigger says so.

    Args:
        session: armed (`prepare_to_wait`).
        chain: a new one of it.
        when: what to wait for.
        interruption: ends the waiting.
        show: given each link that was made.
        as_json: whether to print for programs.
        goes_on: whether the chain is one that was begun before, so that not all is pending.
    """

    def __init__(
        self,
        session: Session,
        chain: Chain,
        when: When,
        interruption: Interruption,
        show: Callable[[LinkResult], None],
        *,
        as_json: bool,
        goes_on: bool = False,
    ) -> None:
        self._goes_on = goes_on
        self.advisor = Advisor(budget_s=when.budget_s)
        self._session = session
        self._chain = chain
        self._trigger = when.trigger
        self._interruption = interruption
        self._show = show
        self._said = _Said(str(when.trigger), as_json=as_json)

    def run(self, after: After) -> None:
        """Wait, pre-dump as often as it pays, and dump.

        Raises:
            Cancelled: asked to end, or the deadline came and was to end it; links until then are there.
            TargetGone: the target has exited.
            DirtytopError: a link failed, or nothing can be written to the directory.
        """
        chain, advisor, stop = self._chain, self.advisor, self._interruption
        advisor.calibrate(
            chain.directory,
            chain.engine,
            can_pre_dump=self._trigger.may_pre_dump,
            cancelled=stop.has_come,
        )
        advisor.chain_begun(is_new=not self._goes_on)
        advisor.arm(self._trigger, datetime.now())
        driver = Driver(self._session, advisor, INTERVAL_S)
        for tick in driver.ticks(self._interruption.wait):
            self._require_alive(tick.sample)
            advice = tick.advice
            if advice is None:
                continue
            action = advice.decision.action
            self._said.waiting(advice)
            if action is Action.GIVE_UP:
                raise CancelledError(
                    f"not dumped: {advice.decision.reason}", hint="--at-deadline dump dumps anyway"
                )
            if action is Action.WAIT:
                continue
            kind = LINKS[action]
            self._make(kind, after)
            if kind is LinkKind.DUMP:
                return
            driver.at_once()  # what is pending now is worth knowing at once
        raise CancelledError(_INTERRUPTED)

    def _require_alive(self, sample: Sample) -> None:
        if not sample.processes:
            pid = self._session.root.pid
            raise TargetGone(
                f"process {pid} has exited while dirtytop waited for the moment to dump", pid=pid
            )

    def _make(self, kind: LinkKind, after: After) -> None:
        self._said.clear()
        cancelled = self._interruption.has_come
        with ProgressLine(f"{kind.value} {self._chain.next_path.name}") as line:
            result = make_link(self.advisor, self._chain, kind, after, line.show_link, cancelled)
        self._show(result)


class _Said:
    """Says what is being waited for: on a terminal in one line that changes, else when it changes."""

    def __init__(self, trigger: str, *, as_json: bool) -> None:
        self._trigger = trigger
        self._as_json = as_json
        self._began_s = time.monotonic()
        self._line = ProgressLine("")
        self._last: object = None
        self._last_s = 0.0

    def waiting(self, advice: Advice) -> None:
        """After a tick."""
        now_s = time.monotonic()
        action, verdict = advice.decision.action, advice.forecast.verdict
        text = f"{self._trigger}: {advice.decision.reason} · {verdict_line(advice)}"
        self._line.say(f"waiting for {text}")
        state = action, verdict
        if state == self._last and action is Action.WAIT and now_s - self._last_s < _SAID_AGAIN_S:
            return
        self._last, self._last_s = state, now_s
        with suppress(OutputClosed):  # the checkpoint is worth more than whoever reads of it
            if self._as_json:
                emit_json(self._as_object(advice, now_s))
            elif action is not Action.WAIT or not self._line.is_shown:
                self._line.clear()
                emit(f"waiting for {text}" if action is Action.WAIT else f"{action.value} ({text})")

    def clear(self) -> None:
        """Leave no line behind."""
        self._line.clear()

    def _as_object(self, advice: Advice, now_s: float) -> dict[str, Any]:
        armed, forecast = advice.armed, advice.forecast
        left_s = armed.left_s(now_s) if armed is not None else None
        known = bool(forecast.plans)
        return {
            "schema": 1,
            "event": advice.decision.action.value,
            "trigger": self._trigger,
            "reason": advice.decision.reason,
            "waited_s": round(now_s - self._began_s, 3),
            "left_s": None if left_s is None else round(left_s, 3),
            "verdict": forecast.verdict.value,
            "text": forecast.text,
            "stop_s": estimate_as_json(forecast.now.stopped_s) if known else None,
            "bytes": round(forecast.now.size_bytes.mid) if known else None,
        }


def estimate_as_json(estimate: Estimate) -> dict[str, float]:
    """A range, for programs."""
    return {name: round(getattr(estimate, name), 6) for name in ("low", "mid", "high")}
