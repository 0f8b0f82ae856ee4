"""The command line: finds the command, and turns what goes wrong into a line, a hint and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from io import TextIOWrapper
from typing import Final

import click

from engine.errors import BadImage, DirtytopError, KernelThread, NotSupported, TargetGone
from engine.process_names import is_called
from engine.trust.environment import settle
from tui.commands.output import OutputClosed, complain, discard

DONE: Final = 0
FAILED: Final = 1

_DASHBOARD: Final = "dashboard"
_MODULES: Final = {
    _DASHBOARD: "dashboard",
    "demo": "demo",
    "doctor": "doctor",
    "watch": "watch",
    "who": "who",
    "forecast": "forecast",
    "checkpoint": "checkpoint",
    "restore": "restore",
    "core": "core",
    "images": "images",
    "verify": "images",
    "flatten": "images",
    "completion": "completion",
}
"""Which module of `tui.commands` has the command. Importing them all takes five times as long as one."""
_USUAL_HINTS: Final[dict[type[DirtytopError], str]] = {
    TargetGone: "`dirtytop` without a pid lists the processes there are",
    KernelThread: "pick a process with memory of its own",
    NotSupported: "`dirtytop doctor` tells what works on this machine",
    BadImage: "`dirtytop verify DIR` names everything that is wrong with a chain",
}
"""For errors that come without a hint of their own; the first that fits."""
_OWN_OPTIONS: Final = ("--help", "-h", "--version", "-V")


class Dirtytop(click.Group):
    """The commands; anything that begins with a pid or an option is for the dashboard."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which one meets them."""
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in _MODULES:
            return None
        module = importlib.import_module(f"tui.commands.{_MODULES[cmd_name]}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the dashboard's name where it is left out."""
        if not ctx.resilient_parsing and _is_for_dashboard(args):
            args = [_DASHBOARD, *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which there are."""
        if args[0] not in _MODULES and not ctx.resilient_parsing:
            raise click.UsageError(_no_such_command(args[0]), ctx)
        return super().resolve_command(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Both ways to call it."""
        formatter.write_usage(ctx.command_path, "[OPTIONS] [PID]...")
        formatter.write_usage(ctx.command_path, "COMMAND [ARGS]...", prefix="   or: ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The dashboard's options too: they go without a command."""
        dashboard = self.get_command(ctx, _DASHBOARD)
        assert dashboard is not None
        records = [
            option.get_help_record(ctx) for option in dashboard.params if isinstance(option, click.Option)
        ]
        with formatter.section("Options of the dashboard"):
            formatter.write_dl([record for record in records if record is not None])
        super().format_options(ctx, formatter)


def _is_for_dashboard(args: list[str]) -> bool:
    if not args or args[0].isdecimal():
        return True
    if args[0].startswith("-"):
        return args[0] not in _OWN_OPTIONS
    return args[0] not in _MODULES and is_called(args[0])


def _no_such_command(name: str) -> str:
    names = [each for each in _MODULES if each != _DASHBOARD]
    if close := get_close_matches(name, names, n=2):
        return f"there is no command {name!r}: did you mean {' or '.join(close)}?"
    return f"there is no command {name!r}, and no process of that name; the commands are {', '.join(names)}"


@click.group(
    cls=Dirtytop,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExample: look at two processes, every half second\n  dirtytop --interval 0.5 1234 5678",
)
@click.version_option(None, "--version", "-V", package_name="dirtytop", message="%(prog)s %(version)s")
def dirtytop() -> None:
    """See which pages of a running process are being written, and checkpoint it at the right moment.

    Without a command: the dashboard, on these processes if any are named.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name, and return its exit code."""
    # NumPy would start a thread for each CPU, for arithmetic that we do not do.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    settle(os.environ)
    for stream in (sys.stdout, sys.stderr):
        # Typography beyond what the terminal's encoding has must not end a command.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        result = dirtytop.main(arguments, prog_name="dirtytop", standalone_mode=False)
        sys.stdout.flush()
    except (OutputClosed, BrokenPipeError):
        discard(sys.stdout)
        return DONE
    except click.UsageError as error:
        path = (error.ctx.command_path if error.ctx else "dirtytop").removesuffix(f" {_DASHBOARD}")
        complain(error.format_message(), f"see `{path} --help`")
        return error.exit_code
    except click.ClickException as error:
        complain(error.format_message())
        return error.exit_code
    except DirtytopError as error:
        complain(error.message, error.hint or _usual_hint(error))
        return error.exit_code
    except OSError as error:
        what = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
        complain(f"{what}{os.strerror(error.errno or 0)}")
        return FAILED
    except click.Abort:  # Ctrl-C before a command took charge of it
        return FAILED
    return result if isinstance(result, int) else DONE


def _usual_hint(error: DirtytopError) -> str:
    for kind, hint in _USUAL_HINTS.items():
        if isinstance(error, kind):
            return hint
    return ""


if __name__ == "__main__":
    sys.exit(main())
