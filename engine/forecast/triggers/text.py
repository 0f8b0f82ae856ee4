"""Conditions as they are typed: `stop<50ms`, `quiet 3s or at 12:30`, `every 10s until stop<50ms`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import time
from typing import Final

from engine.forecast.triggers.conditions import AnyOf, AtTime, Condition, Every, QuietFor, StopBelow
from engine.printable import printable

FORMS: Final = "stop<50ms, quiet 3s, at 12:30, every 10s, every 10s until stop<50ms"

_UNITS: Final = {
    "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0
}  # fmt: skip
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([a-zµ]*)")
_STOP: Final = re.compile(r"stop ?(<=|<|under|below) ?(.*)")
_QUIET: Final = re.compile(r"quiet(?: for)? ?(.*)")
_AT: Final = re.compile(r"at ?(.*)")
_EVERY: Final = re.compile(r"every ?(.*?)(?: until (.*))?")
_CLOCK: Final = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
_LONGEST_S: Final = 7 * 86400.0


class BadTrigger(ValueError):
    """A text that means no trigger; the message says why, in one line."""


def parse_condition(text: str) -> Condition:
    """What a text means. Several, joined by "or", mean whichever is the case first.

    Raises:
        BadTrigger: nothing; the message shows what would.
    """
    plain = " ".join(text.lower().split())
    alternatives = plain.split(" or ")
    if len(alternatives) > 1:
        return any_of([parse_condition(each) for each in alternatives])
    if found := _EVERY.fullmatch(plain):
        limit_s = _stop_limit(found[2], text) if found[2] is not None else None
        return Every(_duration_in(found[1], text), limit_s)
    if _STOP.fullmatch(plain):
        return StopBelow(_stop_limit(plain, text))
    if found := _QUIET.fullmatch(plain):
        return QuietFor(_duration_in(found[1], text))
    if found := _AT.fullmatch(plain):
        return AtTime(_clock_in(found[1], text))
    raise BadTrigger(f"“{printable(text)}” is not a trigger: write one of {FORMS}")


def any_of(conditions: Sequence[Condition]) -> Condition:
    """Whichever of these, of which there is at least one, is the case first."""
    each = tuple(
        one
        for condition in conditions
        for one in (condition.conditions if isinstance(condition, AnyOf) else (condition,))
    )
    return each[0] if len(each) == 1 else AnyOf(each)


def parse_duration(text: str) -> float:
    """Seconds, from a text as "50ms" or "2 min".

    Raises:
        BadTrigger: it has no unit, or is not a duration.
    """
    return _duration_in(" ".join(text.lower().split()), text)


def _stop_limit(part: str, text: str) -> float:
    found = _STOP.fullmatch(part)
    if not found:
        raise BadTrigger(f"“{printable(text)}”: after “until” comes a limit, as in stop<50ms")
    return _duration_in(found[2], text)


def _duration_in(part: str, text: str) -> float:
    shown = printable(text)
    found = _DURATION.fullmatch(part)
    if not found:
        what = f"“{printable(part)}” is not a duration" if part else "a duration is missing"
        raise BadTrigger(f"“{shown}”: {what}; write it as 50ms, 3s or 2min")
    if found[2] not in _UNITS:
        what = f"“{found[2]}” is not a unit of time" if found[2] else "a unit is missing"
        raise BadTrigger(f"“{shown}”: {what}; write it as 50ms, 3s or 2min")
    seconds = float(found[1]) * _UNITS[found[2]]
    if not 0 < seconds <= _LONGEST_S:
        raise BadTrigger(f"“{shown}”: a duration must be longer than 0 and at most a week")
    return seconds


def _clock_in(part: str, text: str) -> time:
    found = _CLOCK.fullmatch(part)
    if not found:
        raise BadTrigger(f"“{printable(text)}”: write the time as 12:30 or 12:30:15")
    try:
        return time(int(found[1]), int(found[2]), int(found[3] or 0))
    except ValueError as error:
        raise BadTrigger(f"“{printable(text)}”: there is no such time of day") from error
