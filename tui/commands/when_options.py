"""`--when` and what goes with it: options of the commands that wait for the right moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click

from engine.forecast.stop_budget import STOP_BUDGET_S
from engine.forecast.triggers.conditions import AtDeadline, Condition, Trigger
from engine.forecast.triggers.text import BadTrigger, any_of, parse_condition, parse_duration
from engine.units import exact_duration

_Function = TypeVar("_Function", bound=Callable[..., Any])

_GIVEN: Final = "dirtytop.when"
"""Where the context keeps what was given."""
_AT_DEADLINE: Final = {"dump": AtDeadline.DUMP, "give-up": AtDeadline.GIVE_UP}


class _ConditionText(click.ParamType[Condition]):
    """What to wait for."""

    name = "condition"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Condition:
        try:
            return parse_condition(str(value))
        except BadTrigger as error:
            self.fail(str(error), param, ctx)


class _DurationText(click.ParamType[float]):
    """A length of time with its unit, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            return parse_duration(str(value))
        except BadTrigger as error:
            self.fail(str(error), param, ctx)


DURATION: Final = _DurationText()


@dataclass(frozen=True, slots=True)
class When:
    """What a command was told to wait for."""

    trigger: Trigger
    budget_s: float
    """How long the target may stop, for triggers that name no limit of their own."""


def when_options(function: _Function) -> _Function:
    """Give a command these options; `given_when` has their values."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def given_when(*, pre_dump_every_s: float | None, may_pre_dump: bool) -> When | None:
    """What the command under way is to wait for; None if it is not to wait.

    Args:
        pre_dump_every_s: how often to pre-dump while waiting; None: only where the trigger asks for it.
        may_pre_dump: whether pre-dumps can be made, and are wanted.

    Raises:
        click.UsageError: something that goes with `--when` was given without it.
    """
    context = click.get_current_context()
    given: dict[str, Any] = context.meta.get(_GIVEN, {})
    conditions = given.get("when", ())
    if not conditions:
        for name in given:
            raise click.UsageError(f"--{name.replace('_', '-')} goes with --when only", context)
        return None
    trigger = Trigger(
        any_of(conditions),
        given.get("deadline"),
        _AT_DEADLINE[given.get("at_deadline", "dump")],
        may_pre_dump=may_pre_dump,
        pre_dump_every_s=pre_dump_every_s,
    )
    return When(trigger, given.get("stop_budget", STOP_BUDGET_S))


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value not in (None, ()):
        context.meta.setdefault(_GIVEN, {})[parameter.name] = value


_OPTIONS: Final = (
    click.option(
        "--when",
        multiple=True,
        type=_ConditionText(),
        callback=_keep,
        expose_value=False,
        help="Wait for the right moment to dump: 'stop<50ms', 'quiet 3s', 'at 12:30' or 'every 10s'; "
        "given more than once, for whichever comes first.",
    ),
    click.option(
        "--deadline",
        type=DURATION,
        callback=_keep,
        expose_value=False,
        help="With --when: wait no longer than this, as in 60s.",
    ),
    click.option(
        "--at-deadline",
        type=click.Choice(list(_AT_DEADLINE)),
        callback=_keep,
        expose_value=False,
        help="With --deadline: dump anyway (the default), or give up.",
    ),
    click.option(
        "--stop-budget",
        type=DURATION,
        callback=_keep,
        expose_value=False,
        help=f"With --when every: how long the dump may stop the target; {exact_duration(STOP_BUDGET_S)}.",
    ),
)
