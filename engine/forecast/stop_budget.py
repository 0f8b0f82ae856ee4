"""How long a dump may stop the target, and whether a stop is within that.

Whether a stop is short enough is asked in many places, of the budget and of the limits that triggers name in
its place. It is answered here.
"""

from __future__ import annotations

from typing import Final

from engine.forecast.estimate import Estimate

STOP_BUDGET_S: Final = 0.1
"""The one default. A budget of 0 asks for the shortest stop there is."""


def is_met(budget_s: float, stopped_s: Estimate) -> bool:
    """Whether a stop that is foreseen will likely be no longer than this."""
    return stopped_s.mid <= budget_s
