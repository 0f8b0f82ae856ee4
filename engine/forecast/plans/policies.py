"""When other programs stop pre-dumping: the rules of p.haul and LXD, to compare with ours on the same rounds.

p.haul (phaul/iters.py): few pages, or more than before by a tenth, or the ninth round. LXD's
`migration.incremental.memory` settings: most of memory was skipped because the parent has it, or the tenth
round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from engine.forecast.plans.rounds import LinkForecast

P_HAUL_FEW_PAGES: Final = 64
P_HAUL_MOST_GROWTH_PERCENT: Final = 10
P_HAUL_MOST_ROUNDS: Final = 9
LXD_GOAL_PERCENT: Final = 70
LXD_MOST_ROUNDS: Final = 10


@dataclass(frozen=True, slots=True)
class Round:
    """One pre-dump, made or foreseen."""

    pages_written: int
    pages_in_parent: int

    @classmethod
    def foreseen(cls, link: LinkForecast, present_pages: int) -> Round:
        """Of a link that is foreseen, of so many pages in use."""
        written = round(link.pages.mid)
        return cls(written, max(0, present_pages - written))


Policy = Callable[[Sequence[Round]], bool]
"""Whether to pre-dump no more after these rounds, of which there is at least one."""


def p_haul(rounds: Sequence[Round]) -> bool:
    """As p.haul decides."""
    pages = rounds[-1].pages_written
    if pages <= P_HAUL_FEW_PAGES or len(rounds) >= P_HAUL_MOST_ROUNDS:
        return True
    if len(rounds) < 2:
        return False
    before = rounds[-2].pages_written
    return (pages - before) * 100 // before > P_HAUL_MOST_GROWTH_PERCENT


def lxd(rounds: Sequence[Round]) -> bool:
    """As LXD decides with its default settings: by the share of memory that the parent holds."""
    last = rounds[-1]
    total = last.pages_written + last.pages_in_parent
    skipped_percent = 100 - 100 * last.pages_written // total if total else 100
    return skipped_percent > LXD_GOAL_PERCENT or len(rounds) >= LXD_MOST_ROUNDS


POLICIES: Final[dict[str, Policy]] = {"p.haul": p_haul, "LXD": lxd}
"""Those of others, by name."""


def rounds_under(policy: Policy, rounds: Sequence[Round]) -> int:
    """How many of these rounds would be made under a policy; all of them if it never has enough."""
    for made in range(1, len(rounds) + 1):
        if policy(rounds[:made]):
            return made
    return len(rounds)
