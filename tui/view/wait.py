"""A trigger that waits in the dashboard: how far it is, and how that is said in one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from engine.checkpoint.link import After
from engine.forecast.advisor import Advice
from engine.forecast.triggers.armed import Action, Decision
from engine.forecast.triggers.conditions import AtDeadline, Trigger
from engine.images.layout import LinkKind
from engine.units import say_duration
from tui.orders import LINKS, LinkRequest, Wait

AT_DEADLINE: Final = {AtDeadline.DUMP: "dump anyway", AtDeadline.GIVE_UP: "give up"}


def deadline_text(trigger: Trigger) -> str:
    """As in ", at most 10 min, then give up"; empty if it waits for ever."""
    if trigger.deadline_s is None:
        return ""
    return f", at most {say_duration(trigger.deadline_s)}, then {AT_DEADLINE[trigger.at_deadline]}"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A wait that was begun, and how far it is."""

    order: Wait
    is_measuring: bool = True
    """Whether it is still being found out what links cost; until then it waits for nothing."""
    has_begun: bool = False
    """Whether a link was made."""
    held: Decision | None = None
    """What is to be done once the link is ready that is being made."""

    @property
    def trigger(self) -> Trigger:
        """What it waits for."""
        return self.order.trigger

    def next_link(self, action: Action) -> LinkRequest:
        """What to ask for if this is what the trigger says."""
        kind = LINKS[action]
        after = self.order.request.after if kind is LinkKind.DUMP else After.RUN
        return LinkRequest(kind, None if self.has_begun else self.order.request.chain, after)

    def line(self, advice: Advice, *, is_busy: bool) -> str:
        """What it waits for, what is the case, what is left, and how to be rid of it.

        Args:
            advice: of the last tick.
            is_busy: whether a link is being made.
        """
        parts = [f"trigger {self.trigger}"]
        if is_busy:
            parts.append("making a link")
        elif self.is_measuring:
            parts.append("measuring the disk …")
        elif advice.armed is not None and advice.armed.trigger is self.trigger:
            parts += [gauge.present for gauge in advice.gauges]
            left_s = advice.armed.left_s(advice.forecast.time_s)
            if left_s is not None:
                parts.append(f"{say_duration(left_s)} left, then {AT_DEADLINE[self.trigger.at_deadline]}")
        return " · ".join([*parts, "c cancels"])
