"""The dashboard: what runs when no command is named."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from engine.tracking.cost_budget import CostBudget
from engine.tracking.sample import TrackerKind
from tui.commands.arguments import (
    DIRECTORY,
    PID,
    SECONDS,
    cost_budget_option,
    example,
    tracker_option,
    trust_option,
)
from tui.commands.when_options import DURATION


class _Nameless(click.Command):
    """A command whose name nobody has to type."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As it is called."""
        program = ctx.parent.command_path if ctx.parent else ctx.command_path
        formatter.write_usage(program, " ".join(self.collect_usage_pieces(ctx)))


@click.command(
    cls=_Nameless,
    hidden=True,
    epilog=example(
        "look at a process, and write its checkpoints to /var/tmp/job", "dirtytop 1234 --dir /var/tmp/job"
    ),
)
@click.argument("pids", metavar="[PID]...", type=PID, nargs=-1)
@click.option("--interval", type=SECONDS, help="Seconds between ticks.")
@tracker_option
@cost_budget_option
@click.option("--dir", "directory", type=DIRECTORY, help="Where the first chain of checkpoints goes.")
@trust_option("Write into chosen directories even if users other than you and root could replace them.")
@click.option("--stop-budget", type=DURATION, help="How long a dump may stop the target, as in 50ms.")
@click.option("--theme", help="Colours, by name.")
@click.option("--no-mouse", is_flag=True, help="Leave the mouse to the terminal.")
@click.option("--readonly", is_flag=True, help="Only look: neither arm nor checkpoint.")
def dashboard(
    pids: tuple[int, ...],
    interval: float | None,
    tracker: TrackerKind | None,
    cost_budget: CostBudget | None,
    directory: Path | None,
    trusts_directory: bool,
    stop_budget: float | None,
    theme: str | None,
    no_mouse: bool,
    readonly: bool,
) -> int:
    """The dashboard, on these processes; without any, it lets you pick."""
    if not has_terminal():
        raise click.UsageError("the dashboard needs a terminal; in a script, use `dirtytop watch PID`")
    from tui.app import run  # Textual takes longer to import than all the rest
    from tui.theme import theme_names

    if theme is not None and theme not in (names := theme_names()):
        raise click.UsageError(f"there is no theme {theme!r}; there are {', '.join(names)}")
    return run(
        pids,
        interval_s=interval,
        tracker=tracker,
        cost_budget=cost_budget,
        directory=directory,
        trusts_directory=trusts_directory,
        stop_budget_s=stop_budget,
        theme=theme,
        mouse=not no_mouse,
        readonly=readonly,
    )


def has_terminal() -> bool:
    """Whether a dashboard can be shown here."""
    return sys.stdin.isatty() and sys.stdout.isatty()
