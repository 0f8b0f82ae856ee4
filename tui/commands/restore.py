"""`dirtytop restore`: restore the processes of a dump."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import click

from engine.checkpoint.criu.restore import Restored
from engine.checkpoint.criu.restore import restore as restore_dump
from engine.errors import NotTrusted
from engine.images.chain import read_chain
from engine.images.ours import require_ours
from engine.printable import printable
from engine.units import format_duration
from tui.commands.arguments import DIRECTORY, example, json_option, trust_option
from tui.commands.criu_options import CONFIG_FILE
from tui.commands.interruption import Interruption
from tui.commands.output import emit, emit_json

_LOOK_EVERY_S = 0.05


@click.command(
    short_help="Restore the processes of a dump.",
    epilog=example("restore what `checkpoint --engine criu` saved", "dirtytop restore /var/tmp/job --detach"),
)
@click.argument("directory", metavar="DIR", type=DIRECTORY)
@click.option("--detach", is_flag=True, help="Do not wait for the restored processes to end.")
@click.option("--leave-stopped", is_flag=True, help="Leave it stopped by SIGSTOP; SIGCONT lets it go on.")
@click.option(
    "--criu-config",
    "config_file",
    type=CONFIG_FILE,
    metavar="FILE",
    help="A file of CRIU's options, which overrule all others.",
)
@trust_option("Restore even if users other than you and root can change the images.")
@json_option
def restore(
    directory: Path,
    detach: bool,
    leave_stopped: bool,
    config_file: Path | None,
    trusts_directory: bool,
    as_json: bool,
) -> None:
    """Restore the dump in DIR, with the pids that it had. CRIU does it, as root.

    DIR is a dump, or holds links 1, 2, …; then the newest is taken. Only what CRIU dumped can be
    restored. Without --detach this waits until the root process has exited; Ctrl-C ends only the waiting.
    """
    trusts_directory = trusts_directory or _is_trusted(directory)
    with Interruption() as interruption:
        restored = restore_dump(
            directory,
            detach=detach,
            leave_stopped=leave_stopped,
            config_file=config_file,
            trusts_directory=trusts_directory,
        )
        if as_json:
            emit_json(restored.as_json())
        else:
            emit(_line(restored))
        if detach:
            return
        status = None
        while status is None and not interruption.wait(_LOOK_EVERY_S):
            status = _end_of(restored.pid)
    if as_json:
        emit_json({"pid": restored.pid, "exit_code": status})
    else:
        emit(f"process {restored.pid} {_words(status)}")


def _is_trusted(directory: Path) -> bool:
    """Whether the user, asked on a terminal, trusts those who could change the images.

    Raises:
        NotTrusted: they do not.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    try:
        require_ours(read_chain(directory))
    except NotTrusted as error:
        question = (
            f"{error.message}.\nWhat is restored gets the rights that the images name, root's "
            "included. Restore it?"
        )
        if not click.confirm(question, err=True):
            raise
        return True
    return False


def _line(restored: Restored) -> str:
    also = f" and {restored.processes - 1} more" if restored.processes > 1 else ""
    how = "stopped" if restored.is_stopped else "running"
    return (
        f"process {restored.pid}{also} restored from {printable(str(restored.path))} "
        f"in {format_duration(restored.seconds).strip()}: {how}"
    )


def _end_of(pid: int) -> int | None:
    """The exit code of our child as the shell has it, negative for a signal; None while it lives."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _words(status: int | None) -> str:
    if status is None:
        return "runs on"
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"exited with {status}"
