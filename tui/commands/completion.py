"""`dirtytop completion`: what a shell has to be told to complete commands, options and pids."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from tui.commands.arguments import example
from tui.commands.output import emit

_VARIABLE = "_DIRTYTOP_COMPLETE"
"""By which the shell asks; click reads it (click/core.py, `_main_shell_completion`)."""


@click.command(
    short_help="Print what makes a shell complete commands, options and pids.",
    epilog=example("for every new bash", "dirtytop completion bash >> ~/.bashrc"),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that makes SHELL complete the command line of dirtytop.

    Commands, options, their values, and processes by pid or by name. For this shell alone:
    `source <(dirtytop completion bash)`; for fish: `dirtytop completion fish | source`.
    """
    made_by = get_completion_class(shell)
    assert made_by is not None  # the choices are those that click has
    root = click.get_current_context().find_root()
    emit(made_by(root.command, {}, root.info_name or "dirtytop", _VARIABLE).source())
