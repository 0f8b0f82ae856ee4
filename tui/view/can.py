"""What can be done with a target now: which of the dashboard's actions its keys take, dim or hide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tui.view.facts import Facts

_ACTS: Final = ("arm", "pre_dump", "dump", "when", "next_mode", "writers")
"""What does something to a target: not while it is only to be looked at."""
_MAKES_LINKS: Final = ("pre_dump", "dump", "when")
_OF_A_TARGET: Final = ("cancel", "next_mode", "copy_restore", "maker_log", "links")


def can_do(facts: Facts | None, *, readonly: bool, target_count: int) -> Mapping[str, bool | None]:
    """The actions that are hidden (False) or dimmed (None); all others can be taken.

    Args:
        facts: of the target in view; None: there is none.
        readonly: whether nothing is to be done to targets.
        target_count: how many are watched.
    """
    return {action: can for action, can in _judged(facts, target_count, readonly).items() if can is not True}


def _judged(facts: Facts | None, target_count: int, readonly: bool) -> dict[str, bool | None]:
    judged: dict[str, bool | None] = {"turn": target_count > 1}
    if facts is None:
        judged |= dict.fromkeys(_OF_A_TARGET, False)
    else:
        judged |= {
            "cancel": facts.is_busy or facts.wait is not None,
            "next_mode": len(facts.modes) > 1,
            "copy_restore": facts.newest_restorable is not None,
            "maker_log": facts.failed_log is not None or bool(facts.links),
            "links": bool(facts.links),
        }
    if facts is None or facts.is_busy:
        judged |= dict.fromkeys(_MAKES_LINKS)
    if facts is None or not facts.is_ready:
        judged |= dict.fromkeys(_ACTS)
    if readonly:
        judged |= dict.fromkeys(_ACTS, False)
    return judged
