"""What is put off to keep the cost budget, said once when it begins and once when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, final

from engine.tracking.cost_budget import SETTLED_S, CostBudget, CostKeeper

_OVER_AFTER_S: Final = 10.0
"""What has not happened for so long is over."""
_TICKS: Final = 2
"""Ticks in a row that have to be slowed before it is said: one that cost much is soon paid for."""


@final
class CostTeller:
    """Remembers what has been said."""

    def __init__(self) -> None:
        self._slowed_in_a_row = 0
        self._slowed_at_s: float | None = None
        self._unarmed_at_s: float | None = None

    def news(self, costs: CostKeeper, unarmed: int, now_s: float) -> Iterator[str]:
        """What has changed since the last tick, in words.

        Args:
            costs: as of this tick.
            unarmed: how many processes are seen and not armed.
            now_s: when, by `time.monotonic()`.
        """
        self._slowed_in_a_row = self._slowed_in_a_row + 1 if costs.is_slowed else 0
        if self._slowed_in_a_row >= _TICKS:
            if self._slowed_at_s is None:
                yield f"ticks come {costs.interval_s:.1f} s apart, to keep the {say_budget(costs.budget)}"
            self._slowed_at_s = now_s
        elif self._slowed_at_s is not None and now_s - self._slowed_at_s > _OVER_AFTER_S:
            self._slowed_at_s = None
            yield "ticks come as often as asked for again"
        if unarmed:
            if self._unarmed_at_s is None:
                yield (
                    f"{unarmed} children younger than {SETTLED_S:.0f} s are seen but not tracked, "
                    f"to keep the {say_budget(costs.budget)}: links hold them in full"
                )
            self._unarmed_at_s = now_s
        elif self._unarmed_at_s is not None and now_s - self._unarmed_at_s > _OVER_AFTER_S:
            self._unarmed_at_s = None
            yield "all children are tracked again"


def say_budget(budget: CostBudget) -> str:
    """As in "cost budget of 2 %"."""
    return f"cost budget of {budget.cpu * 100:.3g} %"
