"""Arguments that several commands take."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem

from engine.errors import TargetGone
from engine.printable import printable
from engine.process_names import Named, find_called, list_named
from engine.tracking.cost_budget import NO_BUDGET, CostBudget
from engine.tracking.sample import TrackerKind
from engine.trust.directory import OPTION

_AUTO: Final = "auto"
_SHOWN: Final = 5
_SHOWN_CHARACTERS: Final = 60
_SHORTEST_S: Final = 0.01
_LONGEST_S: Final = 86_400.0
_NO_BUDGET: Final = "off"
_LEAST_PERCENT: Final = 0.01
_MOST_PERCENT: Final = 100.0

_Function = TypeVar("_Function", bound=Callable[..., Any])

TRUSTED_TO_HOLD: Final = "Write into DIR even if users other than you and root could replace what is there."
"""What `--trust-directory` does where images are made."""

DIRECTORY: Final = click.Path(file_okay=False, path_type=Path)


class _Pid(click.IntRange):
    """A process that is there, by its id, or by a name or a glob that fits it alone."""

    name = "pid"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if not text.lstrip("-").isdecimal():
            return self._by_name(text, param, ctx)
        pid = int(super().convert(value, param, ctx))
        try:
            os.kill(pid, 0)
        except ProcessLookupError as error:
            raise TargetGone(f"there is no process {pid}", pid=pid) from error
        except PermissionError:  # somebody else's, which may even be hidden: the command says what that means
            pass
        return pid

    def _by_name(self, name: str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = find_called(name)
        if not found:
            raise TargetGone(f"there is no process called {name!r}")
        if len(found) > 1:
            self.fail(_which(name, found), param, ctx)
        return found[0].pid

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Pids, each with its command; names once a letter has been typed."""
        if incomplete and not incomplete.isdecimal():
            names = {name for each in list_named() for name in each.names if name.startswith(incomplete)}
            return [CompletionItem(name) for name in sorted(names) if printable(name) == name]
        return [
            CompletionItem(str(each.pid), help=_shortened(each.command))
            for each in list_named()
            if str(each.pid).startswith(incomplete)
        ]


def _which(name: str, found: Sequence[Named]) -> str:
    shown = "; ".join(f"{each.pid} is {_shortened(each.command)}" for each in found[:_SHOWN])
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"{len(found)} processes are called {name!r}, so say which: {shown}{more}"


def _shortened(command: str) -> str:
    return command if len(command) <= _SHOWN_CHARACTERS else f"{command[: _SHOWN_CHARACTERS - 1]}…"


PID: Final = _Pid(1, 2**31 - 1)


class _Seconds(click.FloatRange):
    """A length of time that one can wait for."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):  # which no comparison rejects
            self.fail(f"{value} is not a number of seconds", param, ctx)
        return seconds


SECONDS: Final = _Seconds(_SHORTEST_S, _LONGEST_S)


def tracker_option(function: _Function) -> _Function:
    """`--tracker`, as a `TrackerKind`, or None for `auto`."""
    return click.option(
        "--tracker",
        type=click.Choice([_AUTO, *(kind.value for kind in TrackerKind)]),
        callback=_tracker_kind,
        default=_AUTO,
        show_default=True,
        help="How to see writes; auto is soft-dirty where the kernel has it, else write-protect.",
    )(function)


def _tracker_kind(context: click.Context, parameter: click.Parameter, name: str) -> TrackerKind | None:
    return None if name == _AUTO else TrackerKind(name)


def trust_option(what: str) -> Callable[[_Function], _Function]:
    """`--trust-directory`, as `trusts_directory`."""
    return click.option(OPTION, "trusts_directory", is_flag=True, help=what)


class _Share(click.ParamType[CostBudget]):
    """A share of a core in per cent, or none."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> CostBudget:
        if isinstance(value, CostBudget):
            return value
        if value == _NO_BUDGET:
            return NO_BUDGET
        try:
            percent = float(str(value).removesuffix("%"))
        except ValueError:
            percent = math.nan
        if not _LEAST_PERCENT <= percent <= _MOST_PERCENT:
            self.fail(
                f"{value!r} is no share of a core: say {_NO_BUDGET}, or {_LEAST_PERCENT:g}% to "
                f"{_MOST_PERCENT:g}%", param, ctx,
            )  # fmt: skip
        return CostBudget.of(percent / 100)


def cost_budget_option(function: _Function) -> _Function:
    """`--cost-budget`, as a `CostBudget`, or None if it is not given."""
    return click.option(
        "--cost-budget",
        type=_Share(),
        metavar="PERCENT|off",
        help="How much of a core tracking may cost the target; half of it may be stops. What would cost more "
        "waits: ticks come later than asked for, and short-lived children are not tracked. "
        "[default: 2%]",
    )(function)


def json_option(function: _Function) -> _Function:
    """`--json`, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="For programs: see docs/cli.md.")(function)


def example(what: str, command: str) -> str:
    """The epilog that ends a command's help."""
    return f"\b\nExample: {what}\n  {command}"
