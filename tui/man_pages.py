"""Writes the man pages, one for each command: `python -m tui.man_pages DIR` (`make man`).

Their text is that of `--help`; click-man, which only contributors need, puts it into roff.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from inspect import cleandoc
from pathlib import Path

import click
from click_man.man import ManPage

from tui.cli import dirtytop

_SECTION = "1"


def write_man_pages(directory: Path) -> list[Path]:
    """Write them all; their paths, that of the whole first."""
    directory.mkdir(parents=True, exist_ok=True)
    whole = click.Context(dirtytop, info_name="dirtytop")
    commands = {
        name: command
        for name in dirtytop.list_commands(whole)
        if (command := dirtytop.get_command(whole, name)) is not None
    }
    shown = {name: command for name, command in commands.items() if not command.hidden}
    options = [option for command in commands.values() if command.hidden for option in command.params]
    pages = [_page(whole, [*options, *dirtytop.get_params(whole)], shown)]
    for name, command in shown.items():
        context = click.Context(command, info_name=name, parent=whole)
        pages.append(_page(context, command.get_params(context), {}))
    paths = []
    for page in pages:
        paths.append(directory / f"{page.command.replace(' ', '-')}.{_SECTION}")
        paths[-1].write_text(str(page))
    return paths


def _page(
    context: click.Context, parameters: list[click.Parameter], commands: dict[str, click.Command]
) -> ManPage:
    command = context.command
    page = ManPage(context.command_path)
    page.version = version("dirtytop")
    page.short_help = command.get_short_help_str(200)
    page.description = cleandoc(command.help or "").replace("`", "")
    page.synopsis = " ".join(command.collect_usage_pieces(context))
    records = [option.get_help_record(context) for option in parameters if isinstance(option, click.Option)]
    page.options = [record for record in records if record is not None]
    page.commands = [(name, each.get_short_help_str(200)) for name, each in commands.items()]
    return page


if __name__ == "__main__":
    for path in write_man_pages(Path(sys.argv[1])):
        print(path)
